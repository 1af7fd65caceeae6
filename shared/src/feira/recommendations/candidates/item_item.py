"""What goes with what a user had: item-item cosine, and EASE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from feira.recommendations.candidates.interface import Scorer, or_nothing
from feira.recommendations.history import History, Matrix
from feira.recommendations.interactions import InteractionsError, Ints
from feira.recommendations.metrics import Floats

_BLOCK = 1024


@dataclass(frozen=True)
class ItemItem:
    """The sum of the cosines between the item and those that the user had.

    :param neighbours: of each item, how many of the most similar ones count
    """

    neighbours: int = 100
    name: str = "item-item"

    def fit(self, history: History) -> Scorer:
        seen = history.seen()
        similar = _similar(seen, self.neighbours)

        def scores(users: Ints) -> Floats:
            return or_nothing((seen[users] @ similar).toarray())

        return scores


def _similar(seen: Matrix, neighbours: int) -> Matrix:
    """Items by items: the cosines of the ``neighbours`` most similar of each, itself not among them."""
    users_of = np.asarray(seen.sum(axis=0)).ravel()
    scaled = (seen @ sparse.diags_array(1 / np.sqrt(np.maximum(users_of, 1)))).tocsr()
    by_item = scaled.T.tocsr()
    items = seen.shape[1]
    blocks = []
    for start in range(0, items, _BLOCK):
        square = (by_item[start : start + _BLOCK] @ scaled).toarray()
        square[np.arange(len(square)), start + np.arange(len(square))] = 0
        if items > neighbours:
            least = np.partition(square, items - neighbours, axis=1)[:, [items - neighbours]]
            square[square < least] = 0
        blocks.append(sparse.csr_array(square))
    return sparse.vstack(blocks, format="csr")


@dataclass(frozen=True)
class EASE:
    """A linear model of each item by the others, in closed form (Steck, WWW 2019), in which an interaction
    is worth half as much every ``half_life`` days.

    :param regularisation: the ridge penalty, in users
    :param most_items: it knows the most popular items alone; its square of 10,000 takes 1.6 GiB
    """

    regularisation: float = 100
    half_life: float = 60
    most_items: int = 10_000
    name: str = "EASE"

    def fit(self, history: History) -> Scorer:
        worth = 0.5 ** (history.ages() / self.half_life)
        items = len(history.item_ids)
        known = min(items, self.most_items)
        taken = history.matrix(worth)[:, :known]
        weights = _without_themselves((taken.T @ taken).toarray(), self.regularisation)

        def scores(users: Ints) -> Floats:
            found = np.zeros((len(users), items))
            found[:, :known] = taken[users] @ weights
            return or_nothing(found)

        return scores


def _without_themselves(gram: Floats, regularisation: float) -> Floats:
    """The weights of least squares with a ridge and a diagonal of 0: -P / diag(P), P the inverse of the
    regularised Gram matrix. It is made in place."""
    gram[np.diag_indices_from(gram)] += regularisation
    factor, failed = linalg.lapack.dpotrf(gram, lower=True, overwrite_a=True)
    inverse, singular = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    if failed or singular:
        raise InteractionsError(f"EASE has no solution with a regularisation of {regularisation}.")
    lower = np.tril(inverse)
    whole = lower + np.tril(lower, -1).T
    whole /= -np.diag(whole).copy()
    np.fill_diagonal(whole, 0)
    return np.asarray(whole)
