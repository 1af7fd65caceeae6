"""A day of recommendations, step by step, as the DAG's tasks and the tests run it.

A step replaces what it wrote for the day before, so it may be killed anywhere and run again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.user_events.codec import TABLE as EVENTS
from feira_spark.core.session import CATALOG
from feira_spark.core.tables import as_declared, current_snapshot, kept, require_tables
from feira_spark.recommendations.as_of import Snapshots, events, sold_lines, sources
from feira_spark.recommendations.features import (
    BROWSED_DAYS,
    browsed_by_item,
    browsed_by_user,
    item_features,
    user_categories,
    user_features,
    visits,
)
from feira_spark.user_events.day import recorded

log = logging.getLogger(__name__)

USER_FEATURES = "recommendations.user_features"
ITEM_FEATURES = "recommendations.item_features"
USER_CATEGORIES = "recommendations.user_categories"
# Spark writes the names of options in lower case.
DAY_PROPERTY, SOURCES_PROPERTY = "feira.as-of", "feira.sources"


@dataclass(frozen=True)
class Features:
    """The features of a day.

    :param sources: by table, the snapshot that was read
    :param snapshots: by table, the snapshot that holds the day's features
    :param rows: by table, the rows of the day
    """

    sources: Snapshots
    snapshots: Snapshots
    rows: dict[str, int]


def features(spark: SparkSession, day: date) -> Features:
    """Replaces the day's features; what they were computed from is in the snapshots' summaries."""
    tables = (USER_FEATURES, ITEM_FEATURES, USER_CATEGORIES)
    require_tables(spark, [contract(table) for table in tables])
    read = sources(spark)
    sold = sold_lines(spark, day, read)
    seen = events(spark, day, read, BROWSED_DAYS)
    with kept(visits(seen, day)) as visited:
        with kept(browsed_by_user(seen, visited)) as browsed:
            _replace(user_features(sold, browsed, day), USER_FEATURES, day, read)
        with kept(browsed_by_item(seen, visited)) as browsed:
            _replace(item_features(sold, browsed, day), ITEM_FEATURES, day, read)
        items = of_day(spark, ITEM_FEATURES, day).select("sku", "category")
        _replace(user_categories(sold, visited, items), USER_CATEGORIES, day, read)
    done = Features(
        sources=read,
        snapshots={table: current_snapshot(spark, table) for table in tables},
        rows={table: of_day(spark, table, day).count() for table in tables},
    )
    log.info("features as of %s: %s", day, done)
    return done


def offsets_of(spark: SparkSession, day: date, read: Snapshots) -> dict[str, list[int]] | None:
    """By partition of Kafka's topic the first offset and the one after the last that the day's events were read from,
    at the snapshot of events among these; None of a day that was never ingested."""
    snapshot = read.get(EVENTS)
    found = None if snapshot is None else recorded(spark, day, snapshot)
    return None if found is None else {str(each): [*ends] for each, ends in found.ranges.items()}


def of_day(spark: SparkSession, table: str, day: date) -> DataFrame:
    """The rows of a table of recommendations that are as of the day."""
    return spark.table(f"{CATALOG}.{table}").where(F.col("as_of") == F.lit(day))


def _replace(rows: DataFrame, table: str, day: date, read: Snapshots) -> None:
    (
        as_declared(rows, contract(table), {"as_of": F.lit(day)})
        .writeTo(f"{CATALOG}.{table}")
        .option(f"snapshot-property.{DAY_PROPERTY}", day.isoformat())
        .option(f"snapshot-property.{SOURCES_PROPERTY}", json.dumps(read, sort_keys=True))
        .overwrite(F.col("as_of") == F.lit(day))
    )
