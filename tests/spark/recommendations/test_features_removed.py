"""Features of old days are removed, and what a version that stays was made from is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.recommendations import removal as days_of
from feira.recommendations.versions import Version
from feira_spark.core.tables import as_declared, current_snapshot, require_tables
from feira_spark.recommendations import removal
from feira_spark.recommendations.as_of import at_snapshot
from feira_spark.recommendations.day import USER_FEATURES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NEWEST = date(2011, 3, 31)
# Of the newest two days, which are those that stay here; just before them, long ago.
RECENT, STAYS, OLD, OLDEST = (NEWEST - timedelta(days=n) for n in (27, 28, 29, 300))
LATER = datetime.now(UTC) + timedelta(days=8)


def write(spark: SparkSession, table: str, *written: date) -> int | None:
    """A row as of each of the days, in one commit; returns its snapshot."""
    values = {it.name: F.lit("1") for it in contract(table).columns}
    values["as_of"] = F.explode(F.array(*(F.lit(day) for day in written)))
    rows = spark.range(1).select(*(value.alias(name) for name, value in values.items()))
    as_declared(rows, contract(table)).writeTo(f"lake.{table}").append()
    return current_snapshot(spark, table)


def days(spark: SparkSession, table: str) -> list[date]:
    return sorted(row["as_of"] for row in spark.table(f"lake.{table}").select("as_of").collect())


def snapshots(spark: SparkSession, table: str) -> set[int]:
    rows = spark.sql(f"SELECT snapshot_id FROM lake.{table}.snapshots").collect()
    return {row["snapshot_id"] for row in rows}


@pytest.mark.slow
def test_features_of_old_days_go_and_what_a_version_that_stays_was_made_from_outlives_them_whole(
    empty_lake: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(days_of, "KEPT_DAYS", 2)
    spark, read = empty_lake, dict[str, int | None]()
    require_tables(spark, [contract(table) for table in removal.FEATURES])
    read[USER_FEATURES] = write(spark, USER_FEATURES, OLDEST, OLD, STAYS)
    write(spark, USER_FEATURES, RECENT, NEWEST)
    for table in removal.FEATURES[1:]:
        read[table] = write(spark, table, OLDEST, OLD, STAYS, RECENT, NEWEST)
    sources = {"sources": {}, "features": read}
    made = Version(f"{STAYS}-001", STAYS.isoformat(), "run", LATER.isoformat(), sources)

    # What was just written stays, whatever its day.
    assert removal.remove_features(spark, [made], datetime.now(UTC)) == []
    assert removal.remove_features(spark, [made], LATER) == [OLDEST, OLD]
    for table in removal.FEATURES:
        assert days(spark, table) == [STAYS, RECENT, NEWEST]
    last = spark.sql(f"SELECT summary FROM lake.{USER_FEATURES}.snapshots ORDER BY committed_at")
    summary = last.collect()[-1]["summary"]
    assert summary["deleted-data-files"] == "2" and "added-data-files" not in summary

    removal.expire(spark, [made], datetime.now(UTC))
    assert len(snapshots(spark, USER_FEATURES)) == 3
    removal.expire(spark, [made], LATER)
    for table in removal.FEATURES:
        assert snapshots(spark, table) == {read[table], current_snapshot(spark, table)}
        # All that it was, files and all.
        rows = at_snapshot(spark, table, read).select("as_of").collect()
        assert sorted(row["as_of"] for row in rows)[:3] == [OLDEST, OLD, STAYS]
        assert days(spark, table) == [STAYS, RECENT, NEWEST]
    removal.expire(spark, [], LATER)
    assert snapshots(spark, USER_FEATURES) == {current_snapshot(spark, USER_FEATURES)}
