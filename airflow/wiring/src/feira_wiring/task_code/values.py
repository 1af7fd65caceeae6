"""What a name in a task's code can stand for, as far as it matters to events, and what is done to those.

Beside the values here, None is "anything".
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from airflow.sdk.definitions._internal.mixins import ResolveMixin

from feira_wiring.model import AssetId, Named

# What a call is given.
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


# Turns of a loop, and values of a choice, that are followed one by one.
MOST = 50


class Value:
    """The base of them all."""


@dataclass(frozen=True, eq=False)
class Known(Value):
    value: Any


@dataclass(frozen=True)
class Text(Value):
    """A text of which a part is not known, as a regular expression."""

    pattern: str


@dataclass(frozen=True)
class Like(Value):
    """An asset whose name or URI is such a text."""

    named: Named


@dataclass(frozen=True)
class Context(Value):
    pass


@dataclass(frozen=True)
class Events(Value):
    pass


@dataclass(frozen=True)
class Event(Value):
    assets: frozenset[AssetId]
    sure: bool


@dataclass(frozen=True)
class Method(Value):
    owner: Any
    name: str


@dataclass(frozen=True)
class Many(Value):
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Choice(Value):
    items: tuple[Any, ...]


@dataclass(frozen=True)
class Partial(Value):
    function: Any
    args: Args
    kwargs: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Caller(Value):
    name: str
    args: Args


@dataclass(eq=False)
class Instance(Value):
    kind: type
    attributes: dict[str, Any]


@dataclass(eq=False)
class Super(Value):
    owner: type
    of: Any


@dataclass(eq=False)
class Local(Value):
    """A function or lambda that is written within another."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    frame: Frame


@dataclass(eq=False)
class Frame:
    names: dict[str, Any]
    function: FunctionType
    owner: type | None = None
    returns: list[Any] = field(default_factory=list)
    # names of another function or of the module
    shared: set[str] = field(default_factory=set)


def is_given_later(value: Any) -> bool:
    """Whether another task or a template gives a value, or one within it, when the task runs."""
    match value:
        case str():
            return "{{" in value or "{%" in value
        case list() | tuple() | set():
            return any(map(is_given_later, value))
        case dict():
            return any(map(is_given_later, value.values()))
    return isinstance(value, ResolveMixin)


def text_of(parts: list[Any]) -> Any:
    """Values written one after another: a text, or a pattern where one is not known."""
    if all(isinstance(each, Known) and isinstance(each.value, str | int) for each in parts):
        return Known("".join(str(each.value) for each in parts))
    return Text("".join(map(pattern_of, parts)))


def pattern_of(value: Any) -> str:
    match value:
        case Known(str() | int() as known):
            return re.escape(str(known))
        case Text(pattern):
            return pattern
    return ".*"


def is_text(value: Any) -> bool:
    return isinstance(value, Text) or (isinstance(value, Known) and isinstance(value.value, str))


def formatted(pattern: str) -> Text:
    """The pattern of a text whose ``{fields}`` and ``%s`` are filled in."""
    field = r"\\\{[^{}]*\\\}|%(?:\\?\([^)]*\))?[-\\ .\d]*\w"
    return Text(re.sub(field, ".*", pattern))


def each_of(value: Any) -> Any:
    """A value as what a loop over it gives."""
    match value:
        case Many():
            return value
        case Known(held) if isinstance(held, list | tuple | set | frozenset):
            return Many(tuple(map(Known, held)))
        case Known(held) if isinstance(held, dict):
            return Many(tuple(map(Known, held)))
    return value


def items_of(value: Any) -> tuple[Any, ...]:
    many = each_of(value)
    return many.items if isinstance(many, Many) else ()


def part_of(value: Any, number: int) -> Any:
    """One of the values that a value is taken apart into."""
    if isinstance(value, Choice):
        return joined([part_of(each, number) for each in value.items])
    items = items_of(value)
    return items[number] if -len(items) <= number < len(items) else None


def maybe_all(items: list[Any], sure: bool) -> Any:
    """Many values; where it is not sure that there are so many, as many or none."""
    return Many(tuple(items)) if sure else joined([Many(tuple(items)), Many(())])


def options_of(value: Any) -> tuple[Any, ...]:
    return value.items if isinstance(value, Choice) else (value,)


def joined(values: list[Any]) -> Any:
    """One of these values."""
    flat: list[Any] = []
    for each in values:
        for option in options_of(each):
            if not any(_same(option, other) for other in flat):
                flat.append(option)
    if len(flat) == 1:
        return flat[0]
    return Choice(tuple(flat)) if flat else None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Known) and isinstance(other, Known):
        return one.value is other.value
    return one is other or bool(one == other)
