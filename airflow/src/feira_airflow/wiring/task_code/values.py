"""What a name in a task's code can stand for, as far as it matters to events.

Beside these, None is "anything".
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from feira_airflow.wiring.model import AssetId


class Value:
    """The base of them all."""


@dataclass(frozen=True, eq=False)
class Known(Value):
    value: Any


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
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Caller(Value):
    name: str
    args: tuple[Any, ...]


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
    sure: bool = True


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
