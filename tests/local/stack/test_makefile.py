"""What `make` hands to the `feira` command, and what it refuses before it installs anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
SHOW = 'show: ; @printf "%s\\n" "$$FEIRA_HOME" "$$DATA" "$${XDG_CACHE_HOME-}"'


def make(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`make` in a folder that holds what the Makefile itself reads."""
    for file in (
        "Makefile",
        "requirements.lock",
        "pyproject.toml",
        "airflow/provider/pyproject.toml",
        "airflow/wiring/pyproject.toml",
        "infra/redshift-local/pyproject.toml",
        "shared/pyproject.toml",
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, folder / file)
    ours = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        ["make", *words], cwd=folder, env=ours | env, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("name", ["online_retail", "d 'q", 'd "q', "d;q #x", "d/", "ü (1)[k]"])
@pytest.mark.parametrize("given", ["argument", "environment"])
def test_the_lake_of_a_replay_is_in_a_folder_of_its_own(
    name: str, given: str, tmp_path: Path
) -> None:
    data = f"/data/{name}"
    shown = (
        make(tmp_path, f"--eval={SHOW}", "show", f"DATA={data}")
        if given == "argument"
        else make(tmp_path, f"--eval={SHOW}", "show", DATA=data)
    )
    assert shown.stderr == ""
    assert shown.stdout.splitlines()[:2] == [f"{tmp_path}/.feira-{name.strip('/')}", data]


def test_without_a_replay_the_lake_is_the_clones_own_and_a_named_home_wins(tmp_path: Path) -> None:
    clone = tmp_path / "a 'b[k]"
    home = make(clone, f"--eval={SHOW}", "show").stdout.splitlines()[0]
    assert home == f"{clone}/.feira"
    named = make(clone, f"--eval={SHOW}", "show", "DATA=/d", FEIRA_HOME="/x y")
    assert named.stdout.splitlines()[0] == "/x y"


@pytest.mark.parametrize("home", ["/dev/null/me", "", "/dev/null"])
def test_without_a_writable_home_the_caches_are_in_the_clone(home: str, tmp_path: Path) -> None:
    clone = tmp_path / "a b"
    shown = make(clone, f"--eval={SHOW}", "show", HOME=home)
    assert shown.stdout.splitlines()[2] == f"{clone}/.cache"
    mine = make(clone, f"--eval={SHOW}", "show", HOME=str(tmp_path))
    assert mine.stdout.splitlines()[2] == ""
    set_ = make(clone, f"--eval={SHOW}", "show", HOME=home, XDG_CACHE_HOME="/c")
    assert set_.stdout.splitlines()[2] == "/c"


@pytest.mark.parametrize("name", ["a:b", "a$HOME b", "a %s", "a ;b", "a #b"])
def test_a_path_that_the_stack_cannot_read_is_refused_before_anything_is_installed(
    name: str, tmp_path: Path
) -> None:
    refused = make(tmp_path / name, "install")
    assert refused.returncode != 0
    assert str(tmp_path / name) in refused.stderr
    assert not (tmp_path / name / ".venv").exists()


def test_verify_runs_its_stack_with_comet_where_that_is_asked_for(tmp_path: Path) -> None:
    for asked in (["COMET=on"], ["FEIRA_COMET=on"]):
        assert ' FEIRA_COMET="on" ' in make(tmp_path, "-n", "verify", *asked).stdout
    assert ' FEIRA_COMET="" ' in make(tmp_path, "-n", "verify").stdout


@pytest.mark.parametrize("there", [True, False])
def test_a_system_without_libgomp_is_told_before_anything_is_installed_and_not_stopped(
    there: bool, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ncase "$2" in *libgomp.so.1*) {"exit 0" if there else "exit 1"};; esac\n'
    )
    python.chmod(0o755)
    checked = make(tmp_path / "clone", "libgomp-check", f"PYTHON={python}")
    assert checked.returncode == 0
    assert ("apt-get install libgomp1" in checked.stderr) is not there
    assert ("--without valkey" in checked.stderr) is not there
    # A Python that does not run is no sign of it.
    none = make(tmp_path / "clone", "libgomp-check", f"PYTHON={tmp_path / 'none'}")
    assert (none.returncode, none.stderr) == (0, "")
    assert (
        "libgomp-check"
        in make(tmp_path / "clone", "-n", "-p", "install")
        .stdout.partition("\ninstall:")[2]
        .partition("\n")[0]
    )
