"""A slot's lists for a block of users: by score, and then on by popularity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from feira.recommendations.history import Matrix
from feira.recommendations.metrics import LEAST, Bools, Floats, Lists, rounded

if TYPE_CHECKING:
    # Candidates are made of these functions.
    from feira.recommendations.candidates.interface import Scores

LENGTH = 100
Slot = Literal["again", "new"]

Places = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Listed:
    """Lists of a block of users.

    :param items: users by places, best first; -1 where the list has ended
    :param scores: of each place
    :param own: whether the place is by the candidate's score and not by popularity
    """

    items: Lists
    scores: Floats
    own: Bools


@dataclass(frozen=True)
class Popular:
    """Items by popularity: the score of each, and their order. Those that are equal to nine decimals beside the
    greatest have the score of the first of them, and go by position."""

    of_items: Floats
    order: Places

    @classmethod
    def of(cls, of_items: Floats) -> Popular:
        (beside,), _ = beside_greatest(of_items[np.newaxis])
        shares, first, share_of = np.unique(rounded(beside), return_index=True, return_inverse=True)
        return cls(of_items[first][share_of], np.argsort(-shares[share_of], kind="stable"))


def beside_greatest(scores: Scores) -> tuple[Scores, Floats]:
    """Scores as shares of the user's greatest one, whatever its sign, and that of each user; 1 where it has none.

    What a user had fades, and all its scores with it: of one that comes back after years none is left in nine
    decimals but beside its own. What adding leaves over is as small beside the greatest for everybody.
    """
    if sparse.issparse(scores):
        count = np.diff(scores.indptr)
        greatest = np.zeros(len(count))
        if scores.nnz:
            first = scores.indptr[:-1][count > 0]
            greatest[count > 0] = np.maximum.reduceat(np.abs(scores.data), first)
        greatest[greatest == 0] = 1
        shares = scores.data / np.repeat(greatest, count)
        return sparse.csr_array((shares, scores.indices, scores.indptr), scores.shape), greatest
    greatest = np.abs(np.where(scores > -np.inf, scores, 0)).max(axis=1, initial=0)
    greatest[greatest == 0] = 1
    return scores / greatest[:, np.newaxis], greatest


def listed(
    scores: Scores, seen: Matrix, slot: Slot, popular: Popular, length: int = LENGTH
) -> Listed:
    """The lists of a block of users: the items with a score above 0, the greatest first, and then the most
    popular ones. ``again`` lists what the user had, ``new`` the rest; of equal scores, to nine decimals beside the
    user's greatest, the first item comes first, and one that is 0 to as many is not above 0.

    :param scores: the block's users by items, as a candidate gives them
    :param seen: the block's users by items: what each had
    """
    rows, items = _entries(seen)
    had = np.zeros(seen.shape, dtype=bool)
    had[rows, items] = True
    lists = np.full((seen.shape[0], length), -1, dtype=np.int32)
    found, own = np.zeros(lists.shape), np.zeros(lists.shape, dtype=bool)

    beside, greatest = beside_greatest(scores)
    row, item, value = _scored(beside, seen, had, slot, length)
    row, item, value = _sorted_rows(row, item, rounded(value), len(lists))
    place = _place(row, len(lists))
    kept = place < length
    lists[row[kept], place[kept]] = item[kept]
    found[row[kept], place[kept]] = value[kept] * greatest[row[kept]]
    own[row[kept], place[kept]] = True

    count = own.sum(axis=1)
    short = count < length
    if short.any():
        # A short list holds all that has a score.
        had[row, item] = slot == "new"
        row, item = _rest(had, short, slot, popular, length, (rows, items))
        place = _place(row, len(lists)) + count[row]
        kept = place < length
        row, item, place = row[kept], item[kept], place[kept]
        lists[row, place], found[row, place] = item, popular.of_items[item]
    return Listed(lists, found, own)


def _scored(
    scores: Scores, seen: Matrix, had: Bools, slot: Slot, length: int
) -> tuple[Places, Places, Floats]:
    """What of the slot can have a place by its score: rows in order, and in each the items."""
    again = slot == "again"
    if again and not sparse.issparse(scores):
        row, item = _entries(seen)
        value = scores[row, item]
    else:
        # What was had takes no place in new: of so many more scores the greatest are looked at.
        most = np.full(len(had), had.shape[1]) if again else length + np.diff(seen.indptr)
        greatest = _greatest if sparse.issparse(scores) else _greatest_of_all
        row, item, value = greatest(scores, most)
    (allowed,) = np.nonzero((value > LEAST) & (had[row, item] == again))
    allowed = allowed[np.argsort(row[allowed] * had.shape[1] + item[allowed])]
    return row[allowed], item[allowed], value[allowed]


def _greatest(scores: Matrix, most: Places) -> tuple[Places, Places, Floats]:
    """Of each row the ``most`` greatest entries above ``LEAST`` at least, the rows in order. Of those that are
    equal to the last one once they are rounded any may have its place, and all are among them."""
    limit = np.full(scores.shape[0], LEAST)
    count = np.diff(scores.indptr)
    for long in np.flatnonzero(count > most):
        of_row = scores.data[scores.indptr[long] : scores.indptr[long + 1]].copy()
        of_row.partition(-most[long])
        limit[long] = max(of_row[-most[long]] - 2 * LEAST, LEAST)
    (best,) = np.nonzero(scores.data >= np.repeat(limit, count))
    row = np.searchsorted(scores.indptr, best, side="right") - 1
    return row, scores.indices[best], scores.data[best]


def _greatest_of_all(scores: Floats, most: Places) -> tuple[Places, Places, Floats]:
    """As ``_greatest``, of scores of every item."""
    rows, items = scores.shape
    # The greatest ones of some groups of items are no greater than those of all items.
    groups = min(items, 4 * int(most.max(initial=0)))
    whole = items // max(groups, 1) * groups
    of_groups = scores[:, :whole].reshape(rows, -1, groups).max(axis=1)
    rest = items - whole
    np.maximum(of_groups[:, :rest], scores[:, whole:], out=of_groups[:, :rest])
    of_groups.sort(axis=1)
    least = of_groups[np.arange(rows), np.maximum(groups - most, 0)]
    limit = np.maximum(least - 2 * LEAST, LEAST)
    (best,) = np.nonzero((scores >= limit[:, np.newaxis]).ravel())
    row, item = np.divmod(best, items)
    return row, item, scores.ravel()[best]


def _rest(
    offered: Bools,
    short: Bools,
    slot: Slot,
    popular: Popular,
    length: int,
    seen: tuple[Places, Places],
) -> tuple[Places, Places]:
    """What goes on the short lists, the most popular first; ``offered`` marks what new lists must not hold,
    and what lists of what was had may."""
    if slot == "again":
        row, item = seen
        (free,) = np.nonzero(offered[row, item] & short[row])
        row, item = row[free], item[free]
        row, item, _ = _sorted_rows(row, item, popular.of_items[item], len(short))
        return row, item
    rows = np.flatnonzero(short)
    most = int(offered[rows].sum(axis=1).max()) + length
    order = popular.order[:most]
    row, place = np.nonzero(~offered[np.ix_(rows, order)])
    return rows[row], order[place]


def _entries(matrix: Matrix) -> tuple[Places, Places]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices


def _place(row: Places, rows: int) -> Places:
    """The place of each entry in its row; rows are in order."""
    count = np.bincount(row, minlength=rows)
    return np.arange(len(row)) - (np.cumsum(count) - count)[row]


def _sorted_rows(
    row: Places, item: Places, value: Floats, rows: int
) -> tuple[Places, Places, Floats]:
    """Each row's entries by value, the greatest first; equals stay in their order."""
    place = _place(row, rows)
    padded = np.full((rows, int(place.max(initial=-1)) + 1), np.inf)
    padded[row, place] = -value
    order = np.argsort(padded, axis=1, kind="stable")
    # The entries of a row are at its front, and stay there.
    first = np.cumsum(np.bincount(row, minlength=rows)) - np.bincount(row, minlength=rows)
    moved = first[row] + order[row, place]
    return row, item[moved], value[moved]
