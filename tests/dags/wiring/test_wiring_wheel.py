"""The linter as people get it: its wheel beside an Airflow, without anything else of Feira."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from checkout import REPOSITORY
from feira_wiring import command
from feira_wiring.isolation import ToolFailed
from wheels import PYTHON, add_libraries, imported, install

WIRING = REPOSITORY / "airflow" / "wiring"
PROJECT = tomllib.loads((WIRING / "pyproject.toml").read_text())["project"]
BROKEN = Path(__file__).parent / "folders" / "no-listener" / "broken"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, and all that is installed here but the rest of Feira."""
    site = install(tmp_path_factory.mktemp("wiring"), "airflow/wiring")
    add_libraries(site)
    return site


@pytest.fixture
def run(site: Path, tmp_path: Path) -> Run:
    """Runs a command where the wheel is installed, in a folder that has its DAGs in ``dags``.

    ``airflow``: the version that Airflow's own metadata gives there.
    """

    def run(*words: str, airflow: str | None = None) -> subprocess.CompletedProcess[str]:
        path = [str(site)]
        if airflow is not None:
            for name in ("apache-airflow", "apache-airflow-core"):
                info = tmp_path / "other" / f"{name.replace('-', '_')}-{airflow}.dist-info"
                info.mkdir(parents=True, exist_ok=True)
                (info / "METADATA").write_text(f"Name: {name}\nVersion: {airflow}\n")
            path.insert(0, str(tmp_path / "other"))
        if not (tmp_path / "dags").exists():
            (tmp_path / "dags").symlink_to(BROKEN)
        clean = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
        return subprocess.run(
            words,
            cwd=tmp_path,
            env=clean | {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(path)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_the_wheel_alone_lints_a_folder_by_its_script_and_by_its_module(
    site: Path, run: Run
) -> None:
    where = run(PYTHON, "-c", "import feira_wiring; print(feira_wiring.__file__)")
    assert where.stdout == f"{site}/feira_wiring/__init__.py\n"
    for name in ("feira", "feira_airflow", "feira_provider"):
        assert "No module named" in run(PYTHON, "-c", f"import {name}").stderr
    script = run(PYTHON, str(site / "bin" / "lint-assets"), "dags", "--fail-on", "warning")
    assert (script.returncode, script.stderr) == (1, "")
    assert script.stdout.startswith("warning  no-listener  orders\n")
    assert "         dags/dags.py:12\n" in script.stdout
    assert "usage: lint-assets " in run(PYTHON, str(site / "bin" / "lint-assets"), "--help").stdout
    assert "usage: python -m feira_wiring " in run(PYTHON, "-m", "feira_wiring", "--help").stdout


def test_the_pre_commit_hook_runs_from_the_wheel_and_leaves_nothing_behind(
    tmp_path: Path, run: Run
) -> None:
    """As pre-commit does it: entry and arguments, in a repository that has its DAGs in ``dags``."""
    (hook,) = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    assert (hook["language"], hook["pass_filenames"]) == ("system", False)
    python, *entry = hook["entry"].split()
    assert python == "python"
    done = run(PYTHON, *entry, *hook["args"], "--fail-on", "warning")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("warning  no-listener  orders\n")
    assert [path.name for path in tmp_path.iterdir()] == ["dags"]


def test_airflow_is_its_only_dependency_and_all_else_that_it_imports_is_pythons() -> None:
    (airflow,) = PROJECT["dependencies"]
    assert Requirement(airflow).name == "apache-airflow"
    libraries = imported((WIRING / "src").rglob("*.py")) - sys.stdlib_module_names
    assert libraries == {"airflow", "feira_wiring"}


@pytest.mark.parametrize("version", ["2.10.5", "3.2.9", "3.4.0", "3.4.0b1", "3.10.1", "4.0"])
def test_another_airflow_is_refused_with_its_version_the_range_and_the_way_on(
    run: Run, version: str
) -> None:
    done = run(PYTHON, "-m", "feira_wiring", "dags", "--format", "json", airflow=version)
    assert done.returncode == command.FAILED
    (line,) = done.stderr.splitlines()
    for part in (version, ">=3.3,<3.4", "airflow-asset-wiring", "--any-airflow"):
        assert part in line
    assert json.loads(done.stdout)["error"] in line


def test_with_the_flag_the_linter_goes_on_with_another_airflow(run: Run) -> None:
    words = (PYTHON, "-m", "feira_wiring", "dags", "--fail-on", "warning")
    done = run(*words, "--any-airflow", airflow="3.4.0")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("warning  no-listener  orders\n")


@pytest.mark.parametrize("version", ["3.3.2.post1", "3.3.2+local.4", "3.3.3rc1"])
def test_a_build_of_an_airflow_of_the_range_is_not_refused(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_refused(version, monkeypatch)


def test_the_range_is_understood_as_pip_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever pyproject.toml says of Airflow later: what pip would refuse is refused."""
    allowed = Requirement(PROJECT["dependencies"][0]).specifier
    versions = [
        f"{major}.{minor}{rest}"
        for major, minor, rest in itertools.product((2, 3, 4), range(36), ("", ".0", ".7", ".10.1"))
    ]
    assert versions == [
        each for each in versions if is_refused(each, monkeypatch) is not allowed.contains(each)
    ]


def is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(command, "_airflow_version", lambda: version)
    try:
        command._check_airflow(any_version=False)
    except ToolFailed:
        return True
    return False


def test_without_airflow_or_without_its_own_metadata_the_linter_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as without:
        without.setattr(command, "_DISTRIBUTION", "not-installed-at-all")
        assert command.main([str(BROKEN)]) == command.FAILED
        assert "not-installed-at-all is not installed" in capsys.readouterr().err
    monkeypatch.setattr(command, "_airflow_version", lambda: None)
    assert command.main([str(BROKEN), "--any-airflow"]) == command.FAILED
    error = capsys.readouterr().err
    assert "no Airflow is installed" in error
    assert not re.search("--any-airflow", error)
