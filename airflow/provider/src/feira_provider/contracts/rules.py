"""The rules of an ODCS v3.1 contract, as SQL that DuckDB runs over a dataset's rows.

Three kinds: a row rule holds for each row; a metric is a count of rows held to a limit of its own; a
query gives one number for the whole dataset. What a contract asks and nothing here evaluates is kept
by name: it must never look as if it had been checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from open_data_contract_standard.model import (
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
)

from feira_provider.contracts.document import ContractDocument, ContractRulesError, Path, Unusable
from feira_provider.contracts.lines import FAULTS
from feira_provider.contracts.quality import quality_rules
from feira_provider.contracts.terms import (
    Column,
    Rule,
    RuleSet,
    identifier,
    matches,
    not_among,
    typed,
    unique,
)

__all__ = ["ContractRulesError", "RuleSet", "read_rules"]

LOGICAL_TYPES = frozenset(
    {"string", "date", "timestamp", "time", "number", "integer", "object", "array", "boolean"}
)
_ORDERED = ("integer", "number", "date", "timestamp", "time")
_COMPARISONS = {
    "minimum": "<",
    "maximum": ">",
    "exclusiveMinimum": "<=",
    "exclusiveMaximum": ">=",
}
# Bounds of the integer formats that the standard names.
_INTEGERS = {
    f"{sign}{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if sign == "i" else (0, 2**bits - 1)
    for sign in "iu"
    for bits in (8, 16, 32, 64)
}
# Digits after the point of a decimal: 20 are left before it.
_SCALE = 18
_LARGEST_F32 = 3.4028234663852886e38


def read_rules(text: str, source: str, schema_name: str | None = None) -> RuleSet:
    """The rules of one schema of a contract.

    :param text: the contract, YAML
    :param source: where it was read from, for messages
    :param schema_name: which of its schemas; may be left out where there is one
    :raises ContractRulesError: where it is no ODCS v3 document, has what the standard or this reader
        does not know, or the schema is not there; the message names the line
    """
    document = ContractDocument(text, source)
    try:
        return _rules(document, schema_name)
    except Unusable as error:
        raise document.error(error.path, str(error)) from error


def _rules(document: ContractDocument, schema_name: str | None) -> RuleSet:
    model, source = document.model, document.source
    number, schema = _schema(model, source, schema_name)
    place: Path = ("schema", number)
    properties = schema.properties or []
    if not properties:
        raise Unusable(place, f"schema {schema.name} declares no properties")
    places = [(*place, "properties", index) for index in range(len(properties))]
    columns = tuple(map(_column, properties, places))
    _require_distinct(columns, places)
    not_evaluated: list[str] = []
    rules: list[Rule] = []
    keys = sorted(
        (item for item in properties if item.primaryKey), key=lambda p: p.primaryKeyPosition or 0
    )
    for item, column, where in zip(properties, columns, places, strict=True):
        rules += _property_rules(item, column, where, not_evaluated)
    if len(keys) == 1:
        rules.append(unique(f"{_name(keys[0])}.primaryKey", [_name(keys[0])]))
    elif keys:
        rules.append(unique("primaryKey", [_name(key) for key in keys]))
    if schema.relationships:
        not_evaluated.append("relationships")
    for index, quality in enumerate(schema.quality or []):
        rules += quality_rules(quality, None, columns, (*place, "quality", index), not_evaluated)
    return RuleSet(
        contract=model.id or source,
        version=model.version or "",
        schema=schema.name or "",
        columns=columns,
        rules=tuple(_distinct(rules)),
        not_evaluated=tuple(not_evaluated),
    )


def _schema(
    document: OpenDataContractStandard, source: str, schema_name: str | None
) -> tuple[int, SchemaObject]:
    schemas = document.schema_ or []
    if schema_name is None and len(schemas) == 1:
        return 0, schemas[0]
    named = [
        (number, schema)
        for number, schema in enumerate(schemas)
        if schema_name is not None and schema_name in (schema.name, schema.physicalName)
    ]
    if len(named) == 1:
        return named[0]
    names = ", ".join(schema.name or "" for schema in schemas) or "none"
    raise ContractRulesError(
        f"{source} has the schemas {names}; schema_name is {schema_name!r}, which is not the name of "
        "one of them."
    )


def _name(item: SchemaProperty) -> str:
    return item.physicalName or item.name or ""


def _column(item: SchemaProperty, path: Path) -> Column:
    name, type_ = _name(item), item.logicalType or "string"
    if not name or name.startswith("__"):
        raise Unusable(path, f"{name!r} is not a property's name; __ is reserved")
    if type_ not in LOGICAL_TYPES:
        raise Unusable((*path, "logicalType"), f"{name} has logicalType {type_!r}, unknown here")
    return Column(name, type_, bool((item.logicalTypeOptions or {}).get("timezone")))


def _require_distinct(columns: Sequence[Column], places: Sequence[Path]) -> None:
    seen: dict[str, str] = {}
    for column, path in zip(columns, places, strict=True):
        folded = column.name.casefold()
        if folded in seen:
            raise Unusable(
                path,
                f"the properties {seen[folded]!r} and {column.name!r} are one name to SQL, which "
                "ignores case; name them apart",
            )
        seen[folded] = column.name


def _property_rules(
    item: SchemaProperty, column: Column, path: Path, not_evaluated: list[str]
) -> Iterator[Rule]:
    name, value = column.name, identifier(column.name)
    yield Rule(f"{name}.type", broken_when=identifier(f"__bad_{name}"))
    if item.required or item.primaryKey:
        # A value of the wrong type is named once, as that.
        yield Rule(f"{name}.required", f"{value} IS NULL AND NOT {identifier(f'__bad_{name}')}")
    if item.unique:
        yield unique(f"{name}.unique", [name])
    if item.enum:
        values = [entry.value for entry in item.enum]
        yield Rule(f"{name}.enum", not_among(column, values, (*path, "enum"), "the enum's"))
    for option, setting in (item.logicalTypeOptions or {}).items():
        broken = _option(column, option, setting, (*path, "logicalTypeOptions", option))
        if broken is None:
            not_evaluated.append(f"{name}: logicalTypeOptions.{option} {setting!r}")
        elif broken:
            yield Rule(f"{name}.{option}", broken)
    if item.properties or item.items:
        not_evaluated.append(f"{name}: what is inside the {column.type}")
    if item.relationships:
        not_evaluated.append(f"{name}: relationships")
    if (item.semanticType or "column") == "measure":
        not_evaluated.append(f"{name}: a measure, which is no column of the data")
    for index, quality in enumerate(item.quality or []):
        yield from quality_rules(
            quality, column, [column], (*path, "quality", index), not_evaluated
        )


def _option(column: Column, option: str, setting: Any, path: Path) -> str | None:
    """SQL that is true where a value breaks an option; "" for one that needs no rule of its own."""
    value = identifier(column.name)
    if option in _COMPARISONS and column.type in _ORDERED:
        # An integer may have a bound that is none.
        bounded = Column(column.name, "number") if column.type == "integer" else column
        return f"{value} {_COMPARISONS[option]} {typed(bounded, setting, path, option)}"
    if column.type == "string":
        if option == "minLength":
            return f"length({value}) < {int(setting)}"
        if option == "maxLength":
            return f"length({value}) > {int(setting)}"
        if option == "pattern":
            return f"NOT {matches(value, setting, path)}"
        if option == "format" and setting == "uuid":
            return f"{value} IS NOT NULL AND TRY_CAST({value} AS UUID) IS NULL"
    if option == "multipleOf" and column.type in ("integer", "number"):
        return _no_multiple(column, setting, path)
    if option == "format" and column.type == "integer":
        if setting in _INTEGERS:
            low, high = _INTEGERS[setting]
            return f"{value} NOT BETWEEN {low} AND {high}"
        # Wider is no integer that is read here: it is of the wrong type already.
        return f"{value} < 0" if setting == "u128" else ""
    if option == "format" and column.type == "number":
        return f"abs({value}) > {_LARGEST_F32!r}" if setting == "f32" else ""
    if option in ("timezone", "defaultTimezone"):
        # The first is part of the type; the second is UTC where it says so.
        return "" if option == "timezone" or setting in ("UTC", "Etc/UTC") else None
    return None


def _no_multiple(column: Column, setting: Any, path: Path) -> str:
    """SQL for a value that is no multiple, or has too many digits to say."""
    value = identifier(column.name)
    if column.type == "integer" and setting == int(setting):
        return f"{value} % {int(setting)} <> 0"
    exact = f"{Decimal(repr(setting)):f}"
    if len(exact.partition(".")[2]) > _SCALE or len(exact.partition(".")[0]) > 38 - _SCALE:
        raise Unusable(
            path, f"{column.name}: multipleOf {setting!r} has more than {_SCALE} decimals"
        )
    # As decimals, read from the text of a double: 0.3 is a multiple of 0.1, whatever doubles say.
    decimal = f"TRY_CAST(CAST({value} AS VARCHAR) AS DECIMAL(38, {_SCALE}))"
    return (
        f"{value} IS NOT NULL AND coalesce({decimal} % CAST('{exact}' AS DECIMAL(38, {_SCALE})) <> 0 "
        f"OR CAST({decimal} AS DOUBLE) <> CAST({value} AS DOUBLE), true)"
    )


def _distinct(rules: list[Rule]) -> Iterator[Rule]:
    """The rules, with numbers after names that come again, or are those of lines that are no rows."""
    seen: dict[str, int] = dict.fromkeys(FAULTS, 1)
    for rule in rules:
        seen[rule.name] = seen.get(rule.name, 0) + 1
        if seen[rule.name] == 1:
            yield rule
        else:
            name = f"{rule.name} ({seen[rule.name]})"
            yield Rule(name, rule.broken_when, rule.query, rule.limit, rule.blocking)
