"""What a DAG folder says about its assets: who emits, who listens, with or without a key."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from airflow.partition_mappers.base import PartitionMapper


class Keys(Enum):
    """Whether events carry a partition key."""

    KEYED = "with a partition key"
    PLAIN = "without a partition key"
    MAYBE = "with a partition key or without one"


class Paused(Enum):
    """What makes a DAG begin paused."""

    BY_FILE = "is_paused_upon_creation=True"
    BY_DEFAULT = "Airflow's dags_are_paused_at_creation"


@dataclass(frozen=True, order=True)
class AssetId:
    """Which asset: Airflow tells two apart by name and URI together.

    ``kind`` is ``alias`` for an AssetAlias, and ``ref`` for a reference by name or by URI that no
    asset of the folder answers to.
    """

    name: str
    uri: str = ""
    kind: Literal["asset", "alias", "ref"] = "asset"

    def __str__(self) -> str:
        return {"asset": "", "alias": "alias ", "ref": "ref "}[self.kind] + (self.name or self.uri)


@dataclass(frozen=True, order=True)
class Place:
    """A line of a DAG file, as far as it can be known."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class AllOf:
    """Met when every part is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """Met when one part is."""

    parts: tuple[Condition, ...]


Condition = AssetId | AllOf | AnyOf


def is_met(condition: Condition, arrived: Collection[AssetId]) -> bool:
    """Whether a schedule's condition is met once events of these assets have arrived."""
    match condition:
        case AllOf(parts):
            return all(is_met(part, arrived) for part in parts)
        case AnyOf(parts):
            return any(is_met(part, arrived) for part in parts)
        case asset:
            return asset in arrived


def assets_of(condition: Condition) -> Iterator[AssetId]:
    """Every asset that a condition names, in its order."""
    if isinstance(condition, AssetId):
        yield condition
    else:
        for part in condition.parts:
            yield from assets_of(part)


@dataclass(frozen=True)
class Emitter:
    """What emits an asset: a task of a DAG, or a watcher, which belongs to no DAG.

    ``adds_keys``: the task's code calls ``add_partitions``, so its keys are not its run's.
    ``mapped``: every instance of the task emits. ``at_runtime``: its runs get a key, or none, from
    whoever starts them, and nothing in its DAG looks. ``always``: nothing in its DAG can skip it.
    ``alias``: the outlet that the task's code makes the asset of.
    """

    asset: AssetId
    dag_id: str | None
    part: str
    keys: Keys
    adds_keys: bool = False
    mapped: bool = False
    at_runtime: bool = False
    always: bool = True
    alias: AssetId | None = None
    place: Place | None = None

    def __str__(self) -> str:
        return f"watcher {self.part}" if self.dag_id is None else f"{self.dag_id}.{self.part}"


@dataclass(frozen=True)
class Listener:
    """A DAG that assets set off.

    ``keyed``: its timetable is partitioned. ``clock``: time sets it off as well. ``begins_paused``:
    why it does when Airflow first sees it, None where it does not. ``mapper``: what reads the key of
    an asset's event. ``configured``: the assets that its partition_mapper_config names.
    """

    dag_id: str
    condition: Condition
    keyed: bool
    clock: bool = False
    begins_paused: Paused | None = None
    mapper: Callable[[AssetId], PartitionMapper] | None = None
    configured: tuple[AssetId, ...] = ()
    place: Place | None = None

    @cached_property
    def assets(self) -> tuple[AssetId, ...]:
        """What it listens to, each asset once."""
        return tuple(dict.fromkeys(assets_of(self.condition)))

    def hears(self, emitter: Emitter) -> bool:
        """Whether Airflow hands it the events of this emitter, as far as can be told."""
        kinds = {Keys.KEYED, Keys.MAYBE} if self.keyed else {Keys.PLAIN, Keys.MAYBE}
        return emitter.keys in kinds and emitter.asset in self.assets


@dataclass(frozen=True)
class Asset:
    """An asset as the folder declares it.

    ``terminal``: no DAG is meant to listen. ``external``: its events come from outside the folder.
    ``ignored``: the rules that are not to be reported of it.
    """

    id: AssetId
    terminal: bool = False
    external: bool = False
    ignored: frozenset[str] = frozenset()


# ``import``: Airflow shows it as an import error. ``ended`` the process, ``hung`` beyond the limit;
# ``unread``: a DAG that Airflow has, and the linter cannot read.
FailureKind = Literal["import", "ended", "hung", "unread"]


@dataclass(frozen=True)
class ImportFailure:
    """A file, or a DAG of it, that could not be loaded or read; ``place`` is where the cause is."""

    file: str
    error: str
    kind: FailureKind = "import"
    place: Place | None = None
    dag_id: str | None = None


@dataclass(frozen=True)
class Duplicate:
    """A DAG of an id that another DAG has too: ``at`` is the one that is not judged.

    ``imported_from``: the file whose import makes it a DAG of both; None where they are two.
    """

    dag_id: str
    at: Place
    other: Place
    imported_from: str | None = None


