"""Where in a DAG file a DAG or a task is written, found in the file's syntax tree.

There is a line where one alone fits: none is better than that of another DAG or task.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path

from feira_wiring.syntax import tree_of

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_DAGS = ("DAG", "dag")
_tree = lru_cache(maxsize=256)(tree_of)


def dag_line(file: Path, dag_id: str) -> int | None:
    """The line where a DAG begins; None where the file does not show it, as for a generated one."""
    for written in _written(file).dags:
        if found := written.get(dag_id):
            return _only(found)
    return None


def task_line(file: Path, dag_id: str, task_id: str) -> int | None:
    """The line of a task: its function, its ``task_id``, or the name that it is called by."""
    name = task_id.rpartition(".")[2]  # without its task groups
    # The DAG's own lines first: another DAG of the file may have a task of the same name.
    for of in (dag_id, None):
        for nodes in _tasks(file, of):
            if found := _of_dag(_written(file), nodes.get(name, []), dag_id):
                return _only(found)
    return None


def _only(nodes: list[ast.AST]) -> int | None:
    return _first_line(nodes[0]) if len(nodes) == 1 else None


def _of_dag(written: _Written, nodes: list[ast.AST], dag_id: str) -> list[ast.AST]:
    """Those that are given this DAG by its name; else those that are given none that is known."""
    given = [(node, written.dag_at(_dag_argument(node))) for node in nodes]
    own = [node for node, of in given if of == dag_id]
    return own or [node for node, of in given if of is None]


class _Written:
    """The DAGs of a file. ``dags``: where each is written, by ways of which the first tells most.

    ``scopes``: the functions and ``with`` blocks that hold a DAG's tasks.
    """

    def __init__(self, tree: ast.AST | None) -> None:
        self.scopes: dict[str, list[ast.AST]] = {}
        self.dags: tuple[dict[str, list[ast.AST]], ...] = ({}, {}, {}, {}, {})
        nodes = list(ast.walk(tree)) if tree is not None else []
        self._constants = _constants(nodes)
        # variable → the lines where it becomes a DAG, and which
        self._variables: dict[str, list[tuple[int, str]]] = {}
        for node in nodes:
            self._note(node)
        for node in nodes:
            for context in _contexts(node):
                if isinstance(context, ast.Name) and (dag_id := self.dag_at(context)):
                    self.scopes.setdefault(dag_id, []).append(node)

    def _note(self, node: ast.AST) -> None:
        opened, called, decorated, named, likely = self.dags
        openers = node.decorator_list if isinstance(node, _Function) else _contexts(node)
        ids = {dag_id for each in openers for dag_id in self._ids(each)}
        for dag_id in ids:
            opened.setdefault(dag_id, []).append(node)
            self.scopes.setdefault(dag_id, []).append(node)
        if isinstance(node, _Function) and not ids and _may_make_a_dag(node):
            decorated.setdefault(node.name, []).append(node)
            self.scopes.setdefault(node.name, []).append(node)
        for dag_id in self._ids(node):
            called.setdefault(dag_id, []).append(node)
        for value in _values(node, "dag_id"):
            if (text := self._text(value)) is not None:
                named.setdefault(text, []).append(node)
        for context in _contexts(node):
            # As by a factory, a class of DAG's or another name for DAG.
            for value in context.args[:1] if isinstance(context, ast.Call) else ():
                if (text := self._text(value)) is not None:
                    likely.setdefault(text, []).append(node)
        for target, value in _bound(node):
            for dag_id in self._ids(value):
                self._variables.setdefault(target.id, []).append((target.lineno, dag_id))

    def _ids(self, node: ast.AST) -> list[str]:
        """The id of the DAG that a call makes, if it makes one."""
        if not isinstance(node, ast.Call) or _name(node.func) not in _DAGS:
            return []
        values = [*node.args[:1], *_values(node, "dag_id")]
        return [text for value in values if (text := self._text(value)) is not None]

    def _text(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return self._constants.get(node.id)
        return (
            node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
        )

    def dag_at(self, name: ast.Name | None) -> str | None:
        """The DAG that a variable is where it is named."""
        if name is None:
            return None
        before = [each for each in self._variables.get(name.id, ()) if each[0] <= name.lineno]
        return max(before)[1] if before else None


_written = lru_cache(maxsize=256)(lambda file: _Written(_tree(file)))


@lru_cache(maxsize=2048)
def _tasks(file: Path, dag_id: str | None) -> tuple[dict[str, list[ast.AST]], ...]:
    """Tasks by their names: of one DAG, or what is in no DAG's block."""
    scopes = _written(file).scopes
    tree = _tree(file)
    whole: list[ast.AST] = [] if tree is None else [tree]
    starts = whole if dag_id is None else scopes.get(dag_id, [])
    others = {id(each) for nodes in scopes.values() for each in nodes} - set(map(id, starts))
    made: dict[str, list[ast.AST]] = {}
    defined: dict[str, list[ast.AST]] = {}
    mentioned: dict[str, list[ast.AST]] = {}
    decorators: set[int] = set()
    for node in _walk(starts, others):
        match node:
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
                decorators |= set(map(id, node.decorator_list))
                named = [
                    value for each in node.decorator_list for value in _values(each, "task_id")
                ]
                name = next((str(it.value) for it in named if isinstance(it, ast.Constant)), name)
                (made if node.decorator_list else defined).setdefault(name, []).append(node)
            case ast.Call() if id(node) not in decorators:
                for value in _values(node, "task_id"):
                    if isinstance(value, ast.Constant):
                        made.setdefault(str(value.value), []).append(node)
            case ast.Name(name) | ast.Attribute(attr=name) if dag_id is not None:
                mentioned.setdefault(name, [node])
    return made, defined, mentioned


