"""The rules of an ODCS v3.1 contract, as SQL that DuckDB runs over a dataset's rows.

Three kinds: a row rule holds for each row; a metric is a count of rows held to a limit of its own; a
query gives one number for the whole dataset. What a contract asks and nothing here evaluates is kept
by name: it must never look as if it had been checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from feira.core.contracts import Contract
from feira.core.contracts.columns import require_in_a_line
from feira.core.contracts.document import Node, parse_yaml, refuse, require_odcs
from feira.core.contracts.inherit import UPSTREAM, WITHOUT
from feira.core.contracts.reader import INPUTS, as_contract, ours
from feira.core.contracts.rule_sql import translate
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
    :raises ContractError: where it is no ODCS v3 document, has what the standard or this reader
        does not know, or the schema is not there; the message names the line
    """
    document = require_odcs(parse_yaml(text, source))
    schema = _schema(document, schema_name)
    _refuse_custom(
        document,
        (UPSTREAM, WITHOUT),
        "{name}: the fields of {value!r} are not in this document. Give the contract with all its "
        "fields, as it is after they were taken over.",
    )
    if _is_landing(document, schema):
        return landing_rules(as_contract(document))
    _refuse_custom(document, (INPUTS,), "{name} is for rules of a landing alone.")
    ours(document)
    properties: list[Node] = schema.get("properties") or []
    if not properties:
        refuse(schema, None, f"schema {schema.get('name')} declares no properties.")
    columns = _columns(properties)
    not_evaluated: list[str] = []
    rules: list[Rule] = []
    for item, column in zip(properties, columns, strict=True):
        rules += _property_rules(item, column, columns, not_evaluated)
    for item in properties:
        if item.get("primaryKeyPosition", -1) > 0 and not item.get("primaryKey"):
            problem = f"{_name(item)} has a primaryKeyPosition and is no primaryKey."
            refuse(item, "primaryKeyPosition", problem)
    keys = [item for item in properties if item.get("primaryKey")]
    keys.sort(key=lambda item: item.get("primaryKeyPosition") or 0)
    if len(keys) == 1:
        rules.append(unique(f"{_name(keys[0])}.primaryKey", [_name(keys[0])]))
    elif keys:
        rules.append(unique("primaryKey", [_name(key) for key in keys]))
    if schema.get("relationships"):
        not_evaluated.append("relationships")
    for quality in schema.get("quality") or ():
        rules += quality_rules(quality, None, columns, not_evaluated)
    return RuleSet(
        contract=document.get("id") or source,
        version=document.get("version") or "",
        schema=schema.get("name") or "",
        columns=columns,
        rules=tuple(_distinct(rules)),
        not_evaluated=tuple(not_evaluated),
    )


def _refuse_custom(document: Node, names: Sequence[str], problem: str) -> None:
    """Raises ContractError where the contract states what would not be acted on here."""
    for each in document.get("customProperties") or ():
        if each.get("property") in names:
            refuse(each, "property", problem.format(name=each["property"], value=each.get("value")))


def _is_landing(document: Node, schema: Node) -> bool:
    """Whether it is a landing of the platform: by its server, and by rules or a gate of its lines."""
    servers = [(each.get("server"), each.get("type")) for each in document.get("servers") or ()]
    engines = {each.get("engine") for each in schema.get("quality") or ()}
    return ("landing", "custom") in servers and bool(engines & {"spark", "feira-gate"})


def landing_rules(contract: Contract) -> RuleSet:
    """The rules of a landing's lines, under the names by which the pipeline knows them.

    :raises ContractError: for a column of a type that has no JSON type of its own
    """
    # The reader of contracts does so too; this one may have been made by code.
    require_in_a_line(contract)
    rules: list[Rule] = []
    for column in contract.columns:
        kind = identifier(f"__kind_{column.name}")
        rules.append(Rule(f"{column.name}_absent", f"{kind} IS NULL"))
        rules.append(Rule(f"{column.name}_type", identifier(f"__bad_{column.name}")))
        if column.required:
            rules.append(Rule(f"{column.name}_null", f"{kind} = 'NULL'"))
        if column.max_length is not None:
            rules.append(Rule(f"{column.name}_too_long", identifier(f"__long_{column.name}")))
    names = contract.rule_names
    for rule in contract.row_rules:
        rules.append(Rule(rule.name, translate(rule.broken_when, names, "duckdb").text))
    limit = contract.max_invalid_percent
    return RuleSet(
        contract=contract.id,
        version=contract.version,
        schema=contract.table,
        columns=tuple(
            Column(each.name, each.type, max_length=each.max_length) for each in contract.columns
        ),
        rules=tuple(rules),
        not_evaluated=(),
        inputs=contract.rule_inputs,
        landing=True,
        max_invalid_percent=100.0 if limit is None else limit,
    )


