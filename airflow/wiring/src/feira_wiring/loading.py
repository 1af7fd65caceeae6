"""Loads DAG folders as Airflow's DAG processor does; no metadata database is asked."""

from __future__ import annotations

import builtins
import contextlib
import datetime
import json
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exception_only
from types import ModuleType
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag
from airflow.dag_processing.importers import get_importer_registry
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.serialization.serialized_objects import LazyDeserializedDAG

from feira_wiring.duplicates import Bag, Dags, Doubled
from feira_wiring.model import FailureKind, Unstable
from feira_wiring.report import FolderUnreadable, must_exist
from feira_wiring.stability import beside, unstable

# The line of the user's file is wanted, and it may be far from where the exception was raised.
_DEPTH = "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH"

# What Airflow and the linter go on with, and what DAG files are known to replace parts of.
_PATCHED = (builtins, os, json, pickle, logging, signal, socket, subprocess, time, datetime)


@dataclass(frozen=True)
class Failure:
    """A file, or a DAG of it, that was not loaded; the file is absolute."""

    file: str
    kind: FailureKind
    cause: Cause
    dag_id: str | None = None


@dataclass(frozen=True)
class Loaded:
    """DAGs by name in order, their timetables in Airflow's core form, and what was not loaded.

    ``duplicates``: what was left out for another DAG of its id. ``unstable``: their assets that another parse has not.
    """

    dags: tuple[Any, ...]
    timetables: dict[str, Any]
    failures: tuple[Failure, ...]
    duplicates: tuple[Doubled, ...]
    unstable: tuple[Unstable, ...]


def load(
    folders: Sequence[Path],
    lost: Mapping[str, tuple[FailureKind, str]] | None = None,
    started: Callable[[str], None] = lambda file: None,
) -> Loaded:
    """Every DAG in these folders or files, as one deployment.

    ``lost``: files that ended the process or hung when they were loaded before, and are not loaded
    again. ``started`` is called with each file before it is loaded. Raises FolderUnreadable where
    there is no such folder, or nothing in it that Airflow takes for a DAG file.
    """
    must_exist(folders)
    lost = lost or {}
    dags = Dags()
    failures: list[Failure] = []
    seen: dict[str, Path] = {}
    modules: list[Path] = []
    with _Importing(folders) as importing, _quiet():
        for folder in folders:
            top = root(folder).resolve()
            modules += importing.begin(top)
            listed = _dag_files(folder)
            files = [file for file in listed if file not in seen]  # a folder may lie in another
            seen |= dict.fromkeys(files, folder)
            before = len(failures), dags.bagged
            for file in files:
                if file in lost:
                    kind, text = lost[file]
                    failures.append(Failure(file, kind, Cause(text)))
                    continue
                started(file)
                bag = Bag(folder, top)
                failed = list(_processed(bag, file, top))
                if [each.kind for each in failed] == ["import"] and importing.recall():
                    # What a module beside it registers with a library cannot be registered twice in a process.
                    retried = Bag(folder, top)
                    if not list(_processed(retried, file, top)):
                        bag, failed = retried, []
                failures.extend(failed)
                imported = importing.forget()
                modules += imported
                dags.take(bag, file, imported)
            if before == (len(failures), dags.bagged) and files == listed:
                raise FolderUnreadable(
                    f"{folder} contains no DAG. Airflow skips a file that does not contain both the "
                    "words `dag` and `airflow`, and what .airflowignore names; check the folder."
                )
        timetables, unstorable = _timetables(dags.kept.values())

        def again(file: str, first: Callable[[], None]) -> list[Any]:
            importing.begin(root(seen[file]).resolve())
            started(file)
            return _reloaded(seen[file], file, first)

        changing = tuple(
            unstable(
                [file for file in seen if file not in lost],
                {dag_id: dags.kept[dag_id] for dag_id in timetables},
                [*modules, *importing.forget()],
                again,
            )
        )
    return Loaded(
        dags=tuple(dags.kept[dag_id] for dag_id in sorted(timetables)),
        timetables=timetables,
        failures=(*failures, *unstorable),
        duplicates=tuple(dags.doubled()),
        unstable=changing,
    )


def root(folder: Path) -> Path:
    """The folder itself, or that of the file."""
    return folder if folder.is_dir() else folder.parent


def _dag_files(folder: Path) -> list[str]:
    safe_mode = conf.getboolean("core", "DAG_DISCOVERY_SAFE_MODE")
    listing = get_importer_registry().list_dag_files
    try:
        return sorted(listing(str(folder.resolve()), safe_mode=safe_mode))
    except RuntimeError as error:  # links that lead back
        raise FolderUnreadable(
            f"{folder} cannot be listed, by Airflow either: {error} Remove the link."
        ) from None


def _processed(bag: DagBag, file: str, top: Path) -> Iterator[Failure]:
    """Loads one file into the bag; what went wrong."""
    with _restored():
        try:
            bag.process_file(file, only_if_updated=False)
        except BaseException as error:  # Airflow lets KeyboardInterrupt and TypeError through
            cause = Cause(shown("".join(format_exception_only(error))))
            yield Failure(file, _kind(cause.text), cause)
    for name, text in bag.import_errors.items():
        cause = cause_of(text, top)
        yield Failure(str(top / name), _kind(cause.text), cause)
    bag.import_errors.clear()


def _reloaded(folder: Path, file: str, first: Callable[[], None]) -> list[Any]:
    """The DAGs of a file that has been loaded before, after a call that changes the process."""
    bag: DagBag = Bag(folder, root(folder).resolve())
    with _restored():
        first()
        try:
            bag.process_file(file, only_if_updated=False)
        except BaseException:  # it has been loaded once: nothing is said of the file
            return []
    return list(bag.dags.values())


