"""Rows that the warehouse cannot hold, or holds otherwise, in the lake's fact: their day alone waits."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pyspark.sql import types as T

from fact_rows import FACT, Row, fact_row
from feira.core.errors import Remedy
from feira.core.warehouse.by_day import RowRefusedError
from feira.core.warehouse.load import Extract, load
from feira.core.warehouse.outcome import day_outcomes
from feira.core.warehouse.reconcile import (
    ReconcileError,
    held_days,
    reconcile_day,
    verify_whole,
)
from feira.core.warehouse.schema import connect
from feira.sales.published import PUBLISHED
from feira_spark.core.difference import difference_since, lake_figures, lake_rows
from feira_spark.core.tables import current_snapshot, require_tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from feira.core.settings import LakeSettings
    from feira_local.stack.postgres import Dsns

A, D, E = (dt.date(2011, 1, n) for n in (3, 4, 5))
# No two parts alike, or PostgreSQL would compress it into its index.
LONG = "".join(chr(33 + (n * n * 7 + n // 90) % 90) for n in range(7700))


class Chain:
    """What the load and reconcile tasks compose, on rows put straight into the lake's fact."""

    def __init__(
        self, spark: SparkSession, lake: LakeSettings, connection: psycopg.Connection
    ) -> None:
        self.spark, self.lake, self.connection = spark, lake, connection

    def put(self, *rows: Row) -> None:
        schema = T.StructType(
            [T.StructField(c.name, T.DataType.fromDDL(c.type)) for c in FACT.columns]
        )
        values = [tuple(row[name] for name in FACT.column_names) for row in rows]
        self.spark.createDataFrame(values, schema).writeTo("lake.sales.fact").append()

    def load(self, day: dt.date, version: int = 1) -> None:
        since = difference_since(self.spark, PUBLISHED, self.lake)
        load(self.connection, PUBLISHED, Extract(day, version, f"s3://lake/{day}", 1, 1), since)

    def figures(self, *of: Any) -> Any:
        return lake_figures(self.spark, PUBLISHED, *of)

    def rows(self, *of: Any) -> Any:
        return lake_rows(self.spark, PUBLISHED, *of)

    def reconcile(self, day: dt.date, version: int = 1) -> None:
        reconcile_day(self.connection, PUBLISHED, day, version, self.figures, self.rows)

    def agreed(self, day: dt.date) -> bool:
        return day_outcomes(self.connection, PUBLISHED, [day])[day].agreed


@pytest.fixture
def chain(empty_lake: SparkSession, lake: LakeSettings, empty_warehouse: Dsns) -> Iterator[Chain]:
    require_tables(empty_lake, [FACT])
    with connect(empty_warehouse.warehouse_loader) as connection:
        yield Chain(empty_lake, lake, connection)


def of_day(day: dt.date, order_id: str, **known: Any) -> Row:
    noon = dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC)
    return fact_row(order_id, 1, **({"updated_at": noon, "order_date": day} | known))


def test_a_key_too_long_for_the_warehouse_holds_up_its_own_day_until_it_is_fixed(
    chain: Chain,
) -> None:
    chain.put(of_day(A, "a"))
    chain.load(A)
    chain.reconcile(A)
    chain.put(of_day(D, "d"), of_day(D, LONG, order_date=A))
    with pytest.raises(RowRefusedError, match=rf"sales {D}: .* 1: ") as refusal:
        chain.load(D)
    assert ascii(LONG)[1:50] in str(refusal.value)
    assert (refusal.value.remedy, refusal.value.of) == (Remedy.REFETCH, ("sales", str(D)))

    chain.put(of_day(E, "e", order_date=A))
    chain.load(E)
    chain.reconcile(E)
    assert list(held_days(chain.connection, PUBLISHED)) == [D]
    with pytest.raises(ReconcileError, match=f"{D} is held"):
        verify_whole(chain.connection, PUBLISHED, chain.figures)
    ids = chain.connection.execute("SELECT order_id FROM sales.fact ORDER BY 1").fetchall()
    assert ids == [("a",), ("e",)]

    chain.spark.sql("DELETE FROM lake.sales.fact WHERE length(order_id) > 1000")
    chain.load(D, 2)
    chain.reconcile(D, 2)
    assert held_days(chain.connection, PUBLISHED) == {}
    assert verify_whole(chain.connection, PUBLISHED, chain.figures).rows == 3
    assert all(chain.agreed(day) for day in (A, D, E))


