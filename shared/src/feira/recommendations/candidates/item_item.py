"""What goes with what a user had: item-item cosine, and EASE."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from sparse_dot_topn import sp_matmul_topn

from feira.recommendations.candidates.interface import Scores, or_nothing
from feira.recommendations.history import History, Matrix
from feira.recommendations.interactions import InteractionsError, Ints
from feira.recommendations.metrics import Floats, Lists, rounded

_PAIRS = 4_000_000  # of a block of items with whatever was had by the same users: 48 MB
_THREADS = len(os.sched_getaffinity(0))
# Two cosines that are equal by their formula differ by less, whatever the order in which they were added.
_EQUAL = 1e-9
# Of an item the ties for the last place among its neighbours bring no more than so many times the neighbours.
_MOST_TIMES = 3
Places = npt.NDArray[np.int64]


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
        """Of each place of the users' lists the item that the user had and that adds most to the score, to nine
        decimals beside the most that anything adds in the user's list; of equal ones the first. -1 where none adds
        anything, or the list has ended."""
        taken = self.taken[users]
        taken.sort_indices()
        found = (
            self._of_listed(taken, lists)
            if sparse.issparse(self.weights)
            else self._of_had(taken, lists)
        )
        return np.where((lists >= 0) & (found < self.items), found, -1)

    def _of_had(self, taken: Matrix, lists: Lists) -> Lists:
        """Of each place the item, where all weights are there: a row for each that a user had."""
        had = np.diff(taken.indptr)
        with_any = np.flatnonzero(had)
        first, had = taken.indptr[with_any], had[with_any]
        listed = np.repeat(lists[with_any], had, axis=0)
        added = taken.data[:, None] * self.weights[taken.indices[:, None], listed]
        added = np.where(listed >= 0, added, 0)
        of_rows = np.abs(added).max(axis=1, initial=0)
        added = rounded(added / _most(of_rows, np.repeat(with_any, had))[:, None])
        most = np.repeat(np.maximum.reduceat(added, first, axis=0), had, axis=0)
        items = np.where((added == most) & (added > 0), taken.indices[:, None], self.items)
        found = np.full(lists.shape, self.items, dtype=np.int32)
        found[with_any] = np.minimum.reduceat(items, first, axis=0)
        return found

    def _of_listed(self, taken: Matrix, lists: Lists) -> Lists:
        """Of each place the item, where most weights are 0: an entry for each weight of what a user had
        that adds to its list."""
        place_of = np.full((len(lists), self.items), -1, dtype=np.int16)
        row, place = np.nonzero(lists >= 0)
        place_of[row, lists[row, place]] = place
        weights, row = self.weights[taken.indices], _rows_of(taken)
        count = np.diff(weights.indptr)
        place = place_of.ravel()[np.repeat(row * self.items, count) + weights.indices]
        (listed,) = np.nonzero(place >= 0)
        entry = np.repeat(np.arange(len(count), dtype=np.int32), count)[listed]
        added = taken.data[entry] * weights.data[listed]
        added = rounded(added / _most(np.abs(added), row[entry]))
        key = row[entry] * lists.shape[1] + place[listed]
        most = np.full(lists.size, np.finfo(float).tiny)
        np.maximum.at(most, key, added)
        # What a user had is in order: backwards, so that the first of equal ones is written last.
        (is_most,) = np.nonzero((added == most[key])[::-1])
        found = np.full(lists.size, self.items, dtype=np.int32)
        found[key[::-1][is_most]] = taken.indices[entry[::-1][is_most]]
        return found.reshape(lists.shape)


def _most(values: Floats, user: Places) -> Floats:
    """Of each value the greatest of its user; 1 where that is 0."""
    most = np.zeros(int(user.max(initial=-1)) + 1)
    np.maximum.at(most, user, values)
    return np.where(most > 0, most, 1)[user]


@dataclass(frozen=True)
class ItemItem:
    """The sum of the cosines between the item and those that the user had.

    :param neighbours: of each item, how many of the most similar ones count; those that are equal to the last of
        them count too, the more popular first, up to three times as many in all
    """

    neighbours: int = 100
    name: str = "item-item"

    def fit(self, history: History) -> ByItems:
        seen = history.seen()
        return ByItems(seen, _similar(seen, self.neighbours), len(history.item_ids))


def _similar(seen: Matrix, neighbours: int) -> Matrix:
    """Items by items: the cosines of the neighbours of each as ``ItemItem`` says, itself not among them."""
    users_of = np.asarray(seen.sum(axis=0)).ravel()
    scaled = sparse.csr_matrix(seen @ sparse.diags_array(1 / np.sqrt(np.maximum(users_of, 1))))
    by_item = scaled.T.tocsr()
    # Itself, the neighbours, and one more: where that is equal to the last neighbour others may be too.
    most = neighbours + 2
    found = sp_matmul_topn(by_item, scaled, most, sort=True, n_threads=_THREADS)
    (full,) = np.nonzero(np.diff(found.indptr) == most)
    last = found.indptr[full + 1] - 1
    tied = full[found.data[last - 1] - found.data[last] < _EQUAL]
    found.data[last] = 0
    found.data[found.indices == _rows_of(found)] = 0
    found.data[np.isin(_rows_of(found), tied)] = 0
    found.eliminate_zeros()
    if not len(tied):
        return _in_order(found)
    pairs = np.minimum(seen.T @ np.diff(seen.indptr), len(users_of))[tied]
    blocks = np.split(tied, np.flatnonzero(np.diff(np.cumsum(pairs) // _PAIRS)) + 1)
    whole = sparse.vstack([_with_ties(by_item, scaled, each, neighbours) for each in blocks])
    place = sparse.csr_array(
        (np.ones(len(tied)), (tied, np.arange(len(tied)))), (len(users_of), len(tied))
    )
    return _in_order(sparse.csr_array(found) + place @ whole)


def _in_order(weights: Matrix) -> Matrix:
    """The same weights, those of an item by position: what users had is multiplied by them a third faster, and
    the sums are the same to the last bit."""
    weights.sort_indices()
    rows, items = (it.astype(np.int32) for it in (weights.indptr, weights.indices))
    return sparse.csr_array((weights.data, items, rows), weights.shape)


def _with_ties(by_item: Matrix, scaled: Matrix, items: Places, neighbours: int) -> Matrix:
    """Of each of these items the cosines with its neighbours, and with those that are equal to the last: as many as may
    be, of which the first are the more popular."""
    square = by_item[items] @ scaled
    square.data[square.indices == items[_rows_of(square)]] = 0
    for row in range(len(items)):
        of_row = slice(square.indptr[row], square.indptr[row + 1])
        values, others = square.data[of_row], square.indices[of_row]
        least = np.partition(values, len(values) - neighbours)[len(values) - neighbours]
        values[values < least - _EQUAL] = 0
        (equal,) = np.nonzero(np.abs(values - least) <= _EQUAL)
        room = _MOST_TIMES * neighbours - np.count_nonzero(values > least + _EQUAL)
        values[equal[np.argsort(others[equal])[room:]]] = 0
    square.eliminate_zeros()
    return sparse.csr_array(square)


def _rows_of(matrix: Matrix) -> Places:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


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
