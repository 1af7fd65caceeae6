"""TIFU-KNN: what a user takes again, and what users of the same habits take (Hu et al., SIGIR 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from feira.recommendations.candidates.interface import Scorer, or_nothing
from feira.recommendations.history import History, Matrix
from feira.recommendations.interactions import Ints
from feira.recommendations.metrics import LEAST, Floats

_CELLS = 500_000  # of a block of distances, which are held a few times over


@dataclass(frozen=True)
class Habits:
    """``own`` of the user's habits, and the rest of the mean of its ``count`` nearest users' (their squared
    ``lengths`` are kept)."""

    habits: Matrix
    lengths: Floats
    count: int
    own: float

    @cached_property
    def _by_item(self) -> Matrix:
        """The habits items by users: SciPy would make it anew for every product."""
        return self.habits.T.tocsr()

    def __call__(self, users: Ints) -> Floats:
        found = np.empty((len(users), self.habits.shape[1]))
        size = max(1, _CELLS // len(self.lengths))
        for start in range(0, len(users), size):
            found[start : start + size] = self._of_block(users[start : start + size])
        return found

    def _of_block(self, users: Ints) -> Floats:
        own = self.habits[users]
        if not self.count:
            return or_nothing(self.own * own.toarray())
        # The user's own length is the same in every distance of a row, and left out.
        distance = self.lengths[None, :] - 2 * (own @ self._by_item).toarray()
        distance[np.arange(len(users)), users] = np.inf
        near = _nearest(distance, self.count)
        others = (near @ self.habits).toarray() / self.count
        return or_nothing(self.own * own.toarray() + (1 - self.own) * others)


@dataclass(frozen=True)
class TifuKnn:
    """A user is the mean of its baskets (days), which decay within a group of baskets and by group; a
    score is ``own`` of the user and the rest of the mean of its ``neighbours`` by Euclidean distance."""

    neighbours: int = 300
    groups: int = 7
    decay_within: float = 0.9
    decay_by_group: float = 0.7
    own: float = 0.7
    name: str = "TIFU-KNN"

    def fit(self, history: History) -> Scorer:
        habits = self.habits(history)
        lengths = np.asarray(habits.power(2).sum(axis=1)).ravel()
        return Habits(habits, lengths, min(self.neighbours, len(lengths) - 1), self.own)

    def habits(self, history: History) -> Matrix:
        """Users by items: the personalised item frequency of each pair."""
        # Baskets by user and day, and of each how many of its user came after it.
        span = history.as_of - int(history.days.min()) + 1
        key = history.users.astype(np.int64) * span + (history.as_of - history.days)
        baskets, basket_of = np.unique(key, return_inverse=True)
        user_of = baskets // span
        total = np.bincount(user_of, minlength=len(history.user_ids))[user_of]
        first = np.searchsorted(user_of, user_of)
        since = np.arange(len(baskets)) - first  # 0 is the newest
        size = -(-total // self.groups)
        group, within = since // size, since % size
        in_group = np.minimum(size, total - group * size)
        worth = (
            self.decay_within**within
            * self.decay_by_group**group
            / (in_group * (-(-total // size)))
        )
        return history.matrix(worth[basket_of])


def _nearest(distance: Floats, count: int) -> Matrix:
    """Rows by users: 1 at the ``count`` least distances; of those that equal the last one, to nine decimals, the first
    users'."""
    limit = np.partition(distance, count - 1, axis=1)[:, [count - 1]]
    closer = distance < limit - LEAST
    at_limit = (distance <= limit + LEAST) & ~closer
    room = count - closer.sum(axis=1, keepdims=True)
    return sparse.csr_array((closer | (at_limit & (np.cumsum(at_limit, axis=1) <= room))) * 1.0)
