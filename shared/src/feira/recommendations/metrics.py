"""How good lists are. Lists are rows of item positions, best first, -1 where a list has ended.

Relevance is yes or no. NDCG as Järvelin and Kekäläinen (2002) with the discount 1/log2(rank + 1); novelty and
diversity as Castells, Hurley and Vargas (Recommender Systems Handbook, 2015): the mean self-information, and
the mean of 1 - cosine over the pairs of a list.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Lists = npt.NDArray[np.int32]

# Two values that are equal by their formula differ by less, whatever the order in which a library has added.
DECIMALS = 9
LEAST = 0.5 * 10**-DECIMALS


def rounded(values: Any) -> Floats:
    """Values to nine decimals: those that are equal by their formula are equal, and what is 0 is 0."""
    # -0.0 + 0.0 is 0.0.
    return np.asarray(np.round(values, DECIMALS) + 0.0)


def hits(lists: Lists, relevant: Any) -> Bools:
    """Which places of the lists hold an item that is relevant: ``relevant`` is users by items."""
    if not relevant.shape[1]:
        return np.zeros(lists.shape, dtype=bool)
    rows = np.repeat(np.arange(len(lists)), lists.shape[1])
    found = np.asarray(relevant[rows, np.maximum(lists, 0).ravel()]).reshape(lists.shape)
    return (found > 0) & (lists >= 0)


def ndcg(hit: Bools, relevant: npt.ArrayLike) -> Floats:
    """Of each user; ``relevant`` is how many items would have been right, at least 1."""
    discounts = 1 / np.log2(np.arange(2, hit.shape[1] + 2))
    ideal = np.concatenate([[0], np.cumsum(discounts)])
    best = ideal[np.minimum(np.asarray(relevant), hit.shape[1])]
    return np.asarray((hit @ discounts) / best)


def recall(hit: Bools, relevant: npt.ArrayLike) -> Floats:
    """Of each user: the share of the right items that the list holds."""
    return np.asarray(hit.sum(axis=1) / np.asarray(relevant))


def hit_rate(hit: Bools) -> Floats:
    """Of each user: 1 if the list holds any right item."""
    return hit.any(axis=1).astype(float)


def coverage(lists: Lists, items: int) -> float:
    """The share of all items that are in any list."""
    return len(np.unique(lists[lists >= 0])) / items


def self_information(users_of: npt.ArrayLike, users: int) -> Floats:
    """Of each item, in bits: -log2 of the share of users that had it."""
    return np.asarray(-np.log2(np.asarray(users_of) / users))


def novelty(lists: Lists, information: Floats) -> Floats:
    """Of each user: the mean self-information of the list's items; NaN of an empty list."""
    listed = lists >= 0
    values = np.where(listed, information[np.maximum(lists, 0)], 0)
    return _ratio(values.sum(axis=1), listed.sum(axis=1))


def diversity(lists: Lists, seen: Any) -> Floats:
    """Of each user: the mean of 1 - cosine over the list's pairs, where an item is the set of users that
    had it (``seen`` is users by items, 0 or 1); NaN of a list of fewer than two."""
    rows, first, second = _pairs(lists)
    if not len(rows):
        return np.full(len(lists), np.nan)
    unlike = 1 - _cosines(first, second, seen)
    pairs = np.bincount(rows, minlength=len(lists))
    return _ratio(np.bincount(rows, weights=unlike, minlength=len(lists)), pairs)


def _pairs(lists: Lists) -> tuple[npt.NDArray[np.int64], Lists, Lists]:
    """Every pair of two items of one list: the list, the lesser item, the greater."""
    left, right = np.triu_indices(lists.shape[1], k=1)
    first, second = lists[:, left], lists[:, right]
    rows = np.broadcast_to(np.arange(len(lists))[:, None], first.shape)
    both = (first >= 0) & (second >= 0)
    first, second = first[both], second[both]
    return rows[both], np.minimum(first, second), np.maximum(first, second)


_BLOCK = 512


def _cosines(first: Lists, second: Lists, seen: Any) -> Floats:
    """The cosine of each pair; a block of items at a time, so that no square of all items is held."""
    users_of = np.asarray(seen.sum(axis=0)).ravel()
    scaled = (seen @ sparse.diags_array(1 / np.sqrt(np.maximum(users_of, 1)))).tocsc()
    by_item = scaled.T.tocsr()
    found = np.empty(len(first))
    order = np.argsort(first, kind="stable")
    items = np.unique(first)
    for start in range(0, len(items), _BLOCK):
        block = items[start : start + _BLOCK]
        low, high = np.searchsorted(first[order], [block[0], block[-1] + 1])
        wanted = order[low:high]
        others, column = np.unique(second[wanted], return_inverse=True)
        square = (by_item[block] @ scaled[:, others]).tocsr()
        square.sort_indices()  # so that an entry is looked for in halves
        values = square[np.searchsorted(block, first[wanted]), column]
        found[wanted] = np.asarray(values).ravel()
    return found


def _ratio(total: npt.ArrayLike, count: npt.ArrayLike) -> Floats:
    counted = np.asarray(count, dtype=float)
    return np.asarray(total) / np.where(counted > 0, counted, np.nan)


def top(scores: Floats, most: int) -> Lists:
    """The ``most`` items of the greatest scores of each row; of equal ones the first. An item of score
    -inf is in no list."""
    lists = np.full((len(scores), most), -1, dtype=np.int32)
    for row, of_items in enumerate(scores):
        items = np.flatnonzero(of_items > -np.inf)
        best = items[greatest(of_items[items], items, most)]
        lists[row, : len(best)] = best
    return lists


def greatest(
    values: Floats, items: npt.NDArray[np.integer[Any]], most: int
) -> npt.NDArray[np.int64]:
    """The places of the ``most`` greatest values, the greatest first; of equal ones those of the first items."""
    places = np.arange(len(values))
    if len(values) > most:
        least = np.partition(values, len(values) - most)[len(values) - most]
        places = np.flatnonzero(values >= least)
    return places[np.lexsort((items[places], -values[places]))[:most]]
