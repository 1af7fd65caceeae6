"""The loops over the rows of lists, compiled by Numba: from the codes of texts to keys and values, and to commands.

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
import pyarrow as pa
from numba import njit, types

from feira.recommendations.serving import layout
from feira.recommendations.serving.columns import NULL, Coded, Numbers

log = logging.getLogger(__name__)

_Loop = TypeVar("_Loop", bound=Callable[..., Any])

# Arrow's arrays cannot be written.
_READ = types.Array(types.int32, 1, "C", readonly=True)
_READ_LONG = types.Array(types.int64, 1, "C", readonly=True)
_READ_BYTES = types.Array(types.uint8, 1, "C", readonly=True)


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


def out_of_place(positions: Numbers, places: Numbers) -> int:
    """The first row whose position in its list is not the next, from 1 on; -1 where there is none.

    :param places: the row where each list begins, and the last one ends
    """
    _require_places(places, len(positions))
    return int(_out_of_place(positions, places))


def numbered(
    items: Coded, reasons: Coded, because: Coded, only: int
) -> tuple[int, Numbers, Numbers]:
    """The first row that is refused, or -1; up to it the number of each row's item, and why it is there: the number
    of the item that is the reason, or ``~n`` for the n-th reason of those without.

    :param reasons: 0 is the one that has an item, n + 1 the n-th of those without
    :param only: the one reason that there may be; below 0 for any
    """
    if len({len(each.codes) for each in (items, reasons, because)}) > 1:
        raise IndexError("columns have not the same rows")
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
    if refused < -1:
        raise IndexError("a code is of no text")
    return int(refused), found, whys


class Values:
    """Makes the values of users of a version with so many items."""

    def __init__(self, items: int) -> None:
        self._width = layout.item_bits(items)
        # Of each item its place in the list at hand, -1 for none.
        self._places = np.full(items, -1, np.int16)

    def of(
        self,
        prefix: bytes,
        had_names: pa.StringArray,
        had: Numbers,
        had_items: Numbers,
        offered_names: pa.StringArray,
        offered: Numbers,
        offered_items: Numbers,
        whys: Numbers,
    ) -> tuple[bytes, Numbers]:
        """The key and the value of each user that has a list, as ``layout`` states it, one after another in the order
        of users; and where each ends.

        :param prefix: of a key; what follows is the user's name without its first character, which is of one byte
        :param had_names: whose the lists *again* are, in order, each once
        :param had: where each of them begins and the last one ends, and ``offered`` of the lists *new*, which are of at
            most ``layout.LONGEST_LIST`` rows
        :param whys: of ``numbered``
        """
        for places, items in ((had, had_items), (offered, offered_items)):
            _require(items, len(self._places))
            _require_places(places, len(items), layout.LONGEST_LIST)
        greatest = whys.max(initial=-1)
        if len(whys) != len(offered_items) or greatest >= len(self._places):
            raise IndexError(
                f"{len(whys):,} reasons of {len(offered_items):,} rows, of items up to {greatest}"
            )
        had_texts, offered_texts = (
            _texts(names, len(places) - 1)
            for names, places in ((had_names, had), (offered_names, offered))
        )
        lists, rows = len(had) + len(offered) - 2, len(had_items) + 2 * len(offered_items)
        # A reason takes less than two bytes, and each offered item may have one more item that is its reason.
        room = lists * (len(prefix) + layout.HEAD + 2) + self._width * rows // 8
        room += len(had_texts[1]) + len(offered_texts[1]) + 2 * len(offered_items)
        into = np.empty(room, np.uint8)
        ends = np.empty(2 * lists, np.int64)
        further = np.empty(layout.LONGEST_LIST, np.int32)
        words = np.empty(3 * layout.LONGEST_LIST + 1, np.uint32)
        users = _pack(
            np.frombuffer(prefix, np.uint8),
            *(*had_texts, had, had_items),
            *(*offered_texts, offered, offered_items, whys),
            *(self._width, len(layout.WITHOUT_ITEM), layout.NO_REASONS),
            *(self._places, further, words, into, ends),
        )
        ends = ends[: 2 * users]
        return into[: ends.max(initial=0)].tobytes(), ends


def _texts(column: pa.StringArray, count: int) -> tuple[Numbers, Numbers]:
    """Where each text of a column begins, and the last one ends; and their bytes. Raises IndexError where they are
    not so many, or one is empty or null."""
    if len(column) != count or column.null_count:
        raise IndexError(f"{len(column):,} texts where there are {count:,}")
    if not count:
        return np.zeros(1, np.int32), np.empty(0, np.uint8)
    column.validate(full=True)
    _, offsets, text = column.buffers()
    places = np.frombuffer(offsets, np.int32)[column.offset : column.offset + count + 1]
    if (places[1:] <= places[:-1]).any():
        raise IndexError("a text is empty")
    start, end = places[0], places[-1]
    return places - start, np.frombuffer(text, np.uint8)[start:end]


def framed(name: bytes, text: bytes, ends: Numbers, step: int = 1) -> memoryview:
    """A command as Valkey reads it.

    :param ends: where each of its arguments ends, which are one after another in the text
    :param step: 2 for every second of them, the first among them
    """
    _require_places(np.append(0, ends), len(text))
    # What comes before an argument and after it is less than 16 bytes where it is less than 10 GB.
    into = np.empty(len(text) + len(name) + 16 * (len(ends) + 2), np.uint8)
    end = _frame(np.frombuffer(name, np.uint8), np.frombuffer(text, np.uint8), ends, step, into)
    return into.data[:end]


def _require(numbers: Numbers, limit: int) -> None:
    """Raises IndexError unless all are from 0 on and below the limit."""
    # What is below 0 is great without a sign: it is one pass.
    if len(numbers) and numbers.view(f"u{numbers.itemsize}").max() >= limit:
        raise IndexError(f"{numbers.min()} to {numbers.max()} are not all of 0 to {limit - 1}")


def _require_places(places: Numbers, count: int, longest: int | None = None) -> None:
    """Raises IndexError unless they go from 0 to the count, and each is not before the one before it, nor further
    behind it than the longest may be."""
    if places[:1].tolist() != [0] or places[-1] != count:
        raise IndexError(f"{len(places):,} places are not those of {count:,}")
    _require(places[1:] - places[:-1], (count if longest is None else longest) + 1)


@_compiled(_READ, _READ_LONG)
def _out_of_place(positions: Numbers, places: Numbers) -> int:
    for at in range(len(places) - 1):
        own = positions[places[at] : places[at + 1]]
        wrong = False
        for place in range(len(own)):
            wrong |= own[place] != place + 1
        if wrong:
            for place in range(len(own)):
                if own[place] != place + 1:
                    return int(places[at] + place)
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
        # What is below 0 is great without a sign.
        code, reason_code, of_code = (
            np.uint32(items[row]),
            np.uint32(reasons[row]),
            np.uint32(because[row]),
        )
        if code >= len(of_items) or reason_code >= len(of_reasons) or of_code >= len(of_because):
            return -2
        item, reason, of = of_items[code], of_reasons[reason_code], of_because[of_code]
        if item < 0 or reason < 0 or (only >= 0 and reason != only):
            return row
        if (of < 0) if reason == 0 else (of != NULL):
            return row
        found[row] = item
        whys[row] = of if reason == 0 else -reason
    return -1


@njit  # type: ignore[untyped-decorator]
def _put(
    words: Numbers, at: int, bits: int, count: int, number: int, width: int
) -> tuple[int, int, int]:
    """Adds a number to the bits that are not yet written, and writes 32 of them where there are so many; returns
    where the next 32 go, these bits and how many they are."""
    bits |= number << count
    count += width
    if count >= 32:
        words[at] = bits & 0xFFFFFFFF
        return at + 1, bits >> 32, count - 32
    return at, bits, count


@njit  # type: ignore[untyped-decorator]
def _put_all(into: Numbers, at: int, words: Numbers, end: int, bits: int, count: int) -> int:
    """Writes words and the bits that are left, to a whole byte; returns where the next byte goes."""
    words[end] = bits
    return int(_copy(into, at, words.view(np.uint8), 0, 4 * end + (count + 7) // 8))


@njit  # type: ignore[untyped-decorator]
def _copy(into: Numbers, at: int, text: Numbers, start: int, end: int) -> int:
    """Returns where the next byte goes."""
    # Of a slice the compiler knows that no place is counted from its end.
    given, taken = text[start:end], into[at:]
    for place in range(len(given)):
        taken[place] = given[place]
    return at + end - start


@njit  # type: ignore[untyped-decorator]
def _order(text: Numbers, start: int, end: int, other: Numbers, from_: int, until: int) -> int:
    """Below 0 where the text comes before the other, 0 where they are the same, else above."""
    for place in range(min(end - start, until - from_)):
        if text[start + place] != other[from_ + place]:
            return -1 if text[start + place] < other[from_ + place] else 1
    return (end - start) - (until - from_)


@_compiled(
    _READ_BYTES,
    *(_READ, _READ_BYTES, _READ_LONG, _READ),
    *(_READ, _READ_BYTES, _READ_LONG, _READ, _READ),
    *(types.int64, types.int64, types.int64),
    *(types.int16[::1], types.int32[::1], types.uint32[::1], types.uint8[::1], types.int64[::1]),
)
def _pack(
    prefix: Numbers,
    had_names: Numbers,
    had_text: Numbers,
    had: Numbers,
    had_items: Numbers,
    offered_names: Numbers,
    offered_text: Numbers,
    offered: Numbers,
    offered_items: Numbers,
    whys: Numbers,
    width: int,
    alone: int,
    no_reasons: int,
    places: Numbers,
    further: Numbers,
    words: Numbers,
    into: Numbers,
    ends: Numbers,
) -> int:
    """Writes keys and values one after another, and where each ends; returns of how many users.

    :param width: of the number of an item, in bits
    :param alone: how many reasons there are without an item
    :param no_reasons: the third byte of a value without reasons
    :param places: of each item -1, and so again when this returns
    :param further: takes the items of a user that are reasons and not in its list *again*
    :param words: takes the bits of a value
    """
    at = users = one = other = 0
    while one < len(had) - 1 or other < len(offered) - 1:
        if one == len(had) - 1:
            order = 1
        elif other == len(offered) - 1:
            order = -1
        else:
            start, end = had_names[one], had_names[one + 1]
            from_, until = offered_names[other], offered_names[other + 1]
            order = _order(had_text, start, end, offered_text, from_, until)
        at = _copy(into, at, prefix, 0, len(prefix))
        if order <= 0:
            at = _copy(into, at, had_text, had_names[one] + 1, had_names[one + 1])
        else:
            at = _copy(into, at, offered_text, offered_names[other] + 1, offered_names[other + 1])
        ends[2 * users] = at
        had_at = had_end = offered_at = offered_end = 0
        if order <= 0:
            had_at, had_end = had[one], had[one + 1]
            one += 1
        if order >= 0:
            offered_at, offered_end = offered[other], offered[other + 1]
            other += 1
        had_count, offered_count = had_end - had_at, offered_end - offered_at
        for row in range(had_at, had_end):
            places[np.uint32(had_items[row])] = row - had_at

        # Further items are in order of their numbers, each once.
        beside, has_reasons = 0, False
        for row in range(offered_at, offered_end):
            why = whys[row]
            has_reasons |= why != -1
            if why >= 0 and places[np.uint32(why)] < 0:
                places[np.uint32(why)] = 0
                place = beside
                while place > 0 and further[place - 1] > why:
                    further[place] = further[place - 1]
                    place -= 1
                further[place] = why
                beside += 1
        for place in range(beside):
            places[np.uint32(further[place])] = had_count + place

        into[at] = had_count
        into[at + 1] = offered_count
        into[at + 2] = beside if has_reasons else no_reasons
        at += 3
        word = bits = count = 0
        for row in range(had_at, had_end):
            word, bits, count = _put(words, word, bits, count, had_items[row], width)
        for place in range(beside):
            word, bits, count = _put(words, word, bits, count, further[place], width)
        for row in range(offered_at, offered_end):
            word, bits, count = _put(words, word, bits, count, offered_items[row], width)
        at = _put_all(into, at, words, word, bits, count)
        if has_reasons:
            greatest, reason_width = alone - 1 + had_count + beside, 0
            while greatest >> reason_width:
                reason_width += 1
            word = bits = count = 0
            for row in range(offered_at, offered_end):
                why = whys[row]
                reason = alone + places[np.uint32(why)] if why >= 0 else ~why
                word, bits, count = _put(words, word, bits, count, reason, reason_width)
            at = _put_all(into, at, words, word, bits, count)
        ends[2 * users + 1] = at
        users += 1

        for row in range(had_at, had_end):
            places[np.uint32(had_items[row])] = -1
        for place in range(beside):
            places[np.uint32(further[place])] = -1
    return users


@njit  # type: ignore[untyped-decorator]
def _put_length(into: Numbers, at: int, mark: int, length: int) -> int:
    """Writes a mark, a number in digits, and the end of a line; returns where the next byte goes."""
    into[at] = mark
    digits, left = 1, length
    while left >= 10:
        digits, left = digits + 1, left // 10
    for place in range(at + digits, at, -1):
        into[place] = 48 + length % 10
        length //= 10
    into[at + digits + 1] = 13
    into[at + digits + 2] = 10
    return at + digits + 3


@njit  # type: ignore[untyped-decorator]
def _put_argument(into: Numbers, at: int, text: Numbers, start: int, end: int) -> int:
    at = _copy(into, _put_length(into, at, 36, end - start), text, start, end)
    into[at] = 13
    into[at + 1] = 10
    return at + 2


@_compiled(_READ_BYTES, _READ_BYTES, _READ_LONG, types.int64, types.uint8[::1])
def _frame(name: Numbers, text: Numbers, ends: Numbers, step: int, into: Numbers) -> int:
    at = _put_length(into, 0, 42, 1 + (len(ends) + step - 1) // step)
    at = _put_argument(into, at, name, 0, len(name))
    for place in range(0, len(ends), step):
        start = ends[place - 1] if place > 0 else 0
        at = _put_argument(into, at, text, start, ends[place])
    return int(at)
