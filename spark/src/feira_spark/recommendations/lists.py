"""The lists of a day: what they are made from is staged for one machine to read, and what that has made
becomes rows of two tables.

A version's rows are replaced whole, and its row of ``list_versions`` is written last: a version that has none
does not exist. So a step may be killed anywhere and run again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.core.warehouse.fingerprint import row_hash
from feira.recommendations.versions import Finished, Version
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
from feira_spark.recommendations.as_of import Snapshots, at_snapshot, sold_lines
from feira_spark.recommendations.day import ITEM_FEATURES, USER_CATEGORIES
from feira_spark.recommendations.features import bought_on_days, product_names

log = logging.getLogger(__name__)

LISTS, VERSIONS = "recommendations.lists", "recommendations.list_versions"
_STAGED = ("interactions", "segments", "categories", "names")


class ListsError(RuntimeError):
    """The table does not hold what was made; the message names both figures."""


@dataclass(frozen=True)
class Staged:
    """What the lists of a day are made from, as metadata URIs of the tables that hold it.

    :param interactions: distinct triples of known user, product and day (user_id, sku, order_date)
    :param segments: of each user the category that it viewed most in 28 days (user_id, segment)
    :param categories: of each product that has one its category (sku, category)
    :param names: of each product its newest sold description (sku, name)
    :param rows: how many interactions
    """

    interactions: str
    segments: str
    categories: str
    names: str
    rows: int


@dataclass(frozen=True)
class Listed:
    """A version that is in the lake: ``metadata`` is the URI of the lists' table, ``parquet`` that of the
    file with the version's rows; the rest counts."""

    version: str
    metadata: str
    parquet: str
    users: int
    lists: int
    rows: int
    checksum: str


def stage(
    spark: SparkSession, day: date, run_id: str, sources: Snapshots, features: Snapshots
) -> Staged:
    """Stages what was known when ``day`` had ended, at these snapshots of sales and of the day's features."""

    def of_day(table: str) -> DataFrame:
        return at_snapshot(spark, table, features).where(F.col("as_of") == F.lit(day))

    sold = sold_lines(spark, day, sources)
    found = {
        "interactions": bought_on_days(sold),
        "segments": segments(of_day(USER_CATEGORIES)),
        "categories": of_day(ITEM_FEATURES).where("category IS NOT NULL").select("sku", "category"),
        "names": product_names(sold),
    }
    spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {STAGING}")
    names = {kind: f"{STAGING}.{_staged(kind, day, run_id)}" for kind in found}
    for kind, rows in found.items():
        write_staged(rows, names[kind])
    uris = {kind: metadata_uri(spark, table) for kind, table in names.items()}
    return Staged(**uris, rows=spark.table(names["interactions"]).count())


def segments(categories: DataFrame) -> DataFrame:
    """Of each user that viewed a product the category with most views, of equals the one with most purchases,
    then the first by name (user_id, segment); from rows of user_categories."""
    first = F.struct(-F.col("views_28d"), -F.col("purchases"), F.col("category"))
    viewed = categories.where("views_28d > 0").groupBy("user_id")
    return viewed.agg(F.min_by("category", first).alias("segment"))


def write_lists(spark: SparkSession, version: Version, made: Finished) -> Listed:
    """Writes the version's rows, then the version; drops what its run has staged.

    :raises ListsError: where the rows are not those that were made; then the version does not exist
    """
    require_tables(spark, [contract(LISTS), contract(VERSIONS)])
    if _version(spark, version.version).isEmpty():
        checksum = _write_rows(spark, version, made)
        _write_version(spark, version, made, checksum)
    drop_staged(spark, *(_staged(kind, version.day, version.run_id) for kind in _STAGED))
    held = _version(spark, version.version).collect()[0]
    return Listed(
        version=version.version,
        metadata=metadata_uri(spark, f"{CATALOG}.{LISTS}"),
        parquet=made.parquet,
        users=held["users"],
        lists=held["lists"],
        rows=held["rows"],
        checksum=held["checksum"],
    )


