"""Syntax trees of Python files: what their names are set to, and which file an import means."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# Packages that are in almost every DAG file and make no DAG, whatever is called in them.
_NO_DAGS = frozenset(
    """
    attr attrs boto3 botocore bs4 cachetools certifi cron_descriptor croniter dateutil dotenv fsspec google
    httpx jinja2 jsonschema jsonschema_rs kubernetes lxml markdown matplotlib numpy orjson packaging pandas
    pendulum polars psycopg psycopg2 pyarrow pydantic pyspark pytz regex requests s3fs scipy sklearn slugify
    sqlalchemy structlog tabulate tenacity toml tomli tqdm typing_extensions ujson yaml zoneinfo
    """.split()  # noqa: SIM905
)
_FOLLOWED = sys.stdlib_module_names | _NO_DAGS | {"airflow"}


def tree_of(file: Path) -> ast.Module | None:
    """What a file says; None for one in a zip, and for what is no Python or too deep."""
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class Module:
    """A file's tree: what its names are set to, and where the imported ones come from."""

    def __init__(self, file: Path, tree: ast.Module) -> None:
        self.file, self.tree = file, tree
        self.values: dict[str, list[ast.expr]] = {}
        self.functions: dict[str, ast.AST] = {}
        self.imports: dict[str, tuple[str, str | None]] = {}  # name → module, name in it
        self.bound: set[str] = set()  # arguments and loop variables
        for node in ast.walk(tree):
            self._note(node)

    def _note(self, node: ast.AST) -> None:
        match node:
            case ast.Import():
                for each in node.names:
                    name = each.asname or each.name.partition(".")[0]
                    self.imports[name] = (each.name if each.asname else name, None)
            case ast.ImportFrom():
                source = "." * node.level + (node.module or "")
                for each in node.names:
                    self.imports[each.asname or each.name] = (source, each.name)
            case ast.Assign():
                for target in node.targets:
                    self._assign(target, node.value)
            case ast.AnnAssign(value=ast.expr() as value) | ast.NamedExpr(value=value):
                self._assign(node.target, value)
            case ast.AugAssign():
                self._assign(node.target, node.value)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.functions[node.name] = node
            case ast.arg():
                self.bound.add(node.arg)
            case ast.For() | ast.comprehension():
                names = (each.id for each in ast.walk(node.target) if isinstance(each, ast.Name))
                self.bound.update(names)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        match target:
            case ast.Name():
                self.values.setdefault(target.id, []).append(value)
            case ast.Tuple() | ast.List():
                parts = value.elts if isinstance(value, ast.Tuple | ast.List) else ()
                if len(parts) == len(target.elts):
                    for each, part in zip(target.elts, parts, strict=True):
                        self._assign(each, part)
                else:
                    names = (each.id for each in ast.walk(target) if isinstance(each, ast.Name))
                    self.bound.update(names)

    def origin(self, callee: ast.expr) -> tuple[str, str]:
        """Module and last name of what is called; the module is empty for the file's own."""
        names: list[str] = []
        while isinstance(callee, ast.Attribute):
            names.insert(0, callee.attr)
            callee = callee.value
        if not isinstance(callee, ast.Name):
            return "", names[-1] if names else ""
        source, name = self.imports.get(callee.id, ("", callee.id))
        path = [each for each in (name, *names) if each]
        return source, path[-1] if path else ""


class Modules:
    """The modules that lie in the folders, parsed once."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = roots
        self._parsed: dict[Path, Module | None] = {}

    def of_file(self, file: Path) -> Module | None:
        if file not in self._parsed:
            tree = tree_of(file)
            self._parsed[file] = None if tree is None else Module(file, tree)
        return self._parsed[file]

    def found(self, name: str, importer: Path) -> Path | None:
        """The file of a module of these folders; relative ones as seen from the importer."""
        level = len(name) - len(name.lstrip("."))
        if level:
            tops: Iterable[Path] = (
                [importer.parents[level - 1]] if level <= len(importer.parents) else []
            )
        else:
            tops = [*self.roots, importer.parent]
        for top in tops:
            path = top.joinpath(*filter(None, name[level:].split(".")))
            for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
                if file.is_file():
                    return file
        return None

    def imported(self, module: Module, name: str) -> Module | None:
        """The module of these folders behind an imported name."""
        source, inner = module.imports[name]
        # `from package import module` names a file as well.
        for each in (
            f"{source.rstrip('.')}.{inner}" if source.strip(".") else f"{source}{inner}",
            source,
        ):
            if inner is None and each != source:
                continue
            if file := self.found(each, module.file):
                return self.of_file(file)
        return None

    def reached(self, start: Module) -> list[Module]:
        """The module and those of the folders that it imports, directly or not."""
        found = [start]
        for module in found:
            for name in module.imports:
                other = self.imported(module, name)
                if other is not None and other not in found:
                    found.append(other)
        return found

    def foreign(self, module: Module, name: str) -> bool:
        """Whether an imported name is of a package that may make DAGs and outlets of its own."""
        if name not in module.imports:
            return False
        source = module.imports[name][0]
        if source.partition(".")[0] in _FOLLOWED:
            return False
        return self.imported(module, name) is None
