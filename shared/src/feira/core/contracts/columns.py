"""Properties of an ODCS schema → columns, and the keys that are made of them."""

from __future__ import annotations

import re

from feira.core.contracts.document import Node, refuse, require_keys, stated
from feira.core.contracts.identifiers import name_problem
from feira.core.contracts.model import Column, Contract, ContractError

LOGICAL = {
    "string": "string",
    "int": "integer",
    "bigint": "integer",
    "double": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "array<string>": "array",
}
# Types that JSON has: of others Spark reads '12,50' as 1250, and '08:26' as a time of the day it runs.
_IN_A_LINE = ("string", "int", "bigint", "boolean")
_DECIMAL = re.compile(r"decimal\(([0-9]{1,2}),([0-9]{1,2})\)")
WORD = re.compile(r"[a-z][a-z0-9_]*")
# What would have to be acted on and is not: to take it would be to promise it.
_PROPERTY_REFUSED = (
    "unique",
    "encryptedName",
    "physicalName",
    "properties",
    "quality",
    "map",
    "relationships",
)


def as_column(node: Node, table: str) -> Column:
    """A property as the column of a table; ContractError naming what is missing or not supported."""
    name = stated(node, "name")
    if not WORD.fullmatch(name):
        refuse(node, "name", f"column name {name!r} must be lower_snake_case.")
    if problem := name_problem(name, table):
        refuse(node, "name", f"column {name} {problem}; choose another name.")
    for key in _PROPERTY_REFUSED:
        if node.get(key):
            refuse(node, key, f"column {name}: {key} is not supported and would do nothing.")
    type_ = _type(node, name)
    return Column(
        name=name,
        type=type_,
        required=node.get("required") is True,
        description=node.get("description") or "",
        classification=node.get("classification"),
        allowed=_allowed(node, name, type_),
        max_length=_max_length(node, name, type_),
    )


def _type(node: Node, name: str) -> str:
    physical = (node.get("physicalType") or "").replace(" ", "")
    decimal = _DECIMAL.fullmatch(physical)
    if not (decimal or physical in LOGICAL):
        problem = (
            f"column {name} has physicalType {node.get('physicalType')!r}; it may be "
            f"{', '.join(LOGICAL)} or decimal(P,S)."
        )
        refuse(node, "physicalType", problem)
    if decimal and not is_decimal(physical):
        refuse(node, "physicalType", f"column {name}: {physical}; P is 1 to 38, S at most P.")
    logical = "number" if decimal else LOGICAL[physical]
    if node.get("logicalType") != logical:
        problem = f"column {name}: a {physical} has logicalType {logical}, not "
        refuse(node, "logicalType", f"{problem}{node.get('logicalType')!r}.")
    items = node.get("items")
    if (physical == "array<string>") != (items is not None):
        refuse(node, "items", f"column {name}: items belong to an array, and only there.")
    if items is not None and (items.get("logicalType"), items.get("physicalType")) != (
        "string",
        "string",
    ):
        refuse(items, None, f"column {name}: the items of array<string> are of type string.")
    return physical


def in_a_line_problem(name: str, type_: str) -> str | None:
    """Why a column cannot be a field of landed lines, which more than one engine reads; None where it can."""
    if type_ in _IN_A_LINE:
        return None
    return (
        f"column {name} is of type {type_}; a field of a landed line is of {', '.join(_IN_A_LINE)}. Land "
        "it as a string, and read that by an input of the rules, as with decimal_text or zoned_time."
    )


def require_in_a_line(contract: Contract) -> None:
    """Raises ContractError for a contract by which no landed line can be judged, whoever made it."""
    for column in contract.columns:
        if problem := in_a_line_problem(column.name, column.type):
            raise ContractError(f"{contract.id}: {problem}")


def is_decimal(type_: str) -> bool:
    """Whether a type is a decimal that Spark and both warehouses have."""
    found = _DECIMAL.fullmatch(type_)
    return found is not None and 1 <= int(found[1]) <= 38 and int(found[2]) <= int(found[1])


def _allowed(node: Node, name: str, type_: str) -> tuple[str, ...]:
    if "enum" not in node:
        return ()
    values = [each.get("value") for each in node["enum"] or []]
    texts = [value for value in values if isinstance(value, str)]
    if type_ != "string" or not values or len(set(texts)) != len(values):
        problem = f"column {name}: an enum lists different texts, for a column of type string."
        refuse(node, "enum", problem)
    return tuple(texts)


def _max_length(node: Node, name: str, type_: str) -> int | None:
    options = node.get("logicalTypeOptions")
    if options is None:
        return None
    require_keys(options, ["maxLength"], f"column {name}: logicalTypeOptions of this platform")
    length = options.get("maxLength")
    # 65,535 bytes are the most that Redshift's varchar holds; a character is at most four.
    if type_ != "string" or type(length) is not int or not 1 <= length <= 16_383:
        problem = f"column {name}: maxLength {length!r}; a string has one of 1 to 16383."
        refuse(options, "maxLength", problem)
    return length


def placed(properties: list[Node], flag: str, position: str) -> tuple[str, ...]:
    """Names of the flagged columns by their stated positions, which count from 1."""
    by_place: dict[int, str] = {}
    for node in properties:
        place = node.get(position)
        if bool(node.get(flag)) != (place is not None):
            refuse(node, flag, f"column {node['name']}: {flag} and {position} go together.")
        if place is None:
            continue
        if place in by_place:
            problem = f"columns {by_place[place]} and {node['name']} both have {position} {place}."
            refuse(node, position, problem)
        if flag == "primaryKey" and not node.get("required"):
            refuse(node, flag, f"column {node['name']} is of the key and not required.")
        by_place[place] = node["name"]
    for node in properties:
        place = node.get(position)
        if place is not None and not 1 <= place <= len(by_place):
            refuse(node, position, f"column {node['name']}: {position} {place} of {len(by_place)}.")
    return tuple(by_place[place] for place in sorted(by_place))
