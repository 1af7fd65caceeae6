"""What a candidate is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from scipy import sparse

from feira.recommendations.history import History
from feira.recommendations.interactions import Ints
from feira.recommendations.metrics import Floats, rounded
from feira.recommendations.slots import beside_greatest

# Scores of these users (positions in the history) by the history's items, greater is better; -inf where
# the candidate has nothing to say, or a sparse matrix without what it has nothing to say of.
Scores = Any
Scorer = Callable[[Ints], Scores]


class Candidate(Protocol):
    """A way to score items, with its parameters. It knows the history that it is fitted on alone."""

    @property
    def name(self) -> str:
        """What a table calls it."""

    def fit(self, history: History) -> Scorer:
        """Learns from the history."""


def dense(scores: Scores) -> Floats:
    """Scores of every item."""
    return or_nothing(scores.toarray()) if sparse.issparse(scores) else scores


def or_nothing(scores: Floats) -> Floats:
    """Scores in which 0, to nine decimals beside the user's greatest, is that there is nothing to say."""
    beside, _ = beside_greatest(scores)
    return np.where(rounded(beside) == 0, -np.inf, scores)
