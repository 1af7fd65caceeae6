"""Publish, difference, load and reconcile of a table that is nothing like sales, by its declaration alone."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
from stock_table import COLUMNS, KEY, LEVELS, declare

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


@contextmanager
def opened(
    spark: SparkSession, lake: LakeSettings, postgres: Dsns, table: PublishedTable
) -> Iterator[Stock]:
    """The table as it is declared by then, with an empty schema in the warehouse."""
    with psycopg.connect(postgres.superuser, dbname="warehouse", autocommit=True) as owner:
        owner.execute("DROP SCHEMA IF EXISTS stock CASCADE")
        owner.execute("CREATE SCHEMA stock AUTHORIZATION warehouse_loader")
        with connect(postgres.warehouse_loader) as warehouse:
            yield Stock(spark, lake, warehouse, table)
            contract.cache_clear()
        owner.execute("DROP SCHEMA stock CASCADE")


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
    with opened(empty_lake, lake, postgres, replace(LEVELS, event_date=event)) as stock:
        yield stock


@pytest.fixture
def timed(
    empty_lake: SparkSession,
    lake: LakeSettings,
    postgres: Dsns,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stock]:
    """A table that has a time in its key and decimals of all digits, on a machine in New York."""
    gained = [("at", "timestamp", True), ("exact", "decimal(38,18)", False)]
    gained.append(("share", "decimal(38,38)", False))
    declare(tmp_path, monkeypatch, gained, (*KEY, "at"))
    with monkeypatch.context() as machine:
        machine.setenv("TZ", "America/New_York")
        time.tzset()
        with opened(empty_lake, lake, postgres, LEVELS) as stock:
            yield stock
    time.tzset()


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


def test_rows_that_were_deleted_beside_their_files_are_published_over_loaded_and_compared(
    stock: Stock,
) -> None:
    stock.extract(A, count(1, A, 10, 1), count(2, A, 4, 1), count(3, A, 6, 1))
    stock.publish(A)
    stock.load(A)
    mode = "ALTER TABLE lake.stock.levels SET TBLPROPERTIES ('write.delete.mode' = '{}')"
    stock.spark.sql(mode.format("merge-on-read"))
    stock.spark.sql("DELETE FROM lake.stock.levels WHERE shelf = 2")
    stock.spark.sql(mode.format("copy-on-write"))
    stock.extract(B, count(4, B, 1, 1))
    assert stock.publish(B) == (1, 0, 0)
    done = stock.load(B)
    assert (done.inserted, done.updated, done.deleted) == (1, 0, 1)
    assert stock.levels() == [(1, 10), (3, 6), (4, 1)]
    # The days are written anew, and main has no delete file.
    stock.extract(B, count(3, B, 7, 2), count(4, B, 1, 1))
    assert stock.publish(B) == (0, 1, 0)
    assert stock.publish(A) == (1, 0, 0), "by its extract the row is to be there"
    assert stock.load(A).inserted == 1
    assert stock.levels() == [(1, 10), (2, 4), (3, 7), (4, 1)]
    stock.extract(C, count(5, C, 2, 1))
    stock.publish(C)
    assert stock.load(C).inserted == 1
    for day in (A, B, C):
        stock.reconcile(day)
    assert stock.verify().rows == 5


def test_of_rows_whose_key_has_a_time_those_that_differ_are_named_in_utc(timed: Stock) -> None:
    # In New York the clock shows 01:30 twice.
    first, again = (dt.datetime(2010, 11, 7, hour, 30, tzinfo=dt.UTC) for hour in (5, 6))
    early = dt.datetime(1900, 1, 1, 0, 0, 0, 123456, tzinfo=dt.UTC)
    rows = [(*count(1, A, 10, 1), at, None, None) for at in (first, again, early)]
    timed.extract(A, *rows)
    assert timed.publish(A) == (3, 0, 0)
    assert timed.load(A).inserted == 3
    assert timed.reconcile(A).rows == 3
    timed.warehouse.execute("UPDATE stock.levels SET note = 'x' WHERE at = %s", [again])
    for compare in (lambda: timed.reconcile(A), timed.verify):
        with pytest.raises(ReconcileError) as failure:
            compare()
        named = ", key (1, 2012-02-29, 7.50, 2010-11-07 06:30:00+00:00). No event"
        assert named in str(failure.value)
    timed.warehouse.execute("DELETE FROM stock.levels WHERE at <> %s", [first])
    with pytest.raises(ReconcileError) as failure:
        timed.reconcile(A)
    for at in ("1900-01-01 00:00:00.123456+00:00", "2010-11-07 06:30:00+00:00"):
        assert f"(1, 2012-02-29, 7.50, {at}, in the lake only)" in str(failure.value)
    assert "keys (" in str(failure.value) and "05:30" not in str(failure.value)


def test_decimals_of_all_digits_are_published_loaded_and_compared(timed: Stock) -> None:
    at, shares = dt.datetime(2011, 1, 3, tzinfo=dt.UTC), ["0.6", "-1E-38", f"0.{'9' * 38}", "0"]
    exact = ["123456789012345.5", "-1E-18", f"-{'9' * 20}.{'9' * 18}", "0"]
    rows = [
        (*count(shelf, A, 1, 1), at, Decimal(wide), Decimal(share))
        for shelf, (wide, share) in enumerate(zip(exact, shares, strict=True))
    ]
    timed.extract(A, *rows)
    assert timed.publish(A) == (4, 0, 0)
    assert timed.load(A).inserted == 4
    assert timed.reconcile(A).rows == timed.verify().rows == 4
    for column, last in (("exact", "1E-18"), ("share", "1E-38")):
        change = f"UPDATE stock.levels SET {column} = {column} + {{}} WHERE shelf = 1"
        timed.warehouse.execute(change.format(last))
        with pytest.raises(ReconcileError, match=r", key \(1, [^)]*\)\. No event"):
            timed.reconcile(A)
        timed.warehouse.execute(change.format(f"-{last}"))
    assert timed.reconcile(A).rows == 4
