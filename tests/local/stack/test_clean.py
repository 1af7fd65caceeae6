"""What `make clean` and `feira clean` remove, and that they remove nothing else."""

from __future__ import annotations

import json
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


@pytest.fixture
def linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, Path]:
    """Links of a stack's folder, which a person has made, by what they lead to on another disk."""
    home, disk = tmp_path / "home", tmp_path / "big disk"
    for folder in (home / "postgres", home / "logs", disk / "lake" / "feira-lake", disk / "data"):
        folder.mkdir(parents=True)
    (home / "secrets.env").touch()
    (disk / "connections.yaml").touch()
    (home / "logs" / "latest").symlink_to(home / "postgres")
    (home / "logs" / "gone").symlink_to(tmp_path / "gone")
    (home / "logs" / "circle").symlink_to("circle")
    found = {
        disk / "lake": home / "lake",
        disk / "data": home / "postgres" / "data",
        disk / "connections.yaml": home / "connections.yaml",
    }
    for target, link in found.items():
        link.symlink_to(target)
    monkeypatch.setenv("FEIRA_HOME", str(home))
    return found


def test_clean_names_what_it_leaves_behind_a_link_and_removes_nothing_there(
    linked: dict[Path, Path],
) -> None:
    ended = CliRunner().invoke(app, ["clean", "--yes"])
    assert ended.exit_code == 0, ended.exception
    assert sorted(ended.stderr.splitlines()) == sorted(
        f"{link} was a link to {target}, which is outside and stays; remove it by hand if it was "
        "this stack's alone."
        for target, link in linked.items()
    )
    assert all(target.exists() for target in linked)
    assert next(iter(linked)).joinpath("feira-lake").is_dir()
    assert not any(link.parent.exists() for link in linked.values())


def test_clean_tells_a_program_what_it_has_left_and_nothing_of_what_it_keeps(
    linked: dict[Path, Path],
) -> None:
    ended = CliRunner().invoke(app, ["clean", "--yes", "--keep-settings", "--json"])
    assert ended.exit_code == 0, ended.exception
    lake, data, connections = linked
    assert json.loads(ended.stdout)["left"] == [str(data), str(lake)]
    assert linked[connections].resolve() == connections
