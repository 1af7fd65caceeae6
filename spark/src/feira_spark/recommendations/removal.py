"""What is removed from the tables of recommendations: the rows of old versions of the lists, whose rows of
``list_versions`` say when, the features of old days, and snapshots that nobody reads any more."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.recommendations.removal import MADE_DAYS, old_days
from feira.recommendations.versions import Version
from feira_spark.core.session import CATALOG
from feira_spark.core.tables import require_tables
from feira_spark.recommendations.day import ITEM_FEATURES, USER_CATEGORIES, USER_FEATURES
from feira_spark.recommendations.gate import FIGURES
from feira_spark.recommendations.lists import LISTS, VERSIONS
from feira_spark.recommendations.measure import LIVE

log = logging.getLogger(__name__)

FEATURES = (USER_FEATURES, ITEM_FEATURES, USER_CATEGORIES)
# Files of rows that were removed stay so long for who reads an earlier snapshot of the table.
SNAPSHOT_DAYS = 7


def listed_versions(spark: SparkSession) -> dict[str, bool]:
    """The versions that have a row of ``list_versions``, and whether their rows and files are removed."""
    require_tables(spark, [contract(LISTS), contract(VERSIONS)])
    removed = F.col("removed_at").isNotNull().alias("removed")
    found = spark.table(f"{CATALOG}.{VERSIONS}").select("version", removed).collect()
    return {row["version"]: row["removed"] for row in found}


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


def remove_features(spark: SparkSession, stay: Collection[Version], now: datetime) -> list[date]:
    """Removes the features of old days, of which no version is that stays and which were not written in the last
    ``MADE_DAYS``; returns the days. Each is a partition, so that no file is written anew."""
    require_tables(spark, [contract(table) for table in FEATURES])
    recent = f"coalesce(last_updated_at >= {_days_before(now, MADE_DAYS)}, false)"
    removed = set[date]()
    for table in FEATURES:
        written = spark.sql(
            f"SELECT partition.as_of AS day, {recent} AS recent FROM {CATALOG}.{table}.partitions"
        ).collect()
        old = old_days({row["day"] for row in written}, stay, now)
        old -= {row["day"] for row in written if row["recent"]}
        if old:
            days = ", ".join(f"DATE'{each}'" for each in sorted(old))
            spark.sql(f"DELETE FROM {CATALOG}.{table} WHERE as_of IN ({days})")
        removed |= old
    return sorted(removed)


def expire(spark: SparkSession, stay: Collection[Version], now: datetime) -> None:
    """Frees the files of the tables' snapshots of ``SNAPSHOT_DAYS`` ago and before; there stay the newest one,
    and those of the features that a version which stays was made from."""
    for table in (LISTS, VERSIONS, LIVE, FIGURES, *FEATURES):
        if not spark.catalog.tableExists(f"{CATALOG}.{table}"):
            continue
        kept = {each.sources.get("features", {}).get(table) for each in stay}
        found = spark.sql(
            f"SELECT snapshot_id FROM {CATALOG}.{table}.snapshots "
            f"WHERE committed_at < {_days_before(now, SNAPSHOT_DAYS)} "
            f"AND snapshot_id NOT IN (SELECT snapshot_id FROM {CATALOG}.{table}.refs)"
        ).collect()
        old = sorted({row["snapshot_id"] for row in found} - kept)
        if old:
            # By their age alone those that stay would go too.
            spark.sql(
                f"CALL {CATALOG}.system.expire_snapshots(table => '{table}', "
                "older_than => TIMESTAMP '1970-01-01 00:00:00+00:00', "
                f"snapshot_ids => ARRAY({', '.join(f'{each}L' for each in old)}))"
            )


def _days_before(now: datetime, days: int) -> str:
    """The moment so many days before, as Spark's SQL writes it."""
    return f"TIMESTAMP '{now.astimezone(UTC) - timedelta(days=days):%Y-%m-%d %H:%M:%S}+00:00'"
