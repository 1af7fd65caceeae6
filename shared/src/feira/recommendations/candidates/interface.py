"""What a candidate is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from feira.recommendations.history import History
from feira.recommendations.interactions import Ints
from feira.recommendations.metrics import Floats

# Scores of these users (positions in the history) by the history's items, greater is better; -inf where
# the candidate has nothing to say.
Scorer = Callable[[Ints], Floats]


class Candidate(Protocol):
    """A way to score items, with its parameters. It knows the history that it is fitted on alone."""

    @property
    def name(self) -> str:
        """What a table calls it."""

    def fit(self, history: History) -> Scorer:
        """Learns from the history."""


def or_nothing(scores: Floats) -> Floats:
    """Scores in which 0 is that there is nothing to say."""
    return np.where(scores == 0, -np.inf, scores)
