"""Every command, found in the app itself, on odd settings and odd state: one message, no stack trace."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from feira_local.cli import app, main

# They begin real work where the settings are good, or write into the checkout.
STARTS = {("up",), ("demo",), ("jars", "fetch"), ("jars", "lock"), ("contracts", "dbt"), ("docs",)}
ODD = [
    "",
    " ",
    "-1",
    "2010-02-30",
    "2010-12-01..",
    "[bold]",
    "\x1b[31m",
    "x" * 9000,
    "\udcff",
    "é'\"",
]


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = getattr(group, "commands", None)
    if inner is None:
        yield path
        return
    for name, command in inner.items():
        yield from commands(command, (*path, name))


def arguments(path: tuple[str, ...], value: str) -> list[str]:
    """The command with ``value`` for each thing that it requires."""
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    words = [*path]
    for parameter in command.params:
        if parameter.required and parameter.param_type_name == "option":
            words += [parameter.opts[0], value]
    required = [it for it in command.params if it.required and it.param_type_name == "argument"]
    return words + (["--", value] if required else [])


ALL = sorted(set(commands(typer.main.get_command(app))) - {("lint-assets",)})
QUIET = [path for path in ALL if path not in STARTS]


def ended(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> int:
    monkeypatch.setattr(sys, "argv", ["feira", *words])
    with pytest.raises(SystemExit) as end:
        main()
    output = capfd.readouterr()
    assert "Traceback" not in output.out + output.err
    assert "not foreseen" not in output.err
    assert "\x1b[31m" not in output.out + output.err
    code = end.value.code
    assert code in (None, 0, 1, 2)
    if code in (1, 2):
        assert (output.err or output.out).strip()
    return int(code or 0)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FEIRA_PORT_AIRFLOW", "abc"),
        ("FEIRA_PORT_S3", "70000"),
        ("FEIRA_PORT_SHOP", "15432"),
        ("FEIRA_CLOCK", "maybe"),
        ("FEIRA_SHOP_DATA", "/nowhere"),
    ],
)
def test_a_setting_that_is_not_legal_is_one_message(
    path: tuple[str, ...], name: str, value: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if path in (("contracts", "dbt"), ("docs",)):
        pytest.skip("it reads no setting, and writes into the checkout")
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    monkeypatch.setenv(name, value)
    code = ended(arguments(path, "2010-12-01"), monkeypatch, capfd)
    assert code == (0 if path in (("contracts", "list"), ("pools",)) else code or 1)


@pytest.mark.parametrize("path", QUIET, ids=" ".join)
@pytest.mark.parametrize("broken", ["file", "secrets", "settings", "secrets folder"])
def test_a_broken_state_folder_is_one_message(
    path: tuple[str, ...], broken: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    home = tmp_path / "a 'b"
    if broken == "file":
        home.touch()
    else:
        (home / "run").mkdir(parents=True)
    if broken == "secrets":
        (home / "secrets.env").write_bytes(b"\xff\xfe\x00")
    if broken == "secrets folder":
        (home / "secrets.env").mkdir()
    if broken == "settings":
        (home / "run" / "config.json").write_text('{"ports": 3}')
    monkeypatch.setenv("FEIRA_HOME", str(home))
    ended(arguments(path, "2010-12-01"), monkeypatch, capfd)


@pytest.mark.parametrize("path", QUIET, ids=" ".join)
@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_odd_input_is_one_message(
    path: tuple[str, ...], value: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path / "home"))
    ended(arguments(path, value), monkeypatch, capfd)
