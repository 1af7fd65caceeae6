"""The steps of recommendations as the DAG runs them: connections in, snapshots, URIs and counts out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from feira_airflow.core.connections import LAKE, lake_settings, spark_session
from feira_airflow.core.partitions import partition_day
from feira_airflow.core.permanent import permanent_errors_fail
from feira_airflow.core.valkey import valkey_options
from feira_airflow.core.xcom import fields_of

if TYPE_CHECKING:
    import pyarrow as pa
    from fsspec import AbstractFileSystem

    from feira.core.settings import LakeSettings
    from feira.recommendations.versions import ListStore

log = logging.getLogger(__name__)

_LONGEST_NOTICE = 600


@permanent_errors_fail()
def features() -> dict[str, Any]:
    """Replaces the day's features; returns the snapshots that were read, those that hold them, and counts."""
    from feira_spark.recommendations.day import features

    with spark_session() as spark:
        return asdict(features(spark, partition_day()))


@permanent_errors_fail()
def interactions(features: dict[str, Any]) -> dict[str, Any]:
    """Stages who bought what on which day, users' segments, products' categories and names, at the snapshots
    that the features were made from and made; returns ``interactions``, ``segments``, ``categories`` and
    ``names`` (metadata URIs) and the count of the first."""
    from feira_spark.recommendations.lists import stage

    snapshots = fields_of("features", features, "sources", "snapshots")
    run_id = get_current_context()["run_id"]
    with spark_session() as spark:
        return asdict(stage(spark, partition_day(), run_id, *snapshots))


@permanent_errors_fail()
def lists(features: dict[str, Any], staged: dict[str, Any]) -> dict[str, Any]:
    """Makes the lists of this run's version, unless they are finished; returns ``version`` and counts."""
    from feira.core.lake import read_snapshot
    from feira.recommendations.lists import interactions_of
    from feira.recommendations.segments import segments_of
    from feira_spark.recommendations.day import offsets_of

    read, snapshots = fields_of("features", features, "sources", "snapshots")
    names = ("interactions", "segments", "categories", "names")
    *uris, rows = fields_of("interactions", staged, *names, "rows")
    settings = lake_settings(LAKE)
    store = _store(settings)
    # Not by XCom: a topic may have more partitions than that takes.
    with spark_session() as spark:
        offsets = offsets_of(spark, partition_day(), read)
    sources = {"sources": read, "features": snapshots, "offsets": offsets}
    version = store.claim(partition_day(), get_current_context()["run_id"], sources)
    made = store.finished(version.version)
    if made is None:
        batches = {
            name: read_snapshot(settings, uri) for name, uri in zip(names, uris, strict=True)
        }
        segments = segments_of(batches["segments"], batches["categories"])
        bought = interactions_of(batches["interactions"])
        with _learning(store.files, store.folder(version.version), rows):
            made = store.make(version, bought, segments, batches["names"])
    return {"version": made.version, "users": made.users, "lists": made.lists, "rows": made.rows}


@permanent_errors_fail()
def write_lists(made: dict[str, Any]) -> dict[str, Any]:
    """Writes the version's lists to their tables; returns ``version``, ``metadata`` and ``parquet`` (URIs),
    counts, and the checksum."""
    from feira_spark.recommendations.lists import write_lists

    (name,) = fields_of("lists", made, "version")
    version, finished = _store(lake_settings(LAKE)).read(name)
    with spark_session() as spark:
        return asdict(write_lists(spark, version, finished))


@permanent_errors_fail()
def impressions(listed: dict[str, Any]) -> dict[str, Any]:
    """Stages what was shown on the day, and adds up what it says of the version's lists; returns ``table`` (its
    name), ``sums`` (a URI), and ``count``."""
    from feira_spark.recommendations.impressions import stage

    (version,) = fields_of("write_lists", listed, "version")
    store = _store(lake_settings(LAKE))
    with spark_session() as spark:
        return asdict(stage(spark, store, *store.read(version)))


