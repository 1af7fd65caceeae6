"""What a name in a task's code can stand for, as far as it matters to events, and what is done to those.

Beside the values here, None is "anything".
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from airflow.sdk.definitions._internal.mixins import ResolveMixin
from airflow.sdk.definitions.asset import AssetRef, BaseAsset

from feira_wiring.model import AssetId, Named

# What a call is given.
Args = tuple[Any, ...]
Kwargs = dict[str, Any]


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
    sure: bool = True


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


@dataclass
class Effects:
    """``keyed``: outlets that are given keys for certain; ``maybe_keyed``: those that may be.

    ``resolved``: what each alias becomes; ``lost``: aliases whose assets are not known from the
    code. ``touched``: what else the code looks up among the events.
    """

    keyed: set[AssetId] = field(default_factory=set)
    maybe_keyed: set[AssetId] = field(default_factory=set)
    resolved: dict[AssetId, set[AssetId | Named]] = field(default_factory=dict)
    lost: set[AssetId] = field(default_factory=set)
    touched: set[AssetId] = field(default_factory=set)


class EventReader:
    """Follows values to events; what is done to those goes to ``found``."""

    def __init__(
        self,
        task: Any,
        outlets: tuple[AssetId, ...],
        asset_of: Callable[[Any], AssetId | None],
        found: Effects,
    ) -> None:
        self.task, self.outlets, self.asset_of, self.found = task, outlets, asset_of, found
        self.steps = self.depth = 0
        self.entered = False
        self.sure = True

    def lose(self, *values: Any) -> None:
        """These values went where they cannot be followed."""
        for value in values:
            match value:
                case Context() | Events():
                    self._maybe(self.outlets)
                case Event(assets):
                    self._maybe(assets)
                case Method(owner, _):
                    self.lose(owner)
                case Many(items) | Choice(items):
                    self.lose(*items)
                case Partial(function, args, kwargs):
                    self.lose(function, *args, *(each for _, each in kwargs))
                case Instance(_, attributes):
                    self.lose(*[each for each in attributes.values() if each is not value])
                case Local(node, frame):
                    used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
                    held = (each for name, each in frame.names.items() if name in used)
                    self.lose(*(each for each in held if not isinstance(each, Local)))

    def _maybe(self, assets: Any) -> None:
        self.found.maybe_keyed |= set(assets)
        self.found.lost |= {each for each in assets if each.kind == "alias"}

    def added(self, event: Event) -> None:
        to = self.found.keyed if event.sure and self.sure else self.found.maybe_keyed
        to |= event.assets

    def resolves(self, event: Any, asset: Any) -> None:
        aliases = [each for each in getattr(event, "assets", self.outlets) if each.kind == "alias"]
        targets = {
            each.named if isinstance(each, Like) else self.id_of(each) for each in options_of(asset)
        }
        for alias in aliases:
            if None in targets or not targets:
                self.found.lost.add(alias)
            self.found.resolved.setdefault(alias, set()).update(
                each for each in targets if each is not None
            )

    def id_of(self, value: Any) -> AssetId | None:
        if isinstance(value, Known):
            if isinstance(value.value, AssetId):
                return value.value
            try:
                return self.asset_of(value.value)
            except Exception:
                return None
        return None

    def attribute(self, owner: Any, name: str) -> Any:
        match owner:
            case Event() | Events() | Context():
                return Method(owner, name)
            case Instance(kind, attributes):
                if name in attributes:
                    found = attributes[name]
                    return found if found is None or isinstance(found, Value) else Known(found)
                if name == "outlets":
                    return self.own_outlets()
                if not hasattr(kind, name):
                    return None
                value = inspect.getattr_static(kind, name)
                return (
                    Method(owner, name)
                    if callable(getattr(value, "__func__", value))
                    else Known(value)
                )
            case Many() | Super() | Choice() | Method():
                return Method(owner, name)
            case Known(value):
                if value is self.task and name == "outlets":
                    return self.own_outlets()
                if isinstance(value, ModuleType):
                    return Known(vars(value)[name]) if name in vars(value) else None
                held = getattr(value, "__dict__", {})
                if isinstance(held, Mapping) and name in held and not isinstance(value, type):
                    rendered = name in getattr(value, "template_fields", ())
                    return None if rendered and is_given_later(held[name]) else Known(held[name])
                if isinstance(value, BaseAsset | AssetRef):
                    return Known(getattr(value, name, None))
                of_class = inspect.getattr_static(type(value), name, None)
                if of_class is not None and not hasattr(of_class, "__get__"):
                    return Known(of_class)
                return Method(owner, name)
        return None

    def own_outlets(self) -> Many:
        return Many(tuple(Known(each) for each in self.outlets))

    def item(self, owner: Any, key: Any) -> Any:
        match owner:
            case Context():
                word = getattr(key, "value", None)
                if word == "outlet_events":
                    return Events()
                if word == "task":
                    return Known(self.task)
                return None
            case Events():
                ids = [self.id_of(each) for each in options_of(key)]
                if ids and all(ids):
                    assets = frozenset(each for each in ids if each is not None)
                    self.found.touched |= assets
                    return Event(assets, sure=len(assets) == 1)
                return Event(frozenset(self.outlets), sure=len(self.outlets) == 1)
            case Many(items):
                number = getattr(key, "value", None)
                if isinstance(number, int) and -len(items) <= number < len(items):
                    return items[number]
                return joined(list(items)) if items else None
            case Known(value) if isinstance(key, Known) and isinstance(value, dict | list | tuple):
                try:
                    return Known(value[key.value])
                except Exception:
                    return None
            case Known(value) if isinstance(value, dict | list | tuple):
                options = list(value.values()) if isinstance(value, dict) else list(value)
                return joined([Known(each) for each in options[:50]])
        return None
