"""What landing sees in the lines that pass: which fields they have, and that no two pages share one.

A line is kept as it was served and read here only to be looked at. Where a contract judges the lines
afterwards, one that is no JSON object, or cannot be read alone, has no fields here: validation puts it
in quarantine.
"""

from __future__ import annotations

import functools
import re
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from operator import itemgetter
from typing import Any

import msgspec
import orjson

from feira.core.contracts import Contract
from feira.core.dotted_paths import first_keys
from feira.core.landing.strict_json import (
    MOST_DIGITS,
    MOST_LEVELS,
    near_a_limit,
    strict_json,
    too_deep,
    with_room,
)

# Of fewer lines, that none has an optional field proves nothing: a source may leave nulls out.
ENOUGH_LINES = 100
# What a contract's rules take for blank: \s of ASCII, as in ``order_id_blank``.
_BLANKS = " \t\n\x0b\f\r"
_NO_IDENTITY = -1  # which Python gives no hash
_PARTS = 16
_ZONED = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)


@dataclass(frozen=True)
class Place:
    """Where a line was served; both count from 1."""

    page: int
    line: int

    def __str__(self) -> str:
        return f"page {self.page}, line {self.line}"


class UnusableKeyError(ValueError):
    """A line without a contract has not the key that was declared for it."""


@dataclass
class LandedLines:
    """What was seen of a landing's lines so far.

    ``key`` are the fields that tell a line from all others, its version's among them. With a contract
    they are columns; without one they are dotted paths and each line must have them. A line of which one
    holds nothing (null, a blank text, an empty list or object) is told by its text; so is each where none
    is declared, unless ``repeats`` says that equal lines are right.
    ``date_fields`` are those whose UTC dates are noted. About 8 bytes a line are held.
    """

    contract: Contract | None
    key: tuple[str, ...]
    repeats: bool = False
    date_fields: frozenset[str] = frozenset()
    dates: dict[str, set[date]] = field(default_factory=dict)
    _read: int = 0
    _present: set[str] = field(default_factory=set)
    # Whether a line had every field of the contract.
    _whole: bool = False
    # Of each line a hash of its identity, in the order of the pages; of each page its number, and how
    # many lines came before it. Kept flat, since a day may have millions.
    _identities: array[int] = field(default_factory=lambda: array("q"))
    _pages: list[int] = field(default_factory=list)
    _before: list[int] = field(default_factory=list)

    def add(self, page: int, lines: list[bytes]) -> dict[str, tuple[Place, int]]:
        """Looks at a page's lines; returns the fields that the contract does not know, each with the
        first line that has it and the number of lines.

        :raises UnusableKeyError: for a line without its key, where no contract judges it later
        """
        unknown: dict[str, tuple[Place, int]] = {}
        times: dict[str, set[str]] = {name: set() for name in self.date_fields}
        self._pages.append(page)
        self._before.append(len(self._identities))
        looked_at = self.contract is not None or bool(self.date_fields)
        for number, text in enumerate(lines, start=1):
            line = _parsed(text) if looked_at else None
            if line is not None:
                self._read += 1
                # As nearly every line: then no field of it is looked at by name.
                if line.keys() == self._declared:
                    self._whole = True
                else:
                    self._see(line, Place(page, number), unknown)
                for name, found in times.items():
                    value = line.get(name)
                    if isinstance(value, str):
                        found.add(value)
            try:
                identity = self._identity(line, text)
            except (LookupError, msgspec.MsgspecError) as error:
                raise UnusableKeyError(
                    f"{Place(page, number)} has no usable key ({error})"
                ) from error
            self._identities.append(_NO_IDENTITY if identity is None else hash(identity))
        for name, found in times.items():
            dates = {day for value in found if (day := utc_date(value)) is not None}
            if dates:
                self.dates.setdefault(name, set()).update(dates)
        return unknown

    def _see(
        self, line: dict[str, Any], place: Place, unknown: dict[str, tuple[Place, int]]
    ) -> None:
        self._present.update(line)
        if self.contract is not None:
            for name in line.keys() - self._declared:
                first, count = unknown.get(name, (place, 0))
                unknown[name] = first, count + 1

    @functools.cached_property
    def _declared(self) -> frozenset[str]:
        return frozenset(self.contract.column_names if self.contract else ())

    def absent_fields(self) -> list[str]:
        """The contract's fields that no line has, where that is no chance: a required one, or an
        optional one of a landing of at least ENOUGH_LINES."""
        if not self._read or self.contract is None or self._whole:
            return []
        return [
            column.name
            for column in self.contract.columns
            if column.name not in self._present and (column.required or self._read >= ENOUGH_LINES)
        ]

    def shared(self) -> list[tuple[Place, Place]]:
        """Pairs of places, on two pages, of lines whose identities have one hash."""
        if not self._identities:
            return []
        # Who only knows what a landing is, as the exporter of figures does, has no use for its 11 MiB.
        import numpy as np

        hashes = np.frombuffer(self._identities, dtype=np.int64)
        # Equal hashes have equal bytes. Part by part: the order of all would take three times the memory.
        parts = hashes.view(np.uint8)[:: hashes.itemsize] % _PARTS
        parts[hashes == _NO_IDENTITY] = _PARTS
        found = []
        for part in range(_PARTS):
            lines = np.flatnonzero(parts == part)
            lines = lines[np.argsort(hashes[lines], kind="stable")]
            pages = np.searchsorted(self._before, lines, side="right") - 1
            twice = np.diff(hashes[lines]) == 0
            twice &= np.diff(pages) != 0
            for i in np.flatnonzero(twice):
                found.append(
                    (self._place(lines[i], pages[i]), self._place(lines[i + 1], pages[i + 1]))
                )
        return found

    def _place(self, line: int, page: int) -> Place:
        return Place(self._pages[page], int(line) - self._before[page] + 1)

    def identity_of(self, text: bytes) -> bytes | None:
        """What tells a line from every other: its key, or its whole text where a field of it is missing
        or of no key's kind, or the object cannot be read. None for a line that has nothing of it."""
        return self._identity(_parsed(text) if self.contract is not None else None, text)

    def _identity(self, line: dict[str, Any] | None, text: bytes) -> bytes | None:
        if self.contract is None:
            if self.key:
                found = [value_at(text, path) for path in self.key]
                return text if any(map(_is_nothing, found)) else _KEYS.encode(found)
            return None if self.repeats else text
        if line is None:
            return text if self._cannot_be_read(text) else None
        try:
            values = self._values(line)
        except KeyError:
            pass
        else:
            # In a loop and by type(): each line comes through here. A text that is not blank, or a number
            # from 1, can tell lines apart; true is of neither type.
            for value in values:
                if type(value) is str:
                    if not value.strip(_BLANKS):
                        break
                elif type(value) is not int or value < 1:
                    break
            else:
                # 1 and "1" are two keys.
                return orjson.dumps(values)
        # Many broken lines may share a key that is null, blank or 0; one text on two pages is still
        # page drift.
        return None if all(line.get(name) is None for name in self.key) else text

    def _cannot_be_read(self, text: bytes) -> bool:
        """Whether it is an object with some of the key that nobody can read, as for half an emoji in it. Many lines
        may be as one that was cut short, or is no object."""
        whole = text.strip()
        return whole[:1] + whole[-1:] == b"{}" and any(
            b'"%b"' % name.encode() in whole for name in self.key
        )

    @functools.cached_property
    def _values(self) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
        """A line's values of the key; raises KeyError where it lacks one."""
        if len(self.key) > 1:
            return itemgetter(*self.key)
        return lambda line: tuple(line[name] for name in self.key)