@permanent_errors_fail()
def gate(listed: dict[str, Any], impressions: dict[str, Any]) -> dict[str, Any]:
    """Judges the version's method beside the one that is served, unless it has been judged; returns
    ``version``, ``verdict`` (passed, approved_method, not_enough_to_tell), ``publish``, and ``notice``, what
    people are to know ('' for nothing). Refused, it fails."""
    from feira.recommendations import verdicts
    from feira.recommendations.gate import NOT_ENOUGH
    from feira.recommendations.release import served
    from feira.recommendations.serving.store import connect
    from feira_spark.recommendations.gate import judged

    (name,) = fields_of("write_lists", listed, "version")
    (sums_uri,) = fields_of("impressions", impressions, "sums")
    settings = lake_settings(LAKE)
    store = _store(settings)
    version, finished = store.read(name)
    found = verdicts.recorded(store, version.version)
    if found is None:
        with connect(valkey_options()) as client:
            live = served(client, store)
        with spark_session() as spark:
            sums = _sums(store, sums_uri)
            judged_now = judged(spark, settings, store, version, finished, live, sums)
        found = verdicts.record(store, judged_now)
    verdicts.require_method(found, finished)
    for each in found.all_figures():
        log.info("%s: %s", each.verdict, each.in_words())
    try:
        verdict = verdicts.decided(store, found)
    except verdicts.RefusedError as error:
        next_step = f"`feira recommendations gate {version.version}` computes it once more."
        if verdicts.can_be_approved(found):
            next_step += (
                " A person may approve of that beside what is served, and nothing else is refused: `feira "
                f"recommendations approve {version.version} --why TEXT`, or the DAG recommendations_serve, serves it "
                "all the same."
            )
        raise verdicts.RefusedError(f"{error} {next_step}") from error
    notice = found.drifted()
    if verdict == NOT_ENOUGH:
        notice = (
            f"{version.version} is not published. `feira recommendations approve {version.version} --why TEXT`, or "
            f"the DAG recommendations_serve, publishes it, and later versions of its method. {found.served()}. "
            "There is not enough to tell: "
            f"{found.why()}. {found.estimated()} {notice}"
        )
    if notice:
        log.warning("%s", notice)
    return {
        "version": version.version,
        "verdict": verdict,
        "publish": verdict != NOT_ENOUGH,
        "notice": notice[:_LONGEST_NOTICE],
    }


@permanent_errors_fail()
def publish(listed: dict[str, Any], gate: dict[str, Any]) -> dict[str, Any]:
    """Publishes the version's lists if the gate says so, and serves them unless a newer version is served;
    returns ``version``, ``served`` (None where nothing was published) and counts."""
    from feira.recommendations.release import release
    from feira.recommendations.serving.store import connect

    (version,) = fields_of("write_lists", listed, "version")
    judged, why, passed = fields_of("gate", gate, "version", "verdict", "publish")
    done = None
    if passed and judged == version:
        with connect(valkey_options()) as client:
            done = release(client, _store(lake_settings(LAKE)), version)
        why = "it has no lists"
    if done is None:
        log.info("%s is not published: %s; what is served stays", version, why)
        return {"version": version, "served": None, "lists": 0, "keys": 0}
    return {"version": version, "served": done.served, "lists": done.lists, "keys": done.keys}


@permanent_errors_fail()
def serve() -> dict[str, Any]:
    """Approves of the version that the run's parameters name, or rolls back to it, in the name of who has
    triggered the run; returns ``version`` and ``served`` (None where nothing is)."""
    from feira.recommendations import release
    from feira.recommendations.serving.store import connect

    context: dict[str, Any] = dict(get_current_context())
    asked, who = context["params"], context["dag_run"].triggering_user_name or "unknown"
    version, why = asked["version"], asked["why"]
    store = _store(lake_settings(LAKE))
    with connect(valkey_options()) as client:
        if asked["action"] == "approve":
            done = release.approve(client, store, version, who, why)[1]
            served = done and done.served
        else:
            served = release.rollback(client, store, version).version
    log.info("%s of %s by %s (%s): %s is served", asked["action"], version, who, why, served)
    return {"version": version, "served": served}


