"""The rules of an ODCS v3.1 contract, as SQL that DuckDB runs over a dataset's rows.

Three kinds: a row rule holds for each row; a metric is a count of rows held to a limit of its own; a
query gives one number for the whole dataset. What a contract asks and nothing here evaluates is kept
by name: it must never look as if it had been checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from open_data_contract_standard.model import (
    DataQuality,
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
)

LOGICAL_TYPES = frozenset(
    {"string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean"}
)
# Bounds of the integer formats that the standard names.
_INTEGERS = {
    f"{sign}{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if sign == "i" else (0, 2**bits - 1)
    for sign in "iu"
    for bits in (8, 16, 32, 64)
}
_LIMITS = (
    ("mustBe", "="),
    ("mustNotBe", "<>"),
    ("mustBeGreaterThan", ">"),
    ("mustBeGreaterOrEqualTo", ">="),
    ("mustBeLessThan", "<"),
    ("mustBeLessOrEqualTo", "<="),
)


class ContractRulesError(ValueError):
    """A contract cannot be used to validate; the message names it and the place."""


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


@dataclass(frozen=True)
class RuleSet:
    """Everything that a contract asks of one dataset."""

    contract: str
    version: str
    schema: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    not_evaluated: tuple[str, ...]


def read_rules(text: str, source: str, schema_name: str | None = None) -> RuleSet:
    """The rules of one schema of a contract.

    :param text: the contract, YAML
    :param source: where it was read from, for messages
    :param schema_name: which of its schemas; may be left out where there is one
    :raises ContractRulesError: where it is no ODCS v3 document, or the schema is not there
    """
    try:
        document = OpenDataContractStandard.from_string(text)
    except Exception as error:
        raise ContractRulesError(f"{source} is not an ODCS document: {error}") from error
    if not (document.apiVersion or "").startswith("v3."):
        raise ContractRulesError(f"{source}: apiVersion is {document.apiVersion!r}, not v3.x.")
    schema = _schema(document, source, schema_name)
    properties = schema.properties or []
    columns = tuple(_column(item, source) for item in properties)
    if not columns:
        raise ContractRulesError(f"{source}: schema {schema.name} declares no properties.")
    not_evaluated: list[str] = []
    rules: list[Rule] = []
    keys = sorted(
        (item for item in properties if item.primaryKey), key=lambda p: p.primaryKeyPosition or 0
    )
    for item, column in zip(properties, columns, strict=True):
        rules += _property_rules(item, column, not_evaluated)
    if len(keys) == 1:
        rules.append(_unique(f"{_name(keys[0])}.primaryKey", [_name(keys[0])]))
    elif keys:
        rules.append(_unique("primaryKey", [_name(key) for key in keys]))
    for quality in schema.quality or []:
        rules += _quality_rules(quality, None, not_evaluated)
    return RuleSet(
        contract=document.id or source,
        version=document.version or "",
        schema=schema.name or "",
        columns=columns,
        rules=tuple(_distinct(rules)),
        not_evaluated=tuple(not_evaluated),
    )


def literal(value: object) -> str:
    """A value as SQL: a number as it stands, anything else quoted."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value)
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A column's name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def _schema(
    document: OpenDataContractStandard, source: str, schema_name: str | None
) -> SchemaObject:
    schemas = document.schema_ or []
    names = [schema.name or "" for schema in schemas]
    if schema_name is None and len(schemas) == 1:
        return schemas[0]
    for schema in schemas:
        if schema_name is not None and schema_name in (schema.name, schema.physicalName):
            return schema
    raise ContractRulesError(
        f"{source} has the schemas {', '.join(names) or 'none'}; schema_name is {schema_name!r}."
    )


def _name(item: SchemaProperty) -> str:
    return item.physicalName or item.name or ""


