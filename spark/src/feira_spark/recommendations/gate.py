"""The gate's part that reads and writes tables: interactions at the snapshots that a version was made from,
what the day's impressions say of its lists, how far features and lists have drifted, and the table of figures."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.core.errors import PermanentError
from feira.core.lake import lake_files, read_snapshot
from feira.core.settings import LakeSettings
from feira.recommendations import drift
from feira.recommendations.bootstrap import Figure
from feira.recommendations.candidates.spark_als import learned_on
from feira.recommendations.first_ten import stored_rows
from feira.recommendations.gate import GateFigure, Judgement, Live, Stored, judge
from feira.recommendations.interactions import Interactions
from feira.recommendations.lists import Chosen, MethodError, interactions_of
from feira.recommendations.live.estimate import LEAST_SUPPORT, Estimate, estimates
from feira.recommendations.verdicts import Verdict
from feira.recommendations.versions import Finished, ListStore, Version, VersionError
from feira.sales.published import PUBLISHED
from feira.user_events.codec import TABLE as EVENTS
from feira_spark.core.session import CATALOG
from feira_spark.core.tables import (
    STAGING,
    as_declared,
    drop_staged,
    metadata_uri,
    require_tables,
    write_staged,
)
from feira_spark.recommendations.als import BySpark
from feira_spark.recommendations.as_of import at_snapshot, sold_lines
from feira_spark.recommendations.day import ITEM_FEATURES, USER_FEATURES
from feira_spark.recommendations.features import bought_on_days
from feira_spark.recommendations.impressions import impressions_of, sums_of

log = logging.getLogger(__name__)

FIGURES = "recommendations.gate_figures"
# By table the features whose drift is told: of users what they spent and when, how often they order, look and buy
# where they look; of products how popular they are.
DRIFTING = {
    USER_FEATURES: (
        "lifetime_usd",
        "days_since_order",
        "orders",
        "views_28d",
        "purchase_propensity",
    ),
    ITEM_FEATURES: ("popularity",),
}
_DECILES = [tenth / 10 for tenth in range(1, 10)]


class SnapshotGoneError(PermanentError, RuntimeError):
    """A snapshot that a version was made from is no longer in its table."""


def judged(
    spark: SparkSession,
    settings: LakeSettings,
    store: ListStore,
    version: Version,
    made: Finished,
    live: str | None,
    sums: pa.Table | None = None,
) -> Verdict:
    """Judges a version beside the one that is served, and writes the figures to their table.

    :param sums: as ``impressions.sums_of``; None: computed here
    :raises SnapshotGoneError, MethodError: where it cannot be judged
    """
    require_tables(spark, [contract(FIGURES)])
    beside = _finished(store, live)
    live_method = beside[1].candidates if beside else None
    found = replayed(spark, settings, version, made, live, live_method, sums, versions=store)
    verdict = Verdict.of(
        found,
        version=version.version,
        as_of=version.as_of,
        method=made.candidates,
        live=live,
        live_method=live_method,
        drift=drifted(spark, store, (version, made), live),
    )
    _write(spark, verdict)
    return verdict


def replayed(
    spark: SparkSession,
    settings: LakeSettings,
    version: Version,
    made: Finished,
    live: str | None,
    live_method: Mapping[str, Any] | None,
    sums: pa.Table | None = None,
    *,
    versions: ListStore | None = None,
    days: int | None = None,
) -> Judgement:
    """Judges a version's method by the interactions at the snapshots that it was made from, and estimates its
    lists from the impressions of its day at such a snapshot.

    :param live_method: of the version that is served, or was; None where it is not known
    :param sums: as ``impressions.sums_of``; None: computed here
    :param versions: where the lists of ``live`` are, against which those of the version are held; None: against
        none, as verdicts of old have it
    :param days: as ``judge`` takes it
    :raises SnapshotGoneError, MethodError: where it cannot be judged
    """
    beside, lists = None if live is None else Live(live, _known(live_method)), None
    if beside is not None and versions is not None:
        beside = replace(beside, lists=_stored(versions, beside.version))
        lists = Stored(made.users, partial(stored_rows, versions.files, made.parquet))
    mine = Chosen.of_described(made.candidates)
    for table in (PUBLISHED.table, PUBLISHED.extracts, EVENTS):
        _require_snapshot(spark, version, table)
    store = ListStore(lake_files(settings), settings.root)
    with learned_on(BySpark(spark, store.files, store.folder(version.version))):
        bought = _interactions(spark, settings, version)
        found = judge(bought, version.day, mine, beside, lists=lists, days=days)
    if sums is None:
        with impressions_of(spark, version.day, version.sources["sources"]) as impressions:
            sums = sums_of(spark, impressions, made)
    return replace(found, estimates=tuple(_estimates(version, sums)))


def _finished(store: ListStore, version: str | None) -> tuple[Version, Finished] | None:
    if version is None:
        return None
    try:
        return store.read(version)
    except VersionError as error:
        log.warning("%s is served, and nothing can be held against it: %s", version, error)
        return None


def _stored(store: ListStore, version: str) -> Stored:
    """The version's lists; after their removal it is still known how many users had one."""
    made = _finished(store, version)
    rows = None if made is None else partial(stored_rows, store.files, made[1].parquet)
    return Stored(store.users(version), rows)


