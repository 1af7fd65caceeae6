"""A day's measurement: the lists that were shown, and the estimates of versions, to one table.

A step replaces what it wrote for the day before, so it may be killed anywhere and run again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import astuple
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.recommendations.live.estimate import Estimate, Measured, estimates
from feira.recommendations.live.figures import EVERY_POSITION, LiveFigure, live_figures, two_arms
from feira_spark.core.session import CATALOG
from feira_spark.core.tables import STAGING, drop_staged, require_tables
from feira_spark.recommendations.as_of import Snapshots
from feira_spark.recommendations.day import (
    DAY_PROPERTY,
    ITEM_FEATURES,
    SOURCES_PROPERTY,
    USER_CATEGORIES,
    USER_FEATURES,
    of_day,
)
from feira_spark.recommendations.impressions import impressions_of
from feira_spark.recommendations.lists import LISTS, VERSIONS, segments
from feira_spark.recommendations.replayed import replayed
from feira_spark.recommendations.shown import arms, cells, in_two_arms

log = logging.getLogger(__name__)

LIVE = "recommendations.live_figures"
# Days on which lists were shown, of the history that people are shown; the measured one is the last.
HISTORY_DAYS = 28
# Of the page of all days; a point of more would be a dot.
LONGEST_HISTORY_DAYS = 400


def measure(
    spark: SparkSession,
    day: date,
    version: str,
    read: Snapshots,
    sums: pa.Table,
    table: str | None = None,
) -> Measured:
    """Replaces the day's figures: of the events at the snapshot that ``read`` names, and of ``version``, which
    is as of the day, and the newest version of a day before, which knows nothing of it.

    :param sums: of ``version``, as ``impressions.sums_of``
    :param table: where the impressions are staged; they are computed where it is not there, and it is dropped
    """
    require_tables(spark, [contract(LIVE)])
    with impressions_of(spark, day, read, table) as impressions:
        measured = arms(impressions).collect()
        total = impressions.count()
        figures = _figures(spark, day, impressions, [(row[0], row[1]) for row in measured])
        before = _version_before(spark, day)
        estimated = (
            *estimates(version, sums),
            *(() if before is None else _estimates(spark, impressions, before)),
        )
    _replace(spark, day, [*figures, *(row for each in estimated for row in each.rows())], read)
    done = Measured(
        day=day,
        figures=figures,
        estimates=estimated,
        history=tuple(
            (when, row) for when, row in history(spark, day, HISTORY_DAYS) if row.slot is None
        ),
        impressions=total,
        left_out=total - sum(row["impressions"] for row in measured),
    )
    if table is not None:
        drop_staged(spark, table.removeprefix(f"{STAGING}."))
    log.info(
        "%s %s: %d impressions, of which %d are of versions and arms beyond the first; estimates %s",
        *(LIVE, day, total, done.left_out, estimated),
    )
    return done


def _figures(
    spark: SparkSession, day: date, impressions: DataFrame, pairs: list[tuple[str, str]]
) -> tuple[LiveFigure, ...]:
    if not pairs:
        return ()
    wanted = F.broadcast(spark.createDataFrame(pairs, "list_version string, arm string"))
    kept = impressions.join(wanted, ["list_version", "arm"])
    buyers = of_day(spark, USER_FEATURES, day).where("orders > 0").count()
    found = live_figures(cells(kept, of_day(spark, ITEM_FEATURES, day), buyers).toArrow())
    of_versions = impressions.join(wanted.select("list_version").distinct(), "list_version")
    faults = [
        two_arms(row["list_version"], row["twice"], row["users"], row["impressions"])
        for row in in_two_arms(of_versions).orderBy("list_version").collect()
    ]
    return (*found, *faults)


def _version_before(spark: SparkSession, day: date) -> str | None:
    """The newest version of a day before that has its lists."""
    before = spark.table(f"{CATALOG}.{VERSIONS}").where(
        (F.col("as_of") < F.lit(day)) & F.col("removed_at").isNull()
    )
    newest: str | None = before.agg(F.max("version").alias("version")).collect()[0]["version"]
    return newest


def _estimates(spark: SparkSession, impressions: DataFrame, version: str) -> tuple[Estimate, ...]:
    as_of = date.fromisoformat(version[:10])
    lists = of_day(spark, LISTS, as_of).where(F.col("list_version") == F.lit(version))
    placed = replayed(impressions, lists, segments(of_day(spark, USER_CATEGORIES, as_of)))
    return estimates(version, placed.toArrow())


def _replace(spark: SparkSession, day: date, rows: list[LiveFigure], read: Snapshots) -> None:
    schema = spark.table(f"{CATALOG}.{LIVE}").schema
    values = [(day, *astuple(row)) for row in rows]
    (
        spark.createDataFrame(values, schema)
        .writeTo(f"{CATALOG}.{LIVE}")
        .option(f"snapshot-property.{DAY_PROPERTY}", day.isoformat())
        .option(f"snapshot-property.{SOURCES_PROPERTY}", json.dumps(read, sort_keys=True))
        .overwrite(F.col("as_of") == F.lit(day))
    )


def newest_history(spark: SparkSession) -> tuple[tuple[date, LiveFigure], ...]:
    """As ``history``, to the newest day of all."""
    return history(spark, date.max, LONGEST_HISTORY_DAYS)


def history(spark: SparkSession, day: date, days: int) -> tuple[tuple[date, LiveFigure], ...]:
    """The CTR of all positions of the newest days that have one, to this day and so many at most, by day, version,
    arm and slot. However many days without any are between two that have: those are no days of the history."""
    partitions = spark.table(f"{CATALOG}.{LIVE}.partitions").select("partition.as_of").collect()
    known = sorted({row["as_of"] for row in partitions if row["as_of"] <= day}, reverse=True)
    measured = (
        spark.table(f"{CATALOG}.{LIVE}")
        .where((F.col("figure") == "ctr") & (F.col("position") == EVERY_POSITION))
        .orderBy("as_of", "list_version", "arm", "slot")
    )
    asked = days
    while known:
        # Bounded by the partition, so that the files of older days are not read.
        first = known[min(asked, len(known)) - 1]
        rows = measured.where(F.col("as_of").between(first, day)).collect()
        newest = sorted({row["as_of"] for row in rows})[-days:]
        if len(newest) == days or asked >= len(known):
            return tuple(
                (row["as_of"], LiveFigure(*tuple(row)[1:]))
                for row in rows
                if row["as_of"] in newest
            )
        # Some of the days have other figures alone.
        asked *= 2
    return ()
