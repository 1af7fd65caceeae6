"""The process that loads the DAG files. Whatever they do to it, the one that started it goes on.

What it finds goes to a file under a name that no DAG file is given, written whole or not at all;
its standard output and error lead nowhere that the report is read from.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from feira_wiring.model import FailureKind
from feira_wiring.report import FolderUnreadable, NoSuchRule, Report
from feira_wiring.suppression import Pattern

# Taken now: a DAG file may put something else in their place.
_dumps, _open, _write, _close = pickle.dumps, os.open, os.write, os.close
_replace, _exit, _getpid, _getppid = os.replace, os._exit, os.getpid, os.getppid


@dataclass(frozen=True)
class Request:
    """What to lint. ``lost``: files that ended an earlier process or hung, and how."""

    folders: tuple[Path, ...]
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    enable: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    lost: tuple[tuple[str, FailureKind, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """A report, or why there is none: ``wrong`` is what was asked for, ``failed`` the linter itself."""

    report: Report | None = None
    wrong: str | None = None
    failed: str | None = None


def main(request: str, progress: str, answer: str) -> None:
    """Reads a request from one file, and leaves its answer in another. Never returns."""
    owner = _getpid()

    def started(file: str) -> None:
        if _getpid() != owner:  # a DAG file forked, and this is its child
            _exit(0)
        _put(progress, file.encode(errors="surrogateescape") or b"\0")

    try:
        asked: Request = pickle.loads(Path(request).read_bytes())
        given = _answer(asked, started)
    except BaseException as error:
        given = Answer(failed=_shortly(error))
    if _getpid() == owner:
        _put(answer, _dumps(given))
    # Neither atexit nor threads that still run may add anything.
    _exit(0)


def _answer(asked: Request, started: Callable[[str], None]) -> Answer:
    from feira_wiring.home import airflow_home

    with airflow_home():
        _let_crashes_end_it()
        # Not before: importing airflow makes its home.
        from feira_wiring.linting import lint

        try:
            report = lint(
                asked.folders,
                asked.ignore,
                select=asked.select,
                enable=asked.enable,
                patterns=asked.patterns,
                lost={file: (kind, text) for file, kind, text in asked.lost},
                started=started,
            )
        except (FolderUnreadable, NoSuchRule) as error:
            return Answer(wrong=str(error))
        return Answer(report=replace(report, wiring=None))


def _let_crashes_end_it() -> None:
    """Airflow handles SIGSEGV in Python, which after a real one goes on for ever."""
    from airflow.dag_processing.importers import python_importer

    def install(number: int, handler: object) -> object:
        return None if number == signal.SIGSEGV else signal.signal(number, handler)  # type: ignore[arg-type]

    kept = {name: getattr(signal, name) for name in dir(signal) if not name.startswith("_")}
    vars(python_importer)["signal"] = types.SimpleNamespace(**kept | {"signal": install})
    faulthandler.enable()


def _put(file: str, content: bytes) -> None:
    """The whole content under the name, or nothing new."""
    part = f"{file}.part"
    out = _open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while content:
            content = content[_write(out, content) :]
    finally:
        _close(out)
    _replace(part, file)


def _shortly(error: BaseException) -> str:
    """The exception, and the last lines of the linter that it came through."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-2:]
    where = " < ".join(f"{Path(each.filename).name}:{each.lineno}" for each in reversed(frames))
    return " ".join(f"{type(error).__name__}: {error} ({where})".split())
