"""The value of each of many users, as ``layout`` states it, made by column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feira.recommendations.serving import layout
from feira.recommendations.serving.columns import Numbers

Bytes = npt.NDArray[np.uint8]

# How many bytes the table of places has at most, but for one user: a processor's cache holds them.
_LOOKED_UP = 2**20
# No list is so long.
_NOWHERE = 255
_ALONE = len(layout.WITHOUT_ITEM)


@dataclass(frozen=True)
class Rows:
    """The rows of some users' lists in a slot, in order.

    :param lengths: of each user, how many
    :param places: of each row its place in the list, from 0 on
    :param items: numbers
    :param reasons: places in ``layout.WITHOUT_ITEM``; below 0 where the reason is an item
    :param because: the number of that item, below 0 where there is none
    """

    lengths: Numbers
    places: Numbers
    items: Numbers
    reasons: Numbers
    because: Numbers


class Values:
    """Makes the values of users of a version with so many items."""

    def __init__(self, items: int) -> None:
        self._items = items
        # Of some users, where each item is in the list again: a look-up is no search.
        self._at_once = max(_LOOKED_UP // max(items, 1), 1)
        self._table = np.empty(0, np.uint8)

    def of(self, again: Rows, new: Rows) -> list[bytes]:
        """Each user's value."""
        users = np.arange(len(again.lengths))
        of_again, of_new = (np.repeat(users, rows.lengths) for rows in (again, new))
        beside, further, places = self._reasons(again, new, of_again, of_new)

        starts = again.lengths + beside
        numbers = np.zeros((len(users), int((starts + new.lengths).max(initial=0))), np.uint32)
        _fill(numbers, again, of_again, np.zeros_like(starts), again.items)
        _fill(numbers, new, of_new, starts, new.items)
        if len(further):
            of_further = np.repeat(users, beside)
            place = np.arange(len(further)) - np.repeat(np.cumsum(beside) - beside, beside)
            numbers[of_further, again.lengths[of_further] + place] = further

        width = layout.item_bits(self._items)
        reasons = np.zeros((len(users), int(new.lengths.max(initial=0))), np.uint16)
        stored = np.where(new.reasons < 0, _ALONE + places, new.reasons)
        _fill(reasons, new, of_new, np.zeros_like(starts), stored)
        # Popular is 0.
        has_reasons = reasons.any(axis=1)
        greatest = np.where(has_reasons, _ALONE - 1 + starts, 0)
        widths = np.ceil(np.log2(greatest + 1)).astype(np.int64)
        head = np.column_stack(
            [again.lengths, new.lengths, np.where(has_reasons, beside, layout.NO_REASONS)]
        )
        return _joined(
            [
                (head.astype(np.uint8), np.full(len(users), layout.HEAD)),
                (in_bits(numbers, width), _bytes(width * (starts + new.lengths))),
                (_in_bits_of(reasons, widths), _bytes(widths * new.lengths)),
            ]
        )

    def _reasons(
        self, again: Rows, new: Rows, of_again: Numbers, of_new: Numbers
    ) -> tuple[Numbers, Numbers, Numbers]:
        """Of each user how many items are reasons and not in its list again, and these; and of each row of new
        the place of its reason's item in the list again, or beyond it among these."""
        users, items = len(again.lengths), self._items
        places = np.zeros(len(new.items), np.uint16)
        if len(self._table) < min(users, self._at_once) * items:
            self._table = np.full(min(users, self._at_once) * items, _NOWHERE, np.uint8)
        ends = [np.append(0, np.cumsum(rows.lengths)) for rows in (again, new)]
        for first in range(0, users, self._at_once):
            last = min(first + self._at_once, users)
            known, asked = (slice(of[first], of[last]) for of in ends)
            at = (of_again[known] - first) * items + again.items[known]
            self._table[at] = again.places[known]
            wanted = (of_new[asked] - first) * items + np.maximum(new.because[asked], 0)
            places[asked] = self._table[wanted]
            self._table[at] = _NOWHERE
        others = np.flatnonzero((places == _NOWHERE) & (new.because >= 0))
        found, number = np.unique(
            of_new[others].astype(np.int64) << 32 | new.because[others], return_inverse=True
        )
        of_found = found >> 32
        beside = np.bincount(of_found, minlength=users)
        before = np.cumsum(beside) - beside
        places[others] = again.lengths[of_found[number]] + number - before[of_found[number]]
        return beside, found & 0xFFFFFFFF, places


def _fill(into: Numbers, rows: Rows, of: Numbers, starts: Numbers, values: Numbers) -> None:
    """Puts the rows' values into the rows of a matrix, of each user from its start on."""
    count, start = rows.lengths[:1].sum(), starts[:1].sum()
    if (rows.lengths == count).all() and (starts == start).all():
        # As of most users of a shop that has many items.
        into[:, start : start + count] = values.reshape(len(into), count)
    else:
        into[of, starts[of] + rows.places] = values


def in_bits(numbers: Numbers, width: int) -> Bytes:
    """Each row's numbers one after another, the least bit first, and bits of 0 to a multiple of ``width`` bytes.

    :param numbers: rows by places, each number below 2 ** ``width``
    :param width: at most 32
    """
    rows, count = numbers.shape
    groups = -(-count // 8)
    # Eight numbers fill ``width`` bytes. All first ones of eight lie together, then all second ones.
    eights = np.zeros((rows, 8 * groups), np.uint16 if width <= 16 else np.uint32)
    eights[:, :count] = numbers
    eights = np.ascontiguousarray(eights.reshape(-1, 8).T)
    found = np.zeros((width, rows * groups), np.uint8)
    for place, each in enumerate(eights):
        byte, bit = divmod(place * width, 8)
        found[byte] |= (each << bit).astype(np.uint8)
        for done in range(8 - bit, width, 8):
            byte += 1
            found[byte] |= (each >> done).astype(np.uint8)
    return np.ascontiguousarray(found.T).reshape(rows, groups * width)


def _in_bits_of(numbers: Numbers, widths: Numbers) -> Bytes:
    """As ``in_bits``, of each row with a width of its own, 0 for none; filled up to the longest."""
    packed = {
        width: in_bits(numbers[widths == width], width) for width in np.unique(widths[widths > 0])
    }
    found = np.zeros(
        (len(numbers), max((it.shape[1] for it in packed.values()), default=0)), np.uint8
    )
    for width, each in packed.items():
        found[widths == width, : each.shape[1]] = each
    return found


def _bytes(bits: Numbers) -> Numbers:
    return (bits + 7) // 8


def _joined(parts: list[tuple[Bytes, Numbers]]) -> list[bytes]:
    """Of each row the first bytes of every part, as many as are stated, one part after another."""
    whole = np.hstack([part for part, _ in parts])
    kept = np.hstack([np.arange(part.shape[1]) < of[:, np.newaxis] for part, of in parts])
    flat = (whole if kept.all() else whole[kept]).tobytes()
    ends = np.cumsum(sum(lengths for _, lengths in parts)).tolist()
    return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]
