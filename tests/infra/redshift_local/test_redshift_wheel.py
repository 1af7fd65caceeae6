"""The package as others install it: its wheel alone, with what it declares."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from checkout import REPOSITORY
from wheels import PYTHON, add_libraries, imported, install

PACKAGE = REPOSITORY / "infra" / "redshift-local"
PROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
SOURCES = sorted((PACKAGE / "src").rglob("*.py"))


def _declared() -> set[str]:
    return {re.split(r"[<>=!~\[;]", each)[0].strip() for each in PROJECT["dependencies"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = install(tmp_path_factory.mktemp("redshift-local"), "infra/redshift-local")
    add_libraries(site)
    return site


def test_every_library_that_it_imports_is_a_dependency_of_its_own() -> None:
    packages = importlib.metadata.packages_distributions()
    missing = {
        name
        for name in imported(SOURCES)
        if name not in sys.stdlib_module_names
        and name != "redshift_local"
        and not _declared() & {dist.lower().replace("_", "-") for dist in packages[name]}
    }
    assert missing == set()


@pytest.mark.slow
def test_the_wheel_brings_all_modules_and_scripts(site: Path) -> None:
    files = [
        str(path.relative_to(PACKAGE / "src"))
        for path in sorted((PACKAGE / "src").rglob("*"))
        if path.suffix in (".py", ".sql")
    ]
    assert [name for name in files if not (site / name).is_file()] == []


@pytest.mark.slow
def test_it_translates_without_the_rest_of_feira(site: Path) -> None:
    code = (
        "from redshift_local.translation.translate import translate;"
        "print(translate('SELECT NVL(a, 1) FROM t')[0].statements[0])"
    )
    ran = subprocess.run(
        [PYTHON, "-c", code],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("SELECT coalesce(a, 1) FROM t\n", "")


def test_the_range_of_sqlglot_holds_the_installed_one() -> None:
    from packaging.requirements import Requirement

    (sqlglot,) = [Requirement(d) for d in PROJECT["dependencies"] if d.startswith("sqlglot")]
    assert importlib.metadata.version("sqlglot") in sqlglot.specifier