@pytest.mark.slow
def test_a_date_in_the_calendars_gap_fails_its_own_day_alone(chain: Chain) -> None:
    """The changelog of Iceberg moves it by ten days on its way to the warehouse."""
    chain.put(of_day(A, "a"))
    chain.load(A)
    chain.reconcile(A)
    chain.put(of_day(D, "d"), of_day(D, "gap", order_date=dt.date(1582, 10, 10)))
    chain.load(D)
    with pytest.raises(ReconcileError, match=rf"1582-10-10 \(.*{D}\): lake 1 ") as failure:
        chain.reconcile(D)
    assert "('gap', 1, in the lake only)" in str(failure.value)
    chain.put(of_day(E, "e"), of_day(E, "e2", order_date=A))
    chain.load(E)
    chain.reconcile(E)
    assert (chain.agreed(E), chain.agreed(D)) == (True, False)
    snapshot = current_snapshot(chain.spark, "sales.fact")
    assert snapshot is not None
    assert {order_date for order_date, _ in lake_figures(chain.spark, PUBLISHED, snapshot, E)} == {
        A,
        E,
    }
    with pytest.raises(ReconcileError, match=f"extract day {D}"):
        verify_whole(chain.connection, PUBLISHED, chain.figures)

    chain.spark.sql(
        f"UPDATE lake.sales.fact SET order_date = DATE'{D}', fx_date = DATE'{D}' WHERE order_id = 'gap'"
    )
    chain.load(D, 2)
    chain.reconcile(D, 2)
    assert chain.agreed(D)
    assert verify_whole(chain.connection, PUBLISHED, chain.figures).rows == 5
    left = chain.connection.execute("SELECT count(*) FROM sales.unreconciled_dates").fetchone()
    assert left == (0,)


@pytest.mark.slow
def test_a_date_in_the_gap_that_another_days_load_carries_over_fails_its_own_day_alone(
    chain: Chain,
) -> None:
    """The row is put into the lake's fact behind a day that had agreed, and the next load brings it."""
    chain.put(of_day(A, "a"), of_day(D, "d"))
    for day in (A, D):
        chain.load(day)
        chain.reconcile(day)
    chain.put(of_day(D, "gap", order_date=dt.date(1582, 10, 10)), of_day(E, "e", order_date=A))
    chain.load(E)
    chain.reconcile(E)
    assert (chain.agreed(A), chain.agreed(D), chain.agreed(E)) == (True, False, True)
    with pytest.raises(ReconcileError, match=rf"1582-10-10 \(extract day {D}\)"):
        chain.reconcile(D)


@pytest.mark.slow
@pytest.mark.parametrize(
    "beyond", ["date_add(DATE'9999-12-31', 1)", "date_sub(DATE'0001-01-01', 1)"]
)
def test_a_date_that_python_has_none_for_holds_up_its_own_day_alone(
    chain: Chain, beyond: str
) -> None:
    chain.put(of_day(A, "a"))
    chain.load(A)
    chain.reconcile(A)
    chain.put(of_day(D, "d"), of_day(D, "beyond"))
    chain.spark.sql(f"UPDATE lake.sales.fact SET order_date = {beyond} WHERE order_id = 'beyond'")
    with pytest.raises(
        RowRefusedError, match=rf"sales {D}: .*'beyond', 1: order_date: .*1 to 9999"
    ):
        chain.load(D)
    chain.put(of_day(E, "e", order_date=A))
    chain.load(E)
    chain.reconcile(E)
    assert chain.agreed(E)
    with pytest.raises(ReconcileError, match=f"{D} is held, .*'beyond', 1"):
        verify_whole(chain.connection, PUBLISHED, chain.figures, chain.rows)

    chain.spark.sql("DELETE FROM lake.sales.fact WHERE order_id = 'beyond'")
    chain.load(D, 2)
    chain.reconcile(D, 2)
    assert verify_whole(chain.connection, PUBLISHED, chain.figures, chain.rows).rows == 3


def test_the_one_row_that_differs_is_named_however_a_side_sorts_its_texts(chain: Chain) -> None:
    """Spark and PostgreSQL order these texts differently."""
    ids = ["a", "B", "ä", "_", "10", "9", "Z", "é", "\N{GRINNING FACE}", " "]
    chain.put(*(of_day(D, each) for each in ids))
    chain.load(D)
    chain.reconcile(D)
    chain.connection.execute("UPDATE sales.fact SET quantity = 9 WHERE order_id = 'ä'")
    with pytest.raises(ReconcileError, match=rf"{D} \(.*{D}\).*, key \('\\xe4', 1\)\. No"):
        chain.reconcile(D)