def _schema(document: Node, schema_name: str | None) -> Node:
    schemas: list[Node] = document.get("schema") or []
    named = [
        schema
        for schema in schemas
        if schema_name is None or schema_name in (schema.get("name"), schema.get("physicalName"))
    ]
    if len(named) != 1:
        names = ", ".join(schema.get("name") or "" for schema in schemas) or "none"
        problem = (
            f"it has the schemas {names}; schema_name is {schema_name!r}, and must be the name of one "
            "of them."
        )
        refuse(document, "schema", problem)
    return named[0]


def _name(item: Node) -> str:
    return str(item.get("physicalName") or item.get("name") or "")


def _columns(properties: Sequence[Node]) -> tuple[Column, ...]:
    found: dict[str, Column] = {}
    for item in properties:
        name, options = _name(item), item.get("logicalTypeOptions") or {}
        if not name or name.startswith("__"):
            refuse(item, None, f"{name!r} is not a property's name; __ is reserved.")
        if other := found.get(name.casefold()):
            problem = (
                f"the properties {other.name!r} and {name!r} are one name to SQL, which ignores "
                "case; name them apart."
            )
            refuse(item, None, problem)
        type_ = item.get("logicalType", "string")
        found[name.casefold()] = Column(name, type_, bool(options.get("timezone")))
    return tuple(found.values())


def _property_rules(
    item: Node, column: Column, columns: Sequence[Column], not_evaluated: list[str]
) -> Iterator[Rule]:
    name, value = column.name, identifier(column.name)
    yield Rule(f"{name}.type", broken_when=identifier(f"__bad_{name}"))
    if item.get("required") or item.get("primaryKey"):
        # A value of the wrong type is named once, as that.
        yield Rule(f"{name}.required", f"{value} IS NULL AND NOT {identifier(f'__bad_{name}')}")
    if item.get("unique"):
        yield unique(f"{name}.unique", [name])
    if item.get("enum"):
        values = [entry.get("value") for entry in item["enum"]]
        yield Rule(f"{name}.enum", not_among(column, values, item, "enum"))
    options: Node = item.get("logicalTypeOptions") or Node()
    for option, setting in options.items():
        broken = _option(column, option, options)
        if broken is None:
            not_evaluated.append(f"{name}: logicalTypeOptions.{option} {setting!r}")
        elif broken:
            yield Rule(f"{name}.{option}", broken)
    if item.get("properties") or item.get("items"):
        not_evaluated.append(f"{name}: what is inside the {column.type}")
    if item.get("relationships"):
        not_evaluated.append(f"{name}: relationships")
    if item.get("semanticType") == "measure":
        not_evaluated.append(f"{name}: a measure, which is no column of the data")
    for quality in item.get("quality") or ():
        yield from quality_rules(quality, column, columns, not_evaluated)


def _option(column: Column, option: str, options: Node) -> str | None:
    """SQL that is true where a value breaks an option; "" for one that needs no rule of its own."""
    value, setting = identifier(column.name), options[option]
    if option in _COMPARISONS and column.type in _ORDERED:
        # An integer may have a bound that is none.
        bounded = Column(column.name, "number") if column.type == "integer" else column
        return f"{value} {_COMPARISONS[option]} {typed(bounded, setting, options, option)}"
    if column.type == "string":
        if option == "minLength":
            return f"length({value}) < {int(setting)}"
        if option == "maxLength":
            return f"length({value}) > {int(setting)}"
        if option == "pattern":
            return f"NOT {matches(value, options)}"
        if option == "format" and setting == "uuid":
            return f"{value} IS NOT NULL AND TRY_CAST({value} AS UUID) IS NULL"
    if option == "multipleOf" and column.type in ("integer", "number"):
        return _no_multiple(column, options)
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


def _no_multiple(column: Column, options: Node) -> str:
    """SQL for a value that is no multiple, or has too many digits to say."""
    value, setting = identifier(column.name), options["multipleOf"]
    if column.type == "integer" and setting == int(setting):
        return f"{value} % {int(setting)} <> 0"
    exact = f"{Decimal(repr(setting)):f}"
    if len(exact.partition(".")[2]) > _SCALE or len(exact.partition(".")[0]) > 38 - _SCALE:
        problem = f"{column.name}: multipleOf {setting!r} has more than {_SCALE} decimals."
        refuse(options, "multipleOf", problem)
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
