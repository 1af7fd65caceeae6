"""Lists as rows, packed into the keys and values of Valkey: by column, never row by row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feira.core.errors import PermanentError
from feira.recommendations.serving import layout

COLUMNS = ("slot", "user_id", "segment", "position", "item", "reason", "reason_item")
LONGEST_USER = 128
_REASONS = (layout.GOES_WITH, *layout.WITHOUT_ITEM)
_NULL, _UNKNOWN = -1, -2

Numbers = npt.NDArray[Any]
# Slot, user and segment, which is '' in a list that is not of one.
Name = tuple[str, str, str]


class ListsError(PermanentError, ValueError):
    """Lists that cannot be published; the message names the list and what is wrong with it."""


@dataclass
class Packed:
    """Some lists: keys and values in turn, and the items of those that are for everyone; or the segments of so
    many users."""

    pairs: list[bytes] = field(default_factory=list)
    lists: int = 0
    segment_users: int = 0
    everyone: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Lists:
    """Lists as columns: ``starts`` has where each begins, ``names`` whose it is."""

    names: list[Name]
    starts: Numbers
    positions: Numbers
    items: Numbers
    why: Numbers

    def then(self, other: _Lists) -> _Lists:
        """With what follows, which may begin within the last of these."""
        goes_on = int(self.names[-1] == other.names[0])
        columns = ("positions", "items", "why")
        return _Lists(
            self.names + other.names[goes_on:],
            np.concatenate([self.starts, other.starts[goes_on:] + len(self.items)]),
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in columns),
        )

    def cut(self) -> tuple[_Lists, _Lists]:
        """All but the last, and the last, which may go on."""
        at = int(self.starts[-1])
        return (
            _Lists(
                self.names[:-1],
                self.starts[:-1],
                self.positions[:at],
                self.items[:at],
                self.why[:at],
            ),
            _Lists(
                self.names[-1:],
                self.starts[-1:] - at,
                self.positions[at:],
                self.items[at:],
                self.why[at:],
            ),
        )


class Packer:
    """Packs the lists of one version.

    :param items: the items of the version; an item's number is its place
    :param segments: its segments; their numbers are their places too
    """

    def __init__(self, version: str, items: Sequence[str], segments: Sequence[str] = ()) -> None:
        for kind, names in (("items", items), ("segments", segments)):
            if len(set(names)) != len(names) or None in names:
                raise ListsError(
                    f"{version}: its {len(names):,} {kind} are not distinct, or one is null."
                )
        self._version = version
        self._items = items
        self._segments = pa.array(segments, pa.string())
        self._numbers_of_segments = {name: number for number, name in enumerate(segments)}
        self._known = pa.array(items, pa.string())
        self._width = layout.why_width(len(items))
        self._before: Name | None = None

    def pack(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        """The lists of all batches, in their order.

        :param batches: rows of ``COLUMNS`` in order of slot, user, segment and position; a list may go on in
            the next batch
        :raises ListsError: where they are not so, a position is left out, or an item has no number
        """
        rest: _Lists | None = None
        for batch in batches:
            if not batch.num_rows:
                continue
            read = self._read(batch)
            whole, rest = (read if rest is None else rest.then(read)).cut()
            if whole.names:
                yield self._packed(whole)
        if rest is not None:
            yield self._packed(rest)

    def pack_with(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        """What goes with each item.

        :param batches: rows of ``goes_with.ROWS``
        :raises ListsError: where an item has no number or is there again
        """
        there: set[str] = set()
        for batch in batches:
            column = batch.column("goes_with")
            items = batch.column("item").to_pylist()
            ends = np.append(0, np.cumsum(pc.list_value_length(column).to_numpy())).tolist()

            def of(row: int, ends: list[int] = ends, items: list[str] = items) -> str:
                return f"{self._version}, with {items[bisect_right(ends, row) - 1]!r}"

            found_numbers = self._numbers(column.flatten(), of)
            if (missing := np.flatnonzero(found_numbers < 0)).size:
                raise ListsError(f"{of(int(missing[0]))}: an item is null.")
            numbers = found_numbers.astype("<u4").tobytes()
            values = batch.column("similarity").flatten().to_numpy().astype("<f4").tobytes()
            found = Packed()
            for item, start, end in zip(items, ends, ends[1:], strict=False):
                if item in there:
                    raise ListsError(f"{self._version}, with {item!r}: it is there again.")
                there.add(item)
                key = layout.with_key(self._version, item).encode()
                place = slice(4 * start, 4 * end)
                found.pairs += (key, numbers[place] + values[place])
            yield found

    def pack_users(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        """The segments of users that have no list: it comes before the lists, so that one that has a list keeps it.

        :param batches: rows of user_id and segment, in the order of users
        :raises ListsError: where they are not so, or a segment has no number
        """
        before = layout.EVERYONE
        for batch in batches:
            users = _texts(_encoded(batch.column("user_id")), np.arange(batch.num_rows))
            numbers = _places(batch.column("segment"), self._segments)
            for user, after in zip(users, [before, *users], strict=False):
                if user is None or len(user) > LONGEST_USER or user <= after:
                    raise ListsError(
                        f"{self._version}, segments: the user {str(user)[:LONGEST_USER]!r} comes after "
                        f"{after!r}: users are texts of 1 to {LONGEST_USER} characters, in order, each once."
                    )
            if (wrong := np.flatnonzero(numbers < 0)).size:
                row = int(wrong[0])
                raise ListsError(
                    f"{self._version}, segments: {batch.column('segment')[row].as_py()!r} of the user "
                    f"{users[row]!r} is none of the version's {len(self._segments):,} segments."
                )
            width = layout.SEGMENT_WIDTH
            values = numbers.astype("<u4").view("u1").reshape(-1, 4)[:, :width].tobytes()
            found = Packed(segment_users=len(users))
            for place, user in enumerate(users):
                key = layout.list_key(self._version, layout.OF_SEGMENTS, user)
                found.pairs += (key.encode(), values[width * place : width * (place + 1)])
            if users:
                before = users[-1]
            yield found

    def _read(self, batch: pa.RecordBatch) -> _Lists:
        columns = [_encoded(batch.column(name)) for name in ("slot", "user_id", "segment")]
        changed = np.ones(batch.num_rows, bool)
        changed[1:] = False
        for column in columns:
            if not _is_constant(column):
                codes = _places(column, pc.unique(column.dictionary))
                changed[1:] |= codes[1:] != codes[:-1]
        starts = np.flatnonzero(changed)
        slots, users, segments = (_texts(column, starts) for column in columns)
        names = list(zip(slots, users, (each or "" for each in segments), strict=True))

        def of(row: int) -> str:
            return self._of(names[int(np.searchsorted(starts, row, side="right")) - 1])

        items = self._numbers(batch.column("item"), of)
        if (missing := np.flatnonzero(items < 0)).size:
            raise ListsError(f"{of(int(missing[0]))}: an item is null.")
        positions = batch.column("position").fill_null(0).to_numpy()
        return _Lists(names, starts, positions, items.astype("<u4"), self._why(batch, of))

    def _numbers(self, column: pa.Array, of: Any) -> Numbers:
        """The number of each row's item; below 0 where that is null."""
        numbers = _places(column, self._known)
        if numbers.size and numbers.min() == _UNKNOWN:
            row = int(np.argmin(numbers))
            raise ListsError(
                f"{of(row)}: the item {column[row].as_py()!r} is none of the version's "
                f"{len(self._items):,} items."
            )
        return numbers

    def _why(self, batch: pa.RecordBatch, of: Any) -> Numbers:
        """Each row's reason as a number."""
        kind = np.dtype("<u2" if self._width == 2 else "<u4")
        numbers = self._numbers(batch.column("reason_item"), of)
        code = _places(batch.column("reason"), pa.array(_REASONS))
        # That of goes_with is the first.
        with_item = code == 0
        wrong = (code < 0) | (with_item != (numbers >= 0))
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            reason, item = (batch.column(name)[row].as_py() for name in ("reason", "reason_item"))
            raise ListsError(
                f"{of(row)}: the reason is {reason!r} with the item {item!r}; {layout.GOES_WITH} has one, "
                f"{', '.join(layout.WITHOUT_ITEM)} have none."
            )
        alone = np.array([0, *(_alone(kind, each) for each in layout.WITHOUT_ITEM)], dtype=kind)
        return np.where(with_item, numbers.astype(kind), alone[code])

    def _packed(self, lists: _Lists) -> Packed:
        ends = np.append(lists.starts[1:], len(lists.items))
        lengths = ends - lists.starts
        self._require_order(lists.names)
        rows = np.arange(1, len(lists.items) + 1, dtype=np.int32)
        expected = rows - np.repeat(lists.starts.astype(np.int32), lengths)
        if (wrong := np.flatnonzero(lists.positions != expected)).size:
            row = int(wrong[0])
            name = lists.names[int(np.searchsorted(lists.starts, row, side="right")) - 1]
            raise ListsError(
                f"{self._of(name)}: position {lists.positions[row]} comes where {expected[row]} is due."
            )
        of_slot = {s: _alone(lists.why.dtype, reason) for s, reason in layout.OWN_REASON.items()}
        of_segment = _alone(lists.why.dtype, layout.POPULAR_IN_CATEGORY)
        own = np.array(
            [of_segment if segment else of_slot[slot] for slot, _, segment in lists.names],
            dtype=lists.why.dtype,
        )
        beside_own = np.logical_or.reduceat(lists.why != np.repeat(own, lengths), lists.starts)
        values, reasons, width = lists.items.tobytes(), lists.why.tobytes(), self._width
        found = Packed(lists=len(lists.names))
        pairs = found.pairs
        for name, start, end, beside in zip(
            lists.names, lists.starts.tolist(), ends.tolist(), beside_own.tolist(), strict=True
        ):
            slot, user, segment = name
            value = values[4 * start : 4 * end]
            if segment:
                if beside:
                    raise ListsError(
                        f"{self._of(name)}: a reason is not {layout.POPULAR_IN_CATEGORY}, as all of a segment are."
                    )
                key = layout.segment_key(self._version, self._numbers_of_segments[segment])
                pairs += (key.encode(), value)
                continue
            pairs += (layout.list_key(self._version, slot, user).encode(), value)
            if beside:
                key = layout.why_key(self._version, slot, user)
                pairs += (key.encode(), reasons[width * start : width * end])
            if user == layout.EVERYONE:
                found.everyone[slot] = [self._items[number] for number in lists.items[start:end]]
        return found

    def _require_order(self, names: list[Name]) -> None:
        for name in names:
            slot, user, segment = name
            if slot not in layout.OWN_REASON or user is None or len(user) > LONGEST_USER:
                raise ListsError(
                    f"{self._of(name)}: the slot is {' or '.join(layout.SLOTS)}, the user a text of at most "
                    f"{LONGEST_USER} characters."
                )
            if segment and (
                (slot, user) != (layout.OF_SEGMENTS, layout.EVERYONE)
                or segment not in self._numbers_of_segments
            ):
                raise ListsError(
                    f"{self._of(name)}: a segment's list is of the slot {layout.OF_SEGMENTS} and of no user, and "
                    f"its segment one of the version's {len(self._segments):,}."
                )
            if self._before is not None and name <= self._before:
                raise ListsError(
                    f"{self._of(name)} comes after {self._of(self._before)}: rows must be in order of slot, "
                    "user and segment, and each list in one piece."
                )
            self._before = name

    def _of(self, name: Name) -> str:
        segment = f", segment {name[2][:LONGEST_USER]!r}" if name[2] else ""
        return f"{self._version}, slot {name[0]!r}, user {str(name[1])[:LONGEST_USER]!r}{segment}"


