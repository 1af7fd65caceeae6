"""The candidates: ways to score items for users, each behind the same small interface."""

from __future__ import annotations

from feira.recommendations.candidates.als import ALS
from feira.recommendations.candidates.counts import OwnFrequency, Popularity, RecentPopularity
from feira.recommendations.candidates.interface import Candidate, Scorer, dense
from feira.recommendations.candidates.item_item import EASE, ItemItem
from feira.recommendations.candidates.reranked import RerankedSlots
from feira.recommendations.candidates.tifu_knn import TifuKnn

__all__ = ["BASELINE", "CANDIDATES", "Candidate", "Scorer", "dense"]

# What the others are measured against.
BASELINE = RecentPopularity()

# Their parameters are those of the papers or usual ones; none was fitted to any data.
CANDIDATES: tuple[Candidate, ...] = (
    BASELINE,
    Popularity(),
    OwnFrequency(),
    ItemItem(),
    EASE(),
    ALS(),
    TifuKnn(),
    RerankedSlots(),
)