def _write_rows(spark: SparkSession, version: Version, made: Finished) -> str:
    """Replaces the version's rows; returns their checksum."""
    rows = _rows(spark, made.parquet, version)
    expected = figures(rows)
    if expected[0] != made.rows:
        raise ListsError(
            f"{made.parquet} has {expected[0]:,} rows of {made.rows:,} that were made. Make the lists again; "
            "if it repeats, it is a defect."
        )
    as_of = F.col("as_of") == F.lit(version.day)
    mine = as_of & (F.col("list_version") == F.lit(version.version))
    (
        # All rows are of one partition: distributed by it, one task would write them all.
        rows.writeTo(f"{CATALOG}.{LISTS}")
        .option("distribution-mode", "none")
        .option("fanout-enabled", "true")
        .overwrite(mine)
    )
    written = figures(spark.table(f"{CATALOG}.{LISTS}").where(mine))
    if written != expected:
        raise ListsError(
            f"{LISTS} {version.version}: rows and checksum are {written}, and {expected} of what was made. "
            "Write it again; if it repeats, it is a defect."
        )
    return expected[1]


def _rows(spark: SparkSession, parquet: str, version: Version) -> DataFrame:
    given = {"list_version": F.lit(version.version), "as_of": F.lit(version.as_of)}
    return as_declared(spark.read.parquet(parquet), contract(LISTS), given)


def figures(rows: DataFrame) -> tuple[int, str]:
    """How many rows of lists there are, and their checksum.

    That is the sum over rows of the first 60 bits (15 hexadecimal digits) of an MD5, in decimal; the MD5 is of
    the UTF-8 of the row's columns in the contract's order but for ``score``, joined by ``|``: a text as its
    length in code points, ``:`` and itself, a number in decimal, the date as 2010-12-01, null as ``~``.
    """
    # A double is written by each engine in its own way.
    exact = [each for each in contract(LISTS).columns if each.type != "double"]
    total = F.expr(f"coalesce(sum({row_hash(exact, 'spark')}), 0)")
    found = rows.select(F.count("*").alias("rows"), total.cast("string").alias("sum")).collect()[0]
    return found["rows"], found["sum"]


def _version(spark: SparkSession, version: str) -> DataFrame:
    return spark.table(f"{CATALOG}.{VERSIONS}").where(F.col("version") == F.lit(version))


def _write_version(spark: SparkSession, version: Version, made: Finished, checksum: str) -> None:
    sources = version.sources
    values = {
        "version": version.version,
        "as_of": version.as_of,
        "created_at": version.created_at,
        "run_id": version.run_id,
        "fact_snapshot_id": sources["sources"][PUBLISHED.table],
        "extracts_snapshot_id": sources["sources"][PUBLISHED.extracts],
        "events_snapshot_id": sources["sources"][EVENTS],
        "features": _json(sources["features"]),
        "candidates": _json(made.candidates),
        "model_hash": made.model_hash,
        "interactions": made.interactions,
        "users": made.users,
        "items": made.items,
        "lists": made.lists,
        "rows": made.rows,
        "checksum": checksum,
        "removed_at": None,
        # A version that was begun before they were kept has none.
        "events_offsets": _json(sources.get("offsets")),
    }
    texts = tuple(None if value is None else str(value) for value in values.values())
    row = spark.createDataFrame([texts], ", ".join(f"{name} string" for name in values))
    typed = as_declared(row, contract(VERSIONS))
    typed.writeTo(f"{CATALOG}.{VERSIONS}").overwrite(F.col("version") == F.lit(version.version))
    log.info("lists %s: %s", version.version, values)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True)


def _staged(kind: str, day: date, run_id: str) -> str:
    """Of each run its own: another of the same day may be about to read."""
    run = hashlib.sha256(run_id.encode()).hexdigest()[:12]
    return f"recommendations_{kind}_{day:%Y%m%d}_{run}"
