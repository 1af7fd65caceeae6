"""What `make clean` and `feira clean` remove, and that they remove nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feira_local.cli import app
from feira_local.stack.errors import StackError

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["a b", "a 'b", 'a "b', "a $HOME b", "a %s ü"])
def test_make_clean_removes_nothing_outside_a_clone_whose_path_has_spaces(
    tmp_path: Path, name: str
) -> None:
    clone = tmp_path / name / "f"
    for folder in (clone / ".feira", clone / ".feira-a b", clone / ".cache", tmp_path / "a" / "k"):
        folder.mkdir(parents=True)
    for file in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / file, clone)
    ended = subprocess.run(
        ["make", "clean"], cwd=clone, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "a" / "k").is_dir()
    assert sorted(path.name for path in clone.iterdir()) == [
        "Makefile",
        "pyproject.toml",
        "requirements.lock",
    ]


def refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("FEIRA_HOME", str(home))
    ended = CliRunner().invoke(app, ["clean", "--yes"])
    assert isinstance(ended.exception, StackError)
    return str(ended.exception)


def test_clean_refuses_the_home_folder_and_all_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "users" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for folder in (home, home.parent):
        (folder / "secrets.env").touch()
        assert "home folder" in refused(folder, monkeypatch)
    assert "home folder" in refused(Path("/"), monkeypatch)
    assert home.is_dir()


def test_clean_refuses_a_folder_that_holds_what_no_stack_has_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "work"
    home.mkdir()
    assert "no secrets.env" in refused(home, monkeypatch)
    (home / "secrets.env").touch()
    (home / "thesis.tex").touch()
    assert "also holds thesis.tex" in refused(home, monkeypatch)
    assert (home / "thesis.tex").is_file()


def test_clean_removes_a_stacks_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a 'b"
    (home / "lake").mkdir(parents=True)
    # The last is left by a kill.
    for name in ("secrets.env", "secrets.lock", "secrets.env.new"):
        (home / name).touch()
    monkeypatch.setenv("FEIRA_HOME", str(home))
    ended = CliRunner().invoke(app, ["clean", "--yes"])
    assert ended.exit_code == 0, ended.exception
    assert not home.exists()
    assert tmp_path.is_dir()
