"""What a contract's rules are made of: columns, rules, limits, and values of the contract as SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Any

from feira.core.contracts.document import Node, refuse
from feira.core.contracts.model import RuleInput


@dataclass(frozen=True)
class Limit:
    """What a count or a number is held to: SQL that is true of ``{value}`` where it is kept."""

    condition: str
    text: str
    percent: bool = False


@dataclass(frozen=True)
class Rule:
    """One rule. ``broken_when`` is SQL, true of a row that breaks it; ``query`` gives a number.

    Without ``limit`` a row rule counts towards the share of invalid rows; with it the rule passes or
    fails for itself. A rule that is not ``blocking`` is counted and reported, and fails nothing.
    """

    name: str
    broken_when: str | None = None
    query: str | None = None
    limit: Limit | None = None
    blocking: bool = True


@dataclass(frozen=True)
class Column:
    """A declared column: its name in the data, and its logical type."""

    name: str
    type: str
    zoned: bool = False
    """Whether a timestamp must carry its zone."""
    max_length: int | None = None
    """Most characters of a landing's text: a longer one is no value, and named by ``_too_long``."""


@dataclass(frozen=True)
class RuleSet:
    """Everything that a contract asks of one dataset."""

    contract: str
    version: str
    schema: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    not_evaluated: tuple[str, ...]
    inputs: tuple[RuleInput, ...] = ()
    """What the rules name beside the columns."""
    landing: bool = False
    """Whether it is a landing of the platform, whose lines are judged as the pipeline does."""
    max_invalid_percent: float = 0.0
    """The contract's own gate."""


def literal(value: object) -> str:
    """A value as SQL: a number as it stands, anything else quoted."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column's name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def json_pointer(name: str) -> str:
    """Where a field is in a JSON object (RFC 6901), as SQL."""
    return literal("/" + name.replace("~", "~0").replace("/", "~1"))


# Years 1 to 9999, hours 0 to 23, offsets as far as Java's: DuckDB takes +99:99 and 24:00 too.
_DAY = r"(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})-[0-9]{2}-[0-9]{2}"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_ZONE = r"(Z| ?UTC|[+-](0[0-9]|1[0-8])(:?[0-5][0-9])?)"
ZONED = rf"{_DAY}[T ]{_CLOCK}{_ZONE}"
SHAPES = {
    "integer": r"[+-]?[0-9]+",
    "date": _DAY,
    "boolean": r"(?i:true|false)",
    "number": r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?",
    "time": _CLOCK,
    "timestamp": rf"{_DAY}([T ]{_CLOCK}{_ZONE}?)?",
}
"""How the text of a value is written, in the data and in a contract."""

_PARSED: dict[str, Callable[[str], object]] = {
    "string": str,
    "date": date.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "time": time.fromisoformat,
}


def typed(column: Column, value: Any, node: Node, key: str) -> str:
    """A value that a key of the contract names for a column, as SQL of the column's type.

    :raises ContractError: where the value is of another type: it would be equal to none
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    found = {
        "number": value if number else None,
        "integer": int(value) if number and value == int(value) else None,
        "boolean": value if isinstance(value, bool) else None,
    }.get(column.type)
    if column.type in _PARSED and isinstance(value, str):
        found = _parsed(column.type, value)
    if found is None:
        refuse(node, key, f"{column.name}: {key} has {value!r}, which is no {column.type}.")
    return literal(found)


def _parsed(type_: str, text: str) -> object:
    """The value of a text, a moment as DuckDB casts from; None where it is none of the type."""
    if type_ in SHAPES and not re.fullmatch(SHAPES[type_], text, re.ASCII):
        return None
    try:
        value = _PARSED[type_](text)
        # In SQL the offset of a text is dropped.
        if isinstance(value, datetime) and value.tzinfo:
            value = value.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    return value


def not_among(column: Column, values: Iterable[Any], node: Node, key: str) -> str:
    """SQL, true of a value that is none of these; a null among them is no value to compare with."""
    listed = ", ".join(typed(column, each, node, key) for each in values if each is not None)
    value = identifier(column.name)
    return f"{compared(column)} NOT IN ({listed})" if listed else f"{value} IS NOT NULL"


def compared(column: Column) -> str:
    """A column's value, to be compared with values of its type."""
    value = identifier(column.name)
    # Some Parquet columns of texts have a type of their own: UUID.
    return f"CAST({value} AS VARCHAR)" if column.type == "string" else value


def unique(name: str, columns: Sequence[str], *, later_only: bool = False) -> Rule:
    """Rows that share these values with another; nulls are equal to nothing."""
    keys = ", ".join(identifier(column) for column in columns)
    known = " AND ".join(f"{identifier(column)} IS NOT NULL" for column in columns)
    if later_only:
        count = f"row_number() OVER (PARTITION BY {keys} ORDER BY __n)"
    else:
        count = f"count(*) OVER (PARTITION BY {keys})"
    return Rule(name, f"{known} AND {count} > 1")


def matches(value: str, node: Node) -> str:
    """SQL, true of a text that has the node's ``pattern`` in it.

    :raises ContractError: for what is no regular expression to DuckDB
    """
    pattern = node["pattern"]
    if cause := _regex_error(pattern):
        problem = (
            f"the pattern {pattern!r} is no regular expression of RE2, which has no look-around and "
            f"no back references: {cause}."
        )
        refuse(node, "pattern", problem)
    return f"regexp_matches({value}, {literal(pattern)})"


@cache
def _regex_error(pattern: str) -> str:
    import duckdb

    try:
        with duckdb.connect() as connection:
            connection.execute("SELECT regexp_matches('', ?)", [pattern]).fetchall()
    except duckdb.Error as error:
        return str(error)
    return ""
