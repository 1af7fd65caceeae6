"""Tables as they were at the snapshots that were read."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from feira.core.contracts import Column, contract
from feira.core.contracts.evolution import Evolution
from feira_spark.core.tables import current_snapshot, evolve, require_tables
from feira_spark.recommendations.as_of import at_snapshot, first_of
from feira_spark.recommendations.day import USER_CATEGORIES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2011, 3, 31)


def test_a_table_has_the_columns_of_now_and_the_rows_of_then(empty_lake: SparkSession) -> None:
    spark, table = empty_lake, USER_CATEGORIES
    require_tables(spark, [contract(table)])
    assert at_snapshot(spark, table, {table: None}).collect() == []
    row = f"INSERT INTO lake.{table} VALUES (DATE'{DAY}', '{{}}', 'MUG', 1, 1.0D, 1{{}})"
    spark.sql(row.format("then", ""))
    read = {table: current_snapshot(spark, table)}
    evolve(spark, Evolution(table, added=(Column("channel", "string", False, "Where."),)))
    spark.sql(row.format("now", ", 'web'"))
    found = at_snapshot(spark, table, read).select("as_of", "user_id", "channel")
    assert [tuple(row) for row in found.collect()] == [(DAY, "then", None)]


def test_a_window_begins_with_the_first_day_that_dates_have_where_it_would_begin_before() -> None:
    assert [first_of(DAY, days) for days in (1, 31)] == [DAY, date(2011, 3, 1)]
    assert first_of(date.max, 28) == date(9999, 12, 4)
    for day, first in ((28, 1), (29, 2), (3, 1), (1, 1)):
        assert first_of(date.min.replace(day=day), 28) == date.min.replace(day=first)
