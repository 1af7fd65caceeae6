"""A contract's quality rules: metrics, queries and row rules, each held to a limit of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from open_data_contract_standard.model import DataQuality

from feira_provider.contracts.document import Path, Unusable
from feira_provider.contracts.terms import (
    Column,
    Limit,
    Rule,
    identifier,
    literal,
    matches,
    not_among,
    typed,
    unique,
)

_LIMITS = (
    ("mustBe", "="),
    ("mustNotBe", "<>"),
    ("mustBeGreaterThan", ">"),
    ("mustBeGreaterOrEqualTo", ">="),
    ("mustBeLessThan", "<"),
    ("mustBeLessOrEqualTo", "<="),
)
_ARGUMENTS = {
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern"),
    "duplicateValues": ("properties",),
    "rowCount": (),
}
_SEVERITIES = ("info", "warning", "error")


def quality_rules(
    quality: DataQuality,
    column: Column | None,
    columns: Sequence[Column],
    path: Path,
    not_evaluated: list[str],
) -> list[Rule]:
    """The rules that a ``quality`` entry asks for.

    :param column: the property that it is an entry of; None for an entry of the schema
    :param path: where the entry is in the contract
    :param not_evaluated: takes the entry where nothing here evaluates it
    :raises Unusable: for what it cannot mean
    """
    kind = quality.type or "library"
    name = quality.name or quality.id or quality.metric or kind
    full = f"{column.name}.{name}" if column else name
    if (quality.severity or "error") not in _SEVERITIES:
        raise Unusable(
            (*path, "severity"),
            f"{full} has severity {quality.severity!r}; it may be {', '.join(_SEVERITIES)}",
        )
    blocking = (quality.severity or "error") == "error"
    limit = _limit(quality, full, path)
    if kind == "text":
        return []
    if kind == "sql" and quality.query:
        _refuse_percent(limit, full, path)
        query = re.sub(r"\$?\{(object|schema|table|model)\}", "__dataset", quality.query)
        own = identifier(column.name if column else "")
        query = re.sub(r"\$?\{(property|column|field)\}", own, query)
        return [Rule(full, query=query, limit=limit, blocking=blocking)]
    if kind == "custom" and quality.engine == "duckdb" and isinstance(quality.implementation, str):
        broken = quality.implementation.strip()
        return [
            Rule(full, f"({broken})", limit=limit if _stated(quality) else None, blocking=blocking)
        ]
    if kind == "library":
        _require_arguments(quality, full, path)
        if quality.metric == "rowCount" and column is None:
            _refuse_percent(limit, full, path)
            query = "SELECT count(*) FROM __dataset"
            return [Rule(full, query=query, limit=limit, blocking=blocking)]
        broken_when = _metric(quality, column, columns, path)
        if broken_when is None:
            level = "a property" if column else "the schema"
            raise Unusable(
                path, f"{full}: the metric {quality.metric} says nothing as a rule of {level}"
            )
        return [Rule(full, broken_when, limit=limit, blocking=blocking)]
    engine = f" with engine {quality.engine}" if quality.engine else ""
    where = f"{column.name}: " if column else ""
    not_evaluated.append(f"{where}quality rule {name} of type {kind}{engine}")
    return []


def _require_arguments(quality: DataQuality, name: str, path: Path) -> None:
    allowed = _ARGUMENTS.get(quality.metric or "", ())
    for argument, value in (quality.arguments or {}).items():
        if argument not in allowed:
            raise Unusable(
                (*path, "arguments", argument),
                f"{name} has the argument {argument!r}; {quality.metric} takes "
                f"{', '.join(allowed) or 'none'}",
            )
        wanted = str if argument == "pattern" else list
        if not isinstance(value, wanted) or not value:
            raise Unusable(
                (*path, "arguments", argument),
                f"{name}: {argument} is {value!r}; it must be a {wanted.__name__}, and not empty",
            )


def _metric(
    quality: DataQuality, column: Column | None, columns: Sequence[Column], path: Path
) -> str | None:
    arguments = quality.arguments or {}
    if quality.metric == "duplicateValues":
        if column and arguments:
            raise Unusable(
                (*path, "arguments"),
                f"{column.name}: duplicateValues of several properties is a rule of the schema",
            )
        names = [column.name] if column else list(arguments.get("properties") or [])
        if unknown := [name for name in names if name not in {each.name for each in columns}]:
            raise Unusable(
                (*path, "arguments", "properties"), f"the schema has no property {unknown[0]!r}"
            )
        return unique("", names, later_only=True).broken_when if names else None
    if column is None:
        return None
    value = identifier(column.name)
    if quality.metric == "nullValues":
        return f"{value} IS NULL"
    if quality.metric == "missingValues":
        return _missing(column, arguments.get("missingValues", [None, ""]), path)
    if quality.metric == "invalidValues":
        parts = []
        if (valid := arguments.get("validValues")) is not None:
            place = (*path, "arguments", "validValues")
            parts.append(not_among(column, valid, place, "validValues"))
        if (pattern := arguments.get("pattern")) is not None:
            place = (*path, "arguments", "pattern")
            parts.append(f"NOT {matches(f'CAST({value} AS VARCHAR)', pattern, place)}")
        return " OR ".join(parts) or None
    return None


def _missing(column: Column, listed: Sequence[object], path: Path) -> str:
    """A text that stands for a missing number is of the wrong type anyway: nothing to compare with."""
    value = identifier(column.name)
    parts = [f"{value} IS NULL"] if None in listed else []
    for each in listed:
        try:
            parts += [] if each is None else [f"{value} = {typed(column, each, path, '')}"]
        except Unusable:
            if not isinstance(each, str):
                raise
    return " OR ".join(parts) or "false"


def _stated(quality: DataQuality) -> bool:
    named = [getattr(quality, name) for name, _ in _LIMITS]
    return any(
        value is not None for value in (*named, quality.mustBeBetween, quality.mustNotBeBetween)
    )


def _refuse_percent(limit: Limit, name: str, path: Path) -> None:
    if limit.percent:
        raise Unusable(
            (*path, "unit"), f"{name} has the unit percent; a number of its own has none"
        )


def _limit(quality: DataQuality, rule: str, path: Path) -> Limit:
    """The limit that a rule states; none at all where it states none."""
    if quality.unit not in (None, "rows", "percent"):
        raise Unusable(
            (*path, "unit"), f"{rule} has the unit {quality.unit!r}; it may be rows or percent"
        )
    percent = quality.unit == "percent"
    unit = " %" if percent else ""
    conditions: list[tuple[str, str]] = []
    for name, operator in _LIMITS:
        value = getattr(quality, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Unusable((*path, name), f"{rule}: {name} is {value!r}, which is no number")
        conditions.append((f"{{value}} {operator} {literal(value)}", f"{operator} {value}{unit}"))
    for name, word in (("mustBeBetween", "BETWEEN"), ("mustNotBeBetween", "NOT BETWEEN")):
        pair = getattr(quality, name)
        if not pair:
            continue
        low, high = pair
        if low > high:
            raise Unusable((*path, name), f"{rule}: {name} is {pair}; the smaller is first")
        conditions.append(
            (
                f"{{value}} {word} {literal(low)} AND {literal(high)}",
                f"{word.lower()} {low} and {high}{unit}",
            )
        )
    if not conditions:
        conditions = [("{value} = 0", f"= 0{unit}")]
    return Limit(
        " AND ".join(condition for condition, _ in conditions),
        " and ".join(text for _, text in conditions),
        percent,
    )
