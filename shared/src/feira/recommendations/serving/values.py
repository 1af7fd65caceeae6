"""The loops over the rows of lists, compiled by Numba: from the codes of texts to the value of each user.

Numba takes a second or two to import: who packs lists imports this module when it does, and nobody else. What is
compiled is kept in ``NUMBA_CACHE_DIR``, else in ``__pycache__`` beside this file, else in the user's cache. It is
compiled anew when this file changes, and not when another does: what the loops need of ``layout`` is passed to them.

Numba checks no bounds. Each loop is called by a function that checks what the loop indexes with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit, types

from feira.recommendations.serving import layout
from feira.recommendations.serving.columns import NULL, Coded, Numbers

log = logging.getLogger(__name__)

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

# Arrow's arrays cannot be written.
_READ = types.Array(types.int32, 1, "C", readonly=True)
_READ_LONG = types.Array(types.int64, 1, "C", readonly=True)


def _compiled(*parameters: types.Type) -> Callable[[_Loop], _Loop]:
    """Compiles for these types, or reads what was. The loop runs without the interpreter's lock."""

    def compiled(loop: _Loop) -> _Loop:
        try:
            return njit([parameters], nogil=True, cache=True)(loop)  # type: ignore[no-any-return]
        except Exception as error:
            # No folder that can be written, a full disk, a damaged file. An error of the loop's own is raised again.
            log.warning("%s is compiled without a cache: %s", loop.__name__, error)
            return njit([parameters], nogil=True)(loop)  # type: ignore[no-any-return]

    return compiled


def out_of_place(positions: Numbers, starts: Numbers) -> int:
    """The first row whose position in its list is not the next, from 1 on; -1 where there is none.

    :param starts: the row where each list begins
    """
    _require(starts, len(positions))
    return int(_out_of_place(positions, starts))


def numbered(
    items: Coded, reasons: Coded, because: Coded, only: int
) -> tuple[int, Numbers, Numbers]:
    """The first row that is refused, or -1; up to it the number of each row's item, and why it is there: the number
    of the item that is the reason, or ``~n`` for the n-th reason of those without.

    :param reasons: 0 is the one that has an item, n + 1 the n-th of those without
    :param only: the one reason that there may be; below 0 for any
    """
    for each in (items, reasons, because):
        _require(each.codes, len(each.numbers), len(items.codes))
    found, whys = (np.empty(len(items.codes), np.int32) for _ in range(2))
    refused = _number(
        items.codes,
        items.numbers,
        reasons.codes,
        reasons.numbers,
        because.codes,
        because.numbers,
        only,
        found,
        whys,
    )
    return int(refused), found, whys


class Values:
    """Makes the values of users of a version with so many items."""

    def __init__(self, items: int) -> None:
        self._width = layout.item_bits(items)
        # Of each item its place in the list at hand, -1 for none.
        self._places = np.full(items, -1, np.int16)

    def of(
        self,
        had: Numbers,
        had_items: Numbers,
        offered: Numbers,
        offered_items: Numbers,
        whys: Numbers,
    ) -> list[bytes]:
        """The value of each user, as ``layout`` states it.

        :param had: how many items each has in the list *again*, and ``offered`` in *new*, ``layout.LONGEST_LIST``
            at most
        :param whys: of ``numbered``
        """
        items = len(self._places)
        _require(had, layout.LONGEST_LIST + 1)
        _require(offered, layout.LONGEST_LIST + 1, len(had))
        _require(had_items, items, had.sum())
        _require(offered_items, items, offered.sum())
        if len(whys) != len(offered_items) or whys.max(initial=-1) >= items:
            raise IndexError(
                f"{len(whys):,} reasons of {len(offered_items):,} rows, of items up to {whys.max(initial=-1)}"
            )
        # A reason takes less than two bytes, and each offered item may have one more item that is its reason.
        longest = had + 2 * offered
        room = layout.HEAD + (self._width * longest + 7) // 8 + 2 * offered
        into = np.empty(int(room.sum()), np.uint8)
        ends = np.empty(len(had), np.int64)
        further = np.empty(layout.LONGEST_LIST, np.int32)
        _pack(
            *(had, had_items, offered, offered_items, whys),
            *(self._width, len(layout.WITHOUT_ITEM), layout.NO_REASONS),
            *(self._places, further, into, ends),
        )
        whole, places = into[: ends.max(initial=0)].tobytes(), ends.tolist()
        return [whole[start:end] for start, end in zip([0, *places], places, strict=False)]


def _require(numbers: Numbers, limit: int, count: int | None = None) -> None:
    """Raises IndexError unless all are from 0 on and below the limit, and as many as stated."""
    if count is not None and len(numbers) != count:
        raise IndexError(f"{len(numbers):,} rows where there are {count:,}")
    # What is below 0 is great without a sign: it is one pass.
    if len(numbers) and numbers.view(f"u{numbers.itemsize}").max() >= limit:
        raise IndexError(f"{numbers.min()} to {numbers.max()} are not all of 0 to {limit - 1}")


