"""A contract's quality rules: metrics, queries and row rules, each held to a limit of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence

from feira.core.contracts.document import ContractError, Node, refuse, require_keys
from feira.core.contracts.rule_sql import translate
from feira.core.contracts.rule_terms import RuleError
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

_LIMITS = {
    "mustBe": "=",
    "mustNotBe": "<>",
    "mustBeGreaterThan": ">",
    "mustBeGreaterOrEqualTo": ">=",
    "mustBeLessThan": "<",
    "mustBeLessOrEqualTo": "<=",
}
_ARGUMENTS = {
    "nullValues": (),
    "missingValues": ("missingValues",),
    "invalidValues": ("validValues", "pattern"),
    "duplicateValues": ("properties",),
    "rowCount": (),
}
_SEVERITIES = ("info", "warning", "error")


def quality_rules(
    quality: Node, column: Column | None, columns: Sequence[Column], not_evaluated: list[str]
) -> list[Rule]:
    """The rules that a ``quality`` entry asks for.

    :param column: the property that it is an entry of; None for an entry of the schema
    :param not_evaluated: takes the entry where nothing here evaluates it
    :raises ContractError: for what it cannot mean
    """
    kind, engine = quality.get("type", "library"), quality.get("engine")
    name = quality.get("name") or quality.get("id") or quality.get("metric") or kind
    full = f"{column.name}.{name}" if column else name
    severity = quality.get("severity", "error")
    if severity not in _SEVERITIES:
        problem = f"{full} has severity {severity!r}; it may be {', '.join(_SEVERITIES)}."
        refuse(quality, "severity", problem)
    blocking = severity == "error"
    limit = _limit(quality, full)
    if kind == "text":
        return []
    if kind == "sql":
        _refuse_percent(quality, full)
        query = re.sub(r"\$?\{(object|schema|table|model)\}", "__dataset", quality["query"])
        own = identifier(column.name if column else "")
        query = re.sub(r"\$?\{(property|column|field)\}", own, query)
        return [Rule(full, query=query, limit=limit, blocking=blocking)]
    if kind == "custom" and engine in ("spark", "duckdb"):
        broken = quality["implementation"]
        if not isinstance(broken, str) or not broken.strip():
            refuse(quality, "implementation", f"{full}: the implementation is no expression.")
        if engine == "spark":
            broken = _translated(quality, broken, full, columns)
        stated = any(key.startswith(("mustBe", "mustNotBe")) for key in quality)
        return [Rule(full, f"({broken})", limit=limit if stated else None, blocking=blocking)]
    if kind == "library":
        arguments = _arguments(quality, full)
        if quality["metric"] == "rowCount" and column is None:
            _refuse_percent(quality, full)
            query = "SELECT count(*) FROM __dataset"
            return [Rule(full, query=query, limit=limit, blocking=blocking)]
        broken_when = _metric(quality, arguments, column, columns)
        if broken_when is None:
            level = "a property" if column else "the schema"
            refuse(quality, None, f"{full}: {quality['metric']} says nothing as a rule of {level}.")
        return [Rule(full, broken_when, limit=limit, blocking=blocking)]
    by = f" with engine {engine}" if engine else ""
    where = f"{column.name}: " if column else ""
    not_evaluated.append(f"{where}quality rule {name} of type {kind}{by}")
    return []


def _translated(quality: Node, broken: str, name: str, columns: Sequence[Column]) -> str:
    """A rule in the language of the platform's own, as SQL of DuckDB."""
    types = {"number": "double"}
    known = {each.name: types.get(each.type, each.type) for each in columns}
    try:
        term = translate(broken, known, "duckdb")
    except RuleError as error:
        refuse(quality, "implementation", f"{name}: {error}.")
    if term.type != "boolean":
        refuse(
            quality, "implementation", f"{name}: {broken!r} is of type {term.type}, not boolean."
        )
    return term.text


def _arguments(quality: Node, name: str) -> Node:
    arguments: Node = quality.get("arguments") or Node()
    metric = quality["metric"]
    require_keys(arguments, _ARGUMENTS.get(metric, ()), f"{name}, with metric {metric},")
    for argument, value in arguments.items():
        wanted = str if argument == "pattern" else list
        if not isinstance(value, wanted) or not value:
            problem = (
                f"{name}: {argument} is {value!r}; it must be a {wanted.__name__}, and not empty."
            )
            refuse(arguments, argument, problem)
    return arguments


def _metric(
    quality: Node, arguments: Node, column: Column | None, columns: Sequence[Column]
) -> str | None:
    metric = quality["metric"]
    if metric == "duplicateValues":
        if column and arguments:
            problem = (
                f"{column.name}: duplicateValues of several properties is a rule of the schema."
            )
            refuse(quality, "arguments", problem)
        names = [column.name] if column else list(arguments.get("properties") or [])
        if unknown := [name for name in names if name not in {each.name for each in columns}]:
            refuse(arguments, "properties", f"the schema has no property {unknown[0]!r}.")
        return unique("", names, later_only=True).broken_when if names else None
    if column is None:
        return None
    value = identifier(column.name)
    if metric == "nullValues":
        return f"{value} IS NULL"
    if metric == "missingValues":
        return _missing(column, arguments)
    if metric == "invalidValues":
        parts = []
        if "validValues" in arguments:
            parts.append(not_among(column, arguments["validValues"], arguments, "validValues"))
        if "pattern" in arguments:
            parts.append(f"NOT {matches(f'CAST({value} AS VARCHAR)', arguments)}")
        return " OR ".join(parts) or None
    return None


def _missing(column: Column, arguments: Node) -> str:
    """A text that stands for a missing number is of the wrong type anyway: nothing to compare with."""
    listed = arguments.get("missingValues", [None, ""])
    value = identifier(column.name)
    parts = [f"{value} IS NULL"] if None in listed else []
    for each in listed:
        try:
            parts += (
                []
                if each is None
                else [f"{value} = {typed(column, each, arguments, 'missingValues')}"]
            )
        except ContractError:
            if not isinstance(each, str):
                raise
    return " OR ".join(parts) or "false"


def _refuse_percent(quality: Node, name: str) -> None:
    if quality.get("unit") == "percent":
        refuse(quality, "unit", f"{name} has the unit percent; a number of its own has none.")


def _limit(quality: Node, rule: str) -> Limit:
    """The limit that a rule states; none at all where it states none."""
    if quality.get("unit") not in (None, "rows", "percent"):
        problem = f"{rule} has the unit {quality['unit']!r}; it may be rows or percent."
        refuse(quality, "unit", problem)
    percent = quality.get("unit") == "percent"
    unit = " %" if percent else ""
    conditions: list[tuple[str, str]] = []
    for name, operator in _LIMITS.items():
        if name not in quality:
            continue
        value = quality[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            refuse(quality, name, f"{rule}: {name} is {value!r}, which is no number.")
        conditions.append((f"{{value}} {operator} {literal(value)}", f"{operator} {value}{unit}"))
    for name, word in (("mustBeBetween", "BETWEEN"), ("mustNotBeBetween", "NOT BETWEEN")):
        if name not in quality:
            continue
        low, high = quality[name]
        if low > high:
            refuse(quality, name, f"{rule}: {name} is {quality[name]}; the smaller is first.")
        conditions.append(
            (
                f"{{value}} {word} {literal(low)} AND {literal(high)}",
                f"{word.lower()} {low} and {high}{unit}",
            )
        )
    conditions = conditions or [("{value} = 0", f"= 0{unit}")]
    return Limit(
        " AND ".join(condition for condition, _ in conditions),
        " and ".join(text for _, text in conditions),
        percent,
    )
