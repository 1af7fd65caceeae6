"""A log is followed line by line: none is lost or comes twice, through the files that it goes on in, and none gives the
terminal a command."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest

from feira_local.cli import stack as commands
from feira_local.stack import log_lines


def add(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "shop.log"
    add(path, "one\ntwo\nthree\n")
    return path


def test_the_last_lines_come_first_and_then_each_that_ends(log: Path) -> None:
    add(log, "fo")
    followed = log_lines.follow(log, 2)
    assert [next(followed), next(followed)] == ["two", "three"]
    add(log, "ur\nfive\r\nsi")
    assert [next(followed), next(followed)] == ["four", "five"]
    add(log, b"x \xc3")
    add(log, b"\xa9 \xff\n\n")
    assert [next(followed), next(followed)] == ["six é \ufffd", ""]


def test_what_is_written_while_the_first_lines_are_shown_comes_once(log: Path) -> None:
    shown = []
    for line in itertools.islice(log_lines.follow(log, 40), 9):
        shown.append(line)
        if len(shown) <= 6:
            add(log, f"after {len(shown)}\n")
    assert shown == ["one", "two", "three", *(f"after {n}" for n in range(1, 7))]


def test_a_log_goes_on_in_a_new_file_of_its_name(log: Path) -> None:
    followed = log_lines.follow(log, 1)
    assert next(followed) == "three"
    add(log, "last of the old\nhalf")
    log.rename(log.with_name("shop.log.1"))
    add(log, "first of the new\n")
    assert [next(followed) for _ in range(3)] == ["last of the old", "half", "first of the new"]


def test_a_log_that_is_missing_for_a_moment_or_is_emptied_goes_on(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed = log_lines.follow(log, 1)
    assert next(followed) == "three"
    moments = iter((lambda: log.unlink(), lambda: add(log, "new\n")))
    monkeypatch.setattr(log_lines.time, "sleep", lambda _: next(moments)())
    assert next(followed) == "new"
    os.truncate(log, 0)
    moments = iter((lambda: add(log, "b\n"),))
    assert next(followed) == "b"


@pytest.mark.parametrize("lines", [1, 2, 3, 40])
@pytest.mark.parametrize("length", [1, 700, log_lines._BLOCK - 1, log_lines._BLOCK, 200_000])
def test_as_many_lines_are_shown_as_were_asked_for_however_long_they_are(
    length: int, lines: int, log: Path
) -> None:
    # Of two bytes, so that a cut amid a character would show.
    written = [f"{number}{'é' * length}" for number in range(3)]
    add(log, "\n".join(written) + "\n")
    expected = ["one", "two", "three", *written][-lines:]
    assert log_lines.tail(log, lines) == expected
    followed = log_lines.follow(log, lines)
    assert [next(followed) for _ in expected] == expected
    add(log, "next\nhal")
    assert next(followed) == "next"
    assert log_lines.tail(log, lines) == [*expected, "next", "hal"][-lines:]
    assert log_lines.tail(log.with_name("none"), lines) == []


def test_a_line_ends_at_a_line_break_alone(log: Path) -> None:
    add(log, "a\x0cb\u2028c\rd\x85e\r\n\n")
    assert log_lines.tail(log, 3) == ["three", "a\x0cb\u2028c\rd\x85e", ""]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_that_is_followed_gives_the_terminal_no_command(
    as_json: bool, log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class EndError(Exception):
        pass

    hostile = "\x1b]0;owned\x07 \u202e"

    def over(_: float) -> None:
        raise EndError

    add(log, hostile + "\n")
    monkeypatch.setattr(log_lines.time, "sleep", over)
    monkeypatch.setenv("FEIRA_HOME", str(log.parent))
    monkeypatch.setattr(commands, "log_path", lambda *_: log)
    with pytest.raises(EndError):
        commands.logs("shop", follow=True, lines=2, as_json=as_json)
    shown = capsys.readouterr().out.splitlines()
    if as_json:
        found = [json.loads(line) for line in shown]
        assert found == [{"service": "shop", "line": line} for line in ("three", hostile)]
    else:
        assert shown == ["three", r"\x1b]0;owned\x07 \u202e"]
