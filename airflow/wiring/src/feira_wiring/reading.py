"""From the DAGs of a folder to their wiring."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.partition_mappers.base import PartitionMapper
from airflow.sdk.definitions.asset import AssetBooleanCondition, AssetRef, BaseAsset
from airflow.timetables.simple import AssetTriggeredTimetable, PartitionedAssetTimetable

from feira_wiring.expressions import Expressions, core, expression_text
from feira_wiring.keys import clock_keys, listed_keys
from feira_wiring.loading import load, root
from feira_wiring.model import (
    AssetId,
    Declaration,
    Emitter,
    FailureKind,
    ImportFailure,
    Keys,
    Listener,
    Named,
    Outlet,
    Paused,
    Place,
    Stray,
    Trigger,
    Wiring,
    assets_of,
)
from feira_wiring.outlets import changes_outlets, choices, has_instances, mentions, outlets_of
from feira_wiring.places import dag_line, task_line
from feira_wiring.skips import unskipped
from feira_wiring.task_code import effects
from feira_wiring.unread import unread


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
    certain = {dag.dag_id: unskipped(dag.tasks) for dag in dags}
    emitting = _emitting(dags, timetables, expressions, places, certain)
    return Wiring(
        dag_ids=tuple(dag.dag_id for dag in dags),
        assets=expressions.assets,
        emitters=(*emitting.emitters, *watchers),
        idle_watchers=idle_watchers,
        listeners=tuple(_listeners(dags, timetables, expressions, places)),
        read=_read(dags, expressions),
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
        clocks={
            dag.dag_id: partial(listed_keys, timetables[dag.dag_id])
            for dag in dags
            if timetables[dag.dag_id].partitioned
        },
        triggers=tuple(_triggers(dags, places, certain)),
        expressions=tuple(emitting.expressions),
        strays=tuple(emitting.strays),
        unstable=loaded.unstable,
        declarations=tuple(_declarations(dags, timetables, places)),
        resolved=emitting.resolved,
        hidden=tuple(emitting.hidden),
    )


def _expressions(dags: Iterable[Any], timetables: dict[str, Any]) -> Iterator[Any]:
    for dag in dags:
        timetable = timetables[dag.dag_id]
        if isinstance(timetable, AssetTriggeredTimetable):
            yield timetable.asset_condition
        for task in dag.tasks:
            yield from _assets_among((*outlets_of(task)[0], *task.inlets))


def _assets_among(lets: Iterable[Any]) -> Iterator[Any]:
    """Outlets and inlets may hold other things than assets: lineage entities, strings."""
    for each in lets:
        if isinstance(each, BaseAsset | AssetRef):
            yield each


def _single(lets: Iterable[Any]) -> Iterator[Any]:
    return (each for each in _assets_among(lets) if not isinstance(each, AssetBooleanCondition))


def _read(dags: Iterable[Any], expressions: Expressions) -> frozenset[AssetId]:
    """Assets among a task's inlets, unless the task emits them itself."""
    found: set[AssetId] = set()
    for dag in dags:
        for task in dag.tasks:
            # What only watches for events, such as AssetEventCheckOperator, uses no data.
            if getattr(task, "only_watches", False):
                continue
            own = {expressions.asset(each) for each in _single(outlets_of(task)[0])}
            for inlet in _assets_among(task.inlets):
                found |= {*assets_of(expressions.condition(inlet))} - own
    return frozenset(found)


@dataclass
class _Emitting:
    """What the tasks of a folder emit."""

    emitters: list[Emitter] = field(default_factory=list)
    expressions: list[Outlet] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    resolved: dict[AssetId, frozenset[AssetId | Named] | None] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)