def _column(item: SchemaProperty, source: str) -> Column:
    name, type_ = _name(item), item.logicalType or "string"
    if not name or name.startswith("__"):
        raise ContractRulesError(f"{source}: {name!r} is not a property's name; __ is reserved.")
    if type_ not in LOGICAL_TYPES:
        raise ContractRulesError(f"{source}: {name} has logicalType {type_!r}, unknown to ODCS.")
    return Column(name, type_, bool((item.logicalTypeOptions or {}).get("timezone")))


def _property_rules(
    item: SchemaProperty, column: Column, not_evaluated: list[str]
) -> Iterator[Rule]:
    name, value = column.name, identifier(column.name)
    yield Rule(f"{name}.type", broken_when=identifier(f"__bad_{name}"))
    if item.required or item.primaryKey:
        # A value of the wrong type is named once, as that.
        yield Rule(f"{name}.required", f"{value} IS NULL AND NOT {identifier(f'__bad_{name}')}")
    if item.unique:
        yield _unique(f"{name}.unique", [name])
    if item.enum:
        allowed = ", ".join(literal(str(entry.value)) for entry in item.enum)
        yield Rule(f"{name}.enum", f"CAST({value} AS VARCHAR) NOT IN ({allowed})")
    for option, setting in (item.logicalTypeOptions or {}).items():
        broken = _option(column, value, option, setting)
        if broken is None:
            not_evaluated.append(f"{name}: logicalTypeOptions.{option} {setting!r}")
        elif broken:
            yield Rule(f"{name}.{option}", broken)
    if item.properties or item.items:
        not_evaluated.append(f"{name}: what is inside the {column.type}")
    if item.relationships:
        not_evaluated.append(f"{name}: relationships")
    for quality in item.quality or []:
        yield from _quality_rules(quality, name, not_evaluated)


def _option(column: Column, value: str, option: str, setting: Any) -> str | None:
    """SQL that is true where a value breaks an option; "" for one that needs no rule of its own."""
    comparisons = {
        "minimum": "<",
        "maximum": ">",
        "exclusiveMinimum": "<=",
        "exclusiveMaximum": ">=",
    }
    ordered = ("integer", "number", "date", "timestamp", "time")
    if option in comparisons and column.type in ordered:
        return f"{value} {comparisons[option]} {literal(setting)}"
    if column.type == "string":
        if option == "minLength":
            return f"length({value}) < {int(setting)}"
        if option == "maxLength":
            return f"length({value}) > {int(setting)}"
        if option == "pattern":
            return f"NOT regexp_matches({value}, {literal(str(setting))})"
        if option == "format" and setting == "uuid":
            return f"{value} IS NOT NULL AND TRY_CAST({value} AS UUID) IS NULL"
    if option == "multipleOf" and column.type in ("integer", "number"):
        # As decimals: 0.3 is a multiple of 0.1, whatever doubles say.
        return f"CAST({value} AS DECIMAL(38, 9)) % CAST({literal(str(setting))} AS DECIMAL(38, 9)) <> 0"
    if option == "format" and column.type == "integer" and setting in _INTEGERS:
        low, high = _INTEGERS[setting]
        return f"{value} NOT BETWEEN {low} AND {high}"
    if option == "format" and column.type == "number":
        return ""
    if option in ("timezone", "defaultTimezone"):
        # The first is part of the type; the second is UTC where it says so.
        return "" if option == "timezone" or setting in ("UTC", "Etc/UTC") else None
    return None


def _unique(name: str, columns: Sequence[str], *, later_only: bool = False) -> Rule:
    """Rows that share these values with another; nulls are equal to nothing."""
    keys = ", ".join(identifier(column) for column in columns)
    known = " AND ".join(f"{identifier(column)} IS NOT NULL" for column in columns)
    if later_only:
        count = f"row_number() OVER (PARTITION BY {keys} ORDER BY __n)"
    else:
        count = f"count(*) OVER (PARTITION BY {keys})"
    return Rule(name, f"{known} AND {count} > 1")


