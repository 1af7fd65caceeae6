"""The text of a task's code: expressions, and what they are assigned to."""

from __future__ import annotations

import ast
import builtins
import contextlib
import itertools
from abc import ABC
from typing import Any

from feira_wiring.task_code.calls import CallReader
from feira_wiring.task_code.values import (
    MOST,
    Choice,
    Context,
    Events,
    Frame,
    Instance,
    Known,
    Kwargs,
    Local,
    Many,
    Method,
    Super,
    each_of,
    formatted,
    is_text,
    items_of,
    joined,
    maybe_all,
    options_of,
    part_of,
    pattern_of,
    text_of,
)

# Methods that put something into a collection.
_ADDING = {"append", "appendleft", "add", "extend", "insert", "update", "setdefault"}
STEPS = 20_000


class TooLong(Exception):
    """More calls within calls, or more steps, than are followed."""


class ExpressionReader(CallReader, ABC):
    """Follows expressions to the values that they can have."""

    def assign(self, target: ast.expr, value: Any, frame: Frame) -> None:
        match target:
            case ast.Name(name):
                frame.names[name] = value
                if name in frame.shared:
                    self.lose(value)
            case ast.Tuple(parts) | ast.List(parts):
                for number, part in enumerate(parts):
                    of_list = any(isinstance(each, ast.Starred) for each in parts[:number])
                    at = number - len(parts) if of_list else number
                    if not isinstance(each_of(value), Many | Choice) or isinstance(
                        part, ast.Starred
                    ):
                        self.lose(value)
                    self.assign(part, part_of(value, at), frame)
            case ast.Starred(inner):
                self.assign(inner, None, frame)
            case ast.Attribute(owner, name):
                held = self.value(owner, frame)
                self.wrote(held)
                if name == "partition_keys":
                    self.given_keys(held)
                if isinstance(held, Instance):
                    held.attributes[name] = value
                elif name != "extra":
                    self.lose(value)
            case ast.Subscript(owner):
                held = self.value(owner, frame)
                if isinstance(held, Method):
                    self.wrote(held.owner)
                self.lose(value)
                self.changed(owner, held, frame)

    def changed(self, node: ast.expr, value: Any, frame: Frame) -> None:
        """A collection has got more than is known of it."""
        held = (each_of(each) for each in options_of(value))
        if isinstance(node, ast.Name | ast.Attribute) and any(
            isinstance(each, Many) for each in held
        ):
            self.assign(node, joined([value, None]), frame)

    # expressions

    def value(self, node: ast.expr, frame: Frame) -> Any:
        self.steps += 1
        if self.steps > STEPS:
            raise TooLong
        match node:
            case ast.Constant(value):
                return Known(value)
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
                        items.extend(self.spread(part, frame))
                    else:
                        items.append(self.value(part, frame))
                return Many(tuple(items))
            case ast.Dict(keys, values):
                for word in keys:
                    if word is not None:
                        self.value(word, frame)
                items = [self.value(each, frame) for each in values]
                if None in keys:
                    return self.lose(*items)
                return Many(tuple(items))
            case ast.Lambda():
                return Local(node, frame)
            case ast.NamedExpr(target, value):
                found = self.value(value, frame)
                self.assign(target, found, frame)
                return found
            case ast.IfExp(test, body, orelse):
                self.value(test, frame)
                before, self.sure = self.sure, False
                with self.condition():
                    found = joined([self.value(body, frame), self.value(orelse, frame)])
                self.sure = before
                return found
            case ast.BoolOp(_, values):
                before = self.sure
                options = [self.value(values[0], frame)]
                self.sure = False
                with self.condition():
                    options += [self.value(each, frame) for each in values[1:]]
                self.sure = before
                return joined(options)
            case ast.Await(value) | ast.Starred(value):
                return self.value(value, frame)
            case ast.Yield(value) | ast.YieldFrom(value):
                return self.lose(self.value(value, frame)) if value is not None else None
            case ast.ListComp(elt, loops) | ast.SetComp(elt, loops) | ast.GeneratorExp(elt, loops):
                return maybe_all(*self.comprehension(elt, loops, frame))
            case ast.DictComp(_, value, loops):
                return maybe_all(*self.comprehension(value, loops, frame))
            case ast.JoinedStr(values):
                return text_of([self.value(each, frame) for each in values])
            case ast.FormattedValue(value, conversion, form):
                found = self.value(value, frame)
                return found if conversion == -1 and form is None else None
            case ast.BinOp(left, ast.Add(), right):
                both = [self.value(left, frame), self.value(right, frame)]
                if any(map(is_text, both)):
                    return text_of(both)
                if all(isinstance(each, Many) for each in both):
                    return Many(tuple(itertools.chain(*map(items_of, both))))
                return self.lose(*both)
            case ast.BinOp(left, ast.Mod(), right):
                self.value(right, frame)
                form = self.value(left, frame)
                return formatted(pattern_of(form)) if is_text(form) else None
            case ast.BinOp(left, _, right):
                return self.lose(self.value(left, frame), self.value(right, frame))
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, frame)
        return None

    def comprehension(
        self, element: ast.expr, loops: list[ast.comprehension], frame: Frame
    ) -> tuple[list[Any], bool]:
        """What it gives, and whether it gives all that."""
        if not loops:
            return [self.value(element, frame)], True
        first, *rest = loops
        turns, every = self.turns(self.value(first.iter, frame))
        self.passed |= not turns and emits(element)
        every = every and not first.ifs
        before, certain = self.sure, MOST if every else 0
        if len(turns) > MOST:
            turns[MOST:] = [Choice(tuple(turns[MOST:]))]
            every = False
        own = {name: frame.names.get(name) for name in names_in(first.target)}
        kept = {name: held for name, held in own.items() if name in frame.names}
        found: list[Any] = []
        for number, each in enumerate(turns):
            self.sure = before and number < certain
            self.assign(first.target, each, frame)
            for condition in first.ifs:
                self.value(condition, frame)
            with self.condition() if first.ifs else contextlib.nullcontext():
                inner, all_of_it = self.comprehension(element, rest, frame)
            found += inner
            every = every and all_of_it
        for name in own:
            frame.names.pop(name, None)
        frame.names |= kept
        self.sure = before
        return found, every

    def spread(self, part: ast.Starred, frame: Frame) -> list[Any]:
        """The values of ``*part``; none where they are not known."""
        value = self.value(part.value, frame)
        if not isinstance(each_of(value), Many):
            self.lose(value)
        return list(items_of(value))

    def called(self, node: ast.Call, frame: Frame) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id == "super" and frame.owner is not None:
            first = next(iter(frame.names.values()), None)
            return Super(frame.owner, first)
        what = (
            Method(self.value(node.func.value, frame), node.func.attr)
            if isinstance(node.func, ast.Attribute)
            else self.value(node.func, frame)
        )
        args: list[Any] = []
        for each in node.args:
            if isinstance(each, ast.Starred):
                args.extend(self.spread(each, frame))
            else:
                args.append(self.value(each, frame))
        kwargs: Kwargs = {}
        for word in node.keywords:
            given = self.value(word.value, frame)
            if word.arg is not None:
                # An asset's marks are in it.
                kwargs[word.arg] = _literal(word.value, given) if word.arg == "extra" else given
            elif isinstance(given, Context):
                kwargs |= {"outlet_events": Events(), "context": given}
            else:
                self.lose(given)
        found = self.call(what, tuple(args), kwargs)
        if isinstance(node.func, ast.Attribute) and node.func.attr in _ADDING:
            self.changed(node.func.value, what.owner, frame)
        return found

    def name(self, name: str, frame: Frame) -> Any:
        if name in frame.names:
            found = frame.names[name]
            self.met |= isinstance(found, Context | Events)
            return found
        function = frame.function
        code, cells = function.__code__, function.__closure__ or ()
        for free, cell in zip(code.co_freevars, cells, strict=False):
            if free == name:
                try:
                    return Known(cell.cell_contents)
                except ValueError:
                    return None
        if name in function.__globals__:
            return Known(function.__globals__[name])
        return Known(vars(builtins)[name]) if name in vars(builtins) else None


def _literal(node: ast.expr, given: Any) -> Any:
    try:
        return Known(ast.literal_eval(node))
    except (ValueError, TypeError, RecursionError):
        return given


def emits(node: ast.AST) -> bool:
    """Whether a text names what is done to events."""
    words = ("add_partitions", "partition_keys", "add", "Metadata")
    return any(getattr(each, "attr", getattr(each, "id", None)) in words for each in ast.walk(node))


def names_in(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
