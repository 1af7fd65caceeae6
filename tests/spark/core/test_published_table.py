"""Publish, difference, load and reconcile of a table that is nothing like sales, by its declaration alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from fact_rows import arrow_schema
from feira.core.contracts import contract
from feira.core.published_table import PublishedTable
from feira.core.settings import LakeSettings
from feira.core.warehouse.by_day import RowRefusedError
from feira.core.warehouse.load import Extract, Loaded, load
from feira.core.warehouse.outcome import day_outcomes
from feira.core.warehouse.reconcile import (
    Agreement,
    ReconcileError,
    held_days,
    reconcile_day,
    verify_whole,
)
from feira.core.warehouse.schema import connect, table_types
from feira_local.stack.postgres import Dsns
from feira_spark.core.difference import difference_since, lake_figures, lake_rows
from feira_spark.core.migrate import bring_tables_to_contracts
from feira_spark.core.publish import publish_day, sweep_branches
from feira_spark.core.tables import require_tables
from stock_table import COLUMNS, LEVELS, declare

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

A, B, C = (dt.date(2011, 1, n) for n in (3, 4, 5))
Row = tuple[Any, ...]


def count(shelf: int, day: dt.date, units: int, revision: int, **known: Any) -> Row:
    """A shelf's count; its value is half a euro a unit."""
    values = {
        "shelf": shelf,
        "best_before": dt.date(2012, 2, 29),
        "batch": Decimal("7.50"),
        "units": units,
        "value": Decimal(units) / 2,
        "sealed": False,
        "note": None,
        "revision": revision,
        "valid_on": day - dt.timedelta(days=1),
        "number": None,
        "feed_day": day,
        **known,
    }
    return tuple(values[name] for name, *_ in COLUMNS)


class Stock:
    """What a pipeline does, and all that it says is the table."""

    def __init__(
        self,
        spark: SparkSession,
        lake: LakeSettings,
        warehouse: psycopg.Connection,
        table: PublishedTable,
    ) -> None:
        self.spark, self.lake, self.warehouse, self.table = spark, lake, warehouse, table
        self.attempts = 0
        require_tables(spark, [table.contract, contract(table.extracts)])

    def extract(self, day: dt.date, *rows: Row) -> None:
        schema = arrow_schema(contract(self.table.extracts))
        columns = zip(*rows, strict=True) if rows else [[] for _ in COLUMNS]
        arrays = [pa.array(values, f.type) for values, f in zip(columns, schema, strict=True)]
        frame = self.spark.createDataFrame(pa.Table.from_arrays(arrays, schema=schema))
        frame.writeTo(f"lake.{self.table.extracts}").overwrite(F.col("feed_day") == F.lit(day))

    def publish(self, day: dt.date) -> tuple[int, int, int]:
        self.attempts += 1
        done = publish_day(self.spark, self.table, day, f"run_{self.attempts}")
        return done.inserted, done.updated, done.deleted

    def load(self, day: dt.date, version: int = 1) -> Loaded:
        since = difference_since(self.spark, self.table, self.lake)
        extract = Extract(day, version, f"s3://lake/{day}", 3, 2)
        return load(self.warehouse, self.table, extract, since)

    def reconcile(self, day: dt.date, version: int = 1) -> Agreement:
        figures = partial(lake_figures, self.spark, self.table)
        rows = partial(lake_rows, self.spark, self.table)
        return reconcile_day(self.warehouse, self.table, day, version, figures, rows)

    def verify(self) -> Agreement:
        figures = partial(lake_figures, self.spark, self.table)
        return verify_whole(
            self.warehouse, self.table, figures, partial(lake_rows, self.spark, self.table)
        )

    def levels(self) -> list[tuple[int, int]]:
        query = "SELECT shelf, units FROM stock.levels ORDER BY shelf"
        found = self.warehouse.execute(query).fetchall()
        assert [tuple(r) for r in self.spark.sql(query.replace("stock", "lake.stock")).collect()]
        return found


@pytest.fixture(
    params=["a date of its own", pytest.param("the extract day", marks=pytest.mark.slow)]
)
def stock(
    request: pytest.FixtureRequest,
    empty_lake: SparkSession,
    lake: LakeSettings,
    postgres: Dsns,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stock]:
    declare(tmp_path, monkeypatch)
    event = "valid_on" if request.param == "a date of its own" else "feed_day"
    with psycopg.connect(postgres.superuser, dbname="warehouse", autocommit=True) as owner:
        owner.execute("DROP SCHEMA IF EXISTS stock CASCADE")
        owner.execute("CREATE SCHEMA stock AUTHORIZATION warehouse_loader")
        with connect(postgres.warehouse_loader) as warehouse:
            yield Stock(empty_lake, lake, warehouse, replace(LEVELS, event_date=event))
            contract.cache_clear()
        owner.execute("DROP SCHEMA stock CASCADE")