def _walk(starts: list[ast.AST], others: Collection[int]) -> Iterator[ast.AST]:
    waiting = deque(starts)
    while waiting:
        node = waiting.popleft()
        waiting.extend(each for each in ast.iter_child_nodes(node) if id(each) not in others)
        yield node


def _constants(nodes: list[ast.AST]) -> dict[str, str]:
    """Names that are set once, to a text."""
    values: dict[str, list[ast.expr]] = {}
    for node in nodes:
        for target, value in _bound(node):
            values.setdefault(target.id, []).append(value)
    return {
        name: each.value
        for name, (each, *more) in values.items()
        if not more and isinstance(each, ast.Constant) and isinstance(each.value, str)
    }


def _bound(node: ast.AST) -> Iterator[tuple[ast.Name, ast.expr]]:
    """Names that a statement sets, each with its value."""
    match node:
        case ast.Assign(targets, value):
            yield from ((each, value) for each in targets if isinstance(each, ast.Name))
        case ast.AnnAssign(ast.Name() as target, value=ast.expr() as value):
            yield target, value
        case ast.withitem(value, ast.Name() as target):
            yield target, value


def _contexts(node: ast.AST) -> list[ast.expr]:
    return [item.context_expr for item in node.items] if isinstance(node, ast.With) else []


def _may_make_a_dag(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """By its own name: a decorator of ``dag``, of ``asset`` or of somebody's own, and none of tasks."""
    decorators = [getattr(each, "func", each) for each in function.decorator_list]
    names = {
        part.id for each in decorators for part in ast.walk(each) if isinstance(part, ast.Name)
    }
    return bool(names) and not names & {"task", "task_group", "setup", "teardown"}


def _name(node: ast.AST) -> str | None:
    return getattr(node, "attr", None) or getattr(node, "id", None)


def _values(node: ast.AST, keyword: str) -> list[ast.expr]:
    words = node.keywords if isinstance(node, ast.Call) else []
    return [word.value for word in words if word.arg == keyword]


def _dag_argument(node: ast.AST) -> ast.Name | None:
    return next((each for each in _values(node, "dag") if isinstance(each, ast.Name)), None)


def _first_line(node: ast.AST) -> int:
    if isinstance(node, _Function) and node.decorator_list:
        return node.decorator_list[0].lineno
    line: int = getattr(node, "lineno", 1)
    return line
