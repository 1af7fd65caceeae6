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
    an earlier line had."""

    interactions: Interactions
    lines: int
    left_out: tuple[LeftOut, ...]
    duplicates: int


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
    user_ids, user_codes = coded(users)
    item_ids, item_codes = coded(items)
    found = distinct(user_ids, item_ids, user_codes, item_codes, days_of)
    return Reading(found, lines, counted, len(days_of) - len(found))


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


def coded(parts: list[pa.Array]) -> tuple[Any, Any]:
    """All names, sorted, and of each line the position of its own."""
    encoded = pa.chunked_array(parts, pa.string()).combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names, kind="stable")
    position = np.empty(len(names), dtype=np.int32)
    position[order] = np.arange(len(names), dtype=np.int32)
    return names[order], position[encoded.indices.to_numpy()]


@dataclass(frozen=True)
class _Checked:
    users: pa.Array
    items: pa.Array
    days: npt.NDArray[np.int64]
    left_out: Counter[str]
    first: dict[str, str]


def _checked(table: Table, columns: Columns) -> _Checked:
    """The lines of one file that are interactions, and the first rule that each of the others breaks."""
    left_out, first = Counter[str](), dict[str, str]()
    good = np.ones(len(table), dtype=bool)
    if table.unreadable:
        left_out["line_unreadable"] = sum(it.lines for it in table.unreadable)
        first["line_unreadable"] = f"row {table.unreadable[0].row}: {table.unreadable[0].text!r}"

    def leave_out(rule: str, broken: npt.NDArray[np.bool_], values: pa.Array) -> None:
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
        names[rule], missing, unreadable = _texts(raw)
        leave_out(f"{rule}_missing", missing, raw)
        leave_out(f"{rule}_unreadable", unreadable, raw)
    raw = table.values(columns.time)
    days, missing, unreadable = _days(raw, columns.time_unit)
    leave_out("time_missing", missing, raw)
    leave_out("time_unreadable", unreadable, raw)
    if columns.quantity is not None:
        raw = table.values(columns.quantity)
        amounts, missing, unreadable = _numbers(raw)
        leave_out("quantity_missing", missing, raw)
        leave_out("quantity_unreadable", unreadable, raw)
        leave_out("quantity_not_positive", ~(amounts > 0), raw)
    if columns.items is not None:
        expression = columns.items
        wanted = _by_value(names["item"], lambda it: bool(it and expression.fullmatch(it)))
        leave_out("item_not_wanted", ~wanted.astype(bool), names["item"])
    return _Checked(
        names["user"].filter(pa.array(good)),
        names["item"].filter(pa.array(good)),
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


def _texts(raw: pa.Array) -> tuple[pa.Array, Bools, Bools]:
    """The values as names without space around them; which are missing, and which are no text."""
    names = pa.array(_by_value(raw, _name), pa.string())
    unreadable = np.asarray(pc.is_null(names))
    missing = np.asarray(pc.equal(pc.fill_null(names, "-"), ""))
    return names, missing, unreadable


def _name(value: bytes | None) -> str | None:
    """None: no text of up to 1,000 characters without a control character; empty: missing."""
    try:
        name = "" if value is None else value.decode().strip()
    except UnicodeDecodeError:
        return None
    if name.lower() in _MISSING:
        return ""
    return None if _NO_NAME.search(name) or len(name) > _LONGEST else name


def _days(raw: pa.Array, unit: TimeUnit | None) -> tuple[npt.NDArray[np.int64], Bools, Bools]:
    """Of each value the UTC day, in days since 1970-01-01; which are missing, and which are no time of the years 1
    to 9999."""
    texts, missing, unreadable = _texts(raw)
    known = pc.fill_null(texts, "")
    if unit is not None:
        days = _days_of_numbers(raw, known, _UNITS[unit] * _SECONDS_A_DAY)
    else:
        days = _days_of_iso(known)
    inside = (days >= _FIRST_DAY) & (days <= _LAST_DAY)
    return np.where(inside, days, 0), missing, unreadable | ~inside


def _days_of_numbers(raw: pa.Array, known: pa.Array, per_day: int) -> npt.NDArray[np.int64]:
    """Of each number the day; ``_NO_DAY`` of what is none."""
    amounts, _, unreadable = _numbers(raw)
    days = np.where(unreadable, _NO_DAY, np.clip(np.floor(amounts / per_day), _NO_DAY, -_NO_DAY))
    found: npt.NDArray[np.int64] = days.astype(np.int64)
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


def _numbers(raw: pa.Array) -> tuple[npt.NDArray[np.float64], Bools, Bools]:
    texts, missing, unreadable = _texts(raw)
    series = pd.Series(pc.fill_null(texts, "").to_numpy(zero_copy_only=False))
    numbers = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float)
    return numbers, missing, unreadable | ~np.isfinite(numbers)