def _kind(error: str) -> FailureKind:
    if error.startswith(("SystemExit", "KeyboardInterrupt", "Received SIGSEGV")):
        return "ended"
    if (
        error.startswith("airflow.sdk.exceptions.AirflowTaskTimeout")
        or "AirflowTaskTimeout:" in error
    ):
        return "hung"
    return "import"


def _timetables(dags: Any) -> tuple[dict[str, Any], list[Failure]]:
    """Core timetables by DAG; and each DAG that Airflow could not serialize."""
    timetables: dict[str, Any] = {}
    failures: list[Failure] = []
    for dag in dags:
        try:
            # As the DAG processor does; what cannot be stored is never scheduled.
            LazyDeserializedDAG.from_dag(dag)
            timetables[dag.dag_id] = coerce_to_core_timetable(dag.timetable)
        except Exception as error:  # whatever a timetable of one's own may raise
            text = shown(f"{dag.dag_id}: {type(error).__name__}: {error}")
            failures.append(Failure(dag.fileloc, "import", Cause(text)))
    return timetables, failures


class _Importing:
    """DAG files may import what lies beside them, in their own folder as each bundle of Airflow.

    Afterwards nothing of that is left behind.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.tops = list(dict.fromkeys(str(root(folder).resolve()) for folder in folders))
        self.before = set(sys.modules)
        self.path = list(sys.path)
        self.forgotten: dict[str, ModuleType] = {}

    def __enter__(self) -> _Importing:
        return self

    def __exit__(self, *raised: object) -> None:
        sys.path[:] = self.path
        self.forget()

    def begin(self, top: Path) -> list[Path]:
        """From here on modules come from this folder; forgets the others, and returns their files."""
        files = self.forget()
        self.forgotten.clear()
        sys.path[:] = [str(top), *self.path]
        return files

    def forget(self) -> list[Path]:
        """Has what lies beside DAG files imported again; returns the files."""
        modules = {name: sys.modules.pop(name) for name in list(beside(self.tops, self._new()))}
        self.forgotten = modules | self.forgotten
        self.before = set(sys.modules)
        return [Path(each.__file__) for each in modules.values() if each.__file__ is not None]

    def recall(self) -> bool:
        """Puts what earlier files have imported from beside them in the place of what this one has; whether there is
        such."""
        for name in list(beside(self.tops, self._new())):
            del sys.modules[name]
        sys.modules.update(self.forgotten)
        return bool(self.forgotten)

    def _new(self) -> set[str]:
        return set(sys.modules) - self.before


@contextlib.contextmanager
def _restored() -> Iterator[None]:
    """What a DAG file does to the process is undone, as Airflow has a process for each file."""
    path, here, environment = list(sys.path), os.getcwd(), dict(os.environ)
    streams = sys.stdout, sys.stderr, sys.stdin
    imported = dict(sys.modules)
    modules = [(vars(each), dict(vars(each))) for each in _PATCHED]
    hooks = sys.excepthook, sys.displayhook, list(sys.meta_path), list(sys.path_hooks)
    limit = sys.getrecursionlimit()
    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    }
    disabled = logging.root.manager.disable
    try:
        yield
    finally:
        for live, kept in modules:
            live.update(kept)
        sys.modules.update(imported)
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(here)
        sys.stdout, sys.stderr, sys.stdin = streams
        sys.excepthook, sys.displayhook = hooks[:2]
        sys.meta_path[:], sys.path_hooks[:] = hooks[2:]
        sys.setrecursionlimit(limit)
        logging.disable(disabled)
        with contextlib.suppress(ValueError):  # not in the main thread: nothing was set there
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in handlers.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Standard output is for findings: Airflow logs there, and DAG files may print."""
    disabled = logging.root.manager.disable
    depth = os.environ.get(_DEPTH)
    os.environ[_DEPTH] = "50"
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(disabled)
        if depth is None:
            os.environ.pop(_DEPTH, None)
        else:
            os.environ[_DEPTH] = depth


_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+)', re.MULTILINE)
_LIMIT = 400


@dataclass(frozen=True)
class Cause:
    """The exception in one line; ``at`` is the absolute file where it came from, ``line`` its line."""

    text: str
    at: str | None = None
    line: int | None = None


def cause_of(traceback: str, top: Path) -> Cause:
    """The last exception of a traceback, and the deepest line of it that lies under ``top``.

    A text that is no traceback is the cause itself.
    """
    # Of exceptions raised from one another, Python writes the last one last.
    last = re.split(r"^Traceback \(most recent call last\):\n", traceback, flags=re.MULTILINE)[-1]
    own = None
    for frame in _FRAME.finditer(last):
        if Path(frame["file"]).is_relative_to(top):
            own = frame
    lines = last.strip("\n").splitlines()
    # Below the frames, which are indented; a message may have several lines.
    if frames := [number for number, line in enumerate(lines) if _FRAME.match(line)]:
        start = frames[-1] + 1
        while start < len(lines) - 1 and lines[start].startswith(("    ", "  [Previous line")):
            start += 1
        lines = lines[start:]
    text = shown(" ".join(lines)) or "unknown error"
    if len(text) > _LIMIT:
        text = text[:_LIMIT] + " …"
    return Cause(text, own["file"] if own else None, int(own["line"]) if own else None)


def shown(text: str) -> str:
    """A text on one line, without the prefix that Airflow puts before the name of a DAG file's module."""
    return re.sub(r"\s+", " ", re.sub(r"\bunusual_prefix_[0-9a-f]{40}_", "", text)).strip()