def test_a_table_goes_from_its_extracts_to_the_agreement_by_its_declaration(stock: Stock) -> None:
    stock.extract(
        A, count(1, A, 10, 1), count(2, A, 4, 9, sealed=True, value=None), count(3, A, 6, 1)
    )
    assert stock.publish(A) == (3, 0, 0)
    assert stock.load(A).inserted == 3
    agreed = stock.reconcile(A)
    assert (agreed.rows, agreed.sums) == (3, {"units": Decimal(20), "value": Decimal(8)})
    ledger = stock.warehouse.execute(
        "SELECT feed_day, contract_version, day_rows, day_units, day_value, snapshot_id = "
        "agreed_snapshot_id FROM stock.levels_load_ledger"
    ).fetchall()
    assert ledger == [(A, "2.1.0", 3, 20, Decimal(8), True)]

    # The greater revision wins, of equal ones the later day's; shelf 2's is older, and 3 is not in it.
    stock.extract(B, count(1, B, 11, 1), count(2, B, 5, 8), count(4, B, 1, 1, note="new"))
    assert stock.publish(B) == (1, 1, 0)
    assert stock.publish(A) == (0, 0, 0), "the older day does not put its version back"
    done = stock.load(B)
    assert (done.inserted, done.updated, done.deleted, done.day_rows) == (1, 1, 0, 2)
    assert stock.levels() == [(1, 11), (2, 4), (3, 6), (4, 1)]
    stock.reconcile(B)

    # What day B no longer shows falls back or leaves.
    stock.extract(B, count(2, B, 5, 8))
    stock.spark.sql("ALTER TABLE lake.stock.levels CREATE BRANCH publish_2011_01_04_killed")
    assert sweep_branches(stock.spark, stock.table) == ["publish_2011_01_04_killed"]
    assert stock.publish(B) == (0, 1, 1)
    done = stock.load(B, 2)
    assert (done.inserted, done.updated, done.deleted) == (0, 1, 1)
    assert stock.levels() == [(1, 10), (2, 4), (3, 6)]
    assert stock.reconcile(B, 2).sums["units"] == stock.verify().sums["units"] == 20
    outcomes = day_outcomes(stock.warehouse, stock.table, [A, B, C])
    assert {day: (each.agreed, each.fact_rows) for day, each in outcomes.items()} == {
        A: (True, 3),
        B: (True, 0),
    }


@pytest.mark.slow
def test_a_table_that_has_gained_a_column_and_no_rows_is_compared_and_staged_as_it_is(
    stock: Stock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock.extract(A, count(1, A, 10, 1))
    stock.publish(A)
    stock.load(A)
    stock.reconcile(A)
    stock.extract(B, count(2, B, 3, 1))
    stock.publish(B)
    declare(tmp_path / "migrated", monkeypatch, [("colour", "string", False)])
    contract.cache_clear()
    table = stock.table
    declared = [table.contract, contract(table.extracts)]
    done = bring_tables_to_contracts(stock.spark, stock.warehouse, declared, [table.contract])
    assert len([each for each in done if "colour string" in each]) == 3

    # The warehouse is still at the first snapshot, and main at one of before the column.
    assert (stock.reconcile(A).rows, stock.verify().rows) == (1, 1)
    assert stock.load(B).inserted == 1
    assert (stock.reconcile(B).rows, stock.verify().rows) == (1, 2)
    whole = difference_since(stock.spark, table, stock.lake)(None)
    assert whole is not None and whole.whole
    rows = [row for batch in whole.read(["shelf", "colour"]) for row in batch.to_pylist()]
    assert sorted(map(tuple, map(dict.values, rows))) == [(1, None), (2, None)]
    stock.warehouse.execute("UPDATE stock.levels SET units = 4 WHERE shelf = 2")
    with pytest.raises(ReconcileError, match=r"key \(2, 2012-02-29, 7\.50\)"):
        stock.reconcile(B)


@pytest.mark.slow
def test_what_differs_is_named_in_the_tables_own_words_and_fails_its_own_day(stock: Stock) -> None:
    stock.extract(A, count(1, A, 10, 1))
    stock.publish(A)
    stock.load(A)
    stock.reconcile(A)
    stock.warehouse.execute("UPDATE stock.levels SET sealed = true")
    stock.extract(B, count(2, B, 3, 1))
    stock.publish(B)
    stock.load(B)
    stock.reconcile(B)
    with pytest.raises(ReconcileError) as failure:
        stock.reconcile(A)
    for part in (
        "stock.levels at snapshot",
        f"(feed day {A}): lake 1 rows, units 10, 5.00 EUR, hash ",
        "warehouse 1 rows, units 10, 0.00 EUR, hash ",
        "key (1, 2012-02-29, 7.50)",
    ):
        assert part in str(failure.value)


def test_a_row_that_the_warehouse_cannot_hold_holds_up_its_own_day_alone(stock: Stock) -> None:
    stock.extract(A, count(1, A, 10, 1))
    stock.publish(A)
    stock.load(A)
    stock.extract(B, count(2, B, 3, 1, note="a\0b"), count(3, B, 1, 1))
    stock.publish(B)
    with pytest.raises(RowRefusedError, match=rf"stock {B}: .*key 2, 2012-02-29, 7.50: note: "):
        stock.load(B)
    stock.extract(C, count(4, C, 8, 1))
    stock.publish(C)
    assert stock.load(C).inserted == 1
    assert list(held_days(stock.warehouse, stock.table)) == [B]
    assert stock.reconcile(C).rows == 2, "day A's dates still waited"
    assert stock.warehouse.execute("SELECT count(*) FROM stock.levels").fetchone() == (2,)
    assert table_types(stock.warehouse, "stock.levels_held_days") is not None
    assert table_types(stock.warehouse, "stock.held_days") is None

    stock.extract(B, count(2, B, 3, 2, note="ab"), count(3, B, 1, 1))
    stock.publish(B)
    stock.load(B, 2)
    assert stock.reconcile(B, 2).rows >= 2
    assert held_days(stock.warehouse, stock.table) == {}
    assert stock.verify().rows == 4