def _emitting(
    dags: Iterable[Any],
    timetables: dict[str, Any],
    expressions: Expressions,
    places: _Places,
    certain: Mapping[str, frozenset[str]],
) -> _Emitting:
    found = _Emitting()
    for dag in dags:
        timetable = timetables[dag.dag_id]
        looks: bool | None = None
        for task in dag.tasks:
            outlets, known = outlets_of(task)
            if not known or changes_outlets(task):
                found.hidden.append(f"{dag.dag_id}.{task.task_id}")
            for each in outlets:
                if isinstance(each, AssetBooleanCondition):
                    place = places.of_task(dag, task.task_id)
                    found.expressions.append(
                        Outlet(expression_text(each), dag.dag_id, task.task_id, place)
                    )
            emitted = tuple(dict.fromkeys(expressions.asset(each) for each in _single(outlets)))
            code = effects(task, emitted, lambda each: expressions.asset(each))
            stray = tuple(sorted(code.touched - {*emitted}))
            # A task may also add to its own outlets while it runs.
            if stray and known and not mentions(task, "outlets"):
                place = places.of_task(dag, task.task_id)
                found.strays.append(Stray(stray, dag.dag_id, task.task_id, place))
            if emitted and looks is None:
                looks = not timetable.partitioned_at_runtime or any(
                    mentions(each, "partition_key") for each in dag.tasks
                )
            mapped = task.is_mapped or task.get_closest_mapped_task_group() is not None
            always = task.task_id in certain[dag.dag_id] and has_instances(task)
            for asset in emitted:
                # add_partitions is refused on an alias: its events carry the run's key alone.
                adds = asset.kind != "alias" and asset in code.keyed
                maybe = asset.kind != "alias" and asset in code.maybe_keyed
                at_runtime = not looks and not adds and not maybe
                found.emitters.append(
                    Emitter(
                        asset=asset,
                        dag_id=dag.dag_id,
                        part=task.task_id,
                        keys=_keys(timetable, adds=adds, maybe=maybe, at_runtime=at_runtime),
                        adds_keys=adds or maybe,
                        mapped=mapped,
                        at_runtime=at_runtime,
                        always=always,
                        place=places.of_task(dag, task.task_id),
                    )
                )
                if asset.kind == "alias":
                    before = found.resolved.get(asset, frozenset())
                    targets = frozenset(code.resolved.get(asset, ()))
                    lost = asset in code.lost or before is None
                    found.resolved[asset] = None if lost else (before or frozenset()) | targets
    return found


def _keys(timetable: Any, *, adds: bool, maybe: bool, at_runtime: bool) -> Keys:
    if adds:
        return Keys.KEYED
    if at_runtime:
        return Keys.MAYBE
    if timetable.partitioned or timetable.partitioned_at_runtime:
        return Keys.KEYED  # where the task adds none, the run's own key
    return Keys.MAYBE if maybe else Keys.PLAIN


def _triggers(
    dags: Iterable[Any], places: _Places, certain: Mapping[str, frozenset[str]]
) -> Iterator[Trigger]:
    """Tasks that start another DAG, where its name can be read."""
    for dag in dags:
        for task in dag.tasks:
            given = [task.partial_kwargs, *choices(task)] if task.is_mapped else [vars(task)]
            targets = dict.fromkeys(
                target
                for each in given
                if isinstance(target := each.get("trigger_dag_id"), str) and "{{" not in target
            )
            if not targets:
                continue
            for target in targets:
                yield Trigger(
                    dag.dag_id,
                    task.task_id,
                    target,
                    always=task.task_id in certain[dag.dag_id] and has_instances(task),
                    place=places.of_task(dag, task.task_id),
                )


def _declarations(
    dags: Iterable[Any], timetables: dict[str, Any], places: _Places
) -> Iterator[Declaration]:
    """Every asset as every DAG names it, in the order in which Airflow takes them."""
    for dag in dags:
        timetable = timetables[dag.dag_id]
        named: list[Any] = []
        if isinstance(timetable, AssetTriggeredTimetable):
            named += [each for _, each in timetable.asset_condition.iter_assets()]
        for task in dag.tasks:
            for each in _assets_among((*task.inlets, *task.outlets)):
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
