"""The lake's side of a comparison reads the files of what is compared, and no others."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fact_rows import FACT, Row, fact_row
from feira.sales.published import PUBLISHED
from feira_spark.core import tables
from feira_spark.core.difference import lake_figures
from feira_spark.core.tables import current_snapshot

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

D1, D2, D3, D4 = (dt.date(2011, 1, n) for n in (3, 4, 5, 6))


def row(order: str, day: dt.date, order_date: dt.date) -> Row:
    return fact_row(order, 1, extract_day=day, order_date=order_date)


ROWS = [row("A", D1, D1), row("B", D2, D2), row("C", D3, D1), row("D", D3, D3)]


@pytest.fixture
def snapshot(empty_lake: SparkSession) -> int:
    """A fact of three days' extracts; the third has a line of the first day too."""
    tables.create_missing(empty_lake, [FACT])
    schema = empty_lake.table("lake.sales.fact").schema
    values = [tuple(each[name] for name in FACT.column_names) for each in ROWS]
    empty_lake.createDataFrame(values, schema).writeTo("lake.sales.fact").append()
    found = current_snapshot(empty_lake, "sales.fact")
    assert found is not None
    return found


def lose(spark: SparkSession, day: dt.date) -> None:
    """Removes the files of a day's extract behind the table's back."""
    files = spark.sql(
        f"SELECT file_path FROM lake.sales.fact.files WHERE partition.extract_day = DATE'{day}'"
    ).collect()
    assert files
    for (path,) in files:
        Path(path.removeprefix("file:")).unlink()


def test_files_without_a_date_that_is_compared_are_not_read(
    empty_lake: SparkSession, snapshot: int
) -> None:
    lose(empty_lake, D2)
    found = lake_figures(empty_lake, PUBLISHED, snapshot, D3)
    assert {each: figures.rows for each, figures in found.items()} == {
        (D1, D1): 1,
        (D1, D3): 1,
        (D3, D3): 1,
    }
    assert lake_figures(empty_lake, PUBLISHED, snapshot, D4, [D1, D3]) == found


def test_of_a_day_without_rows_and_no_dates_nothing_is_read(
    empty_lake: SparkSession, snapshot: int
) -> None:
    for day in (D1, D2, D3):
        lose(empty_lake, day)
    assert lake_figures(empty_lake, PUBLISHED, snapshot, D4) == {}
    assert lake_figures(empty_lake, PUBLISHED, snapshot, D4, []) == {}
