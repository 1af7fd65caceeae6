"""Where in a DAG file a DAG or a task is written, found in the file's syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from feira_wiring.syntax import tree_of

_Function = ast.FunctionDef | ast.AsyncFunctionDef
# Names and where they are written first, by what writes them: what tells most comes first.
Written = tuple[dict[str, ast.AST], ...]
_tree = lru_cache(maxsize=256)(tree_of)


def dag_line(file: Path, dag_id: str) -> int | None:
    """The line where a DAG begins; None where the file does not show it, as for a generated one."""
    found = _dag(file, dag_id)
    return None if found is None else _first_line(found)


def task_line(file: Path, dag_id: str, task_id: str) -> int | None:
    """The line of a task: its function, its ``task_id``, or the name that it is called by."""
    name = task_id.rpartition(".")[2]  # without its task groups
    # The DAG's own lines first: another DAG of the file may have a task of the same name.
    for written in (_tasks(file, dag_id), _tasks(file, None)):
        for nodes in written:
            if name in nodes:
                return _first_line(nodes[name])
    return None


def _dag(file: Path, dag_id: str) -> ast.AST | None:
    return next((nodes[dag_id] for nodes in _dags(file) if dag_id in nodes), None)


@lru_cache(maxsize=256)
def _dags(file: Path) -> Written:
    """DAGs by their id: the function or the ``with`` that makes one, else the call."""
    opened: dict[str, ast.AST] = {}
    decorated: dict[str, ast.AST] = {}
    called: dict[str, ast.AST] = {}
    tree = _tree(file)
    for node in ast.walk(tree) if tree is not None else ():
        for call in _openers(node):
            for name in _texts(call, "dag_id"):
                opened.setdefault(name, node)
        if isinstance(node, _Function) and node.decorator_list:
            decorated.setdefault(node.name, node)
        for name in _texts(node, "dag_id"):
            called.setdefault(name, node)
    return opened, decorated, called


@lru_cache(maxsize=2048)
def _tasks(file: Path, dag_id: str | None) -> Written:
    """Tasks by their names, of one DAG or of the file."""
    scope = _tree(file) if dag_id is None else _dag(file, dag_id)
    defined: dict[str, ast.AST] = {}
    named: dict[str, ast.AST] = {}
    mentioned: dict[str, ast.AST] = {}
    for node in ast.walk(scope) if scope is not None else ():
        if isinstance(node, _Function):
            defined.setdefault(node.name, node)
        elif isinstance(node, ast.Call):
            for name in _texts(node, "task_id", first=False):
                named.setdefault(name, node)
        elif isinstance(node, ast.Name):
            mentioned.setdefault(node.id, node)
        elif isinstance(node, ast.Attribute):
            mentioned.setdefault(node.attr, node)
    return defined, named, mentioned


def _openers(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, _Function):
        yield from node.decorator_list
    elif isinstance(node, ast.With):
        yield from (item.context_expr for item in node.items)


def _texts(node: ast.AST, keyword: str, *, first: bool = True) -> Iterator[str]:
    """The texts that a call is given as this keyword, or as its first argument."""
    if isinstance(node, ast.Call):
        named = [word.value for word in node.keywords if word.arg == keyword]
        for each in (*(node.args[:1] if first else ()), *named):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield each.value


def _first_line(node: ast.AST) -> int:
    if isinstance(node, _Function) and node.decorator_list:
        return node.decorator_list[0].lineno
    line: int = getattr(node, "lineno", 1)
    return line
