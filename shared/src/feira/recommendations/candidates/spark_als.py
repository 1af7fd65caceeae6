"""Matrix factorisation for more interactions than are for one machine: Spark learns it, on a cluster.

What has learned it is the same product of factors, and the lists are made from it as from any candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np

from feira.recommendations.candidates.als import Factors
from feira.recommendations.history import History, Matrix
from feira.recommendations.interactions import InteractionsError, Ints
from feira.recommendations.metrics import Floats, Lists, rounded


@dataclass(frozen=True)
class ByFactors:
    """Scores by factors, each with a reason.

    :param had: users by items: above 0 where the user had the item
    """

    factors: Factors
    had: Matrix

    def __call__(self, users: Ints) -> Floats:
        return self.factors(users)

    def strongest(self, users: Ints, lists: Lists) -> Lists:
        """Of each place of the users' lists the item that the user had whose factors are most like those of
        the listed one, by their cosine; of equal ones the first. -1 where the list has ended, or none is like it
        at all."""
        found = np.full(lists.shape, -1, dtype=np.int32)
        had = self.had[users]
        for row, listed in enumerate(lists):
            own = np.sort(had.indices[had.indptr[row] : had.indptr[row + 1]])
            if len(own):
                alike = rounded(self._unit(np.maximum(listed, 0)) @ self._unit(own).T)
                best = alike.argmax(axis=1)
                is_like = (listed >= 0) & (alike[np.arange(len(listed)), best] > 0)
                found[row] = np.where(is_like, own[best], -1)
        return found

    def _unit(self, items: Ints) -> Floats:
        factors = self.factors.of_items[items]
        lengths = np.linalg.norm(factors, axis=1, keepdims=True)
        return np.asarray(factors / np.maximum(lengths, np.finfo(float).tiny))


@dataclass(frozen=True)
class SparkALS:
    """The product of a user's and an item's factors (Hu, Koren and Volinsky, ICDM 2008), learned by Spark.

    :param regularisation: of each user and item it counts as often as there are interactions, which is Spark's
        way and not that of ``ALS``
    :param confidence: what a day on which the user had the item adds to the confidence of 1
    """

    factors: int = 64
    iterations: int = 15
    regularisation: float = 0.05
    confidence: float = 10
    seed: int = 1
    name: str = "Spark ALS"

    def fit(self, history: History) -> ByFactors:
        """Learns on the cluster of ``learned_on``.

        :raises InteractionsError: outside of it
        """
        cluster = _CLUSTER.get()
        if cluster is None:
            raise InteractionsError(
                f"{len(history.days):,} interactions are learned by Spark, and no session of it was given; "
                "run this where the platform's Spark is."
            )
        return ByFactors(cluster(self, history), history.seen())


Learn = Callable[[SparkALS, History], Factors]
_CLUSTER: ContextVar[Learn | None] = ContextVar("cluster", default=None)


@contextmanager
def learned_on(cluster: Learn) -> Iterator[None]:
    """Where ``SparkALS`` learns meanwhile."""
    token = _CLUSTER.set(cluster)
    try:
        yield
    finally:
        _CLUSTER.reset(token)
