"""Where in a DAG file a DAG or a task is written, found in the file's syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def dag_line(file: Path, dag_id: str) -> int | None:
    """The line where a DAG begins; None where the file does not show it, as for a generated one."""
    found = _dag(file, dag_id)
    return None if found is None else _first_line(found)


def task_line(file: Path, dag_id: str, task_id: str) -> int | None:
    """The line of a task: its function, its ``task_id``, or the name that it is called by."""
    name = task_id.rpartition(".")[2]  # without its task groups
    # The DAG's own lines first: another DAG of the file may have a task of the same name.
    for scope in (_dag(file, dag_id), _tree(file)):
        for is_it in (_defines, _names_the_task, _mentions):
            for node in ast.walk(scope) if scope is not None else ():
                if is_it(node, name):
                    return _first_line(node)
    return None


@lru_cache(maxsize=256)
def _tree(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):  # a DAG in a zip, or made by another importer
        return None


def _dag(file: Path, dag_id: str) -> ast.AST | None:
    """The function or the ``with`` that makes a DAG, else the call."""
    tree = _tree(file)
    if tree is None:
        return None
    tests: tuple[Callable[[ast.AST], bool], ...] = (
        lambda node: any(_calls_dag(call, dag_id) for call in _openers(node)),
        lambda node: _decorated(node) and _defines(node, dag_id),
        lambda node: _calls_dag(node, dag_id),
    )
    for is_it in tests:
        for node in ast.walk(tree):
            if is_it(node):
                return node
    return None


def _openers(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, _Function):
        yield from node.decorator_list
    elif isinstance(node, ast.With):
        yield from (item.context_expr for item in node.items)


def _decorated(node: ast.AST) -> bool:
    return isinstance(node, _Function) and bool(node.decorator_list)


def _calls_dag(node: ast.AST, dag_id: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    named = [word.value for word in node.keywords if word.arg == "dag_id"]
    return any(_is_text(value, dag_id) for value in (*node.args[:1], *named))


def _defines(node: ast.AST, name: str) -> bool:
    return isinstance(node, _Function) and node.name == name


def _names_the_task(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and any(
        word.arg == "task_id" and _is_text(word.value, name) for word in node.keywords
    )


def _mentions(node: ast.AST, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (
        isinstance(node, ast.Attribute) and node.attr == name
    )


def _is_text(node: ast.AST, text: str) -> bool:
    return isinstance(node, ast.Constant) and node.value == text


def _first_line(node: ast.AST) -> int:
    if isinstance(node, _Function) and node.decorator_list:
        return node.decorator_list[0].lineno
    line: int = getattr(node, "lineno", 1)
    return line
