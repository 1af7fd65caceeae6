"""Intervals of means over users, by resampling the users: the same ones for all that is compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from feira.recommendations.metrics import Floats, rounded

RESAMPLES = 1000
_SEED = 20101201
_CHUNK = 100


@dataclass(frozen=True)
class Figure:
    """A value with the ends of its 95 % interval, to nine decimals; None where there is nothing to compute it from."""

    value: float | None
    low: float | None = None
    high: float | None = None


NOTHING = Figure(None)


@dataclass(frozen=True)
class Means:
    """The mean of each column of a table of users, and the same of each resample (a row each)."""

    observed: Floats
    resampled: Floats

    def figure(self, column: int) -> Figure:
        value, resampled = self.observed[column], self.resampled[:, column]
        if np.isnan(value):
            return NOTHING
        found = resampled[~np.isnan(resampled)]
        return _figure([value, *np.percentile(found, [2.5, 97.5])])

    def ratio(self, column: int, of: int) -> Figure:
        """The ratio of two columns, both of the same users in every resample.

        A resample with nothing in the second is above all others, and one with nothing in both may be anywhere: it
        counts as 0 at the low end. Where an end is infinite there is no figure.
        """
        if not self.observed[of] > 0:
            return NOTHING
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = self.resampled[:, column] / self.resampled[:, of]
            anywhere = np.isnan(ratios)
            ends = (
                np.percentile(np.where(anywhere, 0, ratios), 2.5),
                np.percentile(np.where(anywhere, np.inf, ratios), 97.5),
            )
        found = [self.observed[column] / self.observed[of], *ends]
        return _figure(found) if np.isfinite(found).all() else NOTHING


def means(values: Floats, resamples: int = RESAMPLES) -> Means:
    """Users by columns, where a NaN is a user that the column's mean leaves out."""
    there = ~np.isnan(values)
    filled, counted = np.where(there, values, 0), there.astype(float)
    every = np.ones((1, len(values)))
    drawn = np.vstack([_means(each, filled, counted) for each in _draws(len(values), resamples)])
    return Means(_means(every, filled, counted)[0], drawn)


def _draws(users: int, resamples: int) -> Iterator[Floats]:
    """How often each user is in each resample."""
    generator = np.random.default_rng(_SEED)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        yield generator.multinomial(users, np.full(users, 1 / users), size=size).astype(float)


def _means(weights: Floats, filled: Floats, counted: Floats) -> Floats:
    count = weights @ counted
    return np.asarray((weights @ filled) / np.where(count > 0, count, np.nan))


def _figure(found: list[float]) -> Figure:
    # What is equal has a ratio of 1 whatever the order in which BLAS has added.
    return Figure(*rounded(found).tolist())
