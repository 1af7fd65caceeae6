"""Rules about who emits an asset and who listens: somebody on each side, and one emitter."""

from __future__ import annotations

from collections.abc import Iterator

from feira_wiring.model import AssetId, Listener, Wiring, is_met
from feira_wiring.report import Finding, listed, rule, verb
from feira_wiring.rules.declarations import did_you_mean


@rule("error", "a DAG listens to an asset that nothing emits", missing="emitter")
def no_emitter(wiring: Wiring) -> Iterator[Finding]:
    """A listener of an asset that no task of the folder has as outlet, and no watcher watches."""
    emitted = {each.asset for each in wiring.emitters}
    emitted |= {asset.id for asset in wiring.assets.values() if asset.external}
    # What the code of an alias's task names is emitted; where it cannot be read, it may be any.
    made = (each for some in wiring.resolved.values() for each in some or ())
    emitted |= {each for each in made if isinstance(each, AssetId)}
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
                step=_hint(wiring, asset)
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


def _hint(wiring: Wiring, asset: AssetId) -> str:
    if any(watcher.asset == asset for watcher in wiring.idle_watchers):
        return (
            "Its watcher is started only for a DAG that is scheduled on the asset itself, not on a "
            "reference to it. "
        )
    others = {each.asset for each in wiring.emitters if each.asset.kind == "asset"}
    for other in sorted(others):
        if other != asset and (other.uri == asset.uri or other.name == asset.name):
            return (
                f"What is emitted is {other.name} ({other.uri}): of two assets that share a name or "
                "a URI Airflow activates one, and fails the tasks that emit the other. "
            )
    for what in ("name", "uri"):
        near = did_you_mean(
            getattr(asset, what), {getattr(each, what) for each in others - {asset}}
        )
        if near and asset.kind != "alias":
            return near
    return ""


@rule("warning", "an asset is emitted, and no DAG listens to it", missing="listener")
def no_listener(wiring: Wiring) -> Iterator[Finding]:
    """An emitted asset that no DAG listens to, no task reads, and nobody marked terminal.

    Aliases are left out: what they resolve to may be heard under its own name.
    """
    for asset in _emitted(wiring):
        declared = wiring.assets.get(asset)
        if (
            declared is None
            or declared.terminal
            or asset in wiring.read
            or wiring.listeners_of(asset)
        ):
            continue
        emitters = wiring.emitters_of(asset)
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
        of_a_mapped_task = ", once for each instance of the mapped task" if mapped else ""
        yield two_emitters.finding(
            asset,
            (*emitters, *listeners),
            problem=f"{asset} is emitted by {listed(emitters)}{of_a_mapped_task}.",
            consequence=(
                f"Each of them sets off {listed(each.dag_id for each in listeners)}, without waiting "
                "for the others: the first event makes a run before the rest is done, and each later "
                "one another run, of the same key too."
            ),
            step=(
                "Let one task after all of them emit it, or give each emitter an asset of its own "
                "and listen to all of them: schedule=(a & b)."
            ),
        )


def _emitted(wiring: Wiring) -> tuple[AssetId, ...]:
    return tuple(dict.fromkeys(each.asset for each in wiring.emitters))