@permanent_errors_fail()
def measure(
    features: dict[str, Any], listed: dict[str, Any], impressions: dict[str, Any]
) -> dict[str, Any]:
    """Measures what was shown on the day, estimates the version from it, and writes both as a page, and the page
    of all days; returns their URIs, counts, and why the version has no estimate (None where it has one)."""
    from feira.core.lake import lake_files
    from feira.recommendations.live.page import write_history, write_page
    from feira_spark.recommendations.measure import measure, newest_history

    (sources,) = fields_of("features", features, "sources")
    (version,) = fields_of("write_lists", listed, "version")
    sums_uri, table = fields_of("impressions", impressions, "sums", "table")
    settings = lake_settings(LAKE)
    files = lake_files(settings)
    sums = _sums(_store(settings), sums_uri)
    with spark_session() as spark:
        done = measure(spark, partition_day(), version, sources, sums, table)
        history = newest_history(spark)
    return {
        "page": write_page(files, settings.root, done),
        "history": write_history(files, settings.root, history),
        "impressions": done.impressions,
        "left_out": done.left_out,
        "figures": len(done.figures),
        "refused": done.estimates[0].refused,
    }


@permanent_errors_fail()
def prune() -> dict[str, Any]:
    """Removes from the lake the lists of old versions that are neither in Valkey nor approved of, and the features
    of old days without a version; returns of ``removed`` (versions) and ``features`` (days) how many, the first and
    the last. Where Valkey does not answer, or serves none, nothing is removed."""
    from datetime import UTC, datetime

    from feira.recommendations import removal
    from feira_spark.recommendations import removal as tables

    store, now = _store(lake_settings(LAKE)), datetime.now(UTC)
    nothing = {"removed": _span([]), "features": _span([])}
    if not _kept(store):
        return nothing
    with spark_session() as spark:
        known = removal.begun(store, tables.listed_versions(spark))
        # Again: while Spark has started a person may have approved of an old version.
        if not (kept := _kept(store)):
            return nothing
        old = removal.removable(known, kept, now)
        stay = [each for each in known if each not in old]
        for each in old:
            removal.mark(store, each.version, now)
        if old:
            tables.remove_rows(spark, old)
            for each in old:
                removal.remove_files(store, each.version)
            tables.mark_removed(spark, old, now)
        days = [each.isoformat() for each in tables.remove_features(spark, stay, now)]
        tables.expire(spark, stay, now)
    names = [each.version for each in old]
    log.info("removed: %s; features of %s", ", ".join(names) or "none", ", ".join(days) or "no day")
    return {"removed": _span(names), "features": _span(days)}


def _span(names: Sequence[str]) -> dict[str, Any]:
    """How many they are, and the first and the last of them, which are in order."""
    first, last = (names[0], names[-1]) if names else (None, None)
    return {"count": len(names), "first": first, "last": last}


def _kept(store: ListStore) -> set[str]:
    """The versions that are in Valkey, in the API's file or approved of; none where Valkey serves none, and it is
    not known which it would."""
    from feira.recommendations import verdicts
    from feira.recommendations.publish import versions
    from feira.recommendations.serving.baked import served_in_file
    from feira.recommendations.serving.store import connect

    with connect(valkey_options()) as client:
        published = versions(client)
    if not any(each.live for each in published):
        log.info("no version is served, and none is removed")
        return set()
    known = {each.version for each in published} | verdicts.approved_versions(store)
    return known | served_in_file(store.files, store.lake)


@permanent_errors_fail()
def emit(listed: dict[str, Any]) -> None:
    """Ends the run; its outlet is the event."""
    (version,) = fields_of("write_lists", listed, "version")
    log.info("recommendation_lists[%s]: %s", partition_day(), version)


@contextmanager
def _learning(files: AbstractFileSystem, folder: str, interactions: int) -> Iterator[None]:
    """Where a version's models are learned: here, or of too many interactions by Spark."""
    from feira.recommendations.candidates.spark_als import learned_on
    from feira.recommendations.lists import MOST_ON_ONE_MACHINE
    from feira_spark.recommendations.als import BySpark

    if interactions <= MOST_ON_ONE_MACHINE:
        yield
        return
    with spark_session() as spark, learned_on(BySpark(spark, files, folder)):
        yield


def _sums(store: ListStore, uri: str) -> pa.Table:
    import pyarrow.parquet as pq

    with store.files.open(uri, "rb") as file:
        return pq.read_table(file)


def _store(settings: LakeSettings) -> ListStore:
    from feira.core.lake import lake_files
    from feira.recommendations.versions import ListStore

    return ListStore(lake_files(settings), settings.root)
