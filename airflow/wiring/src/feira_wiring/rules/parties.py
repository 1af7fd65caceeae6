"""Rules about who emits an asset and who listens: somebody on each side, and one emitter."""

from __future__ import annotations

from collections.abc import Iterator

from feira_wiring.model import AssetId, Listener, Wiring, is_met
from feira_wiring.report import Finding, listed, rule, verb
from feira_wiring.rules.declarations import Spellings


@rule("error", "a DAG listens to an asset that nothing emits", missing="emitter")
def no_emitter(wiring: Wiring) -> Iterator[Finding]:
    """A listener of an asset that no task of the folder has as outlet, and no watcher watches."""
    emitted = {each.asset for each in wiring.emitters}
    emitted |= {asset.id for asset in wiring.assets.values() if asset.external}
    # What the code of an alias's task names is emitted; where it cannot be read, it may be any.
    made = (each for some in wiring.resolved.values() for each in some or ())
    emitted |= {each for each in made if isinstance(each, AssetId)}
    hints = _Hints(wiring)
    for listener in wiring.listeners:
        for asset in listener.assets:
            if asset in emitted:
                continue
            maybe = bool(wiring.hidden) or wiring.may_come_of_an_alias(asset)
            never = not is_met(listener.condition, emitted) and not listener.clock
            yield no_emitter.finding(
                asset,
                [listener],
                level="error" if never and not maybe else "warning",
                problem=f"{listener.dag_id} listens to {asset}, which nothing in the folder emits.",
                consequence=_without(listener, asset, never, maybe=maybe),
                step=hints.of(asset)
                + "Add it to the outlets of the task that makes it, or drop it from the schedule; "
                'mark it extra={"external": True} if its events come from outside this folder.',
            )


def _without(listener: Listener, asset: AssetId, never: bool, *, maybe: bool) -> str:
    unless = (
        "unless a task emits it through an alias or an outlet that is known only when it runs, "
        if maybe
        else ""
    )
    if never:
        then = f"no event of it is ever registered, and no run of {listener.dag_id} is made."
    elif listener.clock:
        then = f"only the clock makes runs of {listener.dag_id}; {asset} never does."
    else:
        then = f"{listener.dag_id} runs for its other assets only."
    return unless + then


class _Hints:
    """What may be meant by an asset that nothing emits."""

    def __init__(self, wiring: Wiring) -> None:
        self.idle = {watcher.asset for watcher in wiring.idle_watchers}
        emitted = {each.asset for each in wiring.emitters if each.asset.kind == "asset"}
        self.by = {
            what: {getattr(each, what): each for each in sorted(emitted, reverse=True)}
            for what in ("name", "uri")
        }
        self.spellings = {what: Spellings(assets) for what, assets in self.by.items()}

    def of(self, asset: AssetId) -> str:
        if asset in self.idle:
            return (
                "Its watcher is started only for a DAG that is scheduled on the asset itself, not on "
                "a reference to it. "
            )
        same = [self.by[what].get(getattr(asset, what)) for what in self.by]
        if others := sorted(each for each in same if each is not None):
            return (
                f"What is emitted is {others[0].name} ({others[0].uri}): of two assets that share a "
                "name or a URI Airflow activates one, and fails the tasks that emit the other. "
            )
        for what in self.by if asset.kind != "alias" else ():
            if near := self.spellings[what].hint(getattr(asset, what)):
                return near
        return ""


@rule("warning", "an asset is emitted, and no DAG listens to it", missing="listener")
def no_listener(wiring: Wiring) -> Iterator[Finding]:
    """An emitted asset that no DAG listens to, no task reads, and nobody marked terminal.

    Left out are aliases and what tasks make of them: either may be heard under the other's name.
    """
    for asset in _emitted(wiring):
        declared, emitters = wiring.assets.get(asset), wiring.emitters_of(asset)
        if (
            declared is None
            or declared.terminal
            or asset in wiring.read
            or wiring.listeners_of(asset)
            or all(each.alias is not None for each in emitters)
        ):
            continue
        yield no_listener.finding(
            asset,
            emitters,
            problem=f"{listed(emitters)} {verb(emitters, 'emit')} {asset}, which no DAG of the folder listens to.",
            consequence="Its events are registered, and no run follows from them.",
            step='Schedule a DAG on it, or mark it extra={"terminal": True} if that is meant.',
        )


@rule("warning", "an asset is marked terminal, and a DAG listens to it")
def wrong_terminal_mark(wiring: Wiring) -> Iterator[Finding]:
    """An asset marked terminal that has a listener: the mark would hide the day it has none."""
    for declared in wiring.assets.values():
        listeners = wiring.listeners_of(declared.id)
        if declared.terminal and listeners:
            yield wrong_terminal_mark.finding(
                declared.id,
                listeners,
                problem=(
                    f"{declared.id} is marked terminal, and {listed(each.dag_id for each in listeners)} "
                    f"{verb(listeners, 'listen')} to it."
                ),
                consequence=(
                    "Airflow knows no such mark: its events do make runs. The mark only keeps "
                    "no-listener from being reported when the last listener goes."
                ),
                step="Remove the mark from the asset.",
            )


@rule("warning", "an asset is emitted in several places")
def two_emitters(wiring: Wiring) -> Iterator[Finding]:
    """An asset that several tasks or watchers emit, or every instance of a mapped task.

    Left out: an asset that no DAG listens to, an alias, which is meant for that, a mapped task that
    adds keys of its own, and one that no listener hears key by key: plain events that come together
    make one run.
    """
    for asset in _emitted(wiring):
        emitters, listeners = wiring.emitters_of(asset), wiring.listeners_of(asset)
        keyed = any(each.keyed for each in listeners)
        mapped = [each for each in emitters if keyed and each.mapped and not each.adds_keys]
        if asset.kind == "alias" or not listeners or (len(emitters) == 1 and not mapped):
            continue
        skipped = not all(each.always for each in emitters)
        of_a_mapped_task = ", once for each instance of the mapped task" if mapped else ""
        yield two_emitters.finding(
            asset,
            (*emitters, *listeners),
            problem=f"{asset} is emitted by {listed(emitters)}{of_a_mapped_task}.",
            consequence=(
                f"Each of them {'that is not skipped ' if skipped else ''}sets off "
                f"{listed(each.dag_id for each in listeners)}, without waiting for the others: the "
                "first event makes a run before the rest is done, and each later one another run, of "
                "the same key too."
            ),
            step=(
                "Let one task after all of them emit it, or give each emitter an asset of its own "
                "and listen to all of them: schedule=(a & b)."
                + (
                    " Where a branch lets one of them run and no other, ignore this."
                    if skipped
                    else ""
                )
            ),
        )


def _emitted(wiring: Wiring) -> tuple[AssetId, ...]:
    return tuple(dict.fromkeys(each.asset for each in wiring.emitters))
