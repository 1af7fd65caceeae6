"""What of the system's libraries recommendations need is looked for before anything is started."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from feira_local.cli import doctor
from feira_local.stack import libraries, lifecycle
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError

OWN_VALKEY = "valkey_default: {conn_type: redis, host: valkey.example.com}"


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were asked for; the system has none of them."""
    asked: list[str] = []

    def load(name: str) -> None:
        asked.append(name)
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", load)
    return asked


def config(home: Path, **settings: str) -> StackConfig:
    return StackConfig.from_env({"FEIRA_HOME": str(home), **settings})


def test_a_start_without_libgomp_is_refused_with_its_package_and_makes_nothing(
    tmp_path: Path, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(lifecycle.Supervisor, "launch", lambda *_: pytest.fail("It was started."))
    with pytest.raises(StackError, match=r"libgomp\.so\.1 .*implicit and lightgbm") as refused:
        lifecycle.up(config(home))
    assert "sudo apt-get install libgomp1" in str(refused.value)
    assert "cannot open shared object file" in str(refused.value)
    assert missing and set(missing) == {"libgomp.so.1"}
    assert not home.exists()


@pytest.mark.parametrize(
    ("without", "own", "needed"),
    [
        ("", "", True),
        ("shop", "", True),
        ("valkey", "", False),
        ("kafka", "", False),
        ("kafka,valkey", "", False),
        ("valkey", OWN_VALKEY, True),
        ("kafka,valkey", OWN_VALKEY, False),
    ],
)
def test_libgomp_is_needed_where_lists_of_recommendations_are_made(
    without: str, own: str, needed: bool, tmp_path: Path, missing: list[str]
) -> None:
    path = tmp_path / "connections.yaml"
    path.touch(mode=0o600)
    path.write_text(own)
    asked = config(tmp_path, FEIRA_WITHOUT=without)
    if needed:
        with pytest.raises(StackError, match="libgomp"):
            libraries.require_libraries(asked)
    else:
        libraries.require_libraries(asked)
    found = [(it.what, it.ok) for it in doctor._libraries(asked)]
    assert found == ([("libgomp.so.1", False)] if needed else [])


def test_another_system_than_linux_brings_its_own(
    tmp_path: Path, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    libraries.require_libraries(config(tmp_path))
    assert missing == []


def test_doctor_finds_it_or_says_how_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = config(tmp_path)
    (found,) = doctor._libraries(asked)
    assert (found.what, found.ok) == ("libgomp.so.1", True)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(f"no {name}")))
    (lacking,) = doctor._libraries(asked)
    assert (lacking.ok, lacking.found) == (False, "no libgomp.so.1")
    assert "apt-get install libgomp1" in lacking.step