def _is_nothing(value: Any) -> bool:
    """Whether it tells no line from others: many broken ones may have it."""
    if isinstance(value, str):
        return not value.strip(_BLANKS)
    return value is None or value == [] or value == {}


def _exact(number: str) -> int | Decimal:
    """A number as it is written, however that is done: 10, 10.0 and 1e1 are one."""
    try:
        found = _EXACT.normalize(Decimal(number))
        whole = found.adjusted() < MOST_DIGITS and found == found.to_integral_value()
        return int(found) if whole else found
    except ArithmeticError as error:
        raise msgspec.DecodeError(f"no number that can be compared: {shown(number)}") from error


_EXACT = Context(prec=MOST_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN)
_VALUES = msgspec.json.Decoder(float_hook=_exact)
# 1 and "1" are two keys.
_KEYS = msgspec.json.Encoder(decimal_format="number")


def value_at(record: bytes, path: str) -> Any:
    """The value at a record's dotted path, each number with all its digits; nothing
    else of the record is parsed.

    Raises LookupError or MsgspecError where there is none, or none that can be parsed.
    """
    if too_deep(record):
        raise msgspec.DecodeError(f"nested in more than {MOST_LEVELS} levels")
    return with_room(lambda: _value_at(record, path))


def _value_at(record: bytes | msgspec.Raw, path: str) -> Any:
    if not path:
        return _VALUES.decode(record)
    fields = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
    missing: Exception = KeyError(path)
    for key, rest in first_keys(path):
        if key in fields:
            try:
                return _value_at(fields[key], rest)
            except (LookupError, msgspec.MsgspecError) as error:
                missing = error
    raise missing


def shown(text: str) -> str:
    """A text of the source as a message may hold it: one line of at most 200 characters."""
    line = text if text.isprintable() else ascii(text)
    return line if len(line) <= 200 else f"{line[:200]}…"


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        line = _as_spark(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _as_spark(text: bytes) -> Any:
    if not near_a_limit(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            # It may still be a line that Spark reads, and that then is in no quarantine: one with 1e400.
            pass
    return strict_json(text)


@functools.lru_cache(maxsize=4096)
def utc_date(text: str) -> date | None:
    """The UTC date of an ISO 8601 text with a zone; None where the contract's rules will refuse it."""
    if not _ZONED.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).astimezone(UTC).date()
    except (ValueError, OverflowError):
        return None
