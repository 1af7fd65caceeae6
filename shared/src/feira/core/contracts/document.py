"""An Open Data Contract's YAML, read strictly: what ODCS does not know is an error with file and line.

The standard's own JSON Schema judges it. A key with a typing error in it, such as ``minimun``, would
otherwise be a rule that nobody checks and everybody takes for checked.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import yaml

from feira.core.errors import PermanentError

if TYPE_CHECKING:
    from jsonschema_rs import Draft201909Validator, ValidationError

VERSIONS = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0")
_LONGEST = 200
_MERGE = "tag:yaml.org,2002:merge"
# How both versions of YAML write what they both read alike.
_PLAIN = {
    "bool": re.compile("true|True|TRUE|false|False|FALSE"),
    "int": re.compile("[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.(inf|nan)", re.I),
}
_DIGITS = 300
# An alias stands for all that its anchor has: a few lines can make a document without end.
_VALUES = 200_000
_STATUS = ("proposed", "draft", "active", "deprecated")


class ContractError(PermanentError, ValueError):
    """A contract is not usable, or a table cannot take it; the message names contract and place."""


class Node(dict[str, Any]):
    """A mapping of the file, which knows its file, its own line and that of each of its keys, from 1."""

    source = ""
    line = 1
    lines: Mapping[str, int]


# libyaml's parser where PyYAML has it: every task reads contracts, and the one in Python takes ten times as long.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):  # type: ignore[misc]
    """YAML without duplicate keys, and without what its versions 1.1 and 1.2 read differently, as ``no``
    or ``010``; a date stays the text that it is, as in JSON."""

    yaml_implicit_resolvers = {  # noqa: RUF012 (as in the class above)
        first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def mapping(self, node: yaml.MappingNode) -> Iterator[Node]:
        found = Node()
        found.source, found.line, found.lines = str(self.name), node.start_mark.line + 1, {}
        yield found
        own: dict[str, int] = {}
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            # "<<" takes in another mapping; its keys give way to those written here.
            if key_node.tag not in ("tag:yaml.org,2002:str", _MERGE):
                raise ContractError(
                    f"{self.name}, line {line}: the key {key_node.value} is no text; quote it."
                )
            key = key_node.value
            if key in own:
                raise ContractError(
                    f"{self.name}, line {line}: the key {key!r} is on line {own[key]} already; "
                    "remove one."
                )
            own[key] = line
        self.flatten_mapping(node)
        for key_node, value_node in node.value:
            found[key_node.value] = self.construct_object(value_node, deep=True)
        found.lines = {key.value: key.start_mark.line + 1 for key, _ in node.value}

    def plain(self, node: yaml.ScalarNode) -> bool | float:
        kind, text = node.tag.rpartition(":")[2], str(node.value)
        problem = ""
        if not _PLAIN[kind].fullmatch(text):
            problem = f"{text} is of another type in YAML 1.1 than in 1.2; quote a text, or write true or 10"
        elif len(text) > _DIGITS:
            problem = f"it has a number of {len(text)} characters; {_DIGITS} are taken"
        elif kind == "float" and not math.isfinite(self.construct_yaml_float(node)):
            problem = f"{text} is no number"
        if problem:
            raise ContractError(f"{self.name}, line {node.start_mark.line + 1}: {problem}.")
        made: bool | float = getattr(self, f"construct_yaml_{kind}")(node)
        return made


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)
for _kind in _PLAIN:
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.plain)


def parse_yaml(text: str, source: str) -> Node:
    """The mapping that a YAML text holds; raises ContractError with source and line where it is none."""
    loader = None
    try:
        loader = _Loader(text)
        loader.name = source
        loaded = loader.get_single_data()
        if not isinstance(loaded, Node):
            raise ContractError(f"{source} is empty or no mapping of keys to values.")
        if (size := _size(loaded, {})) > _VALUES:
            raise ContractError(
                f"{source}, line 1: it has {size:,} values by its aliases; {_VALUES:,} are taken."
            )
        _require_values(loaded)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}," if error.problem_mark else ""
        raise ContractError(f"{source}{line} is not one YAML document: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise ContractError(f"{source} is not one YAML document: {error}") from error
    except RecursionError:
        raise ContractError(
            f"{source}, line 1: it is nested too deep to be read, or an alias refers to itself."
        ) from None
    return loaded


def read_yaml(path: Path) -> Node:
    """The mapping that a file holds, as ``parse_yaml``."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ContractError(f"{path.name} is not one YAML document: {error}") from error
    return parse_yaml(text, path.name)


def refuse(node: Node, key: str | None, problem: str) -> NoReturn:
    """Raises ContractError that names the file and the line of a key, or of the node itself."""
    line = node.lines.get(key, node.line) if key else node.line
    raise ContractError(f"{node.source}, line {line}: {problem}")


def stated(node: Node, key: str) -> str:
    """The text of a key; ContractError where there is none."""
    value = node.get(key)
    if not isinstance(value, str) or not value.strip():
        refuse(node, key, f"{key} is {value!r}; state it.")
    return value


