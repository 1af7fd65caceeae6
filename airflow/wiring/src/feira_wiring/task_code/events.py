"""What a task's code does to events, as far as it is followed."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import FunctionType, MethodType, ModuleType
from typing import Any

from airflow.sdk.definitions.asset import AssetRef, BaseAsset

from feira_wiring.model import AssetId, Named
from feira_wiring.task_code.values import (
    MOST,
    Args,
    Choice,
    Context,
    Event,
    Events,
    Instance,
    Known,
    Like,
    Local,
    Many,
    Method,
    Partial,
    Super,
    Value,
    each_of,
    is_given_later,
    joined,
    options_of,
)


@dataclass
class Effects:
    """``keyed``: outlets that are given keys for certain; ``maybe_keyed``: those that may be.

    ``resolved``: what each alias becomes; ``certain``: what of that it becomes in every run;
    ``lost``: aliases whose assets are not known from the code. ``touched``: what the code writes
    events of under no condition.
    """

    keyed: set[AssetId] = field(default_factory=set)
    maybe_keyed: set[AssetId] = field(default_factory=set)
    resolved: dict[AssetId, set[AssetId | Named]] = field(default_factory=dict)
    certain: dict[AssetId, set[AssetId | Named]] = field(default_factory=dict)
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
        # Whether a loop over nothing holds what would be done to events.
        self.passed = False
        self.sure = True
        # Within a branch. Unlike ``sure``, a loop, a try and an earlier return leave it as it is.
        self.under_condition = False
        # Whether a context, or events, came into the code at all.
        self.met = False
        # A context that is lost is harmless where no code has words for what can be done with it.
        self.lost_context = False
        # The functions that were followed, and those that were lost.
        self.functions: list[Any] = []

    def lose(self, *values: Any) -> None:
        """These values went where they cannot be followed."""
        for value in values:
            match value:
                case Context():
                    self.lost_context = self.met = True
                case Events():
                    self._maybe(self.outlets)
                    self.met = True
                case Event(assets):
                    self._maybe(assets)
                case Known(FunctionType() | MethodType() | functools.partial() as function):
                    self.functions.append(function)
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

    def unread(self, *values: Any) -> None:
        """To code that cannot be read: it may do anything with them."""
        before, self.lost_context = self.lost_context, False
        self.lose(*values)
        if self.lost_context:
            self.lose(Events())
        self.lost_context |= before

    def _maybe(self, assets: Any) -> None:
        self.found.maybe_keyed |= set(assets)
        self.found.lost |= {each for each in assets if each.kind == "alias"}

    def turns(self, over: Any) -> tuple[list[Any], bool]:
        """What a loop is given turn by turn, and whether it has all these turns."""
        found: list[Any] = []
        sure = not isinstance(over, Choice)
        for option in options_of(over):
            many = each_of(option)
            if isinstance(many, Many):
                found += many.items
            else:
                self.lose(option)
                found.append(None)
                sure = False
        return found, sure

    def rows(self, columns: Args) -> tuple[list[Args], bool]:
        """The turns of several loops side by side, and whether there are so many."""
        given = [self.turns(each) for each in columns]
        certain = [len(items) for items, sure in given if sure]
        most = min(certain) if certain else max((len(items) for items, _ in given), default=0)
        rows = [
            tuple(items[row] if sure else joined(items) for items, sure in given)
            for row in range(most)
        ]
        return rows, len(certain) == len(given)

    @contextlib.contextmanager
    def condition(self) -> Iterator[None]:
        before, self.under_condition = self.under_condition, True
        try:
            yield
        finally:
            self.under_condition = before

    def wrote(self, event: Any) -> None:
        if isinstance(event, Event) and event.sure and not self.under_condition:
            self.found.touched |= event.assets

    def added(self, event: Event) -> None:
        self.wrote(event)
        to = self.found.keyed if event.sure and self.sure else self.found.maybe_keyed
        to |= event.assets

    def given_keys(self, held: Any) -> None:
        """Keys are put into an event's ``partition_keys``, by whichever name."""
        for event in options_of(held):
            if isinstance(event, Event):
                self.added(event if event is held else replace(event, sure=False))

    def resolves(self, event: Any, asset: Any) -> None:
        self.wrote(event)
        aliases = [each for each in getattr(event, "assets", self.outlets) if each.kind == "alias"]
        targets = {
            each.named if isinstance(each, Like) else self.id_of(each) for each in options_of(asset)
        }
        for alias in aliases:
            if None in targets or not targets:
                self.found.lost.add(alias)
            known = {each for each in targets if each is not None}
            self.found.resolved.setdefault(alias, set()).update(known)
            if self.sure and getattr(event, "sure", False) and len(targets) == 1:
                self.found.certain.setdefault(alias, set()).update(known)

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
                if isinstance(value, property | functools.cached_property):
                    self.lose(owner)
                    return None
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
                if not isinstance(key, Known):
                    self.lose(owner)
                return None
            case Choice(items):
                return joined([self.item(each, key) for each in items])
            case Events():
                ids = [self.id_of(each) for each in options_of(key)]
                if ids and all(ids):
                    assets = frozenset(each for each in ids if each is not None)
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
                return joined([Known(each) for each in options]) if len(options) <= MOST else None
        return None
