"""Interactions from CSV or Parquet files. A line that is none is counted under the name of its rule."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feira.recommendations.files import ColumnsError, Table, named, read_table, reason
from feira.recommendations.interactions import (
    Interactions,
    InteractionsError,
    Ints,
    Names,
    day_number,
    distinct,
)

TimeUnit = Literal["s", "ms", "us", "ns"]

# How programs write that there is no value.
_MISSING = {"", "nan", "null", "none", "<na>"}
_TIME = (
    r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?( ?(Z|z|[+-]\d{2}(:?\d{2})?))?)?$"
)
# After the minute, and the space before a zone.
_SECONDS = r"^(.{5})(?::[0-5]\d(?:[.,]\d+)?)? ?"
_SECONDS_A_DAY = 86_400
_INTEGER = r"^[+-]?\d+$"
_INT64 = r"^-?(\d{1,18}|[1-8]\d{18})$"
# Those that Python's dates have.
_FIRST_DAY, _LAST_DAY = day_number(date.min), day_number(date.max)
_NO_DAY = -(10**9)
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LONGEST = 1000
# Control characters, and what else breaks a line.
_NO_NAME = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
_WHOLE = re.compile(r"(-?[1-9][0-9]*|0)\.0+")
# Each name once; all of them may be more than the 2 GiB that an array of strings holds.
_NAMES = pa.dictionary(pa.int32(), pa.large_string())


@dataclass(frozen=True)
class Columns:
    """Where a file has what.

    :param time_unit: the column of times holds numbers since 1970 in this unit; None: ISO 8601, in UTC
        where it names no zone
    :param quantity: a line counts only if this column is above 0 (a return is not a purchase); None: all
    :param items: a line counts only if its whole item matches this expression (postage is no product)
    """

    user: str = "user"
    item: str = "item"
    time: str = "time"
    quantity: str | None = None
    time_unit: TimeUnit | None = None
    items: re.Pattern[str] | None = None

    def names(self) -> list[str]:
        """The columns.

        :raises ColumnsError: where one of them would be two things
        """
        found: dict[str, str] = {}
        for what in ("user", "item", "time", "quantity"):
            name = getattr(self, what)
            if name in found:
                raise ColumnsError(
                    f"The column {name!r} is named for both {found[name]} and {what}; each is a column of its own."
                )
            if name is not None:
                found[name] = what
        return list(found)


@dataclass(frozen=True)
class LeftOut:
    """Lines that are no interactions: the first rule that each broke, how many, and where the first is."""

    rule: str
    lines: int
    first: str


@dataclass(frozen=True)
class Reading:
    """What the files hold. ``lines`` are all of them, ``duplicates`` those of a user, item and day that
    an earlier line had; ``users_as_one`` and ``items_as_one`` count names such as ``12345.0`` where ``12345`` or
    ``12345.00`` is there too."""

    interactions: Interactions
    lines: int
    left_out: tuple[LeftOut, ...]
    duplicates: int
    users_as_one: int
    items_as_one: int


def read_interactions(path: Path, columns: Columns, delimiter: str = ",") -> Reading:
    """Reads a file, or the files of a folder and of those in it as one set of interactions.

    :raises InteractionsError: for what is no such file, a column that is missing, or no interaction in all
    """
    names = columns.names()
    users, items, days = [], [], []
    lines, left_out, first = 0, Counter[str](), dict[str, str]()
    for file in _files(path):
        table = read_table(file, names, delimiter)
        kept = _checked(table, columns)
        users.append(kept.users)
        items.append(kept.items)
        days.append(kept.days)
        lines += table.lines
        left_out.update(kept.left_out)
        for rule, where in kept.first.items():
            shown = file.name if file == path else file.relative_to(path)
            first.setdefault(rule, f"{shown}, {where}")
    counted = tuple(LeftOut(rule, left_out[rule], first[rule]) for rule in sorted(left_out))
    days_of = np.concatenate(days)
    if not len(days_of):
        raise InteractionsError(
            f"{named(path)}: none of {lines:,} lines is an interaction"
            + (f" ({described(counted)})." if counted else ".")
        )
    user_ids, user_codes, users_as_one = _coded(users, _id)
    item_ids, item_codes, items_as_one = _coded(items, _id)
    found = distinct(user_ids, item_ids, user_codes, item_codes, days_of)
    duplicates = len(days_of) - len(found)
    return Reading(found, lines, counted, duplicates, users_as_one, items_as_one)


def described(left_out: Sequence[LeftOut]) -> str:
    """Each rule with its count and its first line."""
    return ", ".join(f"{it.rule} {it.lines:,}, first {it.first}" for it in left_out)


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        inside = sorted(_below(path))
    except (OSError, ValueError) as error:
        raise InteractionsError(f"{named(path)} cannot be read: {reason(error)}.") from error
    if not inside:
        raise InteractionsError(
            f"The folder {named(path)} has no files; those whose names begin with _ or . are not looked at."
        )
    return inside


def _below(folder: Path) -> Iterator[Path]:
    """Whatever is in the folder and in those below it. Names that begin with _ or . are their writer's and no data:
    _SUCCESS, or the _temporary of a job that was killed. Links to folders, which may lead back, are not followed."""
    for each in folder.iterdir():
        if each.name.startswith(("_", ".")):
            continue
        if each.is_dir() and not each.is_symlink():
            yield from _below(each)
        else:
            yield each


def coded(parts: list[pa.Array]) -> tuple[Names, Ints]:
    """All names, sorted, and of each line the position of its own."""
    names, positions, _ = _coded(parts, lambda name: name)
    return names, positions


def _coded(parts: list[pa.Array], of: Callable[[str], str]) -> tuple[Names, Ints, int]:
    """``of`` of all names, sorted; of each line the position of its own; and how many names fewer these are."""
    encoded = pa.chunked_array([it.cast(_NAMES) for it in parts], _NAMES).combine_chunks()
    written = encoded.dictionary.to_pylist()
    every = np.array([of(it) for it in written], dtype=object)
    names, position = np.unique(every, return_inverse=True)
    positions = position.astype(np.int32)[encoded.indices.to_numpy()]
    return names, positions, len(written) - len(names)


def _id(name: str) -> str:
    """What a name stands for: programs that hold numbers as doubles write 12345 as 12345.0."""
    whole = _WHOLE.fullmatch(name)
    return whole[1] if whole else name


@dataclass(frozen=True)
class _Checked:
    users: pa.DictionaryArray
    items: pa.DictionaryArray
    days: npt.NDArray[np.int64]
    left_out: Counter[str]
    first: dict[str, str]


def _checked(table: Table, columns: Columns) -> _Checked:
    """The lines of one file that are interactions, and the first rule that each of the others breaks."""
    left_out, first = Counter[str](), dict[str, str]()
    good = np.ones(len(table), dtype=bool)
    if table.unreadable:
        left_out["line_unreadable"] = len(table.unreadable)
        first["line_unreadable"] = f"row {table.unreadable[0].row}: {table.unreadable[0].text!r}"

    def leave_out(rule: str, broken: Bools, values: pa.DictionaryArray) -> None:
        nonlocal good
        broken = broken & good
        if broken.any():
            at = int(np.argmax(broken))
            left_out[rule] = int(broken.sum())
            first[rule] = f"row {table.row(at)}: {_shown(values[at].as_py())}"
            good = good & ~broken

    names = {}
    for column, rule in ((columns.user, "user"), (columns.item, "item")):
        raw = table.values(column)
        names[rule] = it = _Texts(raw)
        leave_out(f"{rule}_missing", it.missing[it.lines], raw)
        leave_out(f"{rule}_unreadable", it.unreadable[it.lines], raw)
    raw = table.values(columns.time)
    it = _Texts(raw)
    days = _days(it.known, columns.time_unit)
    inside = (days >= _FIRST_DAY) & (days <= _LAST_DAY)
    leave_out("time_missing", it.missing[it.lines], raw)
    leave_out("time_unreadable", ~inside[it.lines], raw)
    days = days[it.lines]
    if columns.quantity is not None:
        raw = table.values(columns.quantity)
        it = _Texts(raw)
        amounts = _numbers(it.known)
        leave_out("quantity_missing", it.missing[it.lines], raw)
        leave_out("quantity_unreadable", ~np.isfinite(amounts)[it.lines], raw)
        leave_out("quantity_not_positive", ~(amounts > 0)[it.lines], raw)
    if columns.items is not None:
        it, raw = names["item"], table.values(columns.item)
        wanted = [bool(columns.items.fullmatch(_id(name))) for name in it.known.to_pylist()]
        leave_out("item_not_wanted", ~np.array(wanted)[it.lines], raw)
    return _Checked(
        names["user"].kept(good),
        names["item"].kept(good),
        days[good],
        left_out,
        first,
    )


def _shown(value: object) -> str:
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


Bools = npt.NDArray[np.bool_]


def _by_value(values: pa.Array, of: Callable[[Any], Any]) -> npt.NDArray[Any]:
    """``of`` of each value, asked once for each distinct one."""
    encoded = values.dictionary_encode(null_encoding="encode")
    answers = np.array([of(it) for it in encoded.dictionary.to_pylist()] or [None], dtype=object)
    return np.asarray(answers[encoded.indices.to_numpy()])


class _Texts:
    """A column's distinct values as names without space around them, ``""`` where there is none; and of each line the
    position of its own."""

    def __init__(self, values: pa.DictionaryArray) -> None:
        names = [_name(it) for it in (*values.dictionary.to_pylist(), None)]
        self.lines: Ints = pc.fill_null(values.indices, len(names) - 1).to_numpy()
        self.missing: Bools = np.array([it == "" for it in names])
        self.unreadable: Bools = np.array([it is None for it in names])
        self.known = pc.fill_null(pa.array(names, pa.large_string()), "")

    def kept(self, good: Bools) -> pa.DictionaryArray:
        """The names of these lines, none that they do not have."""
        used = pa.array(self.lines[good]).dictionary_encode()
        once = self.known.take(used.dictionary).dictionary_encode()
        return pa.DictionaryArray.from_arrays(once.indices.take(used.indices), once.dictionary)


def _name(value: bytes | None) -> str | None:
    """None: no text of up to 1,000 characters without a control character; empty: missing."""
    try:
        name = "" if value is None else value.decode().strip()
    except UnicodeDecodeError:
        return None
    if name.lower() in _MISSING:
        return ""
    return None if _NO_NAME.search(name) or len(name) > _LONGEST else name


def _days(known: pa.Array, unit: TimeUnit | None) -> npt.NDArray[np.int64]:
    """Of each text the UTC day, in days since 1970-01-01; of what is no time none that Python's dates have."""
    if unit is None:
        return _days_of_iso(known)
    per_day = _UNITS[unit] * _SECONDS_A_DAY
    amounts = _numbers(known)
    days = np.clip(np.floor(amounts / per_day), _NO_DAY, -_NO_DAY)
    found: npt.NDArray[np.int64] = np.where(np.isfinite(amounts), days, _NO_DAY).astype(np.int64)
    # A double rounds the last nanoseconds of a day up to the next one.
    exact = _matching(known, _INT64)
    found[exact] = pc.cast(known.filter(pa.array(exact)), pa.int64()).to_numpy() // per_day
    longer = _matching(known, _INTEGER) & ~exact
    found[longer] = _by_value(
        known.filter(pa.array(longer)),
        lambda it: min(max(int(it) // per_day, _NO_DAY), -_NO_DAY),
    )
    return found


def _days_of_iso(known: pa.Array) -> npt.NDArray[np.int64]:
    """Of each ISO 8601 text the UTC day; ``_NO_DAY`` of what is none."""
    as_iso = _matching(known, _TIME)
    texts = known.filter(pa.array(as_iso))
    dates = pc.utf8_slice_codeunits(texts, 0, 10)
    # Zones are of whole minutes: no second moves a day, and of minutes with zones there are few different ones.
    clocks = pc.replace_substring_regex(pc.utf8_slice_codeunits(texts, 11), _SECONDS, r"\1")
    days = np.full(len(known), _NO_DAY)
    days[as_iso] = _by_value(dates, _day_of_date).astype(np.int64)
    days[as_iso] += _by_value(clocks, _days_to_utc).astype(np.int64)
    return days


def _day_of_date(text: str) -> int:
    try:
        return day_number(date.fromisoformat(text))
    except ValueError:
        return _NO_DAY


def _days_to_utc(clock: str) -> int:
    """How many days its UTC day is after its own; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(f"2000-01-01T{(clock or '00').upper()}")
    except ValueError:
        return _NO_DAY
    in_utc = at.replace(tzinfo=None) - (at.utcoffset() or timedelta(0))
    return (in_utc.date() - at.date()).days


def _matching(known: pa.Array, expression: str) -> Bools:
    return np.asarray(pc.match_substring_regex(known, expression))


def _numbers(known: pa.Array) -> npt.NDArray[np.float64]:
    series = pd.Series(known.to_numpy(zero_copy_only=False))
    return pd.to_numeric(series, errors="coerce").to_numpy(dtype=float)
