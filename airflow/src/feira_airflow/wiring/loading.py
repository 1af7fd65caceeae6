"""Loads a DAG folder as Airflow's DAG processor does; no metadata database is asked."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.serialization.serialized_objects import LazyDeserializedDAG


class FolderUnreadable(Exception):
    """There is no DAG to look at."""


@dataclass(frozen=True)
class Loaded:
    """DAGs by name in order, their timetables in Airflow's core form, and (file, error) of the rest."""

    dags: tuple[Any, ...]
    timetables: dict[str, Any]
    failures: tuple[tuple[str, str], ...]


def load(folder: Path) -> Loaded:
    """Every DAG in a folder, or in one file.

    Raises FolderUnreadable where there is no such folder, or nothing in it that Airflow takes for a
    DAG file.
    """
    if not folder.exists():
        raise FolderUnreadable(
            f"{folder} does not exist. Name the folder that holds the DAG files."
        )
    with _importable(folder), _quiet():
        bag = DagBag(dag_folder=str(folder.resolve()), bundle_path=root(folder).resolve())
        failures = [(file, _last_line(error)) for file, error in bag.import_errors.items()]
        timetables, unreadable = _timetables(bag.dags.values())
    if not bag.dags and not failures:
        raise FolderUnreadable(
            f"{folder} holds no DAG. Airflow skips a file that does not contain both the words "
            "`dag` and `airflow`, and what .airflowignore names; check the folder."
        )
    return Loaded(
        dags=tuple(bag.dags[dag_id] for dag_id in sorted(timetables)),
        timetables=timetables,
        failures=tuple(sorted(failures + unreadable)),
    )


def root(folder: Path) -> Path:
    """The folder itself, or that of the file."""
    return folder if folder.is_dir() else folder.parent


def _timetables(dags: Iterable[Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Core timetables by DAG; file and error of each DAG that Airflow could not serialize."""
    timetables: dict[str, Any] = {}
    failures: list[tuple[str, str]] = []
    for dag in dags:
        try:
            # As the DAG processor does; what cannot be stored is never scheduled.
            LazyDeserializedDAG.from_dag(dag)
            timetables[dag.dag_id] = coerce_to_core_timetable(dag.timetable)
        except Exception as error:  # whatever a timetable of one's own may raise
            failures.append((dag.fileloc, f"{dag.dag_id}: {type(error).__name__}: {error}"))
    return timetables, failures


def _last_line(error: str) -> str:
    """What went wrong, without the way there."""
    return error.strip().splitlines()[-1] if error.strip() else "unknown error"


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """DAG files may import what lies beside them; afterwards nothing of that is left behind."""
    top = str(root(folder).resolve())
    before = set(sys.modules)
    sys.path.insert(0, top)
    try:
        yield
    finally:
        sys.path.remove(top)
        for name in set(sys.modules) - before:
            beside = Path(top, *name.split("."))
            file = getattr(sys.modules[name], "__file__", None)
            if file in (f"{beside}.py", str(beside / "__init__.py")):
                del sys.modules[name]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Standard output is for findings: Airflow logs there, and DAG files may print."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(disabled)
