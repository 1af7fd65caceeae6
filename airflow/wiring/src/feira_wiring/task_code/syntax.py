"""The text of a task's code: statements in their order."""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from feira_wiring.task_code.calls import Call
from feira_wiring.task_code.expressions import STEPS, ExpressionReader, TooLong, emits, names_in
from feira_wiring.task_code.functions import bound
from feira_wiring.task_code.values import (
    MOST,
    Args,
    Choice,
    Frame,
    Instance,
    Known,
    Kwargs,
    Local,
    joined,
    options_of,
)

_DEPTH = 20


class CodeReader(ExpressionReader):
    """Follows a task's code from where Airflow calls it."""

    def start(self, entry: Any, args: Args, kwargs: Kwargs, sure: bool) -> None:
        self.sure, self.under_condition = sure, not sure
        self.call(entry, args, kwargs, entry=True)
        self.sure, self.under_condition = True, False

    def body(self, of: Call) -> Any:
        if self.depth >= _DEPTH:
            raise TooLong
        self.entered = True
        self.functions.append(of.function)
        names = dict(of.outer.names) if of.outer is not None else {}
        own = of.outer is None
        names |= bound(of.node.args, of.args, of.kwargs, of.function, of.entry, own)
        frame = Frame(names, of.function, of.owner)
        self.depth += 1
        sure, under_condition = self.sure, self.under_condition
        try:
            if isinstance(of.node, ast.Lambda):
                return self.value(of.node.body, frame)
            for statement in of.node.body:
                self.statement(statement, frame)
        finally:
            self.depth -= 1
            self.sure, self.under_condition = sure, under_condition
        return joined(frame.returns)

    # statements

    def statement(self, node: ast.stmt, frame: Frame) -> None:
        self.steps += 1
        if self.steps > STEPS:
            raise TooLong
        match node:
            case ast.Assign(targets, value):
                found = self.value(value, frame)
                for target in targets:
                    self.assign(target, found, frame)
            case ast.AnnAssign(target, _, value) if value is not None:
                self.assign(target, self.value(value, frame), frame)
            case ast.AugAssign(target, operator, value):
                both = ast.BinOp(target, operator, value)
                self.assign(target, self.value(both, frame), frame)
            case ast.Delete(targets):
                for target in targets:
                    self.assign(target, None, frame)
            case ast.Expr(value) | ast.Return(value) if value is not None:
                found = self.value(value, frame)
                if isinstance(node, ast.Return):
                    frame.returns.append(found)
            case ast.If(test, body, orelse):
                self.value(test, frame)
                with self.condition():
                    self.branch([body, orelse], frame)
            case ast.For() | ast.AsyncFor():
                self.loop(node, frame)
            case ast.While(test, body, orelse):
                self.value(test, frame)
                before, under_condition = self.sure, self.under_condition
                if isinstance(test, ast.Constant) and bool(test.value):
                    self.block(body, frame)
                self.again(body, frame)
                self.sure = before and ast.Break not in jumps(body)
                self.under_condition = under_condition
                self.block(orelse, frame)
                self.sure = before
            case ast.With(items, body) | ast.AsyncWith(items, body):
                before, suppresses = self.sure, False
                for item in items:
                    held = self.value(item.context_expr, frame)
                    if item.optional_vars is not None:
                        self.assign(item.optional_vars, held, frame)
                    suppresses = suppresses or _suppresses(held)
                self.sure = before and not suppresses
                self.block(body, frame)
                self.sure = before if suppresses else self.sure
            case ast.Try() | ast.TryStar():
                self.tried(node, frame)
            case ast.Match(subject, cases):
                self.lose(self.value(subject, frame))
                for name in {name for case in cases for name in captured(case.pattern)}:
                    frame.names[name] = None
                with self.condition():
                    self.branch([case.body for case in cases], frame)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for default in (*node.args.defaults, *node.args.kw_defaults):
                    if default is not None:
                        self.lose(self.value(default, frame))
                frame.names[node.name] = Local(node, frame)
            case ast.ClassDef():
                self.lose(*(frame.names.get(name) for name in names_in(node)))
                frame.names[node.name] = None
            case ast.Global(names) | ast.Nonlocal(names):
                frame.shared |= {*names}
            case ast.Import(names) | ast.ImportFrom(names=names):
                self.imported(node, names, frame)
        # What follows need not be reached.
        if not isinstance(node, ast.Return | ast.Break | ast.Continue) and jumps([node]):
            self.sure = False
            self.under_condition |= any(_is_fixed(each, frame) for each in guards(node))

    def loop(self, node: ast.For | ast.AsyncFor, frame: Frame) -> None:
        turns, sure = self.turns(self.value(node.iter, frame))
        self.passed |= not turns and any(map(emits, node.body))
        left = jumps(node.body)
        before, under_condition = self.sure, self.under_condition
        for each in turns[:MOST] if sure else ():
            self.assign(node.target, each, frame)
            self.block(node.body, frame)
            if left <= {ast.Continue}:
                self.sure, self.under_condition = before, under_condition
        if not sure or len(turns) > MOST:
            more = turns[MOST:] if sure else turns
            self.assign(node.target, more[0] if len(more) == 1 else Choice(tuple(more)), frame)
            self.again(node.body, frame, node.target)
        self.sure = before and ast.Break not in left
        self.under_condition = under_condition
        self.block(node.orelse, frame)
        self.sure = before

    def again(self, body: list[ast.stmt], frame: Frame, target: ast.expr | None = None) -> None:
        """A body that is run any number of times: what it binds may be of an earlier turn."""
        self.branch([body], frame)
        kept = names_in(target) if target is not None else set()
        for name in bound_in(body) - kept:
            if name in frame.names:
                frame.names[name] = joined([frame.names[name], None])
        self.branch([body], frame)

    def tried(self, node: ast.Try | ast.TryStar, frame: Frame) -> None:
        before = self.sure
        passes = [each for each in node.handlers if not isinstance(each.body[-1], ast.Raise)]
        self.sure = before and not passes
        self.block(node.body, frame)
        after = self.sure and not jumps(node.body)
        for handler in node.handlers:
            if handler.name is not None:
                frame.names[handler.name] = None
        self.branch([handler.body for handler in node.handlers], frame)
        self.sure = after
        self.block(node.orelse, frame)
        self.sure = before
        self.block(node.finalbody, frame)

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


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)