def require_keys(node: Node, known: Iterable[str], what: str) -> None:
    """Raises ContractError for a key that is not one of the known ones."""
    known = list(known)
    for key in node:
        if key not in known:
            refuse(node, key, f"{what} has no key {key!r}{_meant(key, known)}")


def _meant(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {near[0]!r}?" if near and near[0] != key else "."


def require_odcs(document: Node) -> Node:
    """The document itself; raises ContractError where it does not keep to ODCS v3.

    What says who owns the data is not required here: any contract that states its schema may be read.
    """
    version = document.get("apiVersion")
    if version not in VERSIONS:
        problem = f"apiVersion is {version!r}; the reader knows {', '.join(VERSIONS)}."
        refuse(document, "apiVersion", problem)
    if errors := list(_validator().iter_errors(_with_types(document))):
        # The error that says most: the deepest, and a named cause before "something is left over".
        raise _named(
            document,
            max(
                errors,
                key=lambda each: (
                    len(each.instance_path),
                    each.kind.name != "unevaluatedProperties",
                ),
            ),
        )
    status = document.get("status", "active")
    if status not in _STATUS:
        # By a contract that was retired nothing is to be made, or found right, any more.
        problem = f"status is {status!r}; of a contract in use it is {', '.join(_STATUS)}."
        refuse(document, "status", problem)
    return document


def _size(value: Any, known: dict[int, int]) -> int:
    """How many values it has, with those of an alias wherever that stands."""
    if id(value) not in known:
        inside = value.values() if isinstance(value, dict) else value
        parts = inside if isinstance(value, (dict, list)) else ()
        known[id(value)] = 1 + sum(_size(each, known) for each in parts)
    return known[id(value)]


def _require_values(node: Node) -> None:
    # `quality:` with nothing behind it would read as a table without rules.
    for key, value in node.items():
        if value is None and key != "value":
            refuse(node, key, f"{key} has no value; state one, or remove the key.")
        _each(value)


def _each(value: Any) -> None:
    if isinstance(value, Node):
        _require_values(value)
    for each in value if isinstance(value, list) else ():
        _each(each)


def _with_types(value: Any, in_property: bool = False) -> Any:
    """A copy in which a property without a type is a text: else every type's rules would hold for it."""
    if isinstance(value, list):
        return [_with_types(each, in_property) for each in value]
    if not isinstance(value, dict):
        return value
    copy = {key: _with_types(each, key in ("properties", "items")) for key, each in value.items()}
    return {"logicalType": "string", **copy} if in_property else copy


def _named(document: Node, error: ValidationError) -> ContractError:
    path, kind, instance = error.instance_path, cast(Any, error.kind), cast(Any, error.instance)
    node, line = document, document.line
    place: Any = document
    for step in path:
        line = place.lines.get(str(step), line) if isinstance(place, Node) else line
        place = place[step]
        if isinstance(place, Node):
            node, line = place, place.line if isinstance(step, int) else line
    where = ".".join(str(step) for step in path) or "the document"
    left: list[str] = []
    if kind.name in ("additionalProperties", "unevaluatedProperties"):
        left = [key for key in instance if key in kind.unexpected]
    elif kind.name == "required":
        near = difflib.get_close_matches(kind.property, instance, 1)
        left = [key for key in near if key in node]
    if left:
        line = node.lines.get(left[0], line)
        problem = f"{where} has no key {left[0]!r} in ODCS{_meant(left[0], _keys())}"
        return ContractError(f"{document.source}, line {line}: {problem}")
    problem = f"{where}: {error.message[:_LONGEST]}"
    if kind.name == "enum":
        listed = ", ".join(map(str, kind.options))
        problem = f"{where} is {instance!r}, unknown to ODCS; it may be {listed}"
    return ContractError(f"{document.source}, line {line}: {problem}.")


@cache
def _keys() -> tuple[str, ...]:
    """Every key that the standard has, in any place."""
    found: dict[str, None] = {}

    def collect(part: Any) -> None:
        if isinstance(part, dict) and isinstance(part.get("properties"), dict):
            found.update(dict.fromkeys(part["properties"]))
        for inner in (
            part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        ):
            collect(inner)

    collect(_schema())
    return tuple(found)


@cache
def _schema() -> Any:
    schema = json.loads(
        files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    )
    schema["required"] = ["apiVersion"]
    parts = schema["$defs"]
    # More than the standard has: several operators, none (then a count must be 0), and operators of a
    # rule of a row.
    operators = parts["DataQualityOperators"]
    operators["properties"] = {
        name: part for each in operators.pop("oneOf") for name, part in each["properties"].items()
    }
    parts["DataQualityCustom"]["allOf"] = [{"$ref": "#/$defs/DataQualityOperators"}]
    # The default type is library, whether it is stated or not; a rule without a type needs its metric.
    quality = parts["DataQuality"]
    quality["anyOf"] = [{"required": ["type"]}, {"required": ["metric"]}]
    return schema


@cache
def _validator() -> Draft201909Validator:
    from jsonschema_rs import Draft201909Validator

    return Draft201909Validator(_schema())
