"""Versions of the lists that are removed: their rows go, and their rows of ``list_versions`` say when."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.recommendations.versions import Version
from feira_spark.core.session import CATALOG
from feira_spark.core.tables import current_snapshot, require_tables
from feira_spark.recommendations.lists import LISTS, VERSIONS

log = logging.getLogger(__name__)

# Files of rows that were removed stay so long for who reads an earlier snapshot of the table.
SNAPSHOT_DAYS = 7


def removed_versions(spark: SparkSession) -> set[str]:
    """The versions whose rows and files are removed."""
    require_tables(spark, [contract(LISTS), contract(VERSIONS)])
    removed = spark.table(f"{CATALOG}.{VERSIONS}").where(F.col("removed_at").isNotNull())
    return {row["version"] for row in removed.select("version").collect()}


def remove_rows(spark: SparkSession, versions: Collection[Version]) -> None:
    """Removes the rows of these versions; a file holds rows of one version alone, so that none is written anew."""
    names = ", ".join(f"'{each.version}'" for each in versions)
    days = ", ".join(sorted({f"DATE'{each.day}'" for each in versions}))
    spark.sql(
        f"DELETE FROM {CATALOG}.{LISTS} WHERE as_of IN ({days}) AND list_version IN ({names})"
    )


def mark_removed(spark: SparkSession, versions: Collection[Version], now: datetime) -> None:
    """Says of versions whose rows and files are removed that they are, and frees the files of old snapshots."""
    names = ", ".join(f"'{each.version}'" for each in versions)
    spark.sql(
        f"UPDATE {CATALOG}.{VERSIONS} SET removed_at = :at WHERE version IN ({names})",
        args={"at": now},
    )


def expire(spark: SparkSession, now: datetime) -> None:
    """Frees the files of the lists' snapshots of ``SNAPSHOT_DAYS`` ago and before, but for the newest one."""
    if current_snapshot(spark, LISTS) is None:
        return
    older = (now.astimezone(UTC) - timedelta(days=SNAPSHOT_DAYS)).strftime(
        "%Y-%m-%d %H:%M:%S+00:00"
    )
    spark.sql(
        f"CALL {CATALOG}.system.expire_snapshots(table => '{LISTS}', "
        f"older_than => TIMESTAMP '{older}', retain_last => 1)"
    )
