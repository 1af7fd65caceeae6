"""Rules about partition keys: whether events have one, and whether the listener can read it."""

from __future__ import annotations

from collections.abc import Iterator

from airflow.partition_mappers.base import is_rollup

from feira_wiring.keys import event_keys, folder_keys, map_key, sample_keys
from feira_wiring.model import AssetId, Emitter, Keys, Listener, Wiring, is_met
from feira_wiring.report import Finding, rule


def _pairs(wiring: Wiring, keys: Keys, *, keyed: bool) -> Iterator[tuple[Emitter, Listener]]:
    """Emitters whose events have such keys, with the listeners of such a kind."""
    for emitter in wiring.emitters:
        if emitter.keys is keys:
            for listener in wiring.listeners_of(emitter.asset):
                if listener.keyed == keyed:
                    yield emitter, listener


@rule("error", "events have a partition key, the listener is not partitioned")
def keyed_event_plain_listener(wiring: Wiring) -> Iterator[Finding]:
    for emitter, listener in _pairs(wiring, Keys.KEYED, keyed=False):
        yield keyed_event_plain_listener.finding(
            emitter.asset,
            (emitter, listener),
            problem=(
                f"{emitter} emits {emitter.asset} with a partition key, and {listener.dag_id} "
                "listens without one."
            ),
            consequence=(
                "Airflow hands an event with a key to partitioned listeners only: it makes no run "
                f"of {listener.dag_id}{_but(listener, emitter.asset)}, and logs nothing."
            ),
            step=(
                f"Schedule {listener.dag_id} with PartitionedAssetTimetable(assets=…), and a mapper "
                "that reads the key."
            ),
        )


def _but(listener: Listener, asset: AssetId) -> str:
    """What makes runs of a listener that waits for more than this asset."""
    if listener.clock:
        return " for it, only its clock makes runs"
    if is_met(listener.condition, {*listener.assets} - {asset}):
        return " for it, only its other assets make runs"
    return ""


@rule("error", "events have no partition key, the listener is partitioned")
def plain_event_keyed_listener(wiring: Wiring) -> Iterator[Finding]:
    for emitter, listener in _pairs(wiring, Keys.PLAIN, keyed=True):
        yield plain_event_keyed_listener.finding(
            emitter.asset,
            (emitter, listener),
            problem=(
                f"{emitter} emits {emitter.asset} without a partition key, and {listener.dag_id} "
                "listens for keys."
            ),
            consequence=(
                f"Airflow makes no run of {listener.dag_id} for it, and writes `missing partition "
                "key` to its audit log."
            ),
            step=_give_keys(emitter, listener),
        )


def _give_keys(emitter: Emitter, listener: Listener) -> str:
    if emitter.dag_id is None:
        return (
            f"A watcher's events never have a key. Schedule a plain DAG on {emitter.asset}, let its "
            "task emit another asset with outlet_events[…].add_partitions([…]), and schedule "
            f"{listener.dag_id} on that one."
        )
    return (
        f"Give the runs of {emitter.dag_id} a key (CronPartitionTimetable, PartitionedAtRuntime or "
        f"PartitionedAssetTimetable), or let {emitter.part} call "
        "outlet_events[…].add_partitions([…]), or schedule the listener on the plain asset."
    )


@rule("error", "the listener's mapper cannot read the emitter's keys")
def unreadable_key(wiring: Wiring) -> Iterator[Finding]:
    """Keys that are known from a clock, tried on the mapper of every listener that they reach."""
    samples = sample_keys(wiring)
    for emitter, listener in _pairs(wiring, Keys.KEYED, keyed=True):
        if listener.mapper is None or emitter.asset.kind == "alias":
            continue
        # One key of many that is not used may be meant: a mapper that leaves out Sundays.
        unread = {}
        for key in event_keys(emitter, samples):
            if (reason := _why_unread(listener, emitter.asset, key)) is None:
                break
            unread[key] = reason
        else:
            more = event_keys(emitter, folder_keys(wiring, 400, 400)) if unread else ()
            if any(_why_unread(listener, emitter.asset, key) is None for key in more):
                unread.clear()
            if not unread:
                continue
            key, reason = next(iter(unread.items()))
            mapper = type(listener.mapper(emitter.asset)).__name__
            yield unreadable_key.finding(
                emitter.asset,
                (emitter, listener),
                problem=(
                    f"{emitter} emits {emitter.asset} with keys such as {key!r}, which the "
                    f"{mapper} of {listener.dag_id} cannot use: {reason}"
                ),
                consequence=(
                    f"Airflow makes no run of {listener.dag_id} for such an event; the scheduler "
                    "does not fail."
                ),
                step=(
                    "Make the mapper's input_format the emitter's key_format (or the output_format "
                    "of the mapper before it)."
                ),
            )


def _why_unread(listener: Listener, asset: AssetId, key: str) -> str | None:
    """Why no run follows from this key; None where one does."""
    assert listener.mapper is not None
    mapper = listener.mapper(asset)
    try:
        downstream = map_key(listener, asset, key)
        if is_rollup(mapper):
            for each in downstream:
                expected = mapper.to_upstream(each)
                if key not in expected:
                    return (
                        f"it is not among the {len(expected)} keys that its window waits for, such "
                        f"as {min(expected)!r}."
                    )
    except Exception as error:  # a mapper of one's own may raise anything
        return f"{type(error).__name__}: {error}."
    return None if downstream else "it maps it to no key."


@rule("warning", "whether events have a key is known only when they are emitted")
def runtime_key(wiring: Wiring) -> Iterator[Finding]:
    """Emitters whose runs are given a key or none, with nothing that makes sure of either."""
    for emitter in wiring.emitters:
        for listener in wiring.listeners_of(emitter.asset) if emitter.at_runtime else ():
            yield runtime_key.finding(
                emitter.asset,
                (emitter, listener),
                problem=(
                    f"{emitter} emits {emitter.asset} with the key that its run is given, if it is "
                    f"given one, and {listener.dag_id} listens "
                    + ("for keys." if listener.keyed else "without one.")
                ),
                consequence=(
                    f"Airflow makes no run of {listener.dag_id} for a run "
                    + ("without a key." if listener.keyed else "with a key.")
                ),
                step=(
                    f"Let a task of {emitter.dag_id} fail where partition_key is "
                    + ("missing" if listener.keyed else "given")
                    + ", or let it add the keys: outlet_events[…].add_partitions([…])."
                ),
            )