def _known(method: Mapping[str, Any] | None) -> Chosen | None:
    try:
        return None if method is None else Chosen.of_described(method)
    except MethodError as error:
        log.warning("The method that is served is not known here: %s", error)
        return None


def _require_snapshot(spark: SparkSession, version: Version, table: str) -> None:
    snapshot = version.sources["sources"][table]
    if snapshot is not None and not _there(spark, table, snapshot):
        raise SnapshotGoneError(
            f"{version.version} was made from snapshot {snapshot} of {table}, which has expired. "
            "It cannot be judged; make a new version of the lists."
        )


def _interactions(spark: SparkSession, settings: LakeSettings, version: Version) -> Interactions:
    read = version.sources["sources"]
    name = f"recommendations_gate_{version.version.replace('-', '_')}"
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {STAGING}")
    try:
        table = f"{STAGING}.{name}"
        write_staged(bought_on_days(sold_lines(spark, version.day, read)), table)
        return interactions_of(read_snapshot(settings, metadata_uri(spark, table)))
    finally:
        drop_staged(spark, name)


def _estimates(version: Version, sums: pa.Table) -> Iterator[GateFigure]:
    """What the version's lists would have done on its day, by slot, beside what was shown at the same places."""
    for each in estimates(version.version, sums):
        yield from _estimated(each)


def _estimated(found: Estimate) -> Iterator[GateFigure]:
    for name, figure, limit in (
        ("ctr_shown", found.shown, 0.0),
        ("ctr_snips", found.snips, 0.0),
        ("ctr_dr", found.dr, 0.0),
        ("effective_sample_size", Figure(found.effective), found.needed or 0.0),
        ("support", found.support, LEAST_SUPPORT),
    ):
        yield GateFigure(
            figure=name,
            slot=found.slot or "all",
            value=figure.value,
            low=figure.low,
            high=figure.high,
            must="value",
            limit=limit,
            users=found.users,
            verdict=found.refused or "estimated",
        )


def _there(spark: SparkSession, table: str, snapshot: int | None) -> bool:
    if snapshot is None or not spark.catalog.tableExists(f"{CATALOG}.{table}"):
        return False
    held = spark.table(f"{CATALOG}.{table}.snapshots")
    return not held.where(F.col("snapshot_id") == F.lit(snapshot)).isEmpty()


