"""What was known at the end of a day: the sold lines of the fact, and the users' events.

The fact has each line's newest version alone. So a line that a later day has changed is read from the
extracts, as it was on the day: a run of an old day learns nothing from what came after it.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.sales.published import PUBLISHED, SOLD
from feira.user_events.codec import TABLE as EVENTS
from feira_spark.core.tables import current_snapshot, require_tables, rows_at

_COLUMNS = ("sku", "description", "customer_id", "order_date", "amount_usd", "line_kind", "status")

# By table, the snapshot that is read; None for a table that was never written.
Snapshots = dict[str, int | None]


def sources(spark: SparkSession) -> Snapshots:
    """The current snapshots of what a day's work reads."""
    tables = (PUBLISHED.table, PUBLISHED.extracts, EVENTS)
    require_tables(spark, [contract(table) for table in tables])
    return {table: current_snapshot(spark, table) for table in tables}


def sold_lines(spark: SparkSession, day: date, read: Snapshots) -> DataFrame:
    """The lines that count as sold, as they were known at the end of the day, their kinds whatever they are.

    ``user_id`` (null for a guest), order_id, line_number, sku, description, order_date, amount_usd,
    line_kind. No order date is after the day, nor is a line's version.
    """
    shown, newest = F.col(PUBLISHED.day), F.col(PUBLISHED.version)
    fact = at_snapshot(spark, PUBLISHED.table, read)
    key = list(PUBLISHED.key)
    lines = fact.where(shown <= F.lit(day)).select(*key, *_COLUMNS)
    changed = fact.where(shown > F.lit(day)).select(*key)
    # None when the newest day is run, which is nearly always: then the extracts are not read.
    if not changed.isEmpty():
        known = at_snapshot(spark, PUBLISHED.extracts, read).where(shown <= F.lit(day))
        before = (
            known.join(changed, key, "left_semi")
            .groupBy(*key)
            .agg(F.max_by(F.struct(*_COLUMNS), F.struct(newest, shown)).alias("line"))
        )
        lines = lines.unionByName(before.select(*key, "line.*"))
    sold = lines.where(SOLD).where(F.col(PUBLISHED.event_date) <= F.lit(day))
    return sold.withColumn("user_id", F.col("customer_id").cast("string")).drop(
        "customer_id", "status"
    )


def events(spark: SparkSession, day: date, read: Snapshots, days: int) -> DataFrame:
    """The users' events of so many days, this day the last."""
    first = first_of(day, days)
    return at_snapshot(spark, EVENTS, read).where(
        F.col("event_day").between(F.lit(first), F.lit(day))
    )


def first_of(day: date, days: int) -> date:
    """The first of so many days, this day the last; of those before the first that dates have, that one."""
    return date.fromordinal(max(date.min.toordinal(), day.toordinal() + 1 - days))


def at_snapshot(spark: SparkSession, table: str, read: Snapshots) -> DataFrame:
    """The table at the snapshot that was read, as ``rows_at``; no rows of one that was never written."""
    return rows_at(spark, table, read[table])
