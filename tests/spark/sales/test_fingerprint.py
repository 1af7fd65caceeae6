"""Spark and PostgreSQL give the same rows the same fingerprint, and different rows another."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from fact_rows import FACT, WAREHOUSE_COLUMNS, Row, fact_row
from feira.core.warehouse.fingerprint import figures_by_date, fingerprint
from feira.core.warehouse.schema import connect
from feira.sales.published import PUBLISHED
from feira_local.stack.postgres import Dsns

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

UTC = dt.UTC
FIRST = dt.date(1969, 12, 20)
TEXTS = [
    None,
    "",
    " ",
    "'",
    '"',
    "\\",
    "\\N",
    "a,b\tc\nd\r\n",
    "ÆØÅ",
    "漢字",
    "🛒",
    "\u2028",
    "\u00e9",
    "e\u0301",
]
MONEY = ["0", "0.0001", "-0.0001", "-2.5", "99999999999999.9999", "-99999999999999.9999"]
RATES = ["0.00000001", "1", "1.55470000", "9999999999.99999999"]
TIMES = [
    dt.datetime(1, 1, 1, tzinfo=UTC),
    dt.datetime(1582, 10, 10, 3, 4, 5, tzinfo=UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    dt.datetime(1970, 1, 1, tzinfo=UTC),
    dt.datetime(2010, 3, 28, 1, 30, 0, 1, tzinfo=UTC),
    dt.datetime(9999, 12, 31, 23, 59, 58, 999999, tzinfo=UTC),
]
CASES: list[dict[str, Any]] = [
    *({"description": text, "country": text} for text in TEXTS),
    *({"sku": text} for text in TEXTS if text is not None),
    *({"unit_price": Decimal(m), "amount": Decimal(m), "amount_usd": Decimal(m)} for m in MONEY),
    *({"fx_rate": Decimal(rate)} for rate in RATES),
    *({"created_at": time, "updated_at": time} for time in TIMES),
    *({"fx_date": time.date(), "extract_day": time.date()} for time in TIMES),
    *({"quantity": n} for n in (0, -1, 2**31 - 1, -(2**31))),
    *({"customer_id": n} for n in (None, 0, -1, 2**63 - 1, -(2**63))),
    {"status": "shipped"},
    {"status": "cancelled", "quantity": -1},
]
# A date each, so that a row that differs is named by its date.
ROWS = [
    fact_row(f"order {n}", n, **{"order_date": FIRST + dt.timedelta(days=n)} | case)
    for n, case in enumerate(CASES)
]


class Engines:
    """The same rows in Spark and in PostgreSQL, as ``numbered`` with a number for each row."""

    def __init__(self, spark: SparkSession, warehouse: psycopg.Connection, rows: list[Row]) -> None:
        self.spark, self.warehouse = spark, warehouse
        names = FACT.column_names
        values = [tuple(row[name] for name in names) for row in rows]
        schema = ", ".join(f"{column.name} {column.type}" for column in FACT.columns)
        spark.createDataFrame(
            [(n, *of) for n, of in enumerate(values)], f"number int, {schema}"
        ).createOrReplaceTempView("numbered")
        warehouse.execute(f"CREATE TEMP TABLE numbered (number int, {WAREHOUSE_COLUMNS})")
        warehouse.cursor().executemany(
            f"INSERT INTO numbered VALUES ({', '.join(['%s'] * (len(names) + 1))})",
            [(n, *of) for n, of in enumerate(values)],
        )

    def by_date(self) -> list[dict[tuple[dt.date, dt.date], tuple[Any, ...]]]:
        """Rows, fingerprint and revenue by order date and extract day, of each engine."""
        spark = self.spark.sql(figures_by_date(PUBLISHED, "spark", "numbered")).collect()
        postgres = self.warehouse.execute(
            figures_by_date(PUBLISHED, "postgres", "numbered")
        ).fetchall()
        return [{(row[0], row[1]): tuple(row[2:]) for row in found} for found in (spark, postgres)]

    def by_row(self) -> list[dict[int, Decimal]]:
        """The fingerprint of each row alone, of each engine."""
        query = "SELECT number, {} FROM numbered GROUP BY number"
        spark = self.spark.sql(query.format(fingerprint(FACT, "spark"))).collect()
        postgres = self.warehouse.execute(query.format(fingerprint(FACT, "postgres"))).fetchall()
        return [{row[0]: row[1] for row in found} for found in (spark, postgres)]

    def of_no_rows(self) -> list[Decimal]:
        """The fingerprint of nothing, of each engine."""
        query = "SELECT {} FROM numbered WHERE number < 0"
        spark = self.spark.sql(query.format(fingerprint(FACT, "spark"))).collect()
        postgres = self.warehouse.execute(query.format(fingerprint(FACT, "postgres"))).fetchall()
        return [found[0][0] for found in (spark, postgres)]


@pytest.fixture
def warehouse(postgres: Dsns) -> Iterator[psycopg.Connection]:
    """A connection; tables that a test makes are temporary."""
    with connect(postgres.warehouse_loader) as connection:
        yield connection


def test_both_engines_give_every_awkward_row_the_same_figures(
    spark: SparkSession, warehouse: psycopg.Connection
) -> None:
    ours, theirs = Engines(spark, warehouse, ROWS).by_date()
    assert len(ours) == len(ROWS)
    assert ours == theirs
    assert len({found[1] for found in ours.values()}) == len(ROWS), "two rows share a fingerprint"


def test_a_dates_fingerprint_is_the_sum_of_its_rows_and_nought_without_rows(
    spark: SparkSession, warehouse: psycopg.Connection
) -> None:
    engines = Engines(spark, warehouse, [row | {"order_date": FIRST} for row in ROWS])
    for by_date, by_row in zip(engines.by_date(), engines.by_row(), strict=True):
        assert {order_date for order_date, _ in by_date} == {FIRST}
        assert sum(found[1] for found in by_date.values()) == sum(by_row.values())
    for engine, found in zip(("spark", "postgres"), engines.of_no_rows(), strict=True):
        assert found == 0, engine


BASE = fact_row("A", 1, amount_usd="10", fx_rate=Decimal("1.5547"))
CHANGED: dict[str, Any] = {
    "order_id": "B",
    "line_number": 2,
    "sku": "22423 ",
    "description": None,
    "quantity": -1,
    "unit_price": Decimal("10.0001"),
    "currency": "GBP",
    "status": "shipped",
    "customer_id": None,
    "country": "",
    "created_at": BASE["created_at"] + dt.timedelta(microseconds=1),
    "updated_at": BASE["updated_at"] - dt.timedelta(microseconds=1),
    "order_date": BASE["order_date"] + dt.timedelta(days=1),
    "amount": Decimal("-10"),
    "fx_rate": Decimal("1.55470001"),
    "fx_date": BASE["fx_date"] - dt.timedelta(days=1),
    "amount_usd": Decimal("9.9999"),
    "line_kind": "other",
    "extract_day": BASE["extract_day"] + dt.timedelta(days=1),
}


def test_no_text_reads_as_a_null_or_as_the_next_column(
    spark: SparkSession, warehouse: psycopg.Connection
) -> None:
    pairs = [
        ("A", None), ("A", "~"), ("A", ""), ("A|~", ""), ("A|1:A", "A"), ("A", "A|1:A"),
        ("\x1e", "\x1f"), ("\x1f", "\x1e"), ("A\x1f", "B"), ("A", "\x1fB"), ("1:A", "A"),
    ]  # fmt: skip
    rows = [BASE | {"sku": sku, "description": description} for sku, description in pairs]
    ours, theirs = Engines(spark, warehouse, rows).by_row()
    assert ours == theirs
    assert len(set(ours.values())) == len(rows)


def test_a_change_of_any_one_column_gives_another_fingerprint(
    spark: SparkSession, warehouse: psycopg.Connection
) -> None:
    assert list(CHANGED) == FACT.column_names, "every column is changed once"
    swapped = BASE | {"sku": BASE["description"], "description": BASE["sku"]}
    rows = [BASE, *(BASE | {name: value} for name, value in CHANGED.items()), swapped]
    ours, theirs = Engines(spark, warehouse, rows).by_row()
    assert ours == theirs
    assert len(set(ours.values())) == len(rows)
