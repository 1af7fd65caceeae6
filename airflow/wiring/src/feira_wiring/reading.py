"""From the DAGs of a folder to their wiring."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from airflow.configuration import conf
from airflow.partition_mappers.base import PartitionMapper
from airflow.timetables.simple import AssetTriggeredTimetable, PartitionedAssetTimetable

from feira_wiring.duplicates import Doubled
from feira_wiring.emitting import Emitting, assets_among, emitting, single_among
from feira_wiring.expressions import Expressions, core
from feira_wiring.keys import clock_keys, listed_keys
from feira_wiring.loading import Cause, Failure, load, root, shown
from feira_wiring.model import (
    AssetId,
    Declaration,
    Duplicate,
    Emitter,
    FailureKind,
    ImportFailure,
    Keys,
    Listener,
    Paused,
    Place,
    Wiring,
    assets_of,
)
from feira_wiring.outlets import as_list, outlets_of
from feira_wiring.places import dag_line, task_line
from feira_wiring.unread import unread

_Read = TypeVar("_Read")


class _Dags:
    """The DAGs of a folder. One that cannot be read is left out from then on, and is among the
    ``failures``: whatever its author's objects raise must not hide the others.
    """

    def __init__(self, dags: Iterable[Any]) -> None:
        self.dags = {dag.dag_id: dag for dag in dags}
        self.failures: list[Failure] = []

    def read(self, one: Callable[[Any], _Read]) -> dict[str, _Read]:
        """What this gives of each DAG, by its id."""
        found: dict[str, _Read] = {}
        for dag_id, dag in list(self.dags.items()):
            try:
                found[dag_id] = one(dag)
            except Exception as error:
                del self.dags[dag_id]
                cause = Cause(shown(f"{dag_id}: {type(error).__name__}: {error}"))
                self.failures.append(Failure(dag.fileloc, "unread", cause, dag_id))
        return found


@dataclass(frozen=True)
class _Rest:
    """What is known of a DAG beside what it emits."""

    listener: Listener | None
    read: frozenset[AssetId]
    clock_keys: tuple[str, ...]
    declarations: tuple[Declaration, ...]


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
    timetables, places = loaded.timetables, _Places(folders)
    dags = _Dags(loaded.dags)
    named = dags.read(lambda dag: [core(each) for each in _expressions(dag, timetables)])
    expressions = Expressions(each for dag_id in dags.dags for each in named[dag_id])
    emitted = dags.read(
        lambda dag: emitting(dag, timetables[dag.dag_id], expressions, places.of_task)
    )
    rest = dags.read(lambda dag: _rest(dag, timetables[dag.dag_id], expressions, places))
    clocks = {dag_id: timetables[dag_id] for dag_id in dags.dags}
    watchers, idle_watchers = _watchers(clocks, expressions)
    emits = Emitting()
    for dag_id in dags.dags:
        emits.take(emitted[dag_id])
    failures = sorted(
        (*loaded.failures, *dags.failures), key=lambda each: (each.file, each.kind, each.cause.text)
    )
    hidden = [each.file for each in failures] + [
        each.file for each in loaded.duplicates if each.imported_from is None
    ]
    return Wiring(
        dag_ids=tuple(dag.dag_id for dag in loaded.dags),
        assets=expressions.assets,
        # An asset that the code of a later DAG makes of an alias may have been referred to before.
        emitters=(
            *(replace(each, asset=expressions.referred(each.asset)) for each in emits.emitters),
            *watchers,
        ),
        idle_watchers=idle_watchers,
        listeners=tuple(each.listener for each in rest.values() if each.listener is not None),
        read=frozenset().union(*(each.read for each in rest.values())),
        clock_keys={dag_id: each.clock_keys for dag_id, each in rest.items() if each.clock_keys},
        failures=tuple(
            ImportFailure(
                places.shown(each.file),
                each.cause.text,
                each.kind,
                Place(places.shown(each.cause.at or each.file), each.cause.line),
                each.dag_id,
            )
            for each in failures
        ),
        duplicates=tuple(places.of_duplicate(each) for each in loaded.duplicates),
        unread=tuple(
            unread(Path(file), places.shown(file), roots=[root(each).resolve() for each in folders])
            for file in dict.fromkeys(hidden)
        ),
        clocks={
            dag_id: partial(listed_keys, timetable)
            for dag_id, timetable in clocks.items()
            if timetable.partitioned
        },
        triggers=tuple(emits.triggers),
        expressions=tuple(emits.expressions),
        strays=tuple(emits.strays),
        unstable=loaded.unstable,
        declarations=tuple(one for each in rest.values() for one in each.declarations),
        resolved=emits.resolved,
        hidden=tuple(emits.hidden),
    )


def _expressions(dag: Any, timetables: Mapping[str, Any]) -> Iterator[Any]:
    timetable = timetables[dag.dag_id]
    if isinstance(timetable, AssetTriggeredTimetable):
        yield timetable.asset_condition
    for task in dag.tasks:
        yield from assets_among((*outlets_of(task)[0], *as_list(task.inlets)))


def _rest(dag: Any, timetable: Any, expressions: Expressions, places: _Places) -> _Rest:
    return _Rest(
        listener=_listener(dag, timetable, expressions, places),
        read=_read(dag, expressions),
        clock_keys=clock_keys(timetable),
        declarations=tuple(_declarations(dag, timetable, places)),
    )


def _read(dag: Any, expressions: Expressions) -> frozenset[AssetId]:
    """Assets among a task's inlets, unless the task emits them itself."""
    found: set[AssetId] = set()
    for task in dag.tasks:
        # What only watches for events, such as AssetEventCheckOperator, uses no data.
        if getattr(task, "only_watches", False):
            continue
        own = {expressions.asset(each) for each in single_among(outlets_of(task)[0])}
        for inlet in assets_among(as_list(task.inlets)):
            found |= {*assets_of(expressions.condition(inlet))} - own
    return frozenset(found)


