"""Lints in another process, and notices when DAG files end it or never let it end.

That process leaves what it finds in a file under a name that no DAG file is given, written whole or not at
all; its standard output and error lead nowhere that the report is read from.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from feira_wiring.home import airflow_home
from feira_wiring.model import FailureKind
from feira_wiring.report import FolderUnreadable, NoSuchRule, Report
from feira_wiring.suppression import Pattern

FILE_TIMEOUT, TIMEOUT = 30.0, 600.0
# Airflow's own alarm goes first: it names the line.
_GRACE = 3.0
_STEP = 0.05
_START = "import sys; sys.path[:] = {path!r}; from feira_wiring.isolation import main; main(*sys.argv[1:])"


class ToolFailed(Exception):
    """There is no report, and that is not because of what was asked for."""


@dataclass(frozen=True)
class _End:
    """How a process ended: its answer, or the file that it was at and what happened there."""

    answer: Answer | None
    file: str | None = None
    kind: FailureKind = "ended"
    text: str = ""


def run(request: Request, file_timeout: float = FILE_TIMEOUT, timeout: float = TIMEOUT) -> Report:
    """The report on what is asked for. One process loads all files; after one that ends it or hangs
    the next process goes on without that file.

    Raises FolderUnreadable for what cannot be asked, ToolFailed when there can be no report.
    """
    until = time.monotonic() + timeout
    with airflow_home():  # here: a process that is ended removes nothing
        while True:
            end = _attempt(request, file_timeout, until, timeout)
            if end.answer is None:
                if not end.file or end.file in (file for file, _, _ in request.lost):
                    raise ToolFailed(f"The process that loads the DAG files {end.text}.")
                request = replace(request, lost=(*request.lost, (end.file, end.kind, end.text)))
            elif end.answer.wrong is not None:
                raise FolderUnreadable(end.answer.wrong)
            elif end.answer.report is None:
                raise ToolFailed(f"The linter failed, which is a bug in it: {end.answer.failed}.")
            else:
                return end.answer.report


def _attempt(request: Request, file_timeout: float, until: float, timeout: float) -> _End:
    with tempfile.TemporaryDirectory(prefix="wiring-", ignore_cleanup_errors=True) as folder:
        asked, progress, answer = (str(Path(folder, name)) for name in ("asked", "file", "answer"))
        Path(asked).write_bytes(pickle.dumps(request))
        environment = os.environ | {
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": str(file_timeout),
            "PYTHONFAULTHANDLER": "",
        }
        with open(Path(folder, "stderr"), "w+b") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", _START.format(path=sys.path), asked, progress, answer],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=environment,
                start_new_session=True,
            )
            try:
                hung = _wait(process, Path(progress), file_timeout, until)
            finally:
                # What DAG files started and left running goes with it.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
            if Path(answer).exists():
                return _End(_read(answer))
            file = _file(Path(progress))
            if hung == "all":
                at = f"at {file}" if file else "before or after it loaded files"
                raise ToolFailed(f"No report within {timeout:g} s (--timeout); it was {at}.")
            if hung == "file":
                return _End(None, file, "hung", f"no end after {file_timeout:g} s")
            return _End(None, file, "ended", _how(code) + (_last_line(errors) if not file else ""))


def _wait(
    process: subprocess.Popen[bytes], progress: Path, limit: float, until: float
) -> str | None:
    """Until it ends; ``file`` where one file takes too long, ``all`` where the whole does."""
    at, since = None, time.monotonic()
    while True:
        try:
            process.wait(_STEP)
            return None
        except subprocess.TimeoutExpired:
            pass
        now = time.monotonic()
        if (file := _file(progress)) != at:
            at, since = file, now
        if now > until:
            return "all"
        if at and now > since + limit + _GRACE:
            return "file"


def _file(progress: Path) -> str | None:
    """The file that is being loaded; None before the first and after the last."""
    try:
        name = progress.read_bytes()
    except OSError:
        return None
    return None if name == b"\0" else name.decode(errors="surrogateescape")


def _read(answer: str) -> Answer:
    try:
        given = pickle.loads(Path(answer).read_bytes())
    except Exception as error:
        raise ToolFailed(f"The answer of the linter's process cannot be read: {error}.") from None
    if not isinstance(given, Answer):
        raise ToolFailed("The answer of the linter's process is none of its own.")
    return given


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


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
