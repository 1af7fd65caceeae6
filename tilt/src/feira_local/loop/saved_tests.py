"""Which tests a saved file asks for, found by the way the folders of tests/ mirror the sources.

A layer is a folder of tests/ beside its source root. A file's tests are looked for among those of the
part whose folder is on its path, else among all of its layer's: the nearest importers of a module, and
the tests that are named after a file or name it. Nothing here is listed, so what joins is found.
"""

from __future__ import annotations

import ast
import json
import os
import re
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from feira_local.stack.errors import StackError

# The two layers whose root has another name than their tests.
_ROOTS = {"dags": "airflow", "local": "tilt"}
# What editors and tools write beside a file. Qt's save a.py as a.py.XkQjfr, which says nothing of who wrote it:
# after the endings of sources alone, since sales.new.schema is somebody's own.
_SOURCES = ("py", "yaml", "yml", "sql", "json", "toml", "md", "j2", "xml", "properties", "tf", "sh")
TEMPORARY = (
    *(".*", "*~", "#*#", "*.tmp", "*.bak", "*.bck", "*.save", "*.orig", "*.rej", "*.sw?", "4913"),
    *("*___jb_*___", "flymake_*", "sed??????"),
    *(f"*.{kind}.??????" for kind in _SOURCES),
    *("__pycache__", "*.pyc", "*.egg-info", "target", "logs", "declared"),
    *("metastore_db", "spark-warehouse", "derby.log", "*.tfstate*", "*.tfplan"),
)
_DOTTED = r"[A-Za-z_]\w*(\.\w+)+"
# Files that one "save all" writes have about one time.
_TOGETHER_SECONDS = 2.0


@dataclass(frozen=True)
class Layer:
    """A folder of tests and the source root that it mirrors."""

    name: str
    root: Path
    tests: Path

    @property
    def watched(self) -> tuple[Path, Path]:
        return self.root, self.tests

    def files(self) -> list[Path]:
        """Every file of the layer but temporary ones."""
        return [path for folder in self.watched for path in _files(folder)]

    @cached_property
    def test_files(self) -> list[Path]:
        return [path for path in _files(self.tests) if _is_test(path) and path.exists()]

    @cached_property
    def modules(self) -> dict[Path, str]:
        """The layer's modules by file: `feira.core.lake` of shared/src/feira/core/lake.py."""
        found = {}
        for path in _files(self.root):
            if path.suffix == ".py" and "src" in path.parts:
                words = path.with_suffix("").parts[_last(path.parts, "src") + 1 :]
                found[path] = ".".join(words[:-1] if words[-1] == "__init__" else words)
        return found

    @cached_property
    def imports(self) -> dict[Path, set[str]]:
        """What each module and each test file imports."""
        return {path: _imports(path) for path in (*self.modules, *self.test_files)}


def layers(repository: Path) -> dict[str, Layer]:
    """The layers by name: each folder of tests/ that mirrors a source root."""
    found = {}
    for tests in sorted((repository / "tests").iterdir()):
        root = repository / _ROOTS.get(tests.name, tests.name)
        if tests.is_dir() and root.is_dir():
            found[tests.name] = Layer(tests.name, root, tests)
    return found


def layer_named(repository: Path, name: str) -> Layer:
    """Raises StackError with the layers there are."""
    found = layers(repository)
    if name not in found:
        raise StackError(f"There is no layer {name!r} of tests; there are {', '.join(found)}.")
    return found[name]


def stamp(repository: Path, layer: Layer) -> Path:
    """The file that holds each file's time at the layer's last run of tests that passed."""
    return repository / ".cache" / "loop" / f"{layer.name}.passed"


def mark_passed(repository: Path, layer: Layer, began: float) -> None:
    """Notes that what was saved before ``began`` (epoch) has passed."""
    passed = {
        str(path.relative_to(repository)): at for path, at in _times(layer).items() if at <= began
    }
    path = stamp(repository, layer)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(passed, indent=0))


