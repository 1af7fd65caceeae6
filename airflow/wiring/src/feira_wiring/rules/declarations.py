"""Rules about what is declared: assets that exclude each other, and what Airflow passes over."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from feira_wiring.model import AssetId, Declaration, Emitter, Listener, Wiring
from feira_wiring.report import Finding, listed, rule, verb


@rule("error", "a partition mapper is for an asset that is not scheduled")
def ignored_mapper(wiring: Wiring) -> Iterator[Finding]:
    for listener in wiring.listeners:
        heard = listener.assets
        if any(each.kind == "alias" for each in heard):
            continue  # an alias may become any asset, and mappers go by the asset
        names = {each.name for each in heard if each.name}
        names |= {
            asset.name
            for each in heard
            if each.kind == "ref"
            for asset in wiring.assets
            if each.uri and asset.uri == each.uri
        }
        for asset in listener.configured:
            if asset.name in names:
                continue
            by_uri = asset.kind == "ref" and not asset.name
            yield ignored_mapper.finding(
                asset,
                [listener],
                problem=(
                    f"{listener.dag_id} configures a partition mapper for {asset}, "
                    + (
                        "by its URI."
                        if by_uri
                        else f"and listens to {listed(heard) if heard else 'nothing'}."
                    )
                ),
                consequence=(
                    "Airflow looks for mappers by the name of an event's asset, and never uses this "
                    "one: the keys go through the default mapper."
                ),
                step=Spellings(names).hint(asset.name or asset.uri)
                + "Name the asset that is in the schedule, or make it the default_partition_mapper.",
            )


@rule("error", "two assets have one name or one URI")
def asset_conflict(wiring: Wiring) -> Iterator[Finding]:
    """Two assets of one name, or of one URI."""
    for what in ("uri", "name"):
        groups: dict[str, set[AssetId]] = {}
        for asset in wiring.assets:
            groups.setdefault(getattr(asset, what), set()).add(asset)
        for shared, several in groups.items():
            if len(several) < 2 or not shared:
                continue
            assets = sorted(several)
            named = listed(f"{each.name} ({each.uri})" for each in assets)
            listeners = [each for asset in assets for each in wiring.listeners_of(asset)]
            emitters = [each for asset in assets for each in wiring.emitters_of(asset)]
            heard = {each.dag_id for each in listeners}
            declared = [each for each in wiring.declarations if each.asset in several]
            yield asset_conflict.finding(
                assets[0],
                [*emitters, *listeners, *_first_of_each(declared)],
                problem=f"{named} are {len(assets)} assets of one {_WORDS[what]}, {shared}.",
                consequence=(
                    "Airflow activates one of them and warns of ASSET_CONFLICT. The tasks that emit "
                    "another fail, and "
                    + (
                        f"those of {listed(sorted(heard))} that listen to it never run."
                        if heard
                        else "a DAG that listens to it never runs."
                    )
                ),
                step="Declare the asset once, with one name and one URI, and import it everywhere.",
            )


_WORDS = {"uri": "URI", "name": "name"}


def _first_of_each(declared: list[Declaration]) -> list[Declaration]:
    return list({each.asset: each for each in declared}.values())


@rule("error", "another declaration of an asset takes its watcher away")
def lost_watcher(wiring: Wiring) -> Iterator[Finding]:
    """Declarations of a watched asset that do not have its watchers."""
    scheduled = {asset for each in wiring.listeners for asset in each.assets}
    by_asset: dict[AssetId, list[Declaration]] = {}
    for each in wiring.declarations:
        by_asset.setdefault(each.asset, []).append(each)
    for asset, declared in by_asset.items():
        watchers = {name for each in declared for name in each.watchers}
        without = [each for each in declared if each.watchers != watchers]
        if not watchers or not without or asset not in scheduled:
            continue
        dags = sorted({each.dag_id for each in without})
        yield lost_watcher.finding(
            asset,
            [*without, *(each for each in declared if each.watchers)],
            problem=(
                f"{asset} is given {listed(sorted(watchers))} as watchers, and {listed(dags)} "
                f"{verb(dags, 'declare')} it with others or none."
            ),
            consequence=(
                "Airflow keeps the watchers of the declaration that it reads last. Which one that "
                "is depends on the order of files and of tasks; the watchers of the others are not "
                "started, and nothing is logged."
            ),
            step=(
                "Declare the asset once, with its watchers, and import it; or refer to it elsewhere "
                f"as Asset.ref(name={asset.name!r})."
            ),
        )


@rule("error", "an outlet is an expression, and emits nothing")
def expression_outlet(wiring: Wiring) -> Iterator[Finding]:
    for outlet in wiring.expressions:
        yield expression_outlet.finding(
            None,
            [outlet],
            problem=f"{outlet.dag_id}.{outlet.part} has the expression {outlet.text} as an outlet.",
            consequence="Airflow emits no event for an expression: an expression is for schedules.",
            step=f"Name the assets one by one: outlets=[{re.sub(r'[()]|[&|] ', '', outlet.text).replace(' ', ', ')}].",
        )


@rule("error", "a task writes to an event that is not of its outlets")
def stray_event(wiring: Wiring) -> Iterator[Finding]:
    for stray in wiring.strays:
        yield stray_event.finding(
            stray.assets[0],
            [stray],
            problem=(
                f"{stray.dag_id}.{stray.part} writes to outlet_events[{listed(stray.assets)}], which "
                "is not among its outlets."
            ),
            consequence="Airflow drops it: no event is registered for it, and the task succeeds.",
            step=f"Add {listed(stray.assets)} to the task's outlets.",
        )


@rule("error", "a schedule is an empty list")
def empty_schedule(wiring: Wiring) -> Iterator[Finding]:
    for listener in wiring.listeners:
        if not listener.assets and not listener.clock:
            yield empty_schedule.finding(
                None,
                [listener],
                problem=f"{listener.dag_id} has an empty list as its schedule.",
                consequence="No event can set it off: Airflow never makes a run of it.",
                step="Name the assets, or set schedule=None for a DAG that is started by hand.",
            )


@rule("warning", "an asset's name or URI holds a template")
def template_asset(wiring: Wiring) -> Iterator[Finding]:
    for asset in wiring.assets:
        if "{{" not in asset.uri and "{{" not in asset.name:
            continue
        yield template_asset.finding(
            asset,
            [*wiring.emitters_of(asset), *wiring.listeners_of(asset)],
            problem=f"{asset} has a template in its name or URI.",
            consequence=(
                "Airflow does not render it: there is one asset, whose name contains the braces, and "
                "no listener of a rendered name gets its events."
            ),
            step=(
                "Give the asset a name that does not change, and pass what does as a partition key "
                "or in the event's extra."
            ),
        )


@rule("error", "an asset has another name or URI each time its file is parsed")
def unstable_asset(wiring: Wiring) -> Iterator[Finding]:
    """One finding for an asset, with every DAG that names it."""
    for asset in dict.fromkeys(each.asset for each in wiring.unstable):
        found = [each for each in wiring.unstable if each.asset == asset]
        dag_ids = {each.dag_id for each in found}
        always = any(each.always for each in found)
        parties: list[Emitter | Listener] = [
            *wiring.emitters_of(asset),
            *wiring.listeners_of(asset),
        ]
        when = "each time its file is parsed" if always else "as time goes by"
        yield unstable_asset.finding(
            asset,
            [each for each in parties if each.dag_id in dag_ids],
            level="error" if always else "warning",
            problem=f"The name or URI of {asset} changes {when}.",
            consequence=(
                "The task parses the file again, and its asset is one that Airflow does not know as "
                "active: the task succeeds, no event is registered, and no listener runs."
                if always
                else "Airflow has a new asset each time: what listened to or waits for the one "
                "before never gets its events."
            ),
            step=(
                "Give the asset a name and a URI that do not change, and pass what does as a "
                "partition key, or in the event's extra."
            ),
        )


@rule("warning", "a task triggers a DAG that is not there")
def missing_dag(wiring: Wiring) -> Iterator[Finding]:
    known = Spellings(wiring.dag_ids)
    for trigger in wiring.triggers:
        if trigger.target in known:
            continue
        yield missing_dag.finding(
            None,
            [trigger],
            level="note" if wiring.failures else "warning",
            problem=(
                f"{trigger.dag_id}.{trigger.part} triggers {trigger.target}, which is not a DAG of the "
                "folder."
            ),
            consequence="Where no other folder of the deployment has it, the task fails: DagNotFound.",
            step=known.hint(trigger.target) + "Name a DAG that exists, or lint its folder too.",
        )


# How many names are compared letter by letter: some seconds.
_COMPARED = 100_000


class Spellings:
    """Names to choose from. Beyond ``_COMPARED`` comparisons only what differs in case, in a last
    slash or in the scheme's variant is found.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._spelled: dict[str, list[str]] = {}
        for each in sorted(filter(None, names)):
            self._spelled.setdefault(_plain(each), []).append(each)
        self._left = _COMPARED

    def __contains__(self, name: str) -> bool:
        return name in self._spelled.get(_plain(name), ())

    def hint(self, name: str) -> str:
        """``Did you mean …? `` where another name is spelled almost so; else nothing."""
        plain = _plain(name)
        if same := [each for each in self._spelled.get(plain, ()) if each != name]:
            return f"Did you mean {same[-1]}? "
        others = [each for each in self._spelled if each != plain]
        self._left -= len(others)
        if self._left < 0:
            return ""
        near = difflib.get_close_matches(plain, others, 1, 0.8)
        return f"Did you mean {self._spelled[near[0]][-1]}? " if near else ""


def _plain(name: str) -> str:
    """A name or URI without what is easily got wrong: case, a last slash, s3a for s3."""
    text = name.strip().lower().rstrip("/")
    return re.sub(r"^(s3[an]|gcs|postgresql)://", lambda found: _SCHEMES[found[1]], text)


_SCHEMES = {"s3a": "s3://", "s3n": "s3://", "gcs": "gs://", "postgresql": "postgres://"}
