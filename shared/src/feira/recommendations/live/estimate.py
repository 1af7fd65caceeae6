"""What a version's CTR would have been, from the impressions of another one that states its probabilities.

A place of the log is an impression: user, slot and position, with the product that was shown there, the
probability q of that, and whether it was clicked. The version has a product for the same place. Where the two
are the same product the impression counts with the weight 1/q, else with none: a click is taken to depend on
user, product, slot and position, not on what is beside it (the item-position model: Li et al., KDD 2018).

* SNIPS, self-normalised: the sum of weight × click over the sum of weights. Swaminathan and Joachims, The
  Self-Normalized Estimator for Counterfactual Learning, NIPS 2015.
* DR, doubly robust: the mean of m + weight × (click − m), with m the expected click of the version's product at
  its place, learned from other users. Dudík, Langford and Li, Doubly Robust Policy Evaluation and Learning,
  ICML 2011.
* The effective sample size is Kish's, the squared sum of weights over the sum of their squares.
* No interval is narrower than that of so many independent impressions: of a few that weigh most, groups of users in
  which none was clicked do not vary. Kong, A Note on Importance Sampling Using Standardized Weights, University of
  Chicago, Technical Report 348 (1992); Owen, Monte Carlo Theory, Methods and Examples (2013), chapter 9.
* The mean of the weights is 1 where the log could have shown every product of the version, and else the share of
  places where it could: the support. What is not supported, no weight can make up for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feira.recommendations.bootstrap import NOTHING, Figure
from feira.recommendations.live.figures import EVERY_ARM, EVERY_POSITION, LiveFigure
from feira.recommendations.live.intervals import GROUPS, mean, share
from feira.recommendations.metrics import Floats
from feira.recommendations.serving.layout import SLOTS
from feira.recommendations.serving.requests import LEAST_SWAPPED, MOST_ITEMS

# A weight above it counts as this much: one impression of a probability of 1e-9 would be the whole estimate.
# It is the greatest of a log of the API, of the longest list with the fewest swaps.
MOST_WEIGHT = (MOST_ITEMS - 1) / LEAST_SWAPPED
# Where all of the interval of the support is below it, more than a fifth of the places is open: the log could not
# have shown them. It is chosen, not derived, and decides the reason alone: whatever keeps the interval below 1, also
# products of a small probability that were not drawn yet, leaves a part of the CTR open, and there is no estimate.
LEAST_SUPPORT = 0.8
# The mean of the weights is 1 at most. Where all of its interval is this far above, the probabilities are not those
# with which the products were shown, or the version has learned from the log that judges it.
MOST_SUPPORT = 1.25
# Of so many the jackknife's standard error is itself within a sixth (1 / sqrt(2 × 19)).
FEWEST_GROUPS = 20
# An estimate says something if its interval is at most so wide on either side, as a share of it.
_WIDEST, _NORMAL = 0.5, 1.96
# Impressions of the mean of the position that an item's own are drawn to.
PRIOR_IMPRESSIONS = 50
FOLDS = 5
SUMS = (
    "impressions",
    "users",
    "clicked",
    "weight",
    "weight_squared",
    "weighted_clicks",
    "expected",
    "weighted_expected",
)


@dataclass(frozen=True)
class Estimate:
    """Both estimates of a slot, or of both (None); without a value where ``refused`` says why there is none (the
    contract lists it). ``shown`` is the CTR of what was shown at the same places."""

    list_version: str
    shown: Figure
    snips: Figure
    dr: Figure
    effective: float
    needed: float | None
    support: Figure
    impressions: int
    users: int
    refused: str | None
    slot: str | None = None

    def rows(self) -> Iterator[LiveFigure]:
        """As rows of ``recommendations.live_figures``."""
        size, needed = Figure(self.effective), Figure(self.needed)
        for name, found, refused in (
            ("ctr_snips", self.snips, self.refused),
            ("ctr_dr", self.dr, self.refused),
            ("effective_sample_size", size, None),
            ("effective_sample_size_needed", needed, None),
            ("support", self.support, None),
        ):
            ends = (found.value, found.low, found.high, self.impressions, self.users)
            yield LiveFigure(
                self.list_version,
                EVERY_ARM,
                EVERY_POSITION,
                name,
                *ends,
                refused=refused,
                slot=self.slot,
            )


def estimates(list_version: str, sums: pa.Table) -> tuple[Estimate, ...]:
    """Of both slots together and of each, from what was added up by ``slot`` (null: both) and ``bucket``, a group
    of users: the columns of ``SUMS`` over the impressions of users and places for which the version has a product."""
    both = estimate(list_version, sums.filter(pc.is_null(sums["slot"])))
    of_slots = (
        replace(estimate(list_version, sums.filter(pc.equal(sums["slot"], slot))), slot=slot)
        for slot in SLOTS
    )
    return (both, *of_slots)


def estimate(list_version: str, sums: pa.Table) -> Estimate:
    """One estimate, from the columns of ``SUMS`` by ``bucket``."""
    rows = sums["bucket"].to_numpy()
    by_group = {}
    for name in SUMS:
        by_group[name] = np.zeros(GROUPS)
        by_group[name][rows] = sums[name].to_numpy()
    return of_groups(list_version, by_group)


def of_groups(list_version: str, sums: dict[str, Floats]) -> Estimate:
    """The same from arrays of all groups."""
    impressions, users = int(sums["impressions"].sum()), int(sums["users"].sum())
    weight, squared = float(sums["weight"].sum()), float(sums["weight_squared"].sum())
    effective = weight**2 / squared if squared else 0.0
    logged = float(sums["clicked"].sum()) / impressions if impressions else 0.0
    needed = (_NORMAL / _WIDEST) ** 2 * (1 - logged) / logged if logged else None
    support = mean(sums["weight"], sums["impressions"])
    refused = None
    if not impressions:
        refused = "nothing_logged"
    elif needed is None:
        refused = "no_clicks"
    elif support.high is not None and support.high < LEAST_SUPPORT:
        refused = "no_support"
    elif support.low is not None and support.low > MOST_SUPPORT:
        refused = "doubtful_probabilities"
    elif int((sums["weight"] > 0).sum()) < FEWEST_GROUPS:
        refused = "few_users"
    elif effective < math.ceil(needed) or not representative(support):
        refused = "small_sample"
    snips = dr = NOTHING
    if refused is None:
        snips = share(sums["weighted_clicks"], sums["weight"], min(users, effective), effective)
        made_up = sums["expected"] + sums["weighted_clicks"] - sums["weighted_expected"]
        rates = logged, min(1.0, max(0.0, float(made_up.sum()) / impressions))
        error = math.sqrt(max(rate * (1 - rate) for rate in rates) / effective)
        # Not Wilson's: the mean has weights in it, and near 0 it varies more than a share of as many trials could.
        dr = mean(made_up, sums["impressions"], most=1.0, least_error=error)
    return Estimate(
        list_version,
        share(sums["clicked"], sums["impressions"], users),
        snips,
        dr,
        effective,
        float(math.ceil(needed)) if needed is not None else None,
        support,
        impressions,
        users,
        refused,
    )


def representative(support: Figure) -> bool:
    """Whether the log has shown of the version as much as it should have: the mean of the weights is near 1, and its
    interval reaches 1. Below, what the version has changed is what is missing, and both estimates are of the rest."""
    near = support.value is not None and LEAST_SUPPORT <= support.value <= MOST_SUPPORT
    # To six decimals: a version that is equal to the log has 1 but for rounding, and an interval without width.
    return near and support.high is not None and round(support.high, 6) >= 1


@dataclass(frozen=True)
class Measured:
    """What was measured of a day.

    :param figures: of what was shown, by version, arm, position and slot
    :param estimates: of the day's own version and of the newest one before it, by slot
    :param history: the CTR of all positions and both slots of the last days, by day, as it is in the table
    :param impressions: of the day; ``left_out`` are those of versions and arms that are too many
    """

    day: date
    figures: tuple[LiveFigure, ...]
    estimates: tuple[Estimate, ...]
    history: tuple[tuple[date, LiveFigure], ...]
    impressions: int
    left_out: int
