"""What the warehouse needs of the lake: the difference of two snapshots, and figures to compare."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from feira.core.contracts import contract
from feira.core.warehouse.fingerprint import figures_by_date, rows_by_key
from feira_spark.core.session import CATALOG
from feira_spark.sales.publish import FACT
from feira_spark.sales.tables import STAGING, current_snapshot, metadata_uri

CHANGES = f"{STAGING}.sales_fact_changes"


@dataclass(frozen=True)
class StagedDifference:
    """The rows that differ, staged as an Iceberg table that ``metadata`` pins; see ``stage``."""

    metadata: str
    snapshot_id: int
    whole: bool
    rows: int


def stage_difference(spark: SparkSession, since: int | None) -> StagedDifference | None:
    """Stages what changed in the fact from snapshot ``since`` to main; None where that is nothing.

    The staged rows have the fact's columns and ``change``: INSERT (the row now) or DELETE (the row
    then); a changed row is one of each. Where ``since`` is None, or was expired, the whole table is
    staged as INSERT. One caller at a time: the staging table is replaced.
    """
    main = current_snapshot(spark, "sales.fact")
    if main is None or main == since:
        return None
    names = contract("sales.fact").column_names
    whole = since is None or not _is_ancestor(spark, since)
    if whole:
        rows = spark.sql(f"SELECT *, 'INSERT' AS change FROM {FACT} VERSION AS OF {main}")
    else:
        rows = _changelog(spark, since, main)
    staged = rows.select(*names, "change")
    staged.writeTo(CHANGES).using("iceberg").tableProperty("format-version", "2").createOrReplace()
    return StagedDifference(
        metadata=metadata_uri(spark, CHANGES),
        snapshot_id=main,
        whole=whole,
        rows=spark.table(CHANGES).count(),
    )


def _is_ancestor(spark: SparkSession, snapshot: int) -> bool:
    query = f"SELECT 1 FROM {FACT}.history WHERE snapshot_id = :id AND is_current_ancestor"
    return bool(spark.sql(query, args={"id": snapshot}).take(1))


def _changelog(spark: SparkSession, since: int | None, main: int) -> DataFrame:
    # Net changes: a row that several publishes have rewritten appears as it was and as it is.
    spark.sql(
        f"CALL {CATALOG}.system.create_changelog_view(table => 'sales.fact', "
        "changelog_view => 'fact_changelog', "
        f"options => map('start-snapshot-id', '{since}', 'end-snapshot-id', '{main}'), "
        "net_changes => true)"
    )
    return spark.table("fact_changelog").withColumnRenamed("_change_type", "change")


def lake_figures(
    spark: SparkSession, snapshot: int, day: date | None = None, dates: list[date] | None = None
) -> dict[tuple[date, date], tuple[int, Decimal, Decimal]]:
    """Rows, revenue and fingerprint by order date and extract day at a snapshot.

    Of the whole fact, or with ``day`` of the order dates of that day's extract and of ``dates``.
    """
    source = f"{FACT} VERSION AS OF {snapshot}"
    where = "TRUE"
    if day is not None:
        where = (
            f"order_date IN (SELECT order_date FROM {source} "
            f"WHERE extract_day = DATE'{day.isoformat()}')"
        )
        if dates:
            listed = ", ".join(f"DATE'{each.isoformat()}'" for each in dates)
            where += f" OR order_date IN ({listed})"
    rows = spark.sql(figures_by_date(contract("sales.fact"), "spark", source, where)).collect()
    return {
        (r["order_date"], r["extract_day"]): (r["row_count"], r["revenue"], r["fingerprint"])
        for r in rows
    }


def lake_rows(
    spark: SparkSession, snapshot: int, of: tuple[date, date]
) -> Iterator[tuple[Any, ...]]:
    """Key and hash of each row of one order date and extract day at a snapshot, as ``rows_by_key``
    orders them; one at a time."""
    source = f"{FACT} VERSION AS OF {snapshot}"
    query = rows_by_key(contract("sales.fact"), "spark", source, *of)
    return map(tuple, spark.sql(query).toLocalIterator())