def _declarations(dag: Any, timetable: Any, places: _Places) -> Iterator[Declaration]:
    """Every asset as a DAG names it, in the order in which Airflow takes them."""
    named: list[Any] = []
    if isinstance(timetable, AssetTriggeredTimetable):
        named += [each for _, each in timetable.asset_condition.iter_assets()]
    for task in dag.tasks:
        for each in assets_among((*as_list(task.inlets), *as_list(task.outlets))):
            named += [asset for _, asset in core(each).iter_assets()]
    place = places.of_dag(dag)
    for asset in named:
        watchers = frozenset(each.name for each in asset.watchers)
        yield Declaration(AssetId(asset.name, asset.uri), watchers, dag.dag_id, place)


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


def _listener(
    dag: Any, timetable: Any, expressions: Expressions, places: _Places
) -> Listener | None:
    if not isinstance(timetable, AssetTriggeredTimetable):
        return None
    return Listener(
        dag_id=dag.dag_id,
        condition=expressions.condition(timetable.asset_condition),
        keyed=timetable.partitioned,
        # AssetOrTimeSchedule, and whatever else carries a timetable within.
        clock=hasattr(timetable, "timetable"),
        begins_paused=_begins_paused(dag.is_paused_upon_creation),
        mapper=_Mappers(timetable) if isinstance(timetable, PartitionedAssetTimetable) else None,
        configured=_configured(timetable),
        place=places.of_dag(dag),
    )


def _configured(timetable: Any) -> tuple[AssetId, ...]:
    """The assets that a partition_mapper_config names, as it names them: a reference stays one."""
    found: dict[AssetId, None] = {}
    for each in getattr(timetable, "partition_mapper_config", {}):
        for _, asset in each.iter_assets():
            found[AssetId(asset.name, asset.uri)] = None
        for ref in each.iter_asset_refs():
            found[AssetId(getattr(ref, "name", ""), getattr(ref, "uri", ""), kind="ref")] = None
    return tuple(found)


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

    def of_duplicate(self, one: Doubled) -> Duplicate:
        def at(file: str) -> Place:
            return Place(self.shown(file), dag_line(Path(file), one.dag_id))

        imported = one.imported_from and self.shown(one.imported_from)
        return Duplicate(one.dag_id, at(one.file), at(one.other), imported or None)
