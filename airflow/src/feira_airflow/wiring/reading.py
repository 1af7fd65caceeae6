"""Reads a DAG folder as Airflow's DAG processor does; no metadata database is asked."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.partition_mappers.base import PartitionMapper
from airflow.sdk.definitions.asset import BaseAsset
from airflow.serialization.encoders import coerce_to_core_timetable
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.timetables.simple import AssetTriggeredTimetable, PartitionedAssetTimetable

from feira_airflow.wiring.expressions import Expressions
from feira_airflow.wiring.keys import adds_keys, clock_keys
from feira_airflow.wiring.model import (
    AssetId,
    Emitter,
    ImportFailure,
    Keys,
    Listener,
    Place,
    Wiring,
)
from feira_airflow.wiring.places import dag_line, task_line


class FolderUnreadable(Exception):
    """There is no DAG to look at."""


def read_folder(folder: Path) -> Wiring:
    """The wiring of every DAG in a folder, or in one file.

    What cannot be imported is among its ``failures``. Raises FolderUnreadable where there is no
    such folder, or nothing in it that Airflow takes for a DAG file.
    """
    if not folder.exists():
        raise FolderUnreadable(
            f"{folder} does not exist. Name the folder that holds the DAG files."
        )
    with _importable(folder), _quiet():
        bag = DagBag(dag_folder=str(folder.resolve()), bundle_path=_root(folder).resolve())
        failures = [(file, _last_line(error)) for file, error in bag.import_errors.items()]
        timetables, unreadable = _timetables(bag.dags.values())
    if not bag.dags and not failures:
        raise FolderUnreadable(
            f"{folder} holds no DAG. Airflow skips a file that does not contain both the words "
            "`dag` and `airflow`, and what .airflowignore names; check the folder."
        )
    dags = [bag.dags[dag_id] for dag_id in sorted(timetables)]
    expressions = Expressions(_expressions(dags, timetables))
    places = _Places(folder)
    return Wiring(
        folder=str(folder),
        dag_ids=tuple(dag.dag_id for dag in dags),
        assets=expressions.assets,
        emitters=tuple(_emitters(dags, timetables, expressions, places)),
        listeners=tuple(_listeners(dags, timetables, expressions, places)),
        read=frozenset(
            expressions.asset(inlet)
            for dag in dags
            for task in dag.tasks
            for inlet in _assets_among(task.inlets)
        ),
        clock_keys={
            dag.dag_id: keys for dag in dags if (keys := clock_keys(timetables[dag.dag_id]))
        },
        failures=tuple(
            ImportFailure(places.shown(file), error)
            for file, error in sorted(failures + unreadable)
        ),
    )


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


def _expressions(dags: Iterable[Any], timetables: dict[str, Any]) -> Iterator[Any]:
    for dag in dags:
        timetable = timetables[dag.dag_id]
        if isinstance(timetable, AssetTriggeredTimetable):
            yield timetable.asset_condition
        for task in dag.tasks:
            yield from _assets_among((*task.outlets, *task.inlets))


def _assets_among(lets: Iterable[Any]) -> Iterator[Any]:
    """Outlets and inlets may hold other things than assets: lineage entities, strings."""
    for each in lets:
        if isinstance(each, BaseAsset):
            yield each


def _emitters(
    dags: Iterable[Any],
    timetables: dict[str, Any],
    expressions: Expressions,
    places: _Places,
) -> Iterator[Emitter]:
    for dag in dags:
        timetable = timetables[dag.dag_id]
        keyed_runs = timetable.partitioned or timetable.partitioned_at_runtime
        for task in dag.tasks:
            outlets = list(_assets_among(task.outlets))
            own_keys = bool(outlets) and adds_keys(task)
            for asset in dict.fromkeys(expressions.asset(outlet) for outlet in outlets):
                # add_partitions is refused on an alias: its events carry the run's key alone.
                own = own_keys and asset.kind != "alias"
                yield Emitter(
                    asset=asset,
                    dag_id=dag.dag_id,
                    part=task.task_id,
                    keys=Keys.KEYED if keyed_runs or own else Keys.PLAIN,
                    adds_keys=own,
                    mapped=task.is_mapped or task.get_closest_mapped_task_group() is not None,
                    place=places.of_task(dag, task.task_id),
                )
    for asset, watcher in expressions.watchers:
        yield Emitter(asset=asset, dag_id=None, part=watcher, keys=Keys.PLAIN)


def _listeners(
    dags: Iterable[Any],
    timetables: dict[str, Any],
    expressions: Expressions,
    places: _Places,
) -> Iterator[Listener]:
    for dag in dags:
        timetable = timetables[dag.dag_id]
        if not isinstance(timetable, AssetTriggeredTimetable):
            continue
        yield Listener(
            dag_id=dag.dag_id,
            condition=expressions.condition(timetable.asset_condition),
            keyed=timetable.partitioned,
            # AssetOrTimeSchedule, and whatever else carries a timetable within.
            clock=hasattr(timetable, "timetable"),
            starts_paused=dag.is_paused_upon_creation is True,
            mapper=_Mappers(timetable)
            if isinstance(timetable, PartitionedAssetTimetable)
            else None,
            place=places.of_dag(dag),
        )


class _Mappers:
    """Asks a timetable for a mapper as the scheduler does: by the name of the event's asset."""

    def __init__(self, timetable: PartitionedAssetTimetable) -> None:
        self.timetable = timetable

    def __call__(self, asset: AssetId) -> PartitionMapper:
        return self.timetable.get_partition_mapper(name=asset.name, uri=asset.uri)


class _Places:
    """Places in DAG files, named as the folder was named."""

    def __init__(self, folder: Path) -> None:
        self.root = _root(folder)

    def shown(self, file: str) -> str:
        path = Path(file)
        with contextlib.suppress(ValueError):
            path = path.relative_to(self.root.resolve())
        return str(self.root / path)

    def of_dag(self, dag: Any) -> Place:
        return Place(self.shown(dag.fileloc), dag_line(Path(dag.fileloc), dag.dag_id))

    def of_task(self, dag: Any, task_id: str) -> Place:
        line = task_line(Path(dag.fileloc), dag.dag_id, task_id)
        return Place(self.shown(dag.fileloc), line)


def _root(folder: Path) -> Path:
    return folder if folder.is_dir() else folder.parent


def _last_line(error: str) -> str:
    """What went wrong, without the way there."""
    return error.strip().splitlines()[-1] if error.strip() else "unknown error"


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """DAG files may import what lies beside them; afterwards nothing of that is left behind."""
    root = str(_root(folder).resolve())
    before = set(sys.modules)
    sys.path.insert(0, root)
    try:
        yield
    finally:
        sys.path.remove(root)
        for name in set(sys.modules) - before:
            beside = Path(root, *name.split("."))
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
