"""What a DAG file that does not import emits and hears, as far as its syntax tree shows.

Nothing is run. What the text leaves open is said to be open, never guessed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from feira_wiring.model import Named, Unread
from feira_wiring.syntax import Module, Modules

_ASSETS = {"Asset", "Dataset", "Model"}
_ALIASES = {"AssetAlias", "DatasetAlias"}
_ALL = re.escape("") + ".*"
_DEEPEST = 20


def unread(file: Path, shown: str, roots: Sequence[Path]) -> Unread:
    """What ``file`` may emit and hear, with the modules that it imports from these folders."""
    modules = Modules(roots)
    module = modules.of_file(file)
    if module is None:
        return Unread(shown, emits_any=True, hears_any=True)
    emits, hears = _Found(), _Found()
    for each in modules.reached(module):
        _Reader(each, modules, emits, hears).read()
    return Unread(
        shown,
        tuple(dict.fromkeys(emits.named)),
        tuple(dict.fromkeys(hears.named)),
        emits.any,
        hears.any,
    )


@dataclass
class _Found:
    named: list[Named] = field(default_factory=list)
    any: bool = False

    def add(self, other: _Found) -> None:
        self.named += other.named
        self.any = self.any or other.any


class _Reader:
    def __init__(self, module: Module, modules: Modules, emits: _Found, hears: _Found) -> None:
        self.module, self.modules, self.emits, self.hears = module, modules, emits, hears

    def read(self) -> None:
        deferred = {
            id(inner)
            for node in ast.walk(self.module.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for part in (node.body if isinstance(node.body, list) else [node.body])
            for inner in ast.walk(part)
        }
        for node in ast.walk(self.module.tree):
            match node:
                case ast.Call():
                    self._call(node, at_import=id(node) not in deferred)
                case ast.Dict():
                    for key, value in zip(node.keys, node.values, strict=True):
                        if isinstance(key, ast.Constant):
                            self._keyword(str(key.value), value)
                case ast.Assign() | ast.AugAssign() | ast.AnnAssign():
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    for target in targets:
                        if isinstance(target, ast.Attribute) and node.value is not None:
                            self._keyword(target.attr, node.value)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._decorated(node)

    def _call(self, call: ast.Call, *, at_import: bool) -> None:
        _, name = self.module.origin(call.func)
        for word in call.keywords:
            if word.arg is not None:
                self._keyword(word.arg, word.value)
            elif not isinstance(word.value, ast.Dict):  # a dictionary's keys are read anyway
                self._open_keywords(word.value, call, name)
        if name == "DAG" and len(call.args) > 2:  # Airflow 2: dag_id, description, schedule
            self.hears.add(self._assets(call.args[2]))
        if name in _ASSETS and any(word.arg == "watchers" for word in call.keywords):
            self.emits.add(self._assets(call))
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("append", "extend", "add"):
            of = call.func.value
            if isinstance(of, ast.Attribute) and of.attr in ("outlets", "inlets"):
                for each in call.args:
                    self._keyword(of.attr, each)
        if call.func and name == "setattr" and len(call.args) == 3:
            self.emits.any = True
        first = call.func
        while isinstance(first, ast.Attribute | ast.Call):
            first = first.value if isinstance(first, ast.Attribute) else first.func
        if isinstance(first, ast.Name) and self.modules.foreign(self.module, first.id):
            operator = any(word.arg == "task_id" for word in call.keywords)
            # An operator may set its own outlets; a function that runs at import may make a DAG.
            self.emits.any = self.emits.any or operator or at_import
            self.hears.any = self.hears.any or at_import

    def _open_keywords(self, value: ast.expr, call: ast.Call, name: str) -> None:
        """``**options``: fine where they are a dictionary of this file, else anything."""
        if isinstance(value, ast.Name):
            set_to = self.module.values.get(value.id, [])
            if set_to and all(isinstance(each, ast.Dict) for each in set_to):
                return
        if name in ("DAG", "dag"):
            self.hears.any = True
        elif name in (*_ASSETS, *_ALIASES):
            return
        elif (
            name == "asset"
            or any(word.arg == "task_id" for word in call.keywords)
            or name[:1].isupper()
        ):
            self.emits.any = True

    def _keyword(self, name: str, value: ast.expr) -> None:
        if name == "outlets":
            self.emits.add(self._assets(value))
        elif name in ("schedule", "schedule_interval", "inlets", "timetable"):
            self.hears.add(self._assets(value))

    def _decorated(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """``@asset`` emits an asset of the function's name; ``foreign`` decorators anything."""
        for each in function.decorator_list:
            callee = each.func if isinstance(each, ast.Call) else each
            source, name = self.module.origin(callee)
            if name == "asset" and (not source or source.startswith("airflow")):
                self.emits.named += self._of_decorator(function.name, each)
            first = callee
            while isinstance(first, ast.Attribute):
                first = first.value
            if isinstance(first, ast.Name) and self.modules.foreign(self.module, first.id):
                self.emits.any = self.hears.any = True

    def _of_decorator(self, function: str, decorator: ast.expr) -> Iterator[Named]:
        words = decorator.keywords if isinstance(decorator, ast.Call) else []
        given = {word.arg: word.value for word in words}
        yield Named(self._text(given["name"]) if "name" in given else re.escape(function))
        if "uri" in given:
            yield Named(self._text(given["uri"]))

    def _assets(self, node: ast.expr | None, depth: int = 0) -> _Found:
        """The assets that an expression names; open where it cannot be followed."""
        found = _Found()
        if depth > _DEEPEST:
            return _Found(any=True)
        parts: list[ast.expr]
        match node:
            case None | ast.Constant():
                return found
            case ast.List() | ast.Tuple() | ast.Set():
                parts = list(node.elts)
            case ast.BinOp():
                parts = [node.left, node.right]
            case ast.BoolOp():
                parts = node.values
            case ast.IfExp():
                parts = [node.body, node.orelse]
            case ast.Starred() | ast.Subscript() | ast.Await() | ast.NamedExpr():
                parts = [node.value]
            case ast.Dict():
                parts = node.values
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp():
                parts = [node.elt]
            case ast.DictComp():
                parts = [node.value]
            case ast.Call():
                return self._of_call(node, depth)
            case ast.Name() | ast.Attribute():
                return self._of_name(node, depth)
            case _:
                return _Found(any=True)
        for part in parts:
            found.add(self._assets(part, depth + 1))
        return found

    def _of_call(self, call: ast.Call, depth: int) -> _Found:
        source, name = self.module.origin(call.func)
        if name == "ref" and isinstance(call.func, ast.Attribute):
            source, name = self.module.origin(call.func.value)
        named = (word.value for word in call.keywords if word.arg in ("name", "uri"))
        given = [*call.args, *named]
        if name in _ALIASES:
            patterns = [self._text(each) for each in given[:1]]
            # At run time an alias may turn out to be any asset.
            return _Found([Named(each, alias=True) for each in patterns], any=True)
        if name in _ASSETS:
            texts = [self._text(each) for each in given[:2]]
            opened = any(word.arg is None for word in call.keywords) or not texts
            return _Found([Named(each) for each in texts], any=opened)
        wraps = name.startswith(("Asset", "Dataset", "PartitionedAsset")) or name in (
            "list",
            "tuple",
            "set",
            "sorted",
        )
        if wraps:
            found = _Found()
            for each in (*call.args, *(word.value for word in call.keywords)):
                found.add(self._assets(each, depth + 1))
            return found
        # A clock of Airflow's own names no asset.
        return _Found(any=not source.startswith(("airflow", "datetime", "dateutil", "pendulum")))

    def _of_name(self, node: ast.Name | ast.Attribute, depth: int) -> _Found:
        name = node.id if isinstance(node, ast.Name) else node.attr
        if isinstance(node, ast.Name) and name in self.module.values:
            found = _Found(any=name in self.module.bound)
            for value in self.module.values[name]:
                found.add(self._assets(value, depth + 1))
            return found
        if isinstance(node, ast.Name) and name in self.module.functions:
            function = self.module.functions[name]
            decorators = getattr(function, "decorator_list", [])
            named = [
                each
                for decorator in decorators
                if self.module.origin(getattr(decorator, "func", decorator))[1] == "asset"
                for each in self._of_decorator(name, decorator)
            ]
            return _Found(named, any=not named)
        if depth < _DEEPEST:
            if isinstance(node, ast.Name):
                reader, inner = self._imported(name)
            else:
                of = node.value.id if isinstance(node.value, ast.Name) else ""
                reader, inner = self._imported(of)[0], name
            if reader is not None and inner:
                return reader._of_name(ast.Name(inner), depth + 1)
        return _Found(any=True)

    def _imported(self, name: str) -> tuple[_Reader | None, str | None]:
        """A reader of the module of these folders that a name is imported from, and its name there."""
        if name not in self.module.imports:
            return None, None
        other = self.modules.imported(self.module, name)
        reader = None if other is None else _Reader(other, self.modules, self.emits, self.hears)
        return reader, self.module.imports[name][1]

    def _text(self, node: ast.expr | None, depth: int = 0) -> str:
        """A pattern for the text of an expression."""
        if depth > _DEEPEST:
            return _ALL
        match node:
            case ast.Constant(value=str() as text):
                return re.escape(text)
            case ast.JoinedStr():
                parts = (
                    re.escape(str(each.value))
                    if isinstance(each, ast.Constant)
                    else self._text(each.value, depth + 1)
                    if isinstance(each, ast.FormattedValue)
                    and each.format_spec is None
                    and each.conversion == -1
                    else _ALL
                    for each in node.values
                )
                return "".join(parts)
            case ast.BinOp(op=ast.Add()):
                return self._text(node.left, depth + 1) + self._text(node.right, depth + 1)
            case ast.Name() if node.id not in self.module.bound:
                values = self.module.values.get(node.id, [])
                if len(values) == 1:
                    return self._text(values[0], depth + 1)
                reader, inner = self._imported(node.id)
                if reader is not None and inner:
                    return reader._text(ast.Name(inner), depth + 1)
        return _ALL
