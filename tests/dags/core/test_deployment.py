"""What docs/aws.md has a deployment install is all that its DAGs import, each file of one distribution."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from checkout import REPOSITORY
from wheels import PYTHON, add_libraries, imported, install

DAGS = sorted((REPOSITORY / "airflow" / "dags").glob("*.py"))
PACKAGES = ("feira", "feira_spark", "feira_airflow", "feira_provider", "feira_wiring")
# Tasks import when they run: so every module, and not only what a DAG's file imports.
IMPORTED = """
import importlib, pkgutil, runpy, sys
from pathlib import Path

dags = sys.argv[sys.argv.index("--") + 1 :]
for name in sys.argv[1 : sys.argv.index("--")]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        if not module.name.endswith("__main__") and ".example_dags" not in module.name:
            print(importlib.import_module(module.name).__file__)
for path in dags:
    runpy.run_path(path)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page installs, and nothing else."""
    page = (REPOSITORY / "docs" / "aws.md").read_text()
    (command,) = re.findall(r"pip install --no-deps ([^`]+)`", page)
    return install(tmp_path_factory.mktemp("deployment"), *command.split())


@pytest.fixture
def site(own: Path, tmp_path: Path) -> Path:
    """That, and all that is installed here but Feira."""
    site = tmp_path / "site"
    shutil.copytree(own, site)
    add_libraries(site)
    return site


@pytest.mark.slow
def test_what_the_page_installs_holds_every_module_of_the_dags(site: Path, tmp_path: Path) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTHON"))}
    done = subprocess.run(
        [PYTHON, "-c", IMPORTED, *PACKAGES, "--", *map(str, DAGS)],
        env=kept
        | {
            "PYTHONPATH": str(site),
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "FEIRA_REPOSITORY": str(REPOSITORY),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    modules = [Path(line) for line in done.stdout.splitlines() if line.endswith(".py")]
    assert len(modules) > 100 and all(each.is_relative_to(site) for each in modules)


def packaged(found: Iterable[Distribution]) -> dict[str, set[str]]:
    """The files of each distribution but its own description."""
    return {
        each.name: {str(file) for file in each.files or () if ".dist-info" not in str(file)}
        for each in found
    }


@pytest.mark.slow
def test_no_two_wheels_have_a_file_and_each_is_typed_and_brings_its_licence(
    own: Path, tmp_path: Path
) -> None:
    redshift = install(tmp_path, "infra/redshift-local")
    found = [*distributions(path=[str(own)]), *distributions(path=[str(redshift)])]
    files = packaged(found)
    assert files.keys() == {
        *("feira", "feira-core", "airflow-provider-feira", "airflow-asset-wiring"),
        "redshift-local",
    }
    shared = [
        name
        for name in set().union(*files.values())
        if sum(name in of for of in files.values()) > 1
    ]
    assert shared == []
    licence = (REPOSITORY / "LICENSE").read_text()
    for each in found:
        assert each.read_text("licenses/LICENSE") == licence, each.name
    packages = {
        name.partition("/")[0] for of in files.values() for name in of if name.endswith(".py")
    }
    typed = {name for of in files.values() for name in of if name.endswith("py.typed")}
    assert typed == {f"{package}/py.typed" for package in packages}


@pytest.mark.slow
def test_the_wheel_of_the_pipelines_depends_on_feiras_own_that_it_imports(own: Path) -> None:
    found = {each.name: each for each in distributions(path=[str(own)])}
    files = packaged(found.values())
    asked = [Requirement(each) for each in found["feira"].requires or ()]
    declared = {each.name: each for each in asked if each.name in found}
    # A package's distribution is the one that has its first file.
    whose = {
        name.removesuffix("/__init__.py"): distribution
        for distribution, of in files.items()
        for name in of
        if name.count("/") == 1 and name.endswith("/__init__.py")
    }
    modules = [own / name for name in files["feira"] if name.endswith(".py")]
    imports = {whose[name] for name in imported(modules) if name in whose} - {"feira"}
    assert declared.keys() == imports == found.keys() - {"feira"}
    for name, requirement in declared.items():
        assert str(requirement.specifier) == f"=={found[name].version}"


@pytest.mark.parametrize(
    "folder", ["shared", "airflow/provider", "airflow/wiring", "infra/redshift-local"]
)
def test_the_licence_of_a_distribution_is_the_repositorys(folder: str) -> None:
    assert (REPOSITORY / folder / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