@dataclass(frozen=True)
class Named:
    """An asset as a syntax tree names it: a pattern for its name or URI, ``.*`` for what is unknown."""

    pattern: str
    alias: bool = False

    def may_be(self, asset: AssetId) -> bool:
        if self.alias != (asset.kind == "alias"):
            return False
        names = (each for each in (asset.name, asset.uri) if each)
        # Airflow drops a slash at a URI's end, and keeps it in the name.
        texts = (text for each in names for text in (each, each.rstrip("/"), f"{each}/"))
        return any(re.fullmatch(self.pattern, each, re.IGNORECASE | re.DOTALL) for each in texts)


@dataclass(frozen=True)
class Unread:
    """What a file that did not import emits and hears, as far as its text shows.

    ``emits_any`` and ``hears_any``: its text leaves open what else.
    """

    file: str
    emits: tuple[Named, ...] = ()
    hears: tuple[Named, ...] = ()
    emits_any: bool = False
    hears_any: bool = False

    def may_emit(self, asset: AssetId) -> bool:
        return self.emits_any or any(each.may_be(asset) for each in self.emits)

    def may_hear(self, asset: AssetId) -> bool:
        return self.hears_any or any(each.may_be(asset) for each in self.hears)


@dataclass(frozen=True)
class Trigger:
    """A task that starts another DAG. ``always``: nothing in its DAG can skip it."""

    dag_id: str
    part: str
    target: str
    always: bool = True
    place: Place | None = None


@dataclass(frozen=True)
class Outlet:
    """An outlet that is an expression, such as ``a & b``: its text, and the task that has it."""

    text: str
    dag_id: str
    part: str
    place: Place | None = None


@dataclass(frozen=True)
class Stray:
    """Assets and aliases whose outlet events a task's code looks up, and that are none of its outlets."""

    assets: tuple[AssetId, ...]
    dag_id: str
    part: str
    place: Place | None = None


@dataclass(frozen=True)
class Unstable:
    """An asset that another parse of its file has not. ``always``: not only one of another day."""

    asset: AssetId
    dag_id: str
    always: bool


@dataclass(frozen=True)
class Declaration:
    """An asset as one DAG names it, with the watchers that it is given there."""

    asset: AssetId
    watchers: frozenset[str]
    dag_id: str
    place: Place | None = None


@dataclass(frozen=True)
class Wiring:
    """DAG folders, read as one deployment.

    ``clock_keys``: sample keys of the DAGs whose clock makes them. ``idle_watchers``: those of
    assets that no DAG is scheduled on by themselves, which Airflow does not start. ``read``: assets
    among a task's inlets. ``unread``: what the files that did not import may emit and hear.
    """

    dag_ids: tuple[str, ...]
    assets: Mapping[AssetId, Asset]
    emitters: tuple[Emitter, ...]
    listeners: tuple[Listener, ...]
    read: frozenset[AssetId]
    clock_keys: Mapping[str, tuple[str, ...]]
    clocks: Mapping[str, Callable[[int, int], tuple[str, ...]]] = field(default_factory=dict)
    triggers: tuple[Trigger, ...] = ()
    expressions: tuple[Outlet, ...] = ()
    strays: tuple[Stray, ...] = ()
    unstable: tuple[Unstable, ...] = ()
    declarations: tuple[Declaration, ...] = ()
    # alias → what its tasks' code makes of it; None where that is not known
    resolved: Mapping[AssetId, frozenset[AssetId | Named] | None] = field(default_factory=dict)
    # tasks whose outlets cannot be known before they run
    hidden: tuple[str, ...] = ()
    idle_watchers: tuple[Emitter, ...] = ()
    failures: tuple[ImportFailure, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    unread: tuple[Unread, ...] = ()

    @cached_property
    def listed(self) -> dict[tuple[int, int], dict[str, tuple[str, ...]]]:
        """Keys that have been listed, by how far: keys.folder_keys keeps them here."""
        return {}

    @cached_property
    def _emitters(self) -> Mapping[AssetId, list[Emitter]]:
        found: dict[AssetId, list[Emitter]] = {}
        for each in self.emitters:
            found.setdefault(each.asset, []).append(each)
        return found

    @cached_property
    def _listeners(self) -> Mapping[AssetId, list[Listener]]:
        found: dict[AssetId, list[Listener]] = {}
        for each in self.listeners:
            for asset in each.assets:
                found.setdefault(asset, []).append(each)
        return found

    def may_come_of_an_alias(self, asset: AssetId) -> bool:
        """Whether a task's code may make this asset of an alias; an alias is never made of another."""
        return asset.kind != "alias" and any(
            targets is None
            or any(isinstance(each, Named) and each.may_be(asset) for each in targets)
            for targets in self.resolved.values()
        )

    def emitters_of(self, asset: AssetId) -> tuple[Emitter, ...]:
        return tuple(self._emitters.get(asset, ()))

    def listeners_of(self, asset: AssetId) -> tuple[Listener, ...]:
        return tuple(self._listeners.get(asset, ()))
