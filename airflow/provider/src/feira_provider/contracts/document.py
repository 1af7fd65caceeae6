"""A contract's YAML, read strictly: what ODCS does not know is an error that names file and line.

The standard's own JSON Schema judges it. A key with a typing error in it, such as ``minimun``, would
otherwise be a rule that nobody checks and everybody takes for checked.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml
from open_data_contract_standard.model import OpenDataContractStandard

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

Path = tuple[str | int, ...]
_LONGEST = 200
VERSIONS = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0")


class ContractRulesError(ValueError):
    """A contract cannot be used to validate; the message names it and the place."""


class Unusable(ContractRulesError):
    """The same, from where only the place within the document is known."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys; a date stays the text that it is, as in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Iterator[dict[Hashable, Any]]:
    seen: set[str] = set()
    for key, _ in node.value:
        # "<<" takes in another mapping; its keys give way to those written here.
        if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
            raise yaml.MarkedYAMLError(
                None, None, f"the key {key.value!r} is no text", key.start_mark
            )
        if key.value in seen:
            raise yaml.MarkedYAMLError(
                None, None, f"the key {key.value!r} is a duplicate", key.start_mark
            )
        seen.add(key.value)
    return loader.construct_yaml_map(node)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


class ContractDocument:
    """A contract that keeps to ODCS, and where in its text each thing is.

    :param text: the contract, YAML
    :param source: where it was read from, for messages
    :raises ContractRulesError: where it is no ODCS v3 document, or has what the standard does not know
    """

    def __init__(self, text: str, source: str) -> None:
        self.source = source
        try:
            loader = _Loader(text)
            self._root = loader.get_single_node()
            content = loader.construct_document(self._root) if self._root else None
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f" line {mark.line + 1}" if mark else ""
            cause = getattr(error, "problem", None) or error
            raise ContractRulesError(f"{source}{line} is not an ODCS document: {cause}.") from error
        if not isinstance(content, dict):
            raise ContractRulesError(f"{source} is not an ODCS document: it is no YAML mapping.")
        version = content.get("apiVersion")
        if version not in VERSIONS:
            raise self.error(
                ("apiVersion",),
                f"apiVersion is {version!r}; this operator knows {', '.join(VERSIONS)}",
            )
        try:
            self._require_finite(content, ())
        except RecursionError as error:
            raise self.error((), "an alias of the document refers to itself") from error
        for schema in _objects(content.get("schema")):
            _state_types(schema.get("properties"))
        if errors := list(_validator().iter_errors(content)):
            raise self._first(errors)
        self.model = OpenDataContractStandard.model_validate(content)

    def error(self, path: Sequence[str | int], message: str, key: str = "") -> ContractRulesError:
        """The error, with the line of the place, or of a key in it."""
        return ContractRulesError(f"{self.source} line {self._line(path, key)}: {message}.")

    def _line(self, path: Sequence[str | int], key: str = "") -> int:
        node: yaml.Node | None = self._root
        if node is None:
            return 1
        mark = node.start_mark
        for step in [*path, *([key] if key else [])]:
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
                mark = node.start_mark
                continue
            for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
                if name.value == step:
                    mark, node = name.start_mark, value
                    break
            else:
                break
        return int(mark.line) + 1

    def _require_finite(self, value: Any, path: Path) -> None:
        if isinstance(value, float) and not math.isfinite(value):
            raise self.error(path, f"{path[-1]} is {value}, which is no number")
        for step, inner in _steps(value):
            self._require_finite(inner, (*path, step))

    def _first(self, errors: list[ValidationError]) -> ContractRulesError:
        """The error that says most: the deepest, and a named cause before "something is left over"."""
        error = max(
            errors,
            key=lambda each: (
                len(each.absolute_path),
                each.validator != "unevaluatedProperties",
            ),
        )
        path = list(error.absolute_path)
        place = ".".join(str(step) for step in path) or "the document"
        if error.validator in ("additionalProperties", "unevaluatedProperties"):
            # Keys that are right in themselves are left over too, where another is wrong.
            right = error.schema.get("properties", ())
            left = [
                key for key in error.instance if repr(key) in error.message and key not in right
            ]
            if left:
                near = difflib.get_close_matches(left[0], _keys(), 1)
                hint = f"; did you mean {near[0]}" if near and near[0] != left[0] else " there"
                return self.error(path, f"{place} has {left[0]!r}, unknown to ODCS{hint}", left[0])
        if error.validator == "enum":
            listed = ", ".join(map(str, error.validator_value))
            message = f"{place} is {error.instance!r}, unknown to ODCS; it may be {listed}"
            return self.error(path, message)
        return self.error(path, f"{place}: {error.message[:_LONGEST]}")


@cache
def _keys() -> tuple[str, ...]:
    """Every key that the standard has, in any place."""
    found: dict[str, None] = {}

    def collect(part: Any) -> None:
        if isinstance(part, dict) and isinstance(part.get("properties"), dict):
            found.update(dict.fromkeys(part["properties"]))
        for _, inner in _steps(part):
            collect(inner)

    collect(_validator().schema)
    return tuple(found)


def _steps(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _state_types(properties: Any) -> None:
    """A property without a type is a text; the standard's schema would hold it to every type's rules."""
    for each in _objects(properties):
        each.setdefault("logicalType", "string")
        _state_types(each.get("properties"))
        _state_types([each["items"]] if "items" in each else None)


@cache
def _validator() -> Validator:
    from jsonschema import Draft201909Validator

    schema = json.loads(
        files("open_data_contract_standard").joinpath("schema.json").read_text(encoding="utf-8")
    )
    # What says who owns the data is not this operator's to ask for.
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
    return Draft201909Validator(schema)
