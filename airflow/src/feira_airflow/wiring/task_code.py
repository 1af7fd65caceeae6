"""What the code of a task does to its outlets' events, read from its syntax tree and never run.

Values are followed from ``outlet_events`` through assignments, loops, helpers, methods and partials.
Where one is lost (handed to code that cannot be read), the answer is "may", never "does".
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from airflow.sdk import Asset, AssetAlias, Metadata, get_current_context
from airflow.sdk.definitions.asset import AssetRef, BaseAsset

from feira_airflow.wiring.model import AssetId

_DEPTH = 20
_STEPS = 20_000
_LIBRARIES = sys.stdlib_module_names | {"airflow"}


@dataclass
class Effects:
    """``keyed``: outlets that are given keys for certain; ``maybe_keyed``: those that may be.

    ``resolved``: what each alias becomes; ``lost``: aliases whose assets are not known from the
    code. ``touched``: what else the code looks up among the events.
    """

    keyed: set[AssetId] = field(default_factory=set)
    maybe_keyed: set[AssetId] = field(default_factory=set)
    resolved: dict[AssetId, set[AssetId]] = field(default_factory=dict)
    lost: set[AssetId] = field(default_factory=set)
    touched: set[AssetId] = field(default_factory=set)


# What a name can stand for, beside a plain Python object (Known). None is "anything".
@dataclass(frozen=True, eq=False)
class _Known:
    value: Any


@dataclass(frozen=True)
class _Context:
    pass


@dataclass(frozen=True)
class _Events:
    pass


@dataclass(frozen=True)
class _Event:
    assets: frozenset[AssetId]
    sure: bool


@dataclass(frozen=True)
class _Method:
    owner: Any
    name: str


@dataclass(frozen=True)
class _Many:
    items: tuple[Any, ...]


@dataclass(frozen=True)
class _Choice:
    items: tuple[Any, ...]


@dataclass(frozen=True)
class _Partial:
    function: Any
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class _Caller:
    name: str
    args: tuple[Any, ...]


@dataclass(eq=False)
class _Instance:
    kind: type
    attributes: dict[str, Any]


@dataclass(eq=False)
class _Super:
    owner: type
    of: Any


@dataclass(eq=False)
class _Local:
    """A function or lambda that is written within another."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    frame: _Frame


@dataclass(eq=False)
class _Frame:
    names: dict[str, Any]
    function: FunctionType
    owner: type | None = None
    returns: list[Any] = field(default_factory=list)
    sure: bool = True


class _TooLong(Exception):
    pass


def effects(
    task: Any, outlets: tuple[AssetId, ...], asset_of: Callable[[Any], AssetId | None]
) -> Effects:
    """What a task's own code does to the events of its outlets. Library code is taken to add no key."""
    found = Effects()
    reader = _Reader(task, outlets, asset_of, found)
    try:
        for entry, args, kwargs, sure in _entries(task):
            reader.start(entry, args, kwargs, sure)
    except Exception:  # too long, or objects of a DAG file that do not behave: nothing is known
        reader.lose(_Events())
    if not reader.entered:
        found.lost |= {each for each in outlets if each.kind == "alias"}
    return found


def _entries(task: Any) -> Iterator[tuple[Any, tuple[Any, ...], dict[str, Any], bool]]:
    more = getattr(task, "partial_kwargs", None) if task.is_mapped else None
    given: Mapping[str, Any] = more if isinstance(more, Mapping) else {}
    function = getattr(task, "python_callable", None) or given.get("python_callable")
    if function is not None:
        op_args = getattr(task, "op_args", None) or given.get("op_args") or ()
        op_kwargs = getattr(task, "op_kwargs", None) or given.get("op_kwargs") or {}
        if not isinstance(op_args, list | tuple):
            op_args = ()
        named = dict(op_kwargs) if isinstance(op_kwargs, Mapping) else {}
        yield (
            _Known(function),
            tuple(_known(each) for each in op_args),
            {name: _known(each) for name, each in named.items()},
            True,
        )
    for hook in ("_pre_execute_hook", "_post_execute_hook"):
        called = getattr(task, hook, None) or given.get(hook.strip("_").removesuffix("_hook"))
        if called is not None:
            yield _Known(called), (_Context(), None), {}, True
    kind = getattr(task, "operator_class", type(task))
    own = _Instance(kind, dict(given)) if task.is_mapped else _Known(task)
    names: dict[str, None] = {}
    for each in kind.__mro__:
        if not _is_library(each.__module__):
            names |= {name: None for name, value in vars(each).items() if inspect.isroutine(value)}
    for name in names:
        member = _own_code(inspect.getattr_static(kind, name))
        if isinstance(member, FunctionType) and "context" in _parameters(member):
            sure = name in ("pre_execute", "execute", "post_execute")
            yield _Method(own, name), (), {"context": _Context()}, sure


