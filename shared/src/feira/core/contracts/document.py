"""A YAML file read strictly: no key twice, none that is unknown, and each fault named by its line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

import pydantic
import yaml

from feira.core.errors import PermanentError


class ContractError(PermanentError, ValueError):
    """A contract is not usable, or a table cannot take it; the message names contract and place."""


class Node(dict[str, Any]):
    """A mapping of the file, which knows its own line and that of each of its keys, from 1."""

    line = 1
    lines: Mapping[str, int]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader keeps the last of duplicate keys and no lines."""

    def mapping(self, node: yaml.MappingNode) -> Iterator[Node]:
        found = Node()
        found.line, found.lines = node.start_mark.line + 1, {}
        yield found
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key, line = self.construct_object(key_node, deep=True), key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise ContractError(f"line {line}: the key {key!r} is no text; quote it.")
            if key in lines:
                raise ContractError(
                    f"line {line}: the key {key!r} is on line {lines[key]} already. Remove one."
                )
            lines[key] = line
            found[key] = self.construct_object(value_node, deep=True)
        found.lines = lines


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.mapping)


def read_yaml(path: Path) -> Node:
    """The mapping that a file holds; raises ContractError with file and line where it is not one."""
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except ContractError as error:
        raise ContractError(f"{path.name}, {error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"{path.name} is not one YAML document: {error}") from error
    except RecursionError:
        raise ContractError(f"{path.name} is nested too deep to be read.") from None
    if not isinstance(loaded, Node):
        raise ContractError(f"{path.name} is empty or no mapping of keys to values.")
    return loaded


def refuse(path: Path, node: Node, key: str | None, problem: str) -> NoReturn:
    """Raises ContractError that names the file and the line of a key, or of the node itself."""
    line = node.lines.get(key, node.line) if key else node.line
    raise ContractError(f"{path.name}, line {line}: {problem}")


def require_keys(path: Path, node: Node, known: Iterable[str], what: str) -> None:
    """Raises ContractError for a key that is not one of the known ones."""
    known = list(known)
    for key in node:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            meant = f"; did you mean {near[0]!r}?" if near else "."
            refuse(path, node, key, f"{what} has no key {key!r}{meant}")


def validate(path: Path, node: Node, model: type[pydantic.BaseModel]) -> None:
    """Raises ContractError for a key that the model does not know, at any depth, or that has no value
    or one of a wrong type."""
    _require_values(path, node)
    _known(path, node, model)
    try:
        model.model_validate(node, strict=True)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place: Any = node
        line = node.line
        for step in first["loc"]:
            if isinstance(place, Node):
                line = place.lines.get(str(step), line)
            try:
                place = place[step]
            except (KeyError, IndexError, TypeError):
                break
        where = ".".join(str(step) for step in first["loc"])
        raise ContractError(
            f"{path.name}, line {line}: {where}: {first['msg']}, not {first['input']!r}."
        ) from None


def _require_values(path: Path, node: Node) -> None:
    # `quality:` with nothing behind it would read as a table without rules.
    for key, value in node.items():
        if value is None:
            refuse(path, node, key, f"{key} has no value; state one, or remove the key.")
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Node):
                _require_values(path, each)


def _known(path: Path, node: Node, model: type[pydantic.BaseModel]) -> None:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    require_keys(path, node, fields, f"an ODCS {model.__name__}")
    for key, value in node.items():
        models = list(_models(fields[key].annotation))
        if not models:
            continue
        # A team is an object or, as in older versions, a list of members.
        inner = models[-1] if isinstance(value, list) else models[0]
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Node):
                _known(path, each, inner)


def _models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