@_compiled(_READ, _READ_LONG)
def _out_of_place(positions: Numbers, starts: Numbers) -> int:
    for at in range(len(starts)):
        end = starts[at + 1] if at + 1 < len(starts) else len(positions)
        for row in range(starts[at], end):
            if positions[row] != row - starts[at] + 1:
                return row
    return -1


@_compiled(*[_READ] * 6, types.int64, types.int32[::1], types.int32[::1])
def _number(
    items: Numbers,
    of_items: Numbers,
    reasons: Numbers,
    of_reasons: Numbers,
    because: Numbers,
    of_because: Numbers,
    only: int,
    found: Numbers,
    whys: Numbers,
) -> int:
    for row in range(len(items)):
        item = of_items[items[row]]
        reason = of_reasons[reasons[row]]
        of = of_because[because[row]]
        if item < 0 or reason < 0 or (only >= 0 and reason != only):
            return row
        if (of < 0) if reason == 0 else (of != NULL):
            return row
        found[row] = item
        whys[row] = of if reason == 0 else -reason
    return -1


@njit  # type: ignore[untyped-decorator]
def _put(
    into: Numbers, at: int, bits: int, count: int, number: int, width: int
) -> tuple[int, int, int]:
    """Adds a number to the bits that are not yet written, and writes 32 of them where there are so many; returns
    where the next byte goes, these bits and how many they are."""
    bits |= number << count
    count += width
    if count >= 32:
        for byte in range(4):
            into[at + byte] = bits >> 8 * byte & 255
        return at + 4, bits >> 32, count - 32
    return at, bits, count


@njit  # type: ignore[untyped-decorator]
def _put_rest(into: Numbers, at: int, bits: int, count: int) -> int:
    """Writes the bits that are left, to a whole byte; returns where the next byte goes."""
    while count > 0:
        into[at] = bits & 255
        at, bits, count = at + 1, bits >> 8, count - 8
    return at


@_compiled(
    *(_READ_LONG, _READ, _READ_LONG, _READ, _READ, types.int64, types.int64, types.int64),
    *(types.int16[::1], types.int32[::1], types.uint8[::1], types.int64[::1]),
)
def _pack(
    had: Numbers,
    had_items: Numbers,
    offered: Numbers,
    offered_items: Numbers,
    whys: Numbers,
    width: int,
    alone: int,
    no_reasons: int,
    places: Numbers,
    further: Numbers,
    into: Numbers,
    ends: Numbers,
) -> None:
    """Writes the values one after another, and where each ends.

    :param width: of the number of an item, in bits
    :param alone: how many reasons there are without an item
    :param no_reasons: the third byte of a value without reasons
    :param places: of each item -1, and so again when this returns
    :param further: takes the items of a user that are reasons and not in its list *again*
    """
    at = had_at = offered_at = 0
    for user in range(len(had)):
        had_end, offered_end = had_at + had[user], offered_at + offered[user]
        for row in range(had_at, had_end):
            places[had_items[row]] = row - had_at

        # Further items are in order of their numbers, each once.
        beside, has_reasons = 0, False
        for row in range(offered_at, offered_end):
            why = whys[row]
            has_reasons |= why != -1
            if why >= 0 and places[why] < 0:
                places[why] = 0
                place = beside
                while place > 0 and further[place - 1] > why:
                    further[place] = further[place - 1]
                    place -= 1
                further[place] = why
                beside += 1
        for place in range(beside):
            places[further[place]] = had[user] + place

        into[at] = had[user]
        into[at + 1] = offered[user]
        into[at + 2] = beside if has_reasons else no_reasons
        at += 3
        bits = count = 0
        for row in range(had_at, had_end):
            at, bits, count = _put(into, at, bits, count, had_items[row], width)
        for place in range(beside):
            at, bits, count = _put(into, at, bits, count, further[place], width)
        for row in range(offered_at, offered_end):
            at, bits, count = _put(into, at, bits, count, offered_items[row], width)
        at = _put_rest(into, at, bits, count)
        if has_reasons:
            greatest, reason_width = alone - 1 + had[user] + beside, 0
            while greatest >> reason_width:
                reason_width += 1
            bits = count = 0
            for row in range(offered_at, offered_end):
                why = whys[row]
                reason = alone + places[why] if why >= 0 else ~why
                at, bits, count = _put(into, at, bits, count, reason, reason_width)
            at = _put_rest(into, at, bits, count)
        ends[user] = at

        for row in range(had_at, had_end):
            places[had_items[row]] = -1
        for place in range(beside):
            places[further[place]] = -1
        had_at, offered_at = had_end, offered_end