def _known(value: Any) -> Any:
    from airflow.sdk.definitions.xcom_arg import XComArg

    return None if isinstance(value, XComArg) else _Known(value)


def _parameters(function: FunctionType) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _own_code(value: Any) -> Any:
    """The function itself, without what a library has wrapped around it: lru_cache, Airflow's checks."""
    while (wrapped := getattr(value, "__wrapped__", None)) is not None:
        if isinstance(value, FunctionType) and not _is_library(value.__globals__.get("__name__")):
            break
        value = wrapped
    return value


def _is_library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in _LIBRARIES


@lru_cache(maxsize=512)
def _functions(file: str) -> Mapping[tuple[str, int], ast.AST | None]:
    """The functions of a file by name and first line; None where two lambdas share one."""
    found: dict[tuple[str, int], ast.AST | None] = {}
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            found[node.name, first] = node
        elif isinstance(node, ast.Lambda):
            key = ("<lambda>", node.lineno)
            found[key] = None if key in found else node
    return found


def _mentions(code: CodeType) -> bool:
    """Whether code names add_partitions or anything that holds events."""
    words = {"add_partitions", "outlet_events"}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if _mentions(constant):
                return True
        elif isinstance(constant, str) and constant in words:
            return True
    return bool(words & {*code.co_names, *code.co_varnames})


