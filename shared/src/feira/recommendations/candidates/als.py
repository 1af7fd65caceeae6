"""Matrix factorisation of implicit feedback (Hu, Koren and Volinsky, ICDM 2008), by the library `implicit`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

from feira.recommendations.candidates.interface import Scorer
from feira.recommendations.history import History
from feira.recommendations.interactions import InteractionsError, Ints
from feira.recommendations.metrics import Floats


@dataclass(frozen=True)
class Factors:
    """The product of a user's factors and an item's."""

    of_users: Floats
    of_items: Floats

    def __call__(self, users: Ints) -> Floats:
        return np.asarray(self.of_users[users] @ self.of_items.T, dtype=float)


@dataclass(frozen=True)
class ALS:
    """The product of a user's and an item's factors.

    :param confidence: that of a pair is so many times the days on which the user had the item; of one without any it
        is 1
    """

    factors: int = 64
    iterations: int = 15
    regularisation: float = 0.05
    confidence: float = 10
    seed: int = 1
    name: str = "ALS"

    def fit(self, history: History) -> Scorer:
        try:
            from implicit.cpu.als import AlternatingLeastSquares
        except ImportError as error:
            raise InteractionsError(
                f"The library implicit, of the candidate {self.name}, cannot be loaded: {error}. It needs "
                "libgomp, which Debian has in the package libgomp1."
            ) from error
        # Its own threads take a user each; BLAS would start as many again within every one of them.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.factors,
                iterations=self.iterations,
                regularization=self.regularisation,
                alpha=self.confidence,
                random_state=self.seed,
                dtype=np.float64,
            )
            model.fit(sparse.csr_matrix(history.matrix()), show_progress=False)
        return Factors(np.asarray(model.user_factors), np.asarray(model.item_factors))