def _alone(kind: np.dtype[Any], reason: str) -> int:
    """The number of a reason without an item."""
    return int(np.iinfo(kind).max) - layout.WITHOUT_ITEM[reason]


def _encoded(column: pa.Array) -> pa.DictionaryArray:
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _codes(column: pa.DictionaryArray, of_dictionary: Numbers) -> Numbers:
    """What belongs to each row's entry of the dictionary; ``_NULL`` where the row is null."""
    indices = column.indices
    if _is_constant(column):
        # Most columns of most batches are so, and are filled ten times faster than looked up.
        all_null = indices.null_count == len(column)
        return np.full(len(column), _NULL if all_null else of_dictionary[0], np.int32)
    if not indices.null_count:
        return np.asarray(of_dictionary[indices.to_numpy()])
    with_null = np.append(of_dictionary, np.int32(_NULL))
    return np.asarray(with_null[indices.fill_null(len(of_dictionary)).to_numpy()])


def _is_constant(column: pa.DictionaryArray) -> bool:
    """Whether it is known without a look at the rows that all are alike."""
    nulls = column.indices.null_count
    return nulls == len(column) or (not nulls and len(column.dictionary) == 1)


def _places(column: pa.Array, known: pa.Array) -> Numbers:
    """Each row's place among the known values; ``_UNKNOWN`` where it is none of them."""
    encoded = _encoded(column)
    places = pc.index_in(encoded.dictionary, value_set=known).fill_null(_UNKNOWN)
    return _codes(encoded, places.to_numpy())


def _texts(column: pa.DictionaryArray, rows: Numbers) -> list[str]:
    chosen = column.take(pa.array(rows)).dictionary_decode()
    texts: list[str] = chosen.to_numpy(zero_copy_only=False).tolist()
    return texts