def drifted(
    spark: SparkSession,
    store: ListStore,
    mine: tuple[Version, Finished],
    live_version: str | None,
) -> tuple[GateFigure, ...]:
    """How far the version's features and lists are from those of what is served, or was; none where nothing is.

    A figure has no value where a side is not to be had any more: the snapshot of its features has expired, or its
    lists were removed.
    """
    if live_version is None:
        return ()
    live = _finished(store, live_version)
    found = []
    for table, columns in DRIFTING.items():
        sides = [None if it is None else _features(spark, it[0], table) for it in (live, mine)]
        counts: dict[str, tuple[list[int], ...]] = {}
        if sides[0] is not None and sides[1] is not None:
            counts = _binned(sides[0], sides[1], columns)
        for column in columns:
            of = counts.get(column)
            value = None if of is None else drift.psi(*of)
            found.append(_figure(column, "features", value, sum(of[1]) if of else 0))
    value_of_items = value_of_categories = None
    if live is not None:
        before, after = (_shown(store, it[1]) for it in (live, mine))
        value_of_items = drift.in_equal_bins(before, after)
        items = _features(spark, mine[0], ITEM_FEATURES)
        if items is not None:
            category = {
                row["sku"]: row["category"] for row in items.select("sku", "category").collect()
            }
            value_of_categories = drift.by_key(
                *(_by_category(each, category) for each in (before, after))
            )
    for name, value in (("items", value_of_items), ("categories", value_of_categories)):
        found.append(_figure(name, "lists", value, mine[1].users))
    return tuple(found)


def _figure(name: str, slot: str, value: float | None, users: int) -> GateFigure:
    return GateFigure(
        figure=f"psi_{name}",
        slot=slot,
        value=value,
        low=None,
        high=None,
        must="value",
        limit=drift.MUCH,
        users=users,
        verdict=drift.word(value),
    )


def _features(spark: SparkSession, version: Version, table: str) -> DataFrame | None:
    """The version's own rows of a table of features; None where their snapshot has expired."""
    read = version.sources["features"]
    if not _there(spark, table, read.get(table)):
        return None
    return at_snapshot(spark, table, read).where(F.col("as_of") == F.lit(version.day))


def _binned(
    live: DataFrame, mine: DataFrame, columns: Sequence[str]
) -> dict[str, tuple[list[int], ...]]:
    """Of each feature the rows of both by the deciles of the first; those without it are a bin too."""
    values = {name: F.col(name).cast("double") for name in columns}
    deciles = live.agg(
        *(F.percentile(value, F.lit(_DECILES)).alias(name) for name, value in values.items())
    ).collect()[0]
    edges = {name: sorted(set(deciles[name] or [])) for name in columns}
    counted: list[Column] = []
    for name, value in values.items():
        above: Column = F.lit(0)
        for edge in edges[name]:
            above = above + (value > F.lit(edge)).cast("int")
        place = F.coalesce(above, F.lit(-1))
        counted += [
            F.count_if(place == F.lit(each)).alias(f"{name}_{each}")
            for each in range(-1, len(edges[name]) + 1)
        ]
    before, after = (side.agg(*counted).collect()[0] for side in (live, mine))
    found = {}
    for name in columns:
        places = range(-1, len(edges[name]) + 1)
        found[name] = tuple([row[f"{name}_{each}"] for each in places] for row in (before, after))
    return found


def _shown(store: ListStore, made: Finished) -> Counter[str]:
    with store.files.open(made.parquet, "rb") as file:
        return drift.shown(file)


def _by_category(items: Counter[str], category: Mapping[str, str | None]) -> Counter[str]:
    found: Counter[str] = Counter()
    for item, count in items.items():
        found[category.get(item) or ""] += count
    return found


def _write(spark: SparkSession, verdict: Verdict) -> None:
    columns = contract(FIGURES).columns
    values = [
        asdict(each)
        | {
            "list_version": verdict.version,
            "as_of": verdict.as_of,
            "held_out_from": verdict.cut,
            "live_version": verdict.live,
            "must_reach": each.limit,
            "must_reach_by": each.must,
            "version_verdict": verdict.verdict,
        }
        for each in verdict.all_figures()
    ]
    kept = {"double", "bigint"}
    schema = ", ".join(f"{it.name} {it.type if it.type in kept else 'string'}" for it in columns)
    rows = spark.createDataFrame(
        [tuple(it[each.name] for each in columns) for it in values], schema
    )
    mine = F.col("list_version") == F.lit(verdict.version)
    as_declared(rows, contract(FIGURES)).writeTo(f"{CATALOG}.{FIGURES}").overwrite(mine)
    log.info("gate %s: %s", verdict.version, verdict.verdict)