def jumps(body: Iterable[ast.AST]) -> set[type[ast.AST]]:
    """The kinds of return, break and continue by which these statements can be left."""
    found: set[type[ast.AST]] = set()
    for node in body:
        if isinstance(node, ast.Return | ast.Break | ast.Continue):
            found.add(type(node))
        elif isinstance(node, _LOOPS):
            found |= (jumps(node.body) & {ast.Return}) | jumps(node.orelse)
        elif not isinstance(node, (*_FUNCTIONS, ast.expr)):
            found |= jumps(ast.iter_child_nodes(node))
    return found


def guards(node: ast.AST) -> Iterator[ast.expr]:
    """What is asked before a statement is left by one of its jumps."""
    left = jumps([node])
    for each in ast.walk(node):
        if isinstance(each, ast.If | ast.Match) and left & jumps([each]):
            yield each.test if isinstance(each, ast.If) else each.subject


def _is_fixed(test: ast.expr, frame: Frame) -> bool:
    """Whether a test asks for what the caller or a loop's turn fixes, so tells tasks or assets apart."""
    held = [frame.names[name] for name in names_in(test) if name in frame.names]
    return any(all(isinstance(one, Known) for one in options_of(each)) for each in held)


def _suppresses(manager: Any) -> bool:
    kind = manager.kind if isinstance(manager, Instance) else type(getattr(manager, "value", None))
    return issubclass(kind, contextlib.suppress)


def bound_in(body: list[ast.stmt]) -> set[str]:
    """The names that these statements bind."""
    return {
        each.id
        for node in body
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }


def captured(pattern: ast.pattern) -> Iterator[str]:
    """The names that a pattern of a match statement binds."""
    for each in ast.walk(pattern):
        name = each.rest if isinstance(each, ast.MatchMapping) else getattr(each, "name", None)
        if name is not None:
            yield name
