"""A row of the fact arrives in the warehouse as it is, with values at every limit of its columns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from pyspark.sql import functions as F

from fact_rows import FACT, WAREHOUSE_COLUMNS, arrow_schema
from feira.core.contracts.model import Column
from feira.core.lake import read_snapshot
from feira.core.settings import LakeSettings
from feira.core.warehouse.copy_rows import HAS_PGPQ, copy_rows
from feira.core.warehouse.fingerprint import figures_by_date
from feira.core.warehouse.schema import connect
from feira.sales.published import PUBLISHED
from feira_local.stack.postgres import Dsns
from feira_spark.core.difference import stage_difference
from feira_spark.core.tables import current_snapshot, require_tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]
ROWS = 40
# The earliest order that the landing's contract takes, and the last date that all engines have.
FIRST, LAST = dt.date(1900, 1, 1), dt.date(9999, 12, 31)
EXTRACT_DAYS = [FIRST, dt.date(1969, 12, 31), dt.date(2010, 12, 1), LAST]
ODD = ["", " ", "'", '"', "\\", "\\N", "\\.", "NULL", "a,b\tc", "\r\n", "\x01\x1f\x7f", "\u00a0"]
ODD += [
    "e\u0301",
    "\u202eab",
    "\u0645\u0631\u062d\u0628\u0627",
    "\u2028\u2029\x85",
    "漢字",
    "\ufeff",
]
ODD += ["\U0001f600", "\U0010ffff", "\ufffe\uffff", "\ufffd", "${x}", "%s", "{}", "\b\f"]


def texts(most: int) -> st.SearchStrategy[str]:
    """Odd texts, short and exactly as long as is allowed."""
    odd = st.sampled_from(ODD)
    full = odd.filter(bool).map(lambda text: (text * most)[:most])
    short = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)
    return (odd | full | short).map(lambda text: text[:most])


def values(column: Column) -> st.SearchStrategy[Any]:
    """Values of a column, its limits among them."""
    if column.type.startswith("decimal"):
        digits, places = map(int, column.type[8:-1].split(","))
        most = 10**digits - 1
        whole = st.sampled_from([0, 1, -1, most, -most]) | st.integers(-most, most)
        found: st.SearchStrategy[Any] = whole.map(lambda n: Decimal(f"{n}E-{places}"))
    elif column.type in ("int", "bigint"):
        most = 2 ** (31 if column.type == "int" else 63)
        found = st.sampled_from([0, -1, most - 1, -most]) | st.integers(-most, most - 1)
    elif column.name == "extract_day":  # few, since each is a file
        found = st.sampled_from(EXTRACT_DAYS)
    elif column.type == "date":
        found = st.sampled_from([FIRST, LAST, dt.date(1970, 1, 1)]) | st.dates(FIRST, LAST)
    elif column.type == "timestamp":
        first = dt.datetime(1900, 1, 1)
        last = dt.datetime(9999, 12, 31, 23, 59, 59, 999999)
        before = dt.datetime(1969, 12, 31, 23, 59, 59, 999999)
        times = st.sampled_from([first, last, before]) | st.datetimes(first, last)
        found = times.map(lambda time: time.replace(tzinfo=dt.UTC))
    else:
        assert column.max_length, column
        found = texts(column.max_length)
    return found if column.required else found | st.none()


A_ROW = st.fixed_dictionaries({column.name: values(column) for column in FACT.columns})
# A date each, so that a row whose fingerprint differs is named by its date.
DRAWN = st.lists(A_ROW, min_size=ROWS, max_size=ROWS).map(
    lambda rows: [
        row | {"line_number": n, "order_date": LAST - dt.timedelta(days=n)}
        for n, row in enumerate(rows)
    ]
)


@pytest.fixture
def warehouse(postgres: Dsns) -> Iterator[psycopg.Connection]:
    with connect(postgres.warehouse_loader) as connection:
        yield connection


def put(spark: SparkSession, rows: list[Row]) -> int:
    """Makes these rows the whole fact; its snapshot."""
    frame = spark.createDataFrame(pa.Table.from_pylist(rows, schema=arrow_schema(FACT)))
    frame.writeTo("lake.sales.fact").overwrite(F.col("extract_day").isNotNull())
    snapshot = current_snapshot(spark, "sales.fact")
    assert snapshot is not None
    return snapshot


# Each example is seconds of Spark: a failing one is shown as it is, whose date names the row.
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(DRAWN)
def test_rows_at_all_limits_arrive_equal_through_lake_changelog_and_copy(
    empty_lake: SparkSession, lake: LakeSettings, warehouse: psycopg.Connection, drawn: list[Row]
) -> None:
    require_tables(empty_lake, [FACT])
    before = put(empty_lake, [drawn[0] | {"order_id": "leaves"}])
    snapshot = put(empty_lake, drawn)
    staged = stage_difference(empty_lake, PUBLISHED, before)
    assert staged is not None
    assert (staged.whole, staged.snapshot_id, staged.rows) == (False, snapshot, ROWS + 1)
    changes = pa.Table.from_batches(read_snapshot(lake, staged.metadata)).to_pylist()
    inserted = [row for row in changes if row["change"] == "INSERT"]
    batches = pa.Table.from_pylist(inserted, schema=arrow_schema(FACT)).to_batches()
    names = FACT.column_names
    expected = sorted((tuple(row[name] for name in names) for row in drawn), key=lambda r: r[1])
    lake_figures = _figures(empty_lake.sql(_query("spark", "lake.sales.fact")).collect())
    assert len(lake_figures) == ROWS
    for binary in (True, False) if HAS_PGPQ else (False,):
        with warehouse.transaction(force_rollback=True):
            warehouse.execute(f"CREATE TEMP TABLE arrived ({WAREHOUSE_COLUMNS})")
            copy_rows(warehouse, "arrived", names, iter(batches), binary=binary)
            query = f"SELECT {', '.join(names)} FROM arrived ORDER BY line_number"
            assert warehouse.execute(query).fetchall() == expected
            figures = _figures(warehouse.execute(_query("postgres", "arrived")).fetchall())
            assert figures == lake_figures


def _query(engine: Any, source: str) -> str:
    return figures_by_date(PUBLISHED, engine, source)


def _figures(rows: list[Any]) -> dict[dt.date, tuple[Any, ...]]:
    return {row[0]: tuple(row[1:]) for row in rows}
