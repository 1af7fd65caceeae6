"""An ODCS v3.1 file → a Contract. What is not understood is refused: a contract never fails open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from feira.core.contracts.columns import WORD, as_column, in_a_line_problem, is_decimal, placed
from feira.core.contracts.document import Node, refuse, require_keys, stated
from feira.core.contracts.identifiers import name_problem, reserved_by
from feira.core.contracts.inherit import read_document
from feira.core.contracts.model import (
    ASSET,
    DUPLICATE_KEY,
    SHAPE,
    UNREADABLE,
    Column,
    Contract,
    Lookup,
    RowRule,
    RuleInput,
)
from feira.core.contracts.rule_sql import translate
from feira.core.contracts.rule_terms import RuleError

_INPUT_TYPES = ("string", "int", "bigint", "double", "boolean", "date", "timestamp")
_SERVERS = ("topic", "landing", "lake", "warehouse")
_RULED = {"topic", "landing"}
_PHYSICAL = ("table", "materialized_view", "file")
_ABOUT = ("name", "type", "engine", "implementation", "description", "dimension", "severity", "id")
_NOTES = ("tags", "businessImpact", "method", "authoritativeDefinitions", "customProperties")
INPUTS = "feira.inputs"
# What validation itself adds to a line, and the inputs whose names identifiers keep from columns.
_GIVEN = "extract_day"
_INPUTS_OF_SALES = ("created_time", "updated_time", "unit_price_decimal", "currency_quoted")
_LOOKUP = ("companion", "equal", "value", "newest", "until", "days")
_TIMES = {"d": "days", "h": "hours", "m": "minutes"}
_LONGEST_LATENCY = timedelta(days=366)
# With the day itself as many as one call for rates may ask for.
_MOST_LOOKUP_DAYS = 365
# The standard's names for it, in any case.
_LATENCY = ("latency", "ly")
_GATE = ("mustBeLessOrEqualTo", "unit")
# ODCS lets a query say ${object}; nothing is put in their place here, and Spark puts in its own. A regular
# expression's {2,3} and \p{L} are none.
_PLACEHOLDER = re.compile(r"\$\{|(?<!\\[pP])\{\s*[A-Za-z_]")


def read_contract(path: Path, files: Mapping[str, Path] | None = None) -> Contract:
    """Reads one ODCS file; raises ContractError naming file, line and what is missing or unknown.

    ``files`` are the contracts, by table, from which it may take fields.
    """
    return as_contract(read_document(path, files or {}))


def as_contract(document: Node) -> Contract:
    """The contract of a table of this platform, of which more is asked than ODCS does.

    ``document`` states every field of its table. Raises ContractError as ``read_contract``.
    """
    if document.get("apiVersion") != "v3.1.0":
        problem = f"apiVersion is {document.get('apiVersion')!r}, not 'v3.1.0'."
        refuse(document, "apiVersion", problem)
    objects = document.get("schema") or []
    if len(objects) != 1:
        refuse(document, "schema", f"{len(objects)} schema objects; declare exactly one.")
    schema: Node = objects[0]
    physical_type = stated(schema, "physicalType")
    if physical_type not in _PHYSICAL:
        problem = f"physicalType is {physical_type!r}; it may be {', '.join(_PHYSICAL)}."
        refuse(schema, "physicalType", problem)
    table = _table(schema)
    properties: list[Node] = schema.get("properties") or []
    if not properties:
        refuse(schema, "properties", "the table has no columns.")
    columns = tuple(as_column(each, table) for each in properties)
    _require_unique(properties, "column")
    servers = _servers(document)
    _require_evaluated(schema, servers)
    _refuse_custom(schema)
    inputs = _rule_inputs(document, columns, table, servers)
    rules, limit = _quality(schema, columns, inputs)
    return Contract(
        id=stated(document, "id"),
        version=stated(document, "version"),
        table=table,
        physical_type=physical_type,
        description=schema.get("description") or "",
        servers=tuple(servers),
        columns=columns,
        primary_key=placed(properties, "primaryKey", "primaryKeyPosition"),
        partition_by=placed(properties, "partitioned", "partitionKeyPosition"),
        rule_inputs=inputs,
        row_rules=rules,
        max_invalid_percent=limit,
        asset=_asset(document),
        latency=_latency(document),
    )


def _require_unique(nodes: list[Node], what: str) -> None:
    counts = Counter(node["name"] for node in nodes)
    for node in reversed(nodes):
        if counts[node["name"]] > 1:
            refuse(node, "name", f"{what} {node['name']} is declared more than once.")


def _table(schema: Node) -> str:
    """The table's name with its schema: two words that no statement need quote."""
    name = stated(schema, "physicalName")
    if not re.fullmatch(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*", name):
        problem = f"physicalName is {name!r}; it must be a schema and a table, as in sales.fact."
        refuse(schema, "physicalName", problem)
    for part in name.split("."):
        if engines := reserved_by(part):
            problem = f"physicalName {name}: {part} is reserved by {engines}; choose another name."
            refuse(schema, "physicalName", problem)
    return name


def _require_evaluated(schema: Node, servers: list[str]) -> None:
    """Refuses rules where nothing evaluates them: those of a row are a landing's or a topic's, gates a
    landing's, enums a table's; and a type where values of it cannot be held to each other, or not be read
    from a line's JSON alike by each engine."""
    judged = "landing" in servers and bool(schema.get("quality"))
    if schema.get("relationships"):
        refuse(schema, "relationships", "relationships are not checked; remove them.")
    if schema.get("quality") and not _RULED & set(servers):
        refuse(schema, "quality", "row rules are evaluated on a landing or a topic alone.")
    for node in schema.get("quality") or []:
        if node.get("engine") == "feira-gate" and "landing" not in servers:
            refuse(node, "engine", "a gate is evaluated on a landing alone.")
    for node in schema["properties"]:
        if "landing" in servers and "enum" in node:
            problem = (
                f"column {node['name']}: an enum is not checked on a landing; state a row rule."
            )
            refuse(node, "enum", problem)
        # A landing without a rule is a companion, which its pipeline reads and checks as texts.
        type_ = (node.get("physicalType") or "").replace(" ", "")
        if judged and (found := in_a_line_problem(node["name"], type_)):
            refuse(node, "physicalType", found)
        if judged and node["name"] == _GIVEN:
            refuse(
                node, "name", f"column {_GIVEN}: validation adds it to each line; rename the field."
            )
        if type_ == "double" and not set(servers) <= {"topic", "lake"}:
            problem = (
                f"column {node['name']}: a double is for a table of the lake alone; lake and warehouse "
                "are held to equal sums and hashes, which it does not have. Use decimal(P,S)."
            )
            refuse(node, "physicalType", problem)


def _refuse_custom(schema: Node) -> None:
    """Refuses what is addressed to this platform where it does not look."""
    rules = schema.get("quality") or []
    for node in (schema, *schema["properties"], *rules):
        for each in node.get("customProperties") or []:
            if _is_ours(each):
                problem = (
                    f"{each['property']!r} belongs to the contract itself, not to a part of it."
                )
                refuse(each, "property", problem)


def _is_ours(custom: Node) -> bool:
    return str(custom.get("property")).strip().lower().startswith("feira")


def _servers(document: Node) -> list[str]:
    servers = document.get("servers") or []
    if not servers:
        refuse(document, "servers", f"no servers; name some of {', '.join(_SERVERS)}.")
    for server in servers:
        if server.get("server") not in _SERVERS:
            problem = f"server {server.get('server')!r} is none of {', '.join(_SERVERS)}."
            refuse(server, "server", problem)
    names = [server["server"] for server in servers]
    if len(set(names)) < len(names):
        refuse(document, "servers", f"servers {', '.join(names)}: one is a duplicate.")
    return names


def ours(document: Node) -> dict[str, Node]:
    """The contract's custom properties that are addressed to this platform; ContractError for others."""
    found: dict[str, Node] = {}
    for each in document.get("customProperties") or []:
        name = each.get("property")
        if _is_ours(each):
            if name not in (ASSET, INPUTS) or name in found:
                problem = f"{name!r}; {ASSET} and {INPUTS} may be stated once, and no other."
                refuse(each, "property", problem)
            found[name] = each
    return found


def _asset(document: Node) -> str | None:
    found = ours(document).get(ASSET)
    return None if found is None else stated(found, "value")


def _latency(document: Node) -> timedelta | None:
    """What ``slaProperties`` promise as ``latency``, in days, hours or minutes; of several elements the shortest."""
    found: dict[str, timedelta] = {}
    for node in document.get("slaProperties") or []:
        name, element = node["property"], str(node.get("element") or "")
        if name.lower() not in _LATENCY:
            # Any other may stand there: the standard sets no limit.
            if get_close_matches(name.lower(), _LATENCY[:1], cutoff=0.75):
                problem = f"{name!r} is no property of ODCS's; did you mean 'latency'?"
                refuse(node, "property", problem)
            continue
        if element in found:
            refuse(node, "property", "latency is stated twice; state it once.")
        value, unit = node.get("value"), node.get("unit")
        longest = _LONGEST_LATENCY // timedelta(**{_TIMES.get(unit, "days"): 1})
        if unit not in _TIMES or type(value) is not int or not 0 < value <= longest:
            problem = (
                f"latency is {value!r} {unit!r}; it may be a whole number of {', '.join(_TIMES)}, up to "
                f"{_LONGEST_LATENCY.days} days."
            )
            refuse(node, "value", problem)
        found[element] = timedelta(**{_TIMES[unit]: value})
    return min(found.values(), default=None)


def _rule_inputs(
    document: Node, columns: tuple[Column, ...], table: str, servers: list[str]
) -> tuple[RuleInput, ...]:
    declared = ours(document).get(INPUTS)
    if declared is None:
        return ()
    if not _RULED & set(servers):
        refuse(declared, "property", "row rules are evaluated on a landing or a topic alone.")
    nodes = declared.get("value")
    if not isinstance(nodes, list) or not all(isinstance(each, Node) for each in nodes):
        refuse(declared, "value", f"{INPUTS} is a list of inputs, each with name and type.")
    known = {column.name: column.type for column in columns}
    inputs: list[RuleInput] = []
    for node in nodes:
        require_keys(node, ("name", "type", "expression", "lookup", "description"), "an input")
        name, type_ = stated(node, "name"), stated(node, "type").replace(" ", "")
        if not WORD.fullmatch(name) or name in known:
            refuse(node, "name", f"input {name!r} must be lower_snake_case, and no name given yet.")
        problem = None if name in _INPUTS_OF_SALES else name_problem(name, table)
        if problem:
            refuse(node, "name", f"input {name} {problem}; choose another name.")
        if type_ not in _INPUT_TYPES and not is_decimal(type_):
            problem = (
                f"input {name} is of type {node['type']!r}; it may be {', '.join(_INPUT_TYPES)}, "
                "decimal(P,S)."
            )
            refuse(node, "type", problem)
        expression = None
        if "expression" in node:
            expression = _expression(node, "expression", f"input {name}", known, type_)
        lookup = _lookup(node, name, type_, known) if "lookup" in node else None
        _require_made(node, name, type_, servers)
        inputs.append(RuleInput(name, type_, expression, lookup))
        known[name] = type_
    return tuple(inputs)


def _require_made(node: Node, name: str, type_: str, servers: list[str]) -> None:
    """Refuses an input that no engine would make a value of, or that it would not make as it is declared."""
    made = "expression" in node or "lookup" in node
    if "landing" not in servers:
        if made:
            refuse(node, "name", f"input {name}: those of a topic are given with its messages.")
    elif name == _GIVEN:
        if made or type_ != "date":
            refuse(node, "name", f"input {name} is given with the lines, and a date.")
    elif not made:
        problem = f"input {name} has neither an expression nor a lookup; given is {_GIVEN} alone."
        refuse(node, "name", problem)


def _lookup(node: Node, name: str, type_: str, known: Mapping[str, str]) -> Lookup:
    found = node["lookup"]
    if not isinstance(found, Node) or "expression" in node:
        refuse(
            node, "lookup", f"input {name}: a lookup is a mapping, without an expression beside it."
        )
    require_keys(found, _LOOKUP, f"input {name}: a lookup")
    equal = found.get("equal")
    if not isinstance(equal, Node) or not equal or not all(known.get(each) for each in equal):
        refuse(found, "equal", f"input {name}: equal maps columns here to the companion's.")
    for each in equal:
        stated(equal, each)
    for key in ("value", "newest"):
        if key in found:
            stated(found, key)
    value, newest, until = (found.get(key) for key in ("value", "newest", "until"))
    if (value or newest or until) and not (value and newest and known.get(str(until)) == "date"):
        problem = f"input {name}: value, newest and until go together, and until is a date here."
        refuse(found, None, problem)
    if not newest and "days" in found:
        problem = f"input {name}: days are those of a value's newest; without one they do nothing."
        refuse(found, "days", problem)
    if not newest and type_ != "boolean":
        problem = f"input {name}: a lookup without a value says whether there is a row: a boolean, not {type_}."
        refuse(node, "type", problem)
    days = found.get("days", 0)
    if type(days) is not int or not 0 <= days <= _MOST_LOOKUP_DAYS:
        problem = (
            f"input {name}: days is {days!r}; it is a number of days up to {_MOST_LOOKUP_DAYS}."
        )
        refuse(found, "days", problem)
    return Lookup(stated(found, "companion"), dict(equal), value, newest, until, days)


def _expression(node: Node, key: str, what: str, known: Mapping[str, str], type_: str) -> str:
    """An expression in the language of rules, of a type; others are refused."""
    expression = stated(node, key).strip()
    if _PLACEHOLDER.search(expression):
        refuse(node, key, f"{what}: {expression!r} has a placeholder, and none is replaced.")
    try:
        found = translate(expression, known, "duckdb").type
    except RuleError as error:
        refuse(node, key, f"{what}: {error}.")
    if found != type_:
        refuse(node, key, f"{what}: {expression!r} is of type {found}, not {type_}.")
    return expression


def _quality(
    schema: Node, columns: tuple[Column, ...], inputs: tuple[RuleInput, ...]
) -> tuple[tuple[RowRule, ...], float | None]:
    known = {column.name: column.type for column in columns}
    known |= {each.name: each.type for each in inputs}
    nodes: list[Node] = schema.get("quality") or []
    derived = {f"{column.name}_{suffix}" for column in columns for suffix in SHAPE}
    rules: list[RowRule] = []
    limit: float | None = None
    for node in nodes:
        name, engine = stated(node, "name"), node.get("engine")
        if node.get("type") != "custom":
            problem = f"rule {name}: type {node.get('type')!r} is not evaluated; use custom."
            refuse(node, "type", problem)
        if node.get("severity", "error") != "error":
            problem = f"rule {name}: severity {node['severity']!r}; each rule is an error."
            refuse(node, "severity", problem)
        if engine == "spark":
            require_keys(node, [*_ABOUT, *_NOTES], f"rule {name}, a row rule,")
            if not WORD.fullmatch(name):
                refuse(node, "name", f"rule name {name!r} must be lower_snake_case.")
            if name in derived or name in (UNREADABLE, DUPLICATE_KEY):
                refuse(node, "name", f"rule {name} follows from the properties already.")
            expression = _expression(node, "implementation", f"rule {name}", known, "boolean")
            rules.append(RowRule(name, expression, node.get("description") or ""))
        elif engine == "feira-gate":
            require_keys(node, [*_ABOUT, *_NOTES, *_GATE], f"rule {name}, a gate,")
            if limit is not None:
                refuse(node, "name", f"rule {name}: there is a gate already.")
            limit = _limit(node)
        else:
            problem = f"rule {name}: engine {engine!r} is not known; it is spark or feira-gate."
            refuse(node, "engine", problem)
    _require_unique(nodes, "rule")
    return tuple(rules), limit


def _limit(node: Node) -> float:
    limit: Any = node.get("mustBeLessOrEqualTo")
    if node.get("unit") != "percent":
        refuse(node, "unit", f"the gate's unit is {node.get('unit')!r}, not 'percent'.")
    if type(limit) not in (int, float) or not 0 <= limit <= 100:
        problem = f"the gate's mustBeLessOrEqualTo is {limit!r}; it is 0 to 100."
        refuse(node, "mustBeLessOrEqualTo", problem)
    return float(limit)
