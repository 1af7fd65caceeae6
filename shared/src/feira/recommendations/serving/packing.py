"""Lists as rows, packed into the keys and values of Valkey: by column, and row by row in compiled loops alone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feira.core.errors import PermanentError
from feira.recommendations.serving import layout
from feira.recommendations.serving.columns import (
    NULL,
    UNKNOWN,
    Coded,
    Numbers,
    coded,
    codes_of,
    encoded,
    texts,
)

COLUMNS = ("slot", "user_id", "segment", "position", "item", "reason", "reason_item")
# That with an item is the first; the others follow in the order of their numbers.
_REASONS = pa.array([layout.GOES_WITH, *layout.WITHOUT_ITEM])
# The one reason of a slot where there is one, by its place in these; below 0 for any.
_ONLY = {"again": _REASONS.index(layout.BOUGHT_BEFORE).as_py(), "new": -1}
_USERS = 1_000

# What the names of lists begin with, as one text each: of everyone's list and those of segments, which come after
# it, and of users'. In their order are the lists of a slot.
_EVERYONE, _USER = "\0", "\1"


class ListsError(PermanentError, ValueError):
    """Lists that cannot be published; the message names the list and what is wrong with it."""


@dataclass
class Packed:
    """Some lists, or the segments of so many users: keys and values in turn, one after another, and where each ends;
    and the items of those lists that are for everyone."""

    text: bytes
    ends: Numbers
    lists: int = 0
    segment_users: int = 0
    everyone: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Sequence[bytes], lists: int = 0, segment_users: int = 0) -> Packed:
        ends = np.cumsum([*map(len, pairs)], dtype=np.int64)
        return cls(b"".join(pairs), ends, lists, segment_users)


@dataclass(frozen=True)
class _Lists:
    """Lists of one slot as columns: ``names`` has whose each is, ``places`` where it begins and the last one ends;
    by row its place in the list from 1 on, the number of the item, and why it is there, as ``values.numbered`` says."""

    names: pa.StringArray
    places: Numbers
    positions: Numbers
    items: Numbers
    whys: Numbers

    def __len__(self) -> int:
        return len(self.names)

    def name(self, place: int) -> str:
        return str(self.names[place])

    def then(self, other: _Lists) -> _Lists:
        """With what follows, which may begin within the last of these."""
        goes_on = int(self.name(-1) == other.name(0))
        return _Lists(
            pa.concat_arrays([self.names, other.names[goes_on:]]),
            np.concatenate([self.places[:-1], other.places[goes_on:] + len(self.items)]),
            *(np.concatenate([getattr(self, it), getattr(other, it)]) for it in _BY_ROW),
        )

    def cut(self, lists: int) -> tuple[_Lists, _Lists]:
        """The first so many, and the rest."""
        at = int(self.places[lists])
        return (
            _Lists(
                self.names[:lists],
                self.places[: lists + 1],
                *(getattr(self, it)[:at] for it in _BY_ROW),
            ),
            _Lists(
                self.names[lists:],
                self.places[lists:] - at,
                *(getattr(self, it)[at:] for it in _BY_ROW),
            ),
        )

    def until(self, name: str) -> tuple[_Lists, _Lists]:
        """Those up to a name, and the rest."""
        return self.cut(bisect_right(range(len(self)), name, key=self.name))

    def before(self, name: str) -> int:
        """How many come before a name."""
        return bisect_left(range(len(self)), name, key=self.name)


_BY_ROW = ("positions", "items", "whys")
_NONE = _Lists(
    pa.array([], pa.string()), np.zeros(1, np.int64), *(np.empty(0, np.int32) for _ in _BY_ROW)
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
        # Numba is imported by who packs lists.
        from feira.recommendations.serving import values

        self._loops = values
        self._version = version
        self._items = items
        self._segments = pa.array(segments, pa.string())
        self._numbers_of_segments = {name: number for number, name in enumerate(segments)}
        self._known = pa.array(items, pa.string())
        self._values = values.Values(len(items))
        self._prefix = layout.user_key(version, "").encode()

    def pack(self, lists: Callable[[str], Iterable[pa.RecordBatch]]) -> Iterator[Packed]:
        """The lists of all batches, in the order of users.

        :param lists: is called with each slot; returns rows of ``COLUMNS`` of that slot in order of user, segment
            and position, of which a list may go on in the next batch
        :raises ListsError: where they are not so, a position is left out, or an item has no number
        """
        streams = [self._whole(slot, lists(slot)) for slot in layout.SLOTS]
        read = [next(stream, None) for stream in streams]
        while there := [each for each in read if each is not None]:
            # As far as both have been read, and so many at once as a processor's cache holds.
            last = min(each.name(min(_USERS, len(each)) - 1) for each in there)
            both, rest = zip(*((each or _NONE).until(last) for each in read), strict=True)
            yield from self._packed(*both)
            read = [
                left if len(left) else next(stream, None)
                for left, stream in zip(rest, streams, strict=True)
            ]

    def _whole(self, slot: str, batches: Iterable[pa.RecordBatch]) -> Iterator[_Lists]:
        """The lists of a slot as they are read, none of them in parts, and held to their order."""
        rest, before = _NONE, None
        read = (it for batch in batches if batch.num_rows for it in self._read(slot, batch))
        for lists in chain(read, [_NONE]):
            if len(rest) and len(lists) and rest.name(-1) == lists.name(0):
                first, lists = lists.cut(1)
                rest = rest.then(first)
                if not len(lists):
                    # It may go on yet.
                    continue
            if len(rest):
                self._require_whole(slot, rest, before)
                before = rest.name(-1)
                yield rest
            rest = lists

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

            others = column.flatten()
            places = coded(others, self._known)
            of_items = places.numbers[places.codes]
            if (wrong := np.flatnonzero(of_items < 0)).size:
                row = int(wrong[0])
                raise ListsError(f"{of(row)}: {self._no_item(places, others, row)}")
            numbers = of_items.astype("<u4").tobytes()
            values = batch.column("similarity").flatten().to_numpy().astype("<f4").tobytes()
            pairs: list[bytes] = []
            for item, start, end in zip(items, ends, ends[1:], strict=False):
                if item in there:
                    raise ListsError(f"{self._version}, with {item!r}: it is there again.")
                there.add(item)
                key = layout.with_key(self._version, item).encode()
                place = slice(4 * start, 4 * end)
                pairs += (key, numbers[place] + values[place])
            yield Packed.of(pairs)

    def pack_users(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Packed]:
        """The segments of users that have no list: it comes before the lists, so that one that has a list keeps it.

        :param batches: rows of user_id and segment, in the order of users
        :raises ListsError: where they are not so, or a segment has no number
        """
        before = layout.EVERYONE
        for batch in batches:
            users = texts(encoded(batch.column("user_id")), np.arange(batch.num_rows)).to_pylist()
            segments = coded(batch.column("segment"), self._segments)
            numbers = segments.numbers[segments.codes]
            for user, after in zip(users, [before, *users], strict=False):
                if user is None or len(user) > layout.LONGEST_USER or user <= after:
                    raise ListsError(
                        f"{self._version}, segments: the user {str(user)[: layout.LONGEST_USER]!r} comes after "
                        f"{after!r}: users are texts of 1 to {layout.LONGEST_USER} characters, in order, each once."
                    )
            if (wrong := np.flatnonzero(numbers < 0)).size:
                row = int(wrong[0])
                raise ListsError(
                    f"{self._version}, segments: {batch.column('segment')[row].as_py()!r} of the user "
                    f"{users[row]!r} is none of the version's {len(self._segments):,} segments."
                )
            width = layout.SEGMENT_WIDTH
            values = numbers.astype("<u4").view("u1").reshape(-1, 4)[:, :width].tobytes()
            pairs: list[bytes] = []
            for place, user in enumerate(users):
                pairs += (
                    self._prefix + user.encode(),
                    values[width * place : width * (place + 1)],
                )
            if users:
                before = users[-1]
            yield Packed.of(pairs, segment_users=len(users))

    def _read(self, slot: str, batch: pa.RecordBatch) -> Iterator[_Lists]:
        """The lists of a batch, some at once, of which the last may go on in the next."""
        columns = [encoded(batch.column(name)) for name in ("user_id", "segment")]
        changed = np.zeros(batch.num_rows - 1, bool)
        for column in columns:
            if column.null_count < len(column):
                codes = codes_of(column, NULL)
                changed |= codes[1:] != codes[:-1]
        places = np.concatenate([[0], np.flatnonzero(changed) + 1, [batch.num_rows]])
        names = self._names(slot, *(texts(column, places[:-1]) for column in columns))
        # A dictionary may hold a text twice.
        if not pc.all(differ := pc.not_equal(names[1:], names[:-1]), min_count=0).as_py():
            kept = np.concatenate([[True], differ, [True]])
            names, places = names.filter(pa.array(kept[:-1])), places[kept]

        def of(row: int) -> str:
            return self._of_list(slot, names[int(np.searchsorted(places, row, "right")) - 1])

        slots = coded(batch.column("slot"), pa.array([slot]))
        if (slots.numbers[:-1] < 0).any() or batch.column("slot").null_count:
            wrong = slots.numbers[slots.codes] < 0
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ListsError(
                    f"{of(row)}: it has a row of slot {batch.column('slot')[row].as_py()!r}."
                )
        positions = batch.column("position").cast(pa.int32())
        positions = (positions.fill_null(0) if positions.null_count else positions).to_numpy()
        by_row = {
            "items": coded(batch.column("item"), self._known),
            "reasons": coded(batch.column("reason"), _REASONS),
            "because": coded(batch.column("reason_item"), self._known),
        }
        for at in range(0, len(names), _USERS):
            own = places[at : at + _USERS + 1]
            rows = slice(own[0], own[-1])
            its = {name: each.of(rows) for name, each in by_row.items()}
            row, items, whys = self._loops.numbered(**its, only=_ONLY[slot])
            if row >= 0:
                row += rows.start
                raise ListsError(f"{of(row)}: {self._refusal(slot, batch, by_row, row)}")
            yield _Lists(names[at : at + _USERS], own - rows.start, positions[rows], items, whys)

    def _refusal(
        self, slot: str, batch: pa.RecordBatch, columns: dict[str, Coded], row: int
    ) -> str:
        """Why ``values.numbered`` refuses a row."""
        if columns["items"][row] < 0:
            return self._no_item(columns["items"], batch.column("item"), row)
        if columns["because"][row] == UNKNOWN:
            return self._no_item(columns["because"], batch.column("reason_item"), row)
        reason, item = (batch.column(name)[row].as_py() for name in ("reason", "reason_item"))
        if columns["reasons"][row] < 0 or (reason == layout.GOES_WITH) != (item is not None):
            return (
                f"the reason is {reason!r} with the item {item!r}; {layout.GOES_WITH} has one, "
                f"{', '.join(layout.WITHOUT_ITEM)} have none."
            )
        return f"the reason is {reason!r}; it is {layout.BOUGHT_BEFORE} of all in {slot}."

    def _no_item(self, places: Coded, column: pa.Array, row: int) -> str:
        if places[row] == UNKNOWN:
            return f"the item {column[row].as_py()!r} is none of the version's {len(self._items):,} items."
        return "an item is null."

    def _names(self, slot: str, users: pa.StringArray, segments: pa.StringArray) -> pa.StringArray:
        """Of each list its user and segment as one text."""
        if (
            segments.null_count < len(segments)
            or users.null_count
            or pc.max(pc.utf8_length(users)).as_py() > layout.LONGEST_USER
        ):
            self._require_names(slot, users.to_pylist(), segments.to_pylist())
        marks = pc.if_else(pc.equal(users, layout.EVERYONE), _EVERYONE, _USER)
        return pc.binary_join_element_wise(marks, users, segments.fill_null(""), "")

    def _require_names(
        self, slot: str, users: list[str | None], segments: list[str | None]
    ) -> None:
        """Raises ListsError where a list is of nobody, or of a segment that is none."""
        for user, segment in zip(users, segments, strict=True):
            if user is None or len(user) > layout.LONGEST_USER:
                raise ListsError(
                    f"{self._of(slot, user, segment)}: the user is a text of at most {layout.LONGEST_USER} characters."
                )
            if segment and (
                (slot, user) != (layout.OF_SEGMENTS, layout.EVERYONE)
                or segment not in self._numbers_of_segments
            ):
                raise ListsError(
                    f"{self._of(slot, user, segment)}: a segment's list is of the slot {layout.OF_SEGMENTS} and of no "
                    f"user, and its segment one of the version's {len(self._segments):,}."
                )

    def _require_whole(self, slot: str, lists: _Lists, before: str | None) -> None:
        """Raises ListsError where lists are not in order or too long, or a position is left out."""
        names = lists.names
        if before is not None:
            names = pa.concat_arrays([pa.array([before]), names])
        # As bytes they are in the order of their characters.
        if (at := pc.index(pc.less(names[:-1], names[1:]), False).as_py()) >= 0:
            raise ListsError(
                f"{self._of_list(slot, names[at + 1])} comes after {self._of_list(slot, names[at])}: rows "
                "must be in order of user and segment, and each list in one piece."
            )
        lengths = np.diff(lists.places)
        if (row := self._loops.out_of_place(lists.positions, lists.places)) >= 0:
            at = int(np.searchsorted(lists.places, row, side="right")) - 1
            raise ListsError(
                f"{self._of_list(slot, lists.names[at])}: position {lists.positions[row]} comes where "
                f"{row - lists.places[at] + 1} is due."
            )
        if (longer := np.flatnonzero(lengths > layout.LONGEST_LIST)).size:
            raise ListsError(
                f"{self._of_list(slot, lists.names[longer[0]])}: it has {lengths[longer[0]]:,} items; a list has "
                f"at most {layout.LONGEST_LIST}."
            )

    def _packed(self, again: _Lists, new: _Lists) -> Iterator[Packed]:
        """The lists of segments, which are of the user '', and then those of some users."""
        first, end = new.before(_EVERYONE + "\0"), new.before(_USER)
        if first < end:
            before, rest = new.cut(first)
            of_segments, new = rest.cut(end - first)
            yield self._of_segments(of_segments)
            new = before.then(new) if len(before) and len(new) else max(before, new, key=len)
        text, ends = self._values.of(
            self._prefix,
            *(again.names, again.places, again.items),
            *(new.names, new.places, new.items, new.whys),
        )
        found = Packed(text, ends, len(again) + len(new))
        if len(ends) and ends[0] == len(self._prefix):
            for slot in layout.SLOTS:
                value = text[ends[0] : ends[1]]
                if listed := layout.listed(value, slot, len(self._items), layout.LONGEST_LIST):
                    found.everyone[slot] = [self._items[number] for number, _, _ in listed]
        yield found

    def _of_segments(self, lists: _Lists) -> Packed:
        is_own = lists.whys == ~layout.WITHOUT_ITEM.index(layout.POPULAR_IN_CATEGORY)
        values = lists.items.astype("<u4")
        places = lists.places.tolist()
        pairs: list[bytes] = []
        for name, start, end in zip(lists.names, places[:-1], places[1:], strict=True):
            _, segment = _parts(name)
            if not is_own[start:end].all():
                raise ListsError(
                    f"{self._of(layout.OF_SEGMENTS, '', segment)}: a reason is not {layout.POPULAR_IN_CATEGORY}, as "
                    "all of a segment are."
                )
            key = layout.segment_key(self._version, self._numbers_of_segments[segment])
            pairs += (key.encode(), values[start:end].tobytes())
        return Packed.of(pairs, len(lists))

    def _of_list(self, slot: str, name: pa.StringScalar) -> str:
        return self._of(slot, *_parts(name))

    def _of(self, slot: str, user: str | None, segment: str | None) -> str:
        of_segment = f", segment {segment[: layout.LONGEST_USER]!r}" if segment else ""
        return (
            f"{self._version}, slot {slot!r}, user {str(user)[: layout.LONGEST_USER]!r}{of_segment}"
        )


def _parts(name: pa.StringScalar) -> tuple[str, str]:
    """User and segment, which is '' in a list that is not of one."""
    text = str(name)
    return ("", text[1:]) if text[0] == _EVERYONE else (text[1:], "")
