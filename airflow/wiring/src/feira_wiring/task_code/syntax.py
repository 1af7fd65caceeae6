"""The text of a task's code: statements in their order, and expressions."""

from __future__ import annotations

import ast
import builtins
import itertools
import sys
from typing import Any

from feira_wiring.task_code.calls import Call, CallReader
from feira_wiring.task_code.functions import bound
from feira_wiring.task_code.values import (
    Args,
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
    pattern_of,
    text_of,
)

_DEPTH = 20
_STEPS = 20_000


class TooLong(Exception):
    """More calls within calls, or more steps, than are followed."""


class CodeReader(CallReader):
    """Follows a task's code from where Airflow calls it."""

    def start(self, entry: Any, args: Args, kwargs: Kwargs, sure: bool) -> None:
        self.sure = sure
        self.call(entry, args, kwargs, entry=True)
        self.sure = True

    def body(self, of: Call) -> Any:
        if self.depth >= _DEPTH:
            raise TooLong
        self.entered = True
        names = dict(of.outer.names) if of.outer is not None else {}
        names |= bound(of.node.args, of.args, of.kwargs, of.function, of.entry)
        frame = Frame(names, of.function, of.owner)
        self.depth += 1
        sure = self.sure
        try:
            if isinstance(of.node, ast.Lambda):
                return self.value(of.node.body, frame)
            for statement in of.node.body:
                self.statement(statement, frame)
        finally:
            self.depth -= 1
            self.sure = sure
        return joined(frame.returns)

    # statements

    def statement(self, node: ast.stmt, frame: Frame) -> None:
        self.steps += 1
        if self.steps > _STEPS:
            raise TooLong
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
                many = each_of(items)
                if isinstance(many, Many):
                    for each in many.items[:50]:
                        self.assign(target, each, frame)
                        self.block(body, frame)
                    self.block(orelse, frame)
                elif isinstance(items, Events):
                    self.lose(items)
                else:
                    self.assign(target, None, frame)
                    self.branch([body], frame)
            case ast.While(test, body, orelse):
                always = isinstance(test, ast.Constant) and bool(test.value)
                self.value(test, frame)
                if always:
                    self.block(body, frame)
                else:
                    self.branch([body], frame)
                self.block(orelse, frame)
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
                frame.names[node.name] = Local(node, frame)
            case ast.Import(names) | ast.ImportFrom(names=names):
                self.imported(node, names, frame)

    def imported(self, node: ast.stmt, names: list[ast.alias], frame: Frame) -> None:
        for each in names:
            module = node.module if isinstance(node, ast.ImportFrom) else each.name
            found = sys.modules.get(module or "")
            value = found if isinstance(node, ast.Import) else vars(found or ast).get(each.name)
            frame.names[each.asname or each.name] = Known(value) if value is not None else None

    def block(self, statements: list[ast.stmt], frame: Frame) -> None:
        for each in statements:
            self.statement(each, frame)

    def branch(self, blocks: list[list[ast.stmt]], frame: Frame) -> None:
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
            name: joined([end.get(name, names.get(name)) for end in (names, *ends) if name in end])
            for name in {name for end in (names, *ends) for name in end}
        }

    def assign(self, target: ast.expr, value: Any, frame: Frame) -> None:
        match target:
            case ast.Name(name):
                frame.names[name] = value
            case ast.Tuple(parts) | ast.List(parts):
                items = items_of(value)
                for number, part in enumerate(parts):
                    self.assign(part, items[number] if number < len(items) else None, frame)
            case ast.Attribute(owner, name):
                held = self.value(owner, frame)
                if isinstance(held, Instance):
                    held.attributes[name] = value
                elif name != "extra":
                    self.lose(value)
            case ast.Subscript(owner):
                self.value(owner, frame)
                self.lose(value)

    # expressions

    def value(self, node: ast.expr, frame: Frame) -> Any:
        self.steps += 1
        if self.steps > _STEPS:
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
                        items.extend(items_of(self.value(part.value, frame)))
                    else:
                        items.append(self.value(part, frame))
                return Many(tuple(items))
            case ast.Dict(_, values):
                return Many(tuple(self.value(each, frame) for each in values))
            case ast.Lambda():
                return Local(node, frame)
            case ast.NamedExpr(target, value):
                found = self.value(value, frame)
                self.assign(target, found, frame)
                return found
            case ast.IfExp(test, body, orelse):
                self.value(test, frame)
                before, self.sure = self.sure, False
                found = joined([self.value(body, frame), self.value(orelse, frame)])
                self.sure = before
                return found
            case ast.BoolOp(_, values):
                before = self.sure
                options = []
                for each in values:
                    options.append(self.value(each, frame))
                    self.sure = False
                self.sure = before
                return joined(options)
            case ast.Await(value) | ast.YieldFrom(value) | ast.Starred(value):
                return self.value(value, frame)
            case ast.Yield(value):
                return self.value(value, frame) if value is not None else None
            case ast.ListComp(elt, loops) | ast.SetComp(elt, loops) | ast.GeneratorExp(elt, loops):
                return Many(tuple(self.comprehension(elt, loops, frame)))
            case ast.DictComp(_, value, loops):
                return Many(tuple(self.comprehension(value, loops, frame)))
            case ast.JoinedStr(values):
                return text_of([self.value(each, frame) for each in values])
            case ast.FormattedValue(value, conversion, form):
                found = self.value(value, frame)
                return found if conversion == -1 and form is None else None
            case ast.BinOp(left, ast.Add(), right):
                both = [self.value(left, frame), self.value(right, frame)]
                if any(map(is_text, both)):
                    return text_of(both)
                many = all(isinstance(each, Many) for each in both)
                return Many(tuple(itertools.chain(*map(items_of, both)))) if many else None
            case ast.BinOp(left, ast.Mod(), right):
                self.value(right, frame)
                form = self.value(left, frame)
                return formatted(pattern_of(form)) if is_text(form) else None
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child, frame)
        return None

    def comprehension(
        self, element: ast.expr, loops: list[ast.comprehension], frame: Frame
    ) -> list[Any]:
        if not loops:
            return [self.value(element, frame)]
        first, *rest = loops
        many = each_of(self.value(first.iter, frame))
        before = self.sure
        if first.ifs or not isinstance(many, Many):
            self.sure = False
        found = []
        for each in many.items[:50] if isinstance(many, Many) else (None,):
            self.assign(first.target, each, frame)
            for condition in first.ifs:
                self.value(condition, frame)
            found.extend(self.comprehension(element, rest, frame))
        self.sure = before
        return found

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
                args.extend(items_of(self.value(each.value, frame)))
            else:
                args.append(self.value(each, frame))
        kwargs: Kwargs = {}
        for word in node.keywords:
            given = self.value(word.value, frame)
            if word.arg is not None:
                kwargs[word.arg] = given
            elif isinstance(given, Context):
                kwargs |= {"outlet_events": Events(), "context": given}
            else:
                self.lose(given)
        return self.call(what, tuple(args), kwargs)

    def name(self, name: str, frame: Frame) -> Any:
        if name in frame.names:
            return frame.names[name]
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


def _ends(body: list[ast.stmt]) -> bool:
    """A block that leaves the function without a failure."""
    return bool(body) and isinstance(body[-1], ast.Return)
