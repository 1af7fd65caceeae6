"""The comparison of a table with what it must hold: by value, whatever library delivered it.

Part of the independent check: nothing here comes from the platform.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

SHOWN = 10
WHOLE_FLOATS = 2**53  # up to here a float holds every whole number exactly

PLAIN = frozenset((type(None), bool, int, str, Decimal, dt.date))

Key = tuple[Any, ...]


def difference(expected: pd.DataFrame, actual: pd.DataFrame, key: list[str]) -> list[str]:
    """What differs, one sentence each; empty where both frames hold the same rows.

    The order of rows and columns does not count, nor how a value is represented: a time is the same
    as ``datetime`` and ``datetime64`` (without zone it is UTC), a whole number as ``int64``,
    ``Int64``, ``Decimal`` or, as a nullable column comes from pandas, ``float64``; a list as
    ``ndarray``; every null is the same null. Decimals are compared exactly and regardless of scale,
    and money that arrives as a float differs always.

    Each kind of difference (columns, missing, extra, duplicated, cells) is counted, and its first
    ten are shown.

    Raises:
        ValueError: the key does not identify the expected rows.
    """
    lost = [column for column in expected.columns if column not in actual.columns]
    found = [column for column in actual.columns if column not in expected.columns]
    report = [f"column {column} is missing" for column in lost]
    report += [f"column {column} is extra" for column in found]
    if set(key) & set(lost):
        return report

    columns = [column for column in expected.columns if column not in lost]
    wanted, held = _columns(expected, columns), _columns(actual, columns)
    for column in columns:
        if _holds_days(wanted[column]) or _holds_days(held[column]):
            wanted[column], held[column] = _days(wanted[column]), _days(held[column])
    wanted_keys = list(zip(*(wanted[column] for column in key), strict=True))
    held_keys = list(zip(*(held[column] for column in key), strict=True))
    position = {k: row for row, k in enumerate(wanted_keys)}
    if len(position) != len(wanted_keys):
        twice = [_name(key, k) for k, n in Counter(wanted_keys).items() if n > 1]
        raise ValueError(f"{key} names {len(twice)} expected rows twice, {twice[0]} among them")

    copies = Counter(held_keys)
    missing = [_name(key, k) for k in wanted_keys if k not in copies]
    extra = [_name(key, k) for k in held_keys if k not in position]
    doubled = [f"{_name(key, k)} ({n} times)" for k, n in copies.items() if n > 1]
    report += _counted(f"{len(missing)} rows are missing", "missing", missing)
    report += _counted(f"{len(extra)} rows are extra", "extra", extra)
    report += _counted(f"{len(doubled)} keys are duplicated", "duplicated", doubled)

    pairs = [(position[k], row) for row, k in enumerate(held_keys) if k in position]
    cells: list[str] = []
    by_column: Counter[str] = Counter()
    for column in columns:
        ours, theirs = wanted[column], held[column]
        for a, b in pairs:
            if ours[a] is not theirs[b] and not _same(ours[a], theirs[b]):
                by_column[column] += 1
                if by_column[column] <= SHOWN:
                    values = f"expected {ours[a]!r}, found {theirs[b]!r}"
                    cells.append(f"{column} at {_name(key, wanted_keys[a])}: {values}")
    where = ", ".join(f"{column} {n}" for column, n in by_column.items())
    return report + _counted(f"{by_column.total()} cells differ ({where})", "differs", cells)


def _counted(headline: str, word: str, found: list[str]) -> list[str]:
    return [headline, *(f"{word}: {one}" for one in found[:SHOWN])] if found else []


def _name(key: list[str], values: Key) -> str:
    return ", ".join(f"{column}={value!r}" for column, value in zip(key, values, strict=True))


def _columns(frame: pd.DataFrame, columns: list[str]) -> dict[str, list[Any]]:
    return {
        column: [cell if type(cell) in PLAIN else _value(cell) for cell in frame[column].tolist()]
        for column in columns
    }


def _value(cell: Any) -> Any:
    """The cell as a plain Python value; a time is in UTC, and an array is a tuple."""
    if cell is pd.NA or cell is pd.NaT:
        return None
    if isinstance(cell, (list, tuple, np.ndarray)):
        return tuple(_value(one) for one in cell)
    if isinstance(cell, (np.datetime64, dt.datetime)):
        return _utc(pd.Timestamp(cell))
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, (bytearray, memoryview)):
        return bytes(cell)
    return None if isinstance(cell, float) and math.isnan(cell) else cell


def _utc(time: pd.Timestamp) -> Any:
    if pd.isna(time):
        return None
    if time.tzinfo is not dt.UTC:
        time = time.tz_localize(dt.UTC) if time.tzinfo is None else time.tz_convert(dt.UTC)
    if time.nanosecond:
        return str(time)  # finer than any table here stores: shown, and equal to no datetime
    return time.to_pydatetime()


def _holds_days(cells: Iterable[Any]) -> bool:
    return any(type(cell) is dt.date for cell in cells)


def _days(cells: Iterable[Any]) -> list[Any]:
    """A column of days, where some library may have made each day its midnight."""
    midnight = dt.time(tzinfo=dt.UTC)
    return [
        cell.date() if isinstance(cell, dt.datetime) and cell.timetz() == midnight else cell
        for cell in cells
    ]


def _same(wanted: Any, found: Any) -> bool:
    if type(wanted) is type(found):
        return bool(wanted == found)
    if isinstance(wanted, bool) or isinstance(found, bool):
        return False
    for one, other in ((wanted, found), (found, wanted)):
        if isinstance(one, float) and isinstance(other, Decimal):
            return False
        if isinstance(one, float) and isinstance(other, int) and abs(other) > WHOLE_FLOATS:
            return False
    return bool(wanted == found)