def _quality_rules(
    quality: DataQuality, column: str | None, not_evaluated: list[str]
) -> list[Rule]:
    where = f"{column}: " if column else ""
    kind = quality.type or "library"
    name = quality.name or quality.id or quality.metric or kind
    full = f"{column}.{name}" if column else name
    blocking = (quality.severity or "error") not in ("info", "warning")
    limit = _limit(quality)
    if kind == "text":
        return []
    if kind == "sql" and quality.query:
        query = re.sub(r"\$?\{(object|schema|table|model)\}", "__dataset", quality.query)
        query = re.sub(r"\$?\{(property|column|field)\}", identifier(column or ""), query)
        return [Rule(full, query=query, limit=limit, blocking=blocking)]
    if kind == "custom" and quality.engine == "duckdb" and isinstance(quality.implementation, str):
        broken = quality.implementation.strip()
        own = limit if _has_limit(quality) else None
        return [Rule(full, f"({broken})", limit=own, blocking=blocking)]
    if kind == "library":
        if quality.metric == "rowCount" and column is None:
            query = "SELECT count(*) FROM __dataset"
            return [Rule(full, query=query, limit=limit, blocking=blocking)]
        broken_when = _metric(quality, column)
        if broken_when is not None:
            return [Rule(full, broken_when, limit=limit, blocking=blocking)]
    engine = f" with engine {quality.engine}" if quality.engine else ""
    not_evaluated.append(f"{where}quality rule {name} of type {kind}{engine}")
    return []


def _metric(quality: DataQuality, column: str | None) -> str | None:
    arguments = quality.arguments or {}
    if quality.metric == "duplicateValues":
        columns = [column] if column else list(arguments.get("properties") or [])
        return _unique("", columns, later_only=True).broken_when if columns else None
    if column is None:
        return None
    value = identifier(column)
    if quality.metric == "nullValues":
        return f"{value} IS NULL"
    if quality.metric == "missingValues":
        listed = arguments.get("missingValues", [None, ""])
        texts = ", ".join(literal(str(each)) for each in listed if each is not None)
        parts = [f"{value} IS NULL"] if None in listed else []
        parts += [f"CAST({value} AS VARCHAR) IN ({texts})"] if texts else []
        return " OR ".join(parts) or None
    if quality.metric == "invalidValues":
        parts = []
        if arguments.get("validValues") is not None:
            valid = ", ".join(literal(str(each)) for each in arguments["validValues"])
            parts.append(f"CAST({value} AS VARCHAR) NOT IN ({valid})")
        if arguments.get("pattern") is not None:
            pattern = literal(str(arguments["pattern"]))
            parts.append(f"NOT regexp_matches(CAST({value} AS VARCHAR), {pattern})")
        return " OR ".join(parts) or None
    return None


def _has_limit(quality: DataQuality) -> bool:
    named = [getattr(quality, name) for name, _ in _LIMITS]
    return any(
        value is not None for value in (*named, quality.mustBeBetween, quality.mustNotBeBetween)
    )


def _limit(quality: DataQuality) -> Limit:
    """The limit that a rule states; none at all where it states none."""
    percent = quality.unit == "percent"
    unit = " %" if percent else ""
    conditions: list[tuple[str, str]] = []
    for name, operator in _LIMITS:
        value = getattr(quality, name)
        if value is not None:
            conditions.append(
                (f"{{value}} {operator} {literal(value)}", f"{operator} {value}{unit}")
            )
    for name, word in (("mustBeBetween", "BETWEEN"), ("mustNotBeBetween", "NOT BETWEEN")):
        pair = getattr(quality, name)
        if pair:
            low, high = pair
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


def _distinct(rules: list[Rule]) -> Iterator[Rule]:
    """The rules, with numbers after names that come again."""
    seen: dict[str, int] = {}
    for rule in rules:
        seen[rule.name] = seen.get(rule.name, 0) + 1
        if seen[rule.name] == 1:
            yield rule
        else:
            name = f"{rule.name} ({seen[rule.name]})"
            yield Rule(name, rule.broken_when, rule.query, rule.limit, rule.blocking)
