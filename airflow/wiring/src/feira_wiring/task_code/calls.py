"""What a call in a task's code does, by what is called."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any, cast

from airflow.sdk import Asset, AssetAlias, Metadata, get_current_context
from airflow.sdk.definitions.asset import BaseAsset

from feira_wiring.model import Named
from feira_wiring.task_code.events import EventReader
from feira_wiring.task_code.functions import (
    functions,
    is_library,
    mentions_events,
    own_code,
)
from feira_wiring.task_code.values import (
    Args,
    Caller,
    Choice,
    Context,
    Event,
    Events,
    Frame,
    Instance,
    Known,
    Kwargs,
    Like,
    Local,
    Many,
    Method,
    Partial,
    Super,
    Text,
    each_of,
    formatted,
    joined,
    maybe_all,
    pattern_of,
)

_SAME_FUNCTIONS = (list, tuple, set, frozenset, sorted, reversed, iter)


@dataclass(frozen=True)
class Call:
    """A function whose text is known, and what it is called with.

    ``outer``: the frame that it is written in. ``owner``: the class that it is a method of.
    ``entry``: Airflow calls it.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    function: FunctionType
    args: Args
    kwargs: Kwargs
    outer: Frame | None = None
    owner: type | None = None
    entry: bool = False


class CallReader(EventReader, ABC):
    """Follows calls into the code that they run, as far as it can be read."""

    @abstractmethod
    def body(self, of: Call) -> Any:
        """What a call returns, once the text of its function is followed."""

    def call(self, what: Any, args: Args, kwargs: Kwargs, entry: bool = False) -> Any:
        match what:
            case Method(Event() as event, "add_partitions"):
                return self.added(event)
            case Method(Event() as event, "add"):
                return self.resolves(event, args[0] if args else kwargs.get("asset"))
            case Method(Choice(items), name):
                return joined(
                    [self.conditional(Method(each, name), args, kwargs) for each in items]
                )
            case Method(Context(), "get" | "__getitem__" | "pop"):
                return self.item(Context(), args[0] if args else None)
            case Method(Events(), "get" | "__getitem__"):
                return self.item(Events(), args[0] if args else None)
            case Method(Events(), "for_asset"):
                values: Any = {name: getattr(each, "value", None) for name, each in kwargs.items()}
                try:
                    key: Any = Asset(**values) if len(values) == 2 else Asset.ref(**values)
                except Exception:
                    key = None
                return self.item(Events(), Known(key) if key else None)
            case Method(Events(), "for_asset_alias"):
                alias = getattr(kwargs.get("name"), "value", None)
                return self.item(Events(), Known(AssetAlias(alias)) if alias else None)
            case Method(Context(), "copy"):
                return Context()
            case Method(Events() | Context() as own, "values" | "items"):
                return self.lose(own)
            case Method(Events() | Event() | Context(), _):
                return self.handed(*args, *kwargs.values())
            case Method(Method(Event() as event, "partition_keys"), "add" | "update"):
                return self.added(event)
            case Method(Method(Event() as event, "extra"), name):
                return self.wrote(event) if name in ("update", "setdefault") else None
            case Method(Many(items), "values" | "copy"):
                return Many(items)
            case Method(Many(), "append" | "add" | "extend" | "update"):
                return self.lose(*args, *kwargs.values())
            case Method(Instance(kind, attributes) as own, name):
                if name in attributes:
                    return self.call(attributes[name], args, kwargs)
                return self.member(kind, name, own, args, kwargs)
            case Method(Super(owner, of), name):
                kind = of.kind if isinstance(of, Instance) else type(getattr(of, "value", None))
                after = (
                    kind.__mro__[kind.__mro__.index(owner) + 1 :] if owner in kind.__mro__ else ()
                )
                for base in after:
                    if name in vars(base):
                        return self.function(vars(base)[name], base, (of, *args), kwargs)
                return self.unread(*args, *kwargs.values())
            case Method(Known(str()) | Text() as form, "format"):
                return formatted(pattern_of(form))
            case Method(Known(value) as own, name):
                return self.method_of(value, name, own, args, kwargs)
            case Partial(function, before, named):
                return self.call(function, (*before, *args), {**dict(named), **kwargs}, entry)
            case Caller(name, more):
                return self.call(Method(args[0] if args else None, name), more, kwargs)
            case Local(node, frame):
                return self.body(
                    Call(node, frame.function, args, kwargs, outer=frame, owner=frame.owner)
                )
            case Choice(items):
                return joined([self.conditional(each, args, kwargs) for each in items])
            case Known(value):
                return self.known(value, args, kwargs, entry)
            case Instance(kind, _):
                return self.member(kind, "__call__", what, args, kwargs)
        self.unread(what, *args, *kwargs.values())
        return None

    def conditional(self, what: Any, args: Args, kwargs: Kwargs) -> Any:
        before, self.sure = self.sure, False
        try:
            with self.condition():
                return self.call(what, args, kwargs)
        finally:
            self.sure = before

    def member(self, kind: type, name: str, own: Any, args: Args, kwargs: Kwargs) -> Any:
        for base in kind.__mro__:
            if name in vars(base):
                value = vars(base)[name]
                if isinstance(value, staticmethod):
                    return self.function(value.__func__, base, args, kwargs)
                if isinstance(value, classmethod):
                    return self.function(value.__func__, base, (Known(kind), *args), kwargs)
                return self.function(value, base, (own, *args), kwargs)
        return self.unread(own, *args, *kwargs.values())

    def method_of(self, value: Any, name: str, own: Known, args: Args, kwargs: Kwargs) -> Any:
        if isinstance(value, ModuleType):
            return self.call(Known(vars(value).get(name)), args, kwargs)
        if isinstance(value, type):
            if name == "ref" and value is Asset:
                given: Any = {name: getattr(each, "value", None) for name, each in kwargs.items()}
                try:
                    return Known(Asset.ref(**given))
                except Exception:
                    return None
            for base in value.__mro__:
                if name in vars(base):
                    member = vars(base)[name]
                    if isinstance(member, classmethod):
                        return self.function(member.__func__, base, (own, *args), kwargs)
                    return self.function(getattr(member, "__func__", member), base, args, kwargs)
        instance = getattr(value, "__dict__", {})
        if isinstance(instance, Mapping) and name in instance:
            return self.call(Known(instance[name]), args, kwargs)
        if isinstance(value, Mapping) and name in ("get", "values", "items", "keys"):
            return self.mapping(value, name, args)
        if is_library(type(value).__module__):
            return self.handed(*args, *kwargs.values())
        return self.member(type(value), name, own, args, kwargs)

    def mapping(self, value: Mapping[Any, Any], name: str, args: Args) -> Any:
        if name == "get":
            return self.item(Known(value), args[0] if args else None)
        if name == "items":
            return Many(tuple(Many((Known(k), Known(v))) for k, v in value.items()))
        return Many(tuple(Known(each) for each in getattr(value, name)()))

    def function(self, value: Any, owner: type | None, args: Args, kwargs: Kwargs) -> Any:
        value = own_code(value)
        if not isinstance(value, FunctionType):
            module = getattr(value, "__module__", None) or getattr(owner, "__module__", None)
            wraps = isinstance(value, functools.partial | functools.partialmethod)
            if is_library(module) and not wraps:
                return self.handed(*args, *kwargs.values())
            return self.unread(*args, *kwargs.values())
        return self.python(value, owner, args, kwargs, entry=False)

    def known(self, value: Any, args: Args, kwargs: Kwargs, entry: bool) -> Any:
        first = args[0] if args else None
        if _is_current_context(value):
            self.met = True
            return Context()
        if any(value is each for each in _SAME_FUNCTIONS):
            return first if isinstance(first, Many | Choice) else each_of(first)
        if value is enumerate:
            items, sure = self.turns(first)
            return maybe_all([Many((None, each)) for each in items], sure)
        if value is zip:
            rows, sure = self.rows(args)
            return maybe_all([Many(each) for each in rows], sure)
        if value is map:
            rows, sure = self.rows(args[1:])
            follow = self.call if sure else self.conditional
            return maybe_all([follow(first, each, {}) for each in rows], sure)
        if value is next:
            items, _ = self.turns(first)
            return joined([*items, *args[1:]])
        if value is setattr or _gives_back(value):
            return self.lose(*args, *kwargs.values())
        if value is functools.partial:
            return Partial(first, args[1:], tuple(kwargs.items()))
        if value is operator.methodcaller and isinstance(first, Known):
            return Caller(first.value, args[1:])
        if value is operator.itemgetter or value is operator.attrgetter:
            return None
        if value is getattr:
            name = args[1] if len(args) > 1 else None
            if isinstance(name, Known) and isinstance(name.value, str):
                return self.attribute(first, name.value)
            return self.lose(first)
        if value is Metadata:
            alias = kwargs.get("alias") or (args[2] if len(args) > 2 else None)
            target = first or kwargs.get("asset")
            if alias is not None:
                self.resolves(self.item(Events(), alias), target)
            elif target is not None:
                self.wrote(self.item(Events(), target))
            return None
        if isinstance(value, functools.partial):
            named = {name: Known(each) for name, each in value.keywords.items()}
            more = tuple(Known(each) for each in value.args)
            return self.call(Known(value.func), (*more, *args), {**named, **kwargs}, entry)
        if isinstance(value, MethodType):
            own = Known(value.__self__)
            owner = next(
                (each for each in type(value.__self__).__mro__ if value.__name__ in vars(each)),
                None,
            )
            return self.function(value.__func__, owner, (own, *args), kwargs)
        if isinstance(value, type):
            return self.made(value, args, kwargs)
        if isinstance(value, operator.methodcaller):
            parts: Any = value.__reduce__()[1]
            called, *given = parts
            return self.call(Method(first, str(called)), tuple(map(Known, given)), {})
        if isinstance(value, FunctionType):
            return self.python(value, None, args, kwargs, entry)
        wrapped = getattr(value, "function", None) or getattr(value, "__wrapped__", None)
        if isinstance(wrapped, FunctionType):  # a decorated function, such as lru_cache's
            return self.python(wrapped, None, args, kwargs, entry)
        if callable(value) and not is_library(type(value).__module__):
            return self.member(type(value), "__call__", Known(value), args, kwargs)
        if not is_library(getattr(value, "__module__", None) or "builtins"):
            return self.unread(*args, *kwargs.values())
        return self.handed(*args, *kwargs.values())

    def handed(self, *values: Any) -> None:
        """To a library: it adds no key itself, but may call what it is handed, with the rest."""
        if any(map(_is_callable, values)):
            self.lose(*values)

    def made(self, kind: type, args: Args, kwargs: Kwargs) -> Any:
        if issubclass(kind, BaseAsset):
            plain = [each.value for each in args if isinstance(each, Known)]
            named = {name: each.value for name, each in kwargs.items() if isinstance(each, Known)}
            if len(plain) < len(args) or {"name", "uri"} & (set(kwargs) - set(named)):
                given = [*args, *(kwargs[name] for name in ("name", "uri") if name in kwargs)]
                texts = [each for each in given if isinstance(each, Text)]
                return Like(Named(texts[0].pattern)) if texts and kind is Asset else None
            try:
                return Known(kind(*plain, **named))
            except Exception:
                return None
        instance = Instance(kind, {})
        if kind is contextlib.suppress:
            return instance
        if is_library(kind.__module__):
            return self.handed(*args, *kwargs.values())
        fields = getattr(kind, "__dataclass_fields__", None) or getattr(
            kind, "__annotations__", None
        )
        init = inspect.getattr_static(kind, "__init__", None)
        if isinstance(init, FunctionType) and init.__code__.co_filename.startswith("<") and fields:
            instance.attributes.update(zip(fields, args, strict=False))
            instance.attributes.update(kwargs)
        elif isinstance(init, FunctionType):
            owner = next(each for each in kind.__mro__ if "__init__" in vars(each))
            self.function(init, owner, (instance, *args), kwargs)
        else:
            instance.attributes.update(zip(fields or (), args, strict=False))
            instance.attributes.update(kwargs)
        return instance

    def python(
        self, function: FunctionType, owner: type | None, args: Args, kwargs: Kwargs, entry: bool
    ) -> Any:
        function = own_code(function)
        if is_library(function.__globals__.get("__name__")):
            return self.handed(*args, *kwargs.values())
        code = function.__code__
        node = functions(code.co_filename).get((code.co_name, code.co_firstlineno))
        if node is None:
            if entry and mentions_events(code):
                self.lose(Events())
            self.unread(*args, *kwargs.values())
            return None
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        return self.body(Call(node, function, args, kwargs, owner=owner, entry=entry))


def _is_current_context(value: Any) -> bool:
    """Also that of the standard provider, which is a function of its own."""
    return (
        isinstance(value, FunctionType)
        and value.__name__ == get_current_context.__name__
        and is_library(value.__module__)
    )


def _gives_back(value: Any) -> bool:
    """Whether a library's function or class returns, or holds, what it is given."""
    modules = ("itertools", "collections", "copy")
    given_back = any(value is each for each in (dict, filter, cast))
    return given_back or getattr(value, "__module__", None) in modules


def _is_callable(value: Any) -> bool:
    match value:
        case Method(Event(), name):
            return name in ("add", "add_partitions")
        case Method() | Partial() | Caller() | Local():
            return True
        case Many(items) | Choice(items):
            return any(map(_is_callable, items))
        case Known(functools.partial()):
            return True
        case Known(FunctionType() | MethodType() as function):
            return not is_library(getattr(function, "__module__", None))
    return False
