"""Every command and option, found in the app itself, and every variable, found in the sources, on odd
input and odd state: one message, no stack trace, and standard output that stays JSON with ``--json``."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
import typer

from feira.core.settings import repository_root
from feira_local.cli import app, contracts, main
from feira_local.stack import jars, lifecycle
from feira_local.stack.config import DEFAULT_PORTS
from feira_local.stack.errors import StackError

Path_ = tuple[str, ...]
ODD = [
    "",
    " ",
    "-1",
    "0",
    "abc",
    "nan",
    "1e400",
    "99999999999999999999",
    "2010-02-30",
    "2010-12-01..",
    "[/bold]",
    "\x1b[31m",
    "x" * 9000,
    "\udcff",
    "é'\"",
    "/dev/null/a:b;c",
    "a\nb",
    "/dev/null",
]
# The linter reads its options itself, which tests/wiring walks; here it is one word to it.
LINTER = ("lint-assets",)
GOOD = {"pipeline": "sales", "query": "SELECT 1", "name": "s3", "days": "2010-12-01..2010-12-02"}


TREE: Any = typer.main.get_command(app)


def find(path: Path_) -> click.Command:
    command = TREE
    for name in path:
        command = command.commands[name]
    return command  # type: ignore[no-any-return]


def commands(group: click.Command, path: Path_ = ()) -> Iterator[Path_]:
    inner = getattr(group, "commands", None)
    if inner is None:
        yield path
        return
    for name, command in inner.items():
        yield from commands(command, (*path, name))


ALL = sorted(set(commands(find(()))))
OPTIONS = [
    (path, parameter.name)
    for path in ALL
    for parameter in find(path).params
    if parameter.name != "help" and not getattr(parameter, "is_flag", False)
]
WITH_JSON = [path for path in ALL if any(it.name == "as_json" for it in find(path).params)]
VARIABLES = sorted(
    {
        name
        for folder in ("tilt", "shared", "airflow", "spark")
        for file in (repository_root() / folder / "src").rglob("*.py")
        for name in re.findall(r"\bFEIRA_[A-Z0-9_]*[A-Z0-9]\b", file.read_text(encoding="utf-8"))
    }
    # A traceback is what FEIRA_DEBUG is for, and the checkout is where these tests are.
    - {"FEIRA_DEBUG", "FEIRA_REPOSITORY"}
    | {f"FEIRA_PORT_{name.upper()}" for name in DEFAULT_PORTS}
)


def words(path: Path_, odd: str | None = None, value: str = "") -> list[str]:
    """The command with what it requires, and ``value`` for the parameter named ``odd``."""
    options, arguments = [*path], []
    for parameter in find(path).params:
        if parameter.name != odd and not parameter.required:
            continue
        given = value if parameter.name == odd else GOOD.get(str(parameter.name), "2010-12-01")
        if parameter.param_type_name == "argument":
            arguments.append(given)
        else:
            options += [parameter.opts[0], given]
    return options + (["--", *arguments] if arguments else [])


@pytest.fixture(autouse=True)
def _nothing_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A command that is about to do real work stops there."""

    def begun(*_: object, **__: object) -> None:
        raise StackError("It begins.")

    for module, name in (
        (lifecycle, "up"),
        (jars, "fetch"),
        (jars, "resolve"),
        (jars, "remove_unmanaged"),
        (jars, "missing_jars"),
        (contracts, "write_declared"),
    ):
        monkeypatch.setattr(module, name, begun)
    # Made of all commands anew by every call, it would be most of what these tests take.
    monkeypatch.setattr("typer.main.get_command", lambda _: TREE)
    monkeypatch.setattr("feira_airflow.core.dag_pages.pages", begun)
    monkeypatch.setattr("feira_wiring.command.main", lambda *_: 2)
    monkeypatch.setattr("os.execvp", begun)
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)  # a home that is a relative path is made here