def saved(repository: Path, layer: Layer) -> list[Path]:
    """The files saved since the layer's tests passed; before they first did, those saved last.

    A file that was renamed or copied counts too, although its own time is old.
    """
    times = _times(layer)
    try:
        passed = json.loads(stamp(repository, layer).read_text())
    except (FileNotFoundError, ValueError):  # not yet, or by a run that was killed while it wrote
        since = max(times.values(), default=time.time()) - _TOGETHER_SECONDS
        return sorted(path for path, at in times.items() if at > since)
    return sorted(
        path for path, at in times.items() if passed.get(str(path.relative_to(repository))) != at
    )


def _times(layer: Layer) -> dict[Path, float]:
    """When each file of the layer was saved (epoch)."""
    return {path: at for path in layer.files() if (at := _saved_at(path)) is not None}


def _saved_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:  # it is gone since, or a link that leads nowhere
        return None


def wanted_tests(layer: Layer, path: Path) -> list[Path]:
    """The test files that the saved file asks for."""
    if path.is_relative_to(layer.tests):
        if _is_test(path):
            return [path]
        # A helper, a conftest or an example: the nearest tests, beside it or above.
        for folder in path.parents:
            if found := [test for test in layer.test_files if test.is_relative_to(folder)]:
                return found
    candidates = _mirrored(layer, path)
    found = [test for test in candidates if _is_named_after(test, path.stem.partition(".")[0])]
    if path in layer.modules:
        found += _nearest(layer, layer.modules[path], candidates)
    else:
        found += _naming(layer, path, candidates)
    if not found:
        found = [test for test in candidates if _is_named_after(test, path.parent.name)]
    return sorted(set(found or candidates))


def _mirrored(layer: Layer, path: Path) -> list[Path]:
    folders = path.relative_to(layer.root).parts[:-1]
    for name in folders:
        within = [test for test in layer.test_files if test.is_relative_to(layer.tests / name)]
        if within:
            return within
    return layer.test_files


def _is_named_after(test: Path, name: str) -> bool:
    """test_shop_faults.py is named after faults.py, test_contracts_dbt.py after contracts/."""
    words = name.strip("_").lower()
    return bool(words) and f"_{words}_" in f"{test.stem.lower()}_"


def _naming(layer: Layer, path: Path, candidates: list[Path]) -> list[Path]:
    """The tests that name the file, by as much of its name as any does: sales.fact.odcs.yaml as
    sales.fact; and those that are named after a folder on its way, as contracts."""
    name, found = path.stem, list[Path]()
    while not found and name:
        word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
        found = [test for test in candidates if word.search(_text(test))]
        shorter = name.rpartition(".")[0]
        # The first word of several, as sales, is in every test.
        name = shorter if "." in shorter else ""
    folders = set(path.relative_to(layer.root).parts[:-1]) - {layer.name}
    return found + [it for it in candidates if any(_is_named_after(it, of) for of in folders)]


def _nearest(layer: Layer, module: str, candidates: list[Path]) -> list[Path]:
    """The candidates that import the module, else those that import what imports it, and so on."""
    reached, latest = {module}, {module}
    while latest:
        found = [test for test in candidates if layer.imports[test] & latest]
        if found:
            return found
        importers = {name for file, name in layer.modules.items() if layer.imports[file] & latest}
        latest = importers - reached
        reached |= latest
    return []


def _imports(path: Path) -> set[str]:
    """The modules that a file imports, and the dotted names that stand in it as text."""
    names: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and re.fullmatch(_DOTTED, str(node.value)):
            words = str(node.value).split(".")
            names |= {".".join(words[:end]) for end in range(2, len(words) + 1)}
    return names


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(_text(path))
    except (SyntaxError, ValueError):  # it is being written
        return ast.Module([], [])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _files(folder: Path) -> list[Path]:
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_temporary(name))
        found += [Path(where, name) for name in sorted(names) if not is_temporary(name)]
    return found


def is_temporary(name: str) -> bool:
    """Whether a file or folder of that name is an editor's or a tool's."""
    return any(fnmatch(name, pattern) for pattern in TEMPORARY)


def _is_test(path: Path) -> bool:
    return path.name.startswith("test_") and path.suffix == ".py"


def _last(parts: tuple[str, ...], name: str) -> int:
    return len(parts) - 1 - parts[::-1].index(name)
