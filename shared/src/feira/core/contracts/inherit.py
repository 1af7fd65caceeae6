"""The fields that a table takes from the contract upstream, unless its own says otherwise.

``feira.upstream``, a custom property of a contract, names the table that its rows are made from. All
fields of that table come first, in its order, each described as there; then the table's own. A field
that the contract lists again is as upstream but for the keys that it states. One that states a type has
none of the upstream's, and must name the field in ``transformSourceObjects``: a field that is new
upstream must not vanish behind a column of the same name. ``feira.without`` lists the fields that the
table does not take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from feira.core.contracts.document import Node, read_yaml, refuse, require_odcs

UPSTREAM, WITHOUT = "feira.upstream", "feira.without"
_TYPE = ("logicalType", "physicalType", "logicalTypeOptions", "items", "enum")
# What describes the value. A key and a partitioning are a table's own, and so are rules.
_VALUE = (
    *("required", "description", "classification", "businessName", "tags", "synonyms"),
    *("authoritativeDefinitions", "semanticType", "criticalDataElement", "examples", "deprecated"),
)


def read_document(path: Path, files: Mapping[str, Path], below: Sequence[Path] = ()) -> Node:
    """An ODCS document with every field that its table has; it then needs no other.

    ``files`` are the contracts by table; ``below`` those that this one is read for. Raises
    ContractError naming file and line.
    """
    document = require_odcs(read_yaml(path))
    stated, without = _custom(document, UPSTREAM), _custom(document, WITHOUT)
    if stated is None:
        if without is not None:
            refuse(without, "property", f"{WITHOUT} is stated and {UPSTREAM} is not.")
        return document
    table = stated.get("value")
    if not isinstance(table, str) or table not in files:
        problem = f"{UPSTREAM} is {table!r}; there are {', '.join(sorted(files)) or 'none here'}."
        refuse(stated, "value", problem)
    chain = [*below, path]
    if files[table] in chain:
        problem = f"{UPSTREAM} goes in a circle: {', '.join(each.name for each in chain)}."
        refuse(stated, "value", problem)
    objects = document.get("schema") or []
    upstream = read_document(files[table], files, chain).get("schema") or []
    if len(objects) != 1 or len(upstream) != 1:
        refuse(stated, "value", f"{UPSTREAM} needs one schema object, here and in {table}.")
    _take(table, stated, without, upstream[0].get("properties") or [], objects[0])
    kept = [each for each in document["customProperties"] if each not in (stated, without)]
    document["customProperties"] = kept
    if not kept:
        del document["customProperties"]
    return document


class _Dumper(yaml.SafeDumper):
    """Writes lists as the contracts of the checkout have them: below their key, not beside it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


_Dumper.add_representer(Node, yaml.SafeDumper.represent_dict)


def as_yaml(document: Node) -> str:
    """The document as a file of its own."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def _custom(document: Node, name: str) -> Node | None:
    found = [
        each for each in document.get("customProperties") or [] if each.get("property") == name
    ]
    if len(found) > 1:
        refuse(found[1], "property", f"{name} is stated more than once.")
    return found[0] if found else None


def _take(
    table: str, stated: Node, without: Node | None, upstream: list[Node], schema: Node
) -> None:
    """Gives a schema object the fields of the table upstream, and its own after them."""
    left_out = without.get("value") if without is not None else []
    if not isinstance(left_out, list):
        refuse(without or stated, "value", f"{WITHOUT} is {left_out!r}; list the fields.")
    for name in left_out:
        if not any(each.get("name") == name for each in upstream):
            refuse(without or stated, "value", f"{table} has no field {name!r} to leave out.")
    own: list[Node] = schema.get("properties") or []
    restated: list[Node] = []
    fields: list[Node] = []
    for field in upstream:
        name = field.get("name")
        if name in left_out:
            continue
        again = next((each for each in own if each.get("name") == name), None)
        if again is not None:
            restated.append(again)
        fields.append(_field(f"{table}.{name}", stated, field, again))
    names = {f"{table}.{field.get('name')}" for field in upstream}
    for each in own:
        for source in each.get("transformSourceObjects") or []:
            if source.startswith(f"{table}.") and source not in names:
                problem = f"column {each.get('name')} is made of {source}, which is no field."
                refuse(each, "transformSourceObjects", problem)
    rest = [each for each in own if not any(each is taken for taken in restated)]
    for each in rest:
        name = each.get("name")
        if any(taken["name"] == name for taken in restated):
            refuse(each, "name", f"column {name} is declared more than once.")
        if not any(key in each for key in _TYPE):
            problem = f"column {name} states no type, and {table} has no such field to take."
            refuse(each, "name", problem)
    schema["properties"] = [*fields, *rest]


def _field(source: str, stated: Node, upstream: Node, again: Node | None) -> Node:
    """A field of the table upstream, with what the table itself says of it."""
    field = Node(again or {})
    # A fault in what was taken is named where it was asked for.
    field.source = stated.source
    field.line, field.lines = (again.line, again.lines) if again else (stated.line, {})
    retyped = "physicalType" in field or "logicalType" in field
    if retyped and source not in (field.get("transformSourceObjects") or []):
        problem = (
            f"column {field['name']} has a type of its own, and {source} is a field too. List that in "
            f"transformSourceObjects if the column is made of it, or in {WITHOUT}, or choose another name."
        )
        refuse(field, "name", problem)
    field.setdefault("name", upstream.get("name"))
    for key in _VALUE if retyped else (*_TYPE, *_VALUE):
        if key in upstream:
            field.setdefault(key, upstream[key])
    field.setdefault("transformSourceObjects", [source])
    return field
