"""Loads of tables whose names are those that loads use themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from fact_rows import arrow_schema, read_of
from feira.core.contracts import contract
from feira.core.published_table import PublishedTable
from feira.core.warehouse.apply import Difference
from feira.core.warehouse.load import Extract, Loaded, load
from feira.core.warehouse.outcome import day_outcomes
from feira.core.warehouse.schema import connect, table_types
from feira_local.stack.postgres import Dsns
from stock_table import LEVELS, declare

A, B = dt.date(2011, 1, 3), dt.date(2011, 1, 4)
Declare = Callable[[str, str], None]


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Declare]:
    """Declares the table of stock, with another word for one of its own."""

    def with_name(old: str, new: str) -> None:
        declare(tmp_path, monkeypatch)
        for path in (tmp_path / "shared" / "contracts" / "stock").iterdir():
            text = path.read_text().replace(old, new)
            path.unlink()
            path.with_name(path.name.replace(old, new)).write_text(text)
        contract.cache_clear()

    yield with_name
    contract.cache_clear()


@pytest.fixture
def warehouse(postgres: Dsns) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.superuser, dbname="warehouse", autocommit=True) as owner:
        owner.execute("DROP SCHEMA IF EXISTS stock CASCADE")
        owner.execute("CREATE SCHEMA stock AUTHORIZATION warehouse_loader")
        with connect(postgres.warehouse_loader) as connection:
            yield connection
        owner.execute("DROP SCHEMA stock CASCADE")


def count(table: PublishedTable, shelf: int, day: dt.date, **known: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(table.contract.column_names),
        "shelf": shelf,
        "best_before": A,
        "batch": Decimal(1),
        "units": 5,
        "value": Decimal("11.510"),
        "sealed": False,
        "revision": 1,
        "valid_on": A,
        table.day: day,
        **known,
    }


def loaded(
    connection: psycopg.Connection,
    table: PublishedTable,
    snapshot: int,
    day: dt.date,
    *changes: tuple[str, dict[str, Any]],
    whole: bool = False,
) -> Loaded:
    schema = arrow_schema(table.contract).append(pa.field("change", pa.string()))
    rows = [{**row, "change": change} for change, row in changes]
    read = read_of(pa.RecordBatch.from_pylist(rows, schema=schema))
    found = Difference(snapshot, whole, len(rows), read)
    return load(connection, table, Extract(day, snapshot, "s3://lake", 3, 2), lambda at: found)


@pytest.mark.parametrize("name", ["event_date", "waiting_date", "changed_date"])
def test_an_extract_day_that_is_the_event_date_may_have_any_name(
    declared: Declare, warehouse: psycopg.Connection, name: str
) -> None:
    declared("feed_day", name)
    table = replace(LEVELS, event_date=name, noted_key="shelf")
    one, two = count(table, 1, A), count(table, 2, B, units=7)
    loaded(warehouse, table, 1, A, ("INSERT", one), whole=True)
    done = loaded(warehouse, table, 2, B, ("DELETE", one), ("INSERT", two))
    assert (done.inserted, done.deleted, done.day_rows) == (1, 1, 1)
    waiting = f"SELECT {table.waiting_date}, {name}, load_sequence FROM {table.unreconciled}"
    found = {*warehouse.execute(waiting).fetchall()}
    assert found == {(A, A, 1), (A, A, 2), (B, B, 2)}
    notes = f"SELECT shelf, {name}, load_sequence FROM {table.changed_keys}"
    assert {*warehouse.execute(notes).fetchall()} == {(None, None, 0), (1, A, 2), (2, B, 2)}
    changed = f"SELECT changed_date, load_sequence FROM {table.changed_dates}"
    assert {*warehouse.execute(changed).fetchall()} == {(A, 2), (B, 2)}
    outcome = day_outcomes(warehouse, table, [B])[B]
    assert outcome.sums == {"units": 7, "value": Decimal("11.510")}
    columns = table_types(warehouse, table.unreconciled)
    assert columns == {table.waiting_date: "date", name: "date", "load_sequence": "bigint"}


def test_what_has_left_a_table_named_as_its_held_rows_are_in_queries_is_deleted(
    declared: Declare, warehouse: psycopg.Connection
) -> None:
    declared("stock.levels", "stock.h")
    table = replace(LEVELS, table="stock.h", ledger="stock.h_load_ledger")
    kept, taken, left = (count(table, shelf, B) for shelf in (1, 2, 3))
    loaded(warehouse, table, 1, B, *(("INSERT", row) for row in (kept, taken, left)), whole=True)
    held = taken | {table.day: A, "note": "a\0b"}
    done = loaded(warehouse, table, 2, B, ("INSERT", kept), ("INSERT", held), whole=True)
    assert (done.inserted, done.updated, done.deleted) == (0, 0, 1)
    shelves = warehouse.execute("SELECT shelf FROM stock.h ORDER BY 1").fetchall()
    assert shelves == [(1,), (2,)]
    assert warehouse.execute("SELECT shelf FROM stock.h_held_rows").fetchall() == [(2,)]