Run = Any


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as its entry point does; returns its exit code and standard output."""

    def ended(*given: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["feira", *given])
        # A command may set a variable for what it starts; its process ends with it.
        with mock.patch.dict(os.environ), pytest.raises(SystemExit) as end:
            main()
        output = capfd.readouterr()
        shown = f"feira {given}: {output.out}{output.err}"
        assert "Traceback" not in shown
        assert "not foreseen" not in shown
        assert "\x1b" not in output.out + output.err, shown
        assert len(output.err) < 10_000
        code = end.value.code or 0
        assert code in (0, 1, 2), shown
        if code and given[:1] != LINTER:
            assert (output.err + output.out).strip(), shown
        return int(code), output.out

    return ended


@pytest.mark.parametrize(
    ("path", "name"), OPTIONS, ids=[" ".join([*path, str(name)]) for path, name in OPTIONS]
)
def test_an_option_or_argument_with_odd_input_is_one_message(
    path: Path_, name: str, run: Run
) -> None:
    for value in ODD:
        run(*words(path, name, value))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_an_option_that_does_not_exist_is_one_message(path: Path_, run: Run) -> None:
    for word in ("--[/bold]", "--\x1b[31m", "--é", "-ü"):
        code, _ = run(*words(path), word) if path != LINTER else (2, "")
        assert code == 2


@pytest.mark.parametrize("name", VARIABLES)
def test_a_variable_with_an_odd_value_is_one_message(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = VARIABLES.index(name)
    for number, value in enumerate(ODD):
        path = ("env",) if number % 2 else ALL[(at + number) % len(ALL)]
        monkeypatch.setenv(name, value)
        run(*words(path))


BROKEN = ["file", "secrets", "settings", "secrets folder", "link to nowhere", "odd leaders"]


def broken_home(folder: Path, how: str) -> Path:
    home = folder / "a 'b[bold]:c,{d}*"
    if how == "file":
        home.touch()
        return home
    if how == "link to nowhere":
        home.symlink_to(folder / "nowhere" / "x")
        return home
    (home / "run" / "leaders").mkdir(parents=True)
    if how == "secrets":
        (home / "secrets.env").write_bytes(b"\xff\xfe\x00")
    if how == "secrets folder":
        (home / "secrets.env").mkdir()
    if how == "settings":
        (home / "run" / "config.json").write_text('{"ports": 3}')
    if how == "odd leaders":
        (home / "run" / "leaders" / "s3").write_text("{\n")
        (home / "run" / "supervisord.pid").write_text("no number")
    return home


@pytest.mark.parametrize("path", ALL, ids=" ".join)
@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_state_folder_is_one_message(
    path: Path_, how: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(broken_home(tmp_path, how)))
    run(*words(path))


@pytest.mark.parametrize("path", WITH_JSON, ids=" ".join)
def test_with_json_an_error_leaves_standard_output_empty_or_json(
    path: Path_, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    required = [it.name for it in find(path).params if it.required]
    for how in (None, *BROKEN):
        folder = tmp_path / str(how)
        folder.mkdir()
        home = folder / "home" if how is None else broken_home(folder, how)
        monkeypatch.setenv("FEIRA_HOME", str(home))
        for name, value in [(None, ""), *((name, "[/bold]") for name in required)]:
            code, output = run(path[0], *words(path, name, value)[1:][: len(path) - 1], "--json",
                               *words(path, name, value)[len(path):])  # fmt: skip
            if output:
                json.loads(output)
            assert code or output


@contextmanager
def somebody_else() -> Iterator[Path]:
    """Inside, this process may not write as root does; gives a folder that it may not write at all."""
    folder = Path(tempfile.mkdtemp(prefix="feira-test-"))
    folder.chmod(0o755)
    root = os.geteuid() == 0
    try:
        (folder / "home").mkdir(mode=0o555)
        if root:
            os.setegid(65534)
            os.seteuid(65534)
        yield folder / "home"
    finally:
        if root:
            os.seteuid(0)
            os.setegid(0)
        (folder / "home").chmod(0o755)
        shutil.rmtree(folder)


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_state_folder_that_this_user_cannot_write_is_one_message_that_names_it(
    path: Path_, run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run(*words(path))  # what it imports is read now
    with somebody_else() as home:
        monkeypatch.setenv("FEIRA_HOME", str(home))
        run(*words(path))


@pytest.mark.parametrize(
    "given",
    [
        ["status", "--json"],
        ["run", "sales", "--day", "[/bold]\x1b[31m"],
        ["sql", "SELECT \udcff"],
        ["lint-assets", "/dev/null/[/bold]"],
    ],
    ids=lambda given: given[0],
)
def test_the_real_program_ends_without_a_stack_trace(given: list[str], tmp_path: Path) -> None:
    home = tmp_path / "a 'b[bold]"
    home.touch()
    ended = subprocess.run(
        [sys.executable, "-c", "from feira_local.cli import main; main()", *given],
        env=os.environ | {"FEIRA_HOME": str(home), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "\x1b" not in ended.stderr
    assert ended.stderr.strip()
    assert not ended.stdout


def test_whoever_reads_only_the_first_line_sees_no_stack_trace(tmp_path: Path) -> None:
    program = "from feira_local.cli import main; main()"
    command = f"{shlex.join([sys.executable, '-c', program])} services --json"
    ended = subprocess.run(
        ["bash", "-c", f"{command} | head -1"],
        env=os.environ | {"FEIRA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.stdout == "[\n"
    assert ended.stderr == ""


def test_ctrl_c_while_a_command_is_still_being_imported_shows_no_stack_trace() -> None:
    program = """
import importlib
def import_module(_):
    raise KeyboardInterrupt
importlib.import_module = import_module
import feira_local.cli
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")