class _Reader:
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

    def start(self, entry: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sure: bool) -> None:
        self.sure = sure
        self.call(entry, args, kwargs, entry=True)
        self.sure = True

    # what is found

    def lose(self, *values: Any) -> None:
        """These values went where they cannot be followed."""
        for value in values:
            match value:
                case _Context() | _Events():
                    self._maybe(self.outlets)
                case _Event(assets):
                    self._maybe(assets)
                case _Method(owner, _):
                    self.lose(owner)
                case _Many(items) | _Choice(items):
                    self.lose(*items)
                case _Partial(function, args, kwargs):
                    self.lose(function, *args, *(each for _, each in kwargs))
                case _Instance(_, attributes):
                    self.lose(*[each for each in attributes.values() if each is not value])
                case _Local(node, frame):
                    used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
                    held = (each for name, each in frame.names.items() if name in used)
                    self.lose(*(each for each in held if not isinstance(each, _Local)))

    def _maybe(self, assets: Any) -> None:
        self.found.maybe_keyed |= set(assets)
        self.found.lost |= {each for each in assets if each.kind == "alias"}

    def added(self, event: Any) -> None:
        if isinstance(event, _Choice):
            for each in event.items:
                self.found.maybe_keyed |= each.assets if isinstance(each, _Event) else set()
        elif isinstance(event, _Event):
            to = self.found.keyed if event.sure and self.sure else self.found.maybe_keyed
            to |= event.assets

    def resolves(self, event: Any, asset: Any) -> None:
        aliases = [each for each in getattr(event, "assets", self.outlets) if each.kind == "alias"]
        targets = {self.id_of(each) for each in _options(asset)}
        for alias in aliases:
            if None in targets or not targets:
                self.found.lost.add(alias)
            self.found.resolved.setdefault(alias, set()).update(
                each for each in targets if each is not None
            )

    def id_of(self, value: Any) -> AssetId | None:
        if isinstance(value, _Known):
            if isinstance(value.value, AssetId):
                return value.value
            try:
                return self.asset_of(value.value)
            except Exception:
                return None
        return None

    # calls

    def call(
        self, what: Any, args: tuple[Any, ...], kwargs: dict[str, Any], entry: bool = False
    ) -> Any:
        match what:
            case _Method(_Event() as event, "add_partitions"):
                return self.added(event)
            case _Method(_Event() as event, "add"):
                return self.resolves(event, args[0] if args else kwargs.get("asset"))
            case _Method(_Choice(items), name):
                return _joined(
                    [self.conditional(_Method(each, name), args, kwargs) for each in items]
                )
            case _Method(_Context(), "get" | "__getitem__" | "pop"):
                return self.item(_Context(), args[0] if args else None)
            case _Method(_Events(), "get" | "__getitem__"):
                return self.item(_Events(), args[0] if args else None)
            case _Method(_Events(), "for_asset"):
                values: Any = {name: getattr(each, "value", None) for name, each in kwargs.items()}
                try:
                    key: Any = Asset(**values) if len(values) == 2 else Asset.ref(**values)
                except Exception:
                    key = None
                return self.item(_Events(), _Known(key) if key else None)
            case _Method(_Events(), "for_asset_alias"):
                alias = getattr(kwargs.get("name"), "value", None)
                return self.item(_Events(), _Known(AssetAlias(alias)) if alias else None)
            case _Method(_Events() | _Event() | _Context(), _):
                return None
            case _Method(_Many(items), "values" | "copy"):
                return _Many(items)
            case _Method(_Many(), "append" | "add" | "extend" | "update"):
                return self.lose(*args, *kwargs.values())
            case _Method(_Instance(kind, attributes) as own, name):
                if name in attributes:
                    return self.call(attributes[name], args, kwargs)
                return self.member(kind, name, own, args, kwargs)
            case _Method(_Super(owner, of), name):
                kind = of.kind if isinstance(of, _Instance) else type(getattr(of, "value", None))
                after = (
                    kind.__mro__[kind.__mro__.index(owner) + 1 :] if owner in kind.__mro__ else ()
                )
                for base in after:
                    if name in vars(base):
                        return self.function(vars(base)[name], base, (of, *args), kwargs)
                return self.lose(*args, *kwargs.values())
            case _Method(_Known(value) as own, name):
                return self.method_of(value, name, own, args, kwargs)
            case _Partial(function, before, named):
                return self.call(function, (*before, *args), {**dict(named), **kwargs}, entry)
            case _Caller(name, more):
                return self.call(_Method(args[0] if args else None, name), more, kwargs)
            case _Local(node, frame):
                return self.body(
                    node, frame.function, frame, args, kwargs, frame.owner, entry=False
                )
            case _Choice(items):
                return _joined([self.conditional(each, args, kwargs) for each in items])
            case _Known(value):
                return self.known(value, args, kwargs, entry)
            case _Instance(kind, _):
                return self.member(kind, "__call__", what, args, kwargs)
        self.lose(what, *args, *kwargs.values())
        return None

    def conditional(self, what: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before, self.sure = self.sure, False
        try:
            return self.call(what, args, kwargs)
        finally:
            self.sure = before

    def member(
        self, kind: type, name: str, own: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        for base in kind.__mro__:
            if name in vars(base):
                value = vars(base)[name]
                if isinstance(value, staticmethod):
                    return self.function(value.__func__, base, args, kwargs)
                if isinstance(value, classmethod):
                    return self.function(value.__func__, base, (_Known(kind), *args), kwargs)
                return self.function(value, base, (own, *args), kwargs)
        self.lose(*args, *kwargs.values())
        return None

    def method_of(
        self, value: Any, name: str, own: _Known, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if isinstance(value, ModuleType):
            return self.call(_Known(vars(value).get(name)), args, kwargs)
        if isinstance(value, type):
            for base in value.__mro__:
                if name in vars(base):
                    member = vars(base)[name]
                    if isinstance(member, classmethod):
                        return self.function(member.__func__, base, (own, *args), kwargs)
                    return self.function(getattr(member, "__func__", member), base, args, kwargs)
        instance = getattr(value, "__dict__", {})
        if isinstance(instance, Mapping) and name in instance:
            return self.call(_Known(instance[name]), args, kwargs)
        if isinstance(value, Mapping) and name in ("get", "values", "items", "keys"):
            return self.mapping(value, name, args)
        if _is_library(type(value).__module__):
            return None
        return self.member(type(value), name, own, args, kwargs)

    def mapping(self, value: Mapping[Any, Any], name: str, args: tuple[Any, ...]) -> Any:
        if name == "get":
            return self.item(_Known(value), args[0] if args else None)
        if name == "items":
            return _Many(tuple(_Many((_Known(k), _Known(v))) for k, v in value.items()))
        return _Many(tuple(_Known(each) for each in getattr(value, name)()))

    def function(
        self, value: Any, owner: type | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        value = _own_code(value)
        if not isinstance(value, FunctionType):
            module = getattr(value, "__module__", None) or getattr(owner, "__module__", None)
            return None if _is_library(module) else self.lose(*args, *kwargs.values())
        return self.python(value, owner, args, kwargs, entry=False)

    def known(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any], entry: bool) -> Any:
        first = args[0] if args else None
        if value is get_current_context:
            return _Context()
        if any(value is each for each in _SAME_FUNCTIONS):
            return first if isinstance(first, _Many | _Choice) else _each(first)
        if value is enumerate:
            return _Many(tuple(_Many((None, each)) for each in _items(first)))
        if value is zip:
            return _Many(tuple(_Many(each) for each in zip(*map(_items, args), strict=False)))
        if value is map:
            return _Many(
                tuple(
                    self.call(first, each, {}) for each in zip(*map(_items, args[1:]), strict=False)
                )
            )
        if value is functools.partial:
            return _Partial(first, args[1:], tuple(kwargs.items()))
        if value is operator.methodcaller and isinstance(first, _Known):
            return _Caller(first.value, args[1:])
        if value is operator.itemgetter or value is operator.attrgetter:
            return None
        if value is getattr:
            name = args[1] if len(args) > 1 else None
            if isinstance(name, _Known) and isinstance(name.value, str):
                return self.attribute(first, name.value)
            return self.lose(first)
        if value is Metadata:
            alias = kwargs.get("alias") or (args[2] if len(args) > 2 else None)
            target = first or kwargs.get("asset")
            if alias is not None:
                self.resolves(self.item(_Events(), alias), target)
            return None
        if isinstance(value, functools.partial):
            named = {name: _Known(each) for name, each in value.keywords.items()}
            more = tuple(_Known(each) for each in value.args)
            return self.call(_Known(value.func), (*more, *args), {**named, **kwargs}, entry)
        if isinstance(value, MethodType):
            own = _Known(value.__self__)
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
            return self.call(_Method(first, str(called)), tuple(map(_Known, given)), {})
        if isinstance(value, FunctionType):
            return self.python(value, None, args, kwargs, entry)
        wrapped = getattr(value, "function", None) or getattr(value, "__wrapped__", None)
        if isinstance(wrapped, FunctionType):  # a decorated function, such as lru_cache's
            return self.python(wrapped, None, args, kwargs, entry)
        if callable(value) and not _is_library(type(value).__module__):
            return self.member(type(value), "__call__", _Known(value), args, kwargs)
        if not _is_library(getattr(value, "__module__", None) or "builtins"):
            self.lose(*args, *kwargs.values())
        return None

    def made(self, kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if issubclass(kind, BaseAsset):
            plain = [each.value for each in args if isinstance(each, _Known)]
            named = {name: each.value for name, each in kwargs.items() if isinstance(each, _Known)}
            if len(plain) < len(args) or {"name", "uri"} & (set(kwargs) - set(named)):
                return None
            try:
                return _Known(kind(*plain, **named))
            except Exception:
                return None
        if _is_library(kind.__module__):
            return None
        instance = _Instance(kind, {})
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
        self,
        function: FunctionType,
        owner: type | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        entry: bool,
    ) -> Any:
        function = _own_code(function)
        if _is_library(function.__globals__.get("__name__")):
            return None
        code = function.__code__
        node = _functions(code.co_filename).get((code.co_name, code.co_firstlineno))
        if node is None:
            if entry and _mentions(code):
                self.lose(_Events())
            self.lose(*args, *kwargs.values())
            return None
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        return self.body(node, function, None, args, kwargs, owner, entry)

    def body(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda,
        function: FunctionType,
        outer: _Frame | None,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        owner: type | None,
        entry: bool,
    ) -> Any:
        if self.depth >= _DEPTH:
            raise _TooLong
        self.entered = True
        names = dict(outer.names) if outer is not None else {}
        names |= _bound(node.args, args, kwargs, function, entry)
        frame = _Frame(names, function, owner)
        self.depth += 1
        sure = self.sure
        try:
            if isinstance(node, ast.Lambda):
                return self.value(node.body, frame)
            for statement in node.body:
                self.statement(statement, frame)
        finally:
            self.depth -= 1
            self.sure = sure
        return _joined(frame.returns)

    # statements

    def statement(self, node: ast.stmt, frame: _Frame) -> None:
        self.steps += 1
        if self.steps > _STEPS:
            raise _TooLong
        match node:
            case ast.Assign(targets, value):
                found = self.value(value, frame)
                for target in targets:
                    self.assign(target, found, frame)
            case ast.AnnAssign(target, _, value) if value is not None:
                self.assign(target, self.value(value, frame), frame)
            case ast.AugAssign(target, _, value):
                self.value(value, frame)
            case ast.Expr(value) | ast.Return(value) if value is not None:
                found = self.value(value, frame)
                if isinstance(node, ast.Return):
                    frame.returns.append(found)
            case ast.If(test, body, orelse):
                self.value(test, frame)
                if _ends(body):
                    self.branch([body], frame)
                    self.sure = False  # what follows need not be reached
                    self.block(orelse, frame)
                else:
                    self.branch([body, orelse], frame)
            case ast.For(target, over, body, orelse) | ast.AsyncFor(target, over, body, orelse):
                items = self.value(over, frame)
                many = _each(items)
                if isinstance(many, _Many):
                    for each in many.items[:50]:
                        self.assign(target, each, frame)
                        self.block(body, frame)
                    self.block(orelse, frame)
                elif isinstance(items, _Events):
                    self.lose(items)
                else:
                    self.assign(target, None, frame)
                    self.branch([body], frame)
            case ast.While(test, body, orelse):
                self.value(test, frame)
                self.block([*body, *orelse], frame)
            case ast.With(items, body) | ast.AsyncWith(items, body):
                for item in items:
                    held = self.value(item.context_expr, frame)
                    if item.optional_vars is not None:
                        self.assign(item.optional_vars, held, frame)
                self.block(body, frame)
            case ast.Try(body, handlers, orelse, finalbody):
                self.block(body, frame)
                self.branch([handler.body for handler in handlers], frame)
                self.block([*orelse, *finalbody], frame)
            case ast.Match(subject, cases):
                self.value(subject, frame)
                self.branch([case.body for case in cases], frame)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                frame.names[node.name] = _Local(node, frame)
            case ast.Import(names) | ast.ImportFrom(names=names):
                self.imported(node, names, frame)

    def imported(self, node: ast.stmt, names: list[ast.alias], frame: _Frame) -> None:
        for each in names:
            module = node.module if isinstance(node, ast.ImportFrom) else each.name
            found = sys.modules.get(module or "")
            value = found if isinstance(node, ast.Import) else vars(found or ast).get(each.name)
            frame.names[each.asname or each.name] = _Known(value) if value is not None else None

    def block(self, statements: list[ast.stmt], frame: _Frame) -> None:
        for each in statements:
            self.statement(each, frame)

    def branch(self, blocks: list[list[ast.stmt]], frame: _Frame) -> None:
        """Blocks of which one or none is run."""
        before, names = self.sure, dict(frame.names)
        ends = []
        for block in blocks:
            self.sure = False
            frame.names = dict(names)
            self.block(block, frame)
            ends.append(frame.names)
        self.sure = before
        frame.names = {
            name: _joined([end.get(name, names.get(name)) for end in (names, *ends) if name in end])
            for name in {name for end in (names, *ends) for name in end}
        }

    def assign(self, target: ast.expr, value: Any, frame: _Frame) -> None:
        match target:
            case ast.Name(name):
                frame.names[name] = value
            case ast.Tuple(parts) | ast.List(parts):
                items = _items(value)
                for number, part in enumerate(parts):
                    self.assign(part, items[number] if number < len(items) else None, frame)
            case ast.Attribute(owner, name):
                held = self.value(owner, frame)
                if isinstance(held, _Instance):
                    held.attributes[name] = value
                elif name not in ("extra",):
                    self.lose(value)
            case ast.Subscript(owner):
                self.value(owner, frame)
                self.lose(value)

    # expressions

    def value(self, node: ast.expr, frame: _Frame) -> Any:
        self.steps += 1
        if self.steps > _STEPS:
            raise _TooLong
        match node:
            case ast.Constant(value):
                return _Known(value)
            case ast.Name(name):
                return self.name(name, frame)
            case ast.Attribute(owner, name):
                return self.attribute(self.value(owner, frame), name)
            case ast.Subscript(owner, key):
                return self.item(self.value(owner, frame), self.value(key, frame))
            case ast.Call():
                return self.called(node, frame)
            case ast.Tuple(parts) | ast.List(parts) | ast.Set(parts):
                items: list[Any] = []
                for part in parts:
                    if isinstance(part, ast.Starred):
                        items.extend(_items(self.value(part.value, frame)))
                    else:
                        items.append(self.value(part, frame))
                return _Many(tuple(items))
            case ast.Dict(_, values):
                return _Many(tuple(self.value(each, frame) for each in values))
            case ast.Lambda():
                return _Local(node, frame)
            case ast.NamedExpr(target, value):
                found = self.value(value, frame)
                self.assign(target, found, frame)
                return found
            case ast.IfExp(test, body, orelse):
                self.value(test, frame)
                before, self.sure = self.sure, False
                found = _joined([self.value(body, frame), self.value(orelse, frame)])
                self.sure = before
                return found
            case ast.BoolOp(_, values):
                before = self.sure
                options = []
                for each in values:
                    options.append(self.value(each, frame))
                    self.sure = False
                self.sure = before
                return _joined(options)
            case ast.Await(value) | ast.YieldFrom(value) | ast.Starred(value):
                return self.value(value, frame)
            case ast.Yield(value):
                return self.value(value, frame) if value is not None else None
            case ast.ListComp(elt, loops) | ast.SetComp(elt, loops) | ast.GeneratorExp(elt, loops):
                return _Many(tuple(self.comprehension(elt, loops, frame)))
            case ast.DictComp(_, value, loops):
                return _Many(tuple(self.comprehension(value, loops, frame)))
            case ast.JoinedStr():
                return None
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, frame)
        return None

    def comprehension(
        self, element: ast.expr, loops: list[ast.comprehension], frame: _Frame
    ) -> list[Any]:
        if not loops:
            return [self.value(element, frame)]
        first, *rest = loops
        many = _each(self.value(first.iter, frame))
        before = self.sure
        if first.ifs or not isinstance(many, _Many):
            self.sure = False
        found = []
        for each in many.items[:50] if isinstance(many, _Many) else (None,):
            self.assign(first.target, each, frame)
            for condition in first.ifs:
                self.value(condition, frame)
            found.extend(self.comprehension(element, rest, frame))
        self.sure = before
        return found

    def called(self, node: ast.Call, frame: _Frame) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and frame.owner is not None:
            first = next(iter(frame.names.values()), None)
            return _Super(frame.owner, first)
        what = (
            _Method(self.value(node.func.value, frame), node.func.attr)
            if isinstance(node.func, ast.Attribute)
            else self.value(node.func, frame)
        )
        args: list[Any] = []
        for each in node.args:
            if isinstance(each, ast.Starred):
                args.extend(_items(self.value(each.value, frame)))
            else:
                args.append(self.value(each, frame))
        kwargs: dict[str, Any] = {}
        for word in node.keywords:
            given = self.value(word.value, frame)
            if word.arg is not None:
                kwargs[word.arg] = given
            elif isinstance(given, _Context):
                kwargs |= {"outlet_events": _Events(), "context": given}
            else:
                self.lose(given)
        return self.call(what, tuple(args), kwargs)

    def name(self, name: str, frame: _Frame) -> Any:
        if name in frame.names:
            return frame.names[name]
        function = frame.function
        code, cells = function.__code__, function.__closure__ or ()
        for free, cell in zip(code.co_freevars, cells, strict=False):
            if free == name:
                try:
                    return _Known(cell.cell_contents)
                except ValueError:
                    return None
        if name in function.__globals__:
            return _Known(function.__globals__[name])
        return _Known(vars(builtins)[name]) if name in vars(builtins) else None

    def attribute(self, owner: Any, name: str) -> Any:
        match owner:
            case _Event() | _Events() | _Context():
                return _Method(owner, name)
            case _Instance(kind, attributes):
                if name in attributes:
                    found = attributes[name]
                    return (
                        found
                        if found is None or type(found).__module__ == __name__
                        else _Known(found)
                    )
                if name == "outlets":
                    return self._outlets()
                if not hasattr(kind, name):
                    return None
                value = inspect.getattr_static(kind, name)
                return (
                    _Method(owner, name)
                    if callable(getattr(value, "__func__", value))
                    else _Known(value)
                )
            case _Many() | _Super() | _Choice() | _Method():
                return _Method(owner, name)
            case _Known(value):
                if value is self.task and name == "outlets":
                    return self._outlets()
                if isinstance(value, ModuleType):
                    return _Known(vars(value)[name]) if name in vars(value) else None
                held = getattr(value, "__dict__", {})
                if isinstance(held, Mapping) and name in held and not isinstance(value, type):
                    return _Known(held[name])
                if isinstance(value, BaseAsset | AssetRef):
                    return _Known(getattr(value, name, None))
                return _Method(owner, name)
        return None

    def _outlets(self) -> _Many:
        return _Many(tuple(_Known(each) for each in self.outlets))

    def item(self, owner: Any, key: Any) -> Any:
        match owner:
            case _Context():
                word = getattr(key, "value", None)
                if word == "outlet_events":
                    return _Events()
                if word == "task":
                    return _Known(self.task)
                if not isinstance(key, _Known):
                    return None
                return None
            case _Events():
                ids = [self.id_of(each) for each in _options(key)]
                if ids and all(ids):
                    assets = frozenset(each for each in ids if each is not None)
                    self.found.touched |= assets
                    return _Event(assets, sure=len(assets) == 1)
                return _Event(frozenset(self.outlets), sure=len(self.outlets) == 1)
            case _Many(items):
                number = getattr(key, "value", None)
                if isinstance(number, int) and -len(items) <= number < len(items):
                    return items[number]
                return _joined(list(items)) if items else None
            case _Known(value) if isinstance(key, _Known) and isinstance(
                value, dict | list | tuple
            ):
                try:
                    return _Known(value[key.value])
                except Exception:
                    return None
            case _Known(value) if isinstance(value, dict | list | tuple):
                options = list(value.values()) if isinstance(value, dict) else list(value)
                return _joined([_Known(each) for each in options[:50]])
        return None


_SAME_FUNCTIONS = (list, tuple, set, frozenset, sorted, reversed, iter)


def _bound(
    parameters: ast.arguments,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    function: FunctionType,
    entry: bool,
) -> dict[str, Any]:
    """Parameter → value; a task's own function is handed its context by name."""
    positional = [each.arg for each in (*parameters.posonlyargs, *parameters.args)]
    named = [*positional, *(each.arg for each in parameters.kwonlyargs)]
    found: dict[str, Any] = dict.fromkeys(named)
    defaults = function.__defaults__ or ()
    if function.__code__.co_argcount == len(positional):
        for name, value in zip(reversed(positional), reversed(defaults), strict=False):
            found[name] = _Known(value)
    found |= {
        name: _Known(each)
        for name, each in (function.__kwdefaults__ or {}).items()
        if name in found
    }
    found |= dict(zip(positional, args, strict=False))
    found |= {name: each for name, each in kwargs.items() if name in found}
    if parameters.vararg is not None:
        found[parameters.vararg.arg] = _Many(tuple(args[len(positional) :]))
    if entry and "outlet_events" in found:
        found["outlet_events"] = _Events()
    if parameters.kwarg is not None:
        over = {name: each for name, each in kwargs.items() if name not in named}
        hands_on = entry or any(isinstance(each, _Events | _Context) for each in over.values())
        found[parameters.kwarg.arg] = _Context() if hands_on else None
    if entry and "context" in found and found["context"] is None:
        found["context"] = _Context()
    return found


def _ends(body: list[ast.stmt]) -> bool:
    """A block that leaves the function without a failure."""
    return bool(body) and isinstance(body[-1], ast.Return)


def _each(value: Any) -> Any:
    """A value as what a loop over it gives."""
    match value:
        case _Many():
            return value
        case _Known(held) if isinstance(held, list | tuple | set | frozenset):
            return _Many(tuple(map(_Known, held)))
        case _Known(held) if isinstance(held, dict):
            return _Many(tuple(map(_Known, held)))
    return value


def _items(value: Any) -> tuple[Any, ...]:
    many = _each(value)
    return many.items if isinstance(many, _Many) else ()


def _options(value: Any) -> tuple[Any, ...]:
    return value.items if isinstance(value, _Choice) else (value,)


def _joined(values: list[Any]) -> Any:
    """One of these values."""
    flat: list[Any] = []
    for each in values:
        for option in _options(each):
            if not any(_same(option, other) for other in flat):
                flat.append(option)
    if len(flat) == 1:
        return flat[0]
    return _Choice(tuple(flat)) if flat else None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, _Known) and isinstance(other, _Known):
        return one.value is other.value
    return one is other or bool(one == other)
