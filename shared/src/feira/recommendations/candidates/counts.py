"""What is counted and not learned: popularity, of late, and what a user takes again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feira.recommendations.candidates.interface import Scorer
from feira.recommendations.history import History, Matrix
from feira.recommendations.interactions import Ints
from feira.recommendations.metrics import Floats


@dataclass(frozen=True)
class SameForAll:
    """A score of each item, whoever the user is."""

    of_items: Floats

    def __call__(self, users: Ints) -> Floats:
        return np.tile(self.of_items, (len(users), 1))


@dataclass(frozen=True)
class OfPairs:
    """A score of what the user had."""

    of_pairs: Matrix

    def __call__(self, users: Ints) -> Matrix:
        return self.of_pairs[users]


@dataclass(frozen=True)
class Popularity:
    """The number of users that had the item."""

    name: str = "popularity"

    def fit(self, history: History) -> Scorer:
        return SameForAll(np.asarray(history.seen().sum(axis=0)).ravel())


@dataclass(frozen=True)
class RecentPopularity:
    """The number of interactions with the item, each worth half as much every ``half_life`` days."""

    half_life: float = 14
    name: str = "recent popularity"

    def fit(self, history: History) -> SameForAll:
        worth = 0.5 ** (history.ages() / self.half_life)
        items = len(history.item_ids)
        counted = np.bincount(history.items, weights=worth, minlength=items)
        return SameForAll(counted.astype(float))


@dataclass(frozen=True)
class OwnFrequency:
    """The number of days on which the user had the item; of equals the one that it had last."""

    name: str = "own frequency"

    def fit(self, history: History) -> Scorer:
        days = history.matrix()
        last = greatest(history, 1 / (1 + history.ages()))  # at most a half: less than one day
        return OfPairs(days + last)


def greatest(history: History, values: npt.NDArray[Any]) -> Matrix:
    """Users by items: of each pair the greatest of its values, of which there is one an interaction."""
    order = np.lexsort((-values, history.items, history.users))
    users, items = history.users[order], history.items[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(users) != 0) | (np.diff(items) != 0)
    kept = np.zeros(len(order))
    kept[order[first]] = values[order[first]]
    return history.matrix(kept)
