"""What goes with what a user had: item-item cosine, and EASE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from feira.recommendations.candidates.interface import Scores, or_nothing
from feira.recommendations.history import History, Matrix
from feira.recommendations.interactions import InteractionsError, Ints
from feira.recommendations.metrics import Floats, Lists

_BLOCK = 1024
Places = npt.NDArray[np.int64]
# What users had (entries of a block of ``taken``), places of their lists, and the weights between the two.
_Pairs = tuple[Places, Places, Floats]


@dataclass(frozen=True)
class ByItems:
    """Scores that are sums over what a user had, so that they have a reason.

    :param taken: users by items: how much it counts that the user had the item
    :param weights: items by items, sparse or not: what the first adds to the score of the second
    :param items: how many there are; those after the last of ``weights`` have no score
    """

    taken: Matrix
    weights: Matrix
    items: int

    def __call__(self, users: Ints) -> Scores:
        found = self.taken[users] @ self.weights
        if sparse.issparse(found):
            return found
        unknown = self.items - found.shape[1]
        return np.pad(or_nothing(found), ((0, 0), (0, unknown)), constant_values=-np.inf)

    def strongest(self, users: Ints, lists: Lists) -> Lists:
        """Of each place of the users' lists, which hold items with a score, the item that the user had
        and that adds most to it; of equal ones the first. -1 where the list has ended."""
        taken = self.taken[users]
        rows = np.repeat(np.arange(len(users)), np.diff(taken.indptr))
        entry, place, weight = (
            self._listed_by_had(taken, rows, lists)
            if sparse.issparse(self.weights)
            else self._had_by_listed(taken, rows, lists)
        )
        added = taken.data[entry] * weight
        key = rows[entry] * lists.shape[1] + place
        most = np.full(lists.size, -np.inf)
        np.maximum.at(most, key, added)
        is_most = added == most[key]
        found = np.full(lists.size, self.items, dtype=np.int32)
        np.minimum.at(found, key[is_most], taken.indices[entry[is_most]])
        return np.where(lists >= 0, found.reshape(lists.shape), -1)

    def _had_by_listed(self, taken: Matrix, rows: Places, lists: Lists) -> _Pairs:
        """What each user had, by every place of its list."""
        entry, place = (each.ravel() for each in np.indices((len(rows), lists.shape[1])))
        listed = np.maximum(lists, 0)[rows[entry], place]
        return entry, place, self.weights[taken.indices[entry], listed]

    def _listed_by_had(self, taken: Matrix, rows: Places, lists: Lists) -> _Pairs:
        """What each user had, by the places of its list to which that adds anything."""
        place_of = np.full((len(lists), self.items), -1, dtype=np.int16)
        row, place = np.nonzero(lists >= 0)
        place_of[row, lists[row, place]] = place
        weights = self.weights[taken.indices]
        entry = np.repeat(np.arange(len(rows)), np.diff(weights.indptr))
        places = place_of[rows[entry], weights.indices]
        (listed,) = np.nonzero(places >= 0)
        return entry[listed], places[listed], weights.data[listed]


@dataclass(frozen=True)
class ItemItem:
    """The sum of the cosines between the item and those that the user had.

    :param neighbours: of each item, how many of the most similar ones count
    """

    neighbours: int = 100
    name: str = "item-item"

    def fit(self, history: History) -> ByItems:
        seen = history.seen()
        return ByItems(seen, _similar(seen, self.neighbours), len(history.item_ids))


def _similar(seen: Matrix, neighbours: int) -> Matrix:
    """Items by items: the cosines of the ``neighbours`` most similar of each, itself not among them."""
    users_of = np.asarray(seen.sum(axis=0)).ravel()
    scaled = (seen @ sparse.diags_array(1 / np.sqrt(np.maximum(users_of, 1)))).tocsr()
    by_item = scaled.T.tocsr()
    items = seen.shape[1]
    blocks = []
    for start in range(0, items, _BLOCK):
        square = by_item[start : start + _BLOCK] @ scaled
        there = np.diff(square.indptr)
        square.data[square.indices == start + np.repeat(np.arange(len(there)), there)] = 0
        for row in np.flatnonzero(there > neighbours):
            values = square.data[square.indptr[row] : square.indptr[row + 1]]
            least = np.partition(values, len(values) - neighbours)[len(values) - neighbours]
            values[values < least] = 0
        square.eliminate_zeros()
        blocks.append(square)
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

    def fit(self, history: History) -> ByItems:
        worth = 0.5 ** (history.ages() / self.half_life)
        items = len(history.item_ids)
        known = min(items, self.most_items)
        taken = history.matrix(worth)[:, :known]
        weights = _without_themselves((taken.T @ taken).toarray(), self.regularisation)
        return ByItems(taken, weights, items)


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
