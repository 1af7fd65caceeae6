"""What the tasks of a DAG emit, and which DAGs they start."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk.definitions.asset import AssetBooleanCondition, AssetRef, BaseAsset

from feira_wiring.expressions import Expressions, expression_text
from feira_wiring.model import (
    AssetId,
    Emitter,
    Keys,
    Named,
    Outlet,
    Place,
    Stray,
    Trigger,
)
from feira_wiring.outlets import changes_outlets, given_to, has_instances, mentions, outlets_of
from feira_wiring.skips import unskipped
from feira_wiring.task_code import Effects, effects

_TEMPLATE = re.compile(r"\{[{%#]")


@dataclass
class Emitting:
    """What tasks emit, and the DAGs that they start; ``resolved`` and ``hidden`` are those of Wiring."""

    emitters: list[Emitter] = field(default_factory=list)
    expressions: list[Outlet] = field(default_factory=list)
    strays: list[Stray] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    resolved: dict[AssetId, frozenset[AssetId | Named] | None] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)

    def take(self, other: Emitting) -> None:
        """Adds what other tasks emit."""
        self.emitters += other.emitters
        self.expressions += other.expressions
        self.strays += other.strays
        self.triggers += other.triggers
        self.hidden += other.hidden
        for alias, targets in other.resolved.items():
            self.resolve(alias, targets)

    def resolve(self, alias: AssetId, targets: Iterable[AssetId | Named] | None) -> None:
        """One more task makes these of an alias; None where that is not known."""
        before = self.resolved.get(alias, frozenset())
        lost = before is None or targets is None
        self.resolved[alias] = None if lost else (before or frozenset()) | frozenset(targets or ())


def assets_among(lets: Iterable[Any]) -> Iterator[Any]:
    """Outlets and inlets may hold other things than assets: lineage entities, strings."""
    for each in lets:
        if isinstance(each, BaseAsset | AssetRef):
            yield each


def single_among(lets: Iterable[Any]) -> Iterator[Any]:
    """Those that are no expressions of several."""
    return (each for each in assets_among(lets) if not isinstance(each, AssetBooleanCondition))


def emitting(
    dag: Any, timetable: Any, expressions: Expressions, place_of: Callable[[Any, str], Place]
) -> Emitting:
    """What a DAG's tasks emit. What they make of aliases is declared in ``expressions``."""
    found = Emitting()
    certain = unskipped(dag.tasks)
    looks: bool | None = None
    for task in dag.tasks:
        place = place_of(dag, task.task_id)
        outlets, known = outlets_of(task)
        if not known or changes_outlets(task):
            found.hidden.append(f"{dag.dag_id}.{task.task_id}")
        for each in outlets:
            if isinstance(each, AssetBooleanCondition):
                found.expressions.append(
                    Outlet(expression_text(each), dag.dag_id, task.task_id, place)
                )
        emitted = tuple(dict.fromkeys(expressions.asset(each) for each in single_among(outlets)))
        code = _effects(task, emitted, expressions)
        stray = tuple(sorted(code.touched - {*emitted}))
        # A task may also add to its own outlets while it runs.
        if stray and known and not mentions(task, "outlets"):
            found.strays.append(Stray(stray, dag.dag_id, task.task_id, place))
        if emitted and looks is None:
            looks = not timetable.partitioned_at_runtime or any(
                mentions(each, "partition_key") for each in dag.tasks
            )
        mapped = task.is_mapped or task.get_closest_mapped_task_group() is not None
        always = task.task_id in certain and has_instances(task)
        found.triggers += _triggers(dag, task, always, place)
        for asset, alias in _events(emitted, code):
            # add_partitions is refused on an alias: its events carry the run's key alone.
            own = asset.kind != "alias" and alias is None
            adds, maybe = own and asset in code.keyed, own and asset in code.maybe_keyed
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
                    always=always and (alias is None or asset in code.certain.get(alias, ())),
                    alias=alias,
                    place=place,
                )
            )
        for alias in (each for each in emitted if each.kind == "alias"):
            found.resolve(alias, None if alias in code.lost else code.resolved.get(alias, ()))
    return found


def _effects(task: Any, emitted: tuple[AssetId, ...], expressions: Expressions) -> Effects:
    """What the task's code does; the assets that it makes of aliases are declared."""
    named: dict[AssetId, Any] = {}

    def asset_of(each: Any) -> AssetId:
        asset = expressions.asset(each)
        named[asset] = each
        return asset

    code = effects(task, emitted, asset_of)
    for targets in code.resolved.values():
        for each in targets:
            if isinstance(each, AssetId) and each in named:
                expressions.declare(named[each])
    return code


def _events(
    emitted: tuple[AssetId, ...], code: Effects
) -> Iterator[tuple[AssetId, AssetId | None]]:
    """Each outlet, and each asset that an alias of them becomes, with that alias."""
    made: dict[AssetId, AssetId] = {}
    for alias in emitted:
        for target in sorted(
            each for each in code.resolved.get(alias, ()) if isinstance(each, AssetId)
        ):
            if target.kind != "asset" or target in emitted:
                continue
            # Of several aliases one that surely becomes it.
            if target not in made or target in code.certain.get(alias, ()):
                made[target] = alias
    yield from ((asset, None) for asset in emitted)
    yield from made.items()


def _keys(timetable: Any, *, adds: bool, maybe: bool, at_runtime: bool) -> Keys:
    if adds:
        return Keys.KEYED
    if at_runtime:
        return Keys.MAYBE
    if timetable.partitioned or timetable.partitioned_at_runtime:
        return Keys.KEYED  # where the task adds none, the run's own key
    return Keys.MAYBE if maybe else Keys.PLAIN


def _triggers(dag: Any, task: Any, always: bool, place: Place) -> Iterator[Trigger]:
    """The DAGs that a task starts, where their names can be read."""
    targets = dict.fromkeys(
        target
        for each in given_to(task)
        if isinstance(target := each.get("trigger_dag_id"), str) and not _TEMPLATE.search(target)
    )
    for target in targets:
        yield Trigger(dag.dag_id, task.task_id, target, always=always, place=place)
