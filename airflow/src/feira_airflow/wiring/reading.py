"""From the DAGs of a folder to their wiring."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.partition_mappers.base import PartitionMapper
from airflow.sdk.definitions.asset import BaseAsset
from airflow.timetables.simple import AssetTriggeredTimetable, PartitionedAssetTimetable

from feira_airflow.wiring.expressions import Expressions
from feira_airflow.wiring.keys import adds_keys, clock_keys
from feira_airflow.wiring.loading import load, root
from feira_airflow.wiring.model import (
    AssetId,
    Emitter,
    FailureKind,
    ImportFailure,
    Keys,
    Listener,
    Paused,
    Place,
    Wiring,
)
from feira_airflow.wiring.places import dag_line, task_line
from feira_airflow.wiring.unread import unread


def read_folder(folder: Path) -> Wiring:
    """The wiring of one folder or file, as read_folders gives it."""
    return read_folders([folder])


def read_folders(
    folders: Sequence[Path],
    lost: Mapping[str, tuple[FailureKind, str]] | None = None,
    started: Callable[[str], None] = lambda file: None,
) -> Wiring:
    """The wiring of every DAG in these folders or files, as one deployment.

    What cannot be imported is among its ``failures``. ``lost`` and ``started`` are loading.load's.
    Raises FolderUnreadable where there is no DAG to look at.
    """
    loaded = load(folders, lost, started)
    dags, timetables = loaded.dags, loaded.timetables
    expressions = Expressions(_expressions(dags, timetables))
    places = _Places(folders)
    watchers, idle_watchers = _watchers(timetables, expressions)
    return Wiring(
        folder=", ".join(map(str, folders)),
        dag_ids=tuple(dag.dag_id for dag in dags),
        assets=expressions.assets,
        emitters=(*_emitters(dags, timetables, expressions, places), *watchers),
        idle_watchers=idle_watchers,
        listeners=tuple(_listeners(dags, timetables, expressions, places)),
        read=frozenset(
            expressions.asset(inlet)
            for dag in dags
            for task in dag.tasks
            # What only watches for events, such as AssetEventCheckOperator, uses no data.
            if not getattr(task, "only_watches", False)
            for inlet in _assets_among(task.inlets)
        ),
        clock_keys={
            dag.dag_id: keys for dag in dags if (keys := clock_keys(timetables[dag.dag_id]))
        },
        failures=tuple(
            ImportFailure(
                places.shown(each.file),
                each.cause.text,
                each.kind,
                Place(places.shown(each.cause.at or each.file), each.cause.line),
            )
            for each in loaded.failures
        ),
        unread=tuple(
            unread(Path(file), places.shown(file), roots=[root(each).resolve() for each in folders])
            for file in dict.fromkeys(each.file for each in loaded.failures)
        ),
    )


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


def _watchers(
    timetables: dict[str, Any], expressions: Expressions
) -> tuple[tuple[Emitter, ...], tuple[Emitter, ...]]:
    """The watchers that Airflow starts, and those that it does not.

    It starts one while a DAG is scheduled on the asset itself; a reference to it is not enough.
    """
    scheduled = {
        AssetId(asset.name, asset.uri)
        for timetable in timetables.values()
        if isinstance(timetable, AssetTriggeredTimetable)
        for _, asset in timetable.asset_condition.iter_assets()
    }
    started: list[Emitter] = []
    idle: list[Emitter] = []
    for asset, watcher in expressions.watchers:
        emitter = Emitter(asset=asset, dag_id=None, part=watcher, keys=Keys.PLAIN)
        (started if asset in scheduled else idle).append(emitter)
    return tuple(started), tuple(idle)


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
            begins_paused=_begins_paused(dag.is_paused_upon_creation),
            mapper=_Mappers(timetable)
            if isinstance(timetable, PartitionedAssetTimetable)
            else None,
            place=places.of_dag(dag),
        )


def _begins_paused(said: bool | None) -> Paused | None:
    if said is None:
        default = conf.getboolean("core", "dags_are_paused_at_creation")
        return Paused.BY_DEFAULT if default else None
    return Paused.BY_FILE if said else None


class _Mappers:
    """Asks a timetable for a mapper as the scheduler does: by the name of the event's asset."""

    def __init__(self, timetable: PartitionedAssetTimetable) -> None:
        self.timetable = timetable

    def __call__(self, asset: AssetId) -> PartitionMapper:
        return self.timetable.get_partition_mapper(name=asset.name, uri=asset.uri)


class _Places:
    """Places in DAG files, named as the folders were named."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.roots = [(root(folder), root(folder).resolve()) for folder in folders]

    def shown(self, file: str) -> str:
        for named, top in self.roots:
            with contextlib.suppress(ValueError):
                return str(named / Path(file).relative_to(top))
        return file

    def of_dag(self, dag: Any) -> Place:
        return Place(self.shown(dag.fileloc), dag_line(Path(dag.fileloc), dag.dag_id))

    def of_task(self, dag: Any, task_id: str) -> Place:
        line = task_line(Path(dag.fileloc), dag.dag_id, task_id)
        return Place(self.shown(dag.fileloc), line)
