"""A staged difference into the warehouse's fact, on the caller's connection and in its transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
import pyarrow as pa

from feira.core.contracts import Contract
from feira.core.contracts.ddl import warehouse_columns
from feira.core.errors import PermanentError
from feira.core.warehouse.copy_rows import copy_rows
from feira.core.warehouse.schema import UNRECONCILED

LEDGER = "sales.load_ledger"
FACT = "sales.fact"


# What PostgreSQL raises for a row that it cannot hold, and for no lost connection.
REFUSED = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)


class LoadError(RuntimeError):
    """The staged difference is not what it must be; the transaction was rolled back."""


class RowRefusedError(PermanentError, LoadError):
    """The warehouse cannot hold a row of the day that is loaded; the message names day and key."""


@dataclass(frozen=True)
class Difference:
    """What changed between the snapshot that the warehouse holds and ``snapshot_id``.

    ``batches`` have the fact's columns and ``change``: ``INSERT`` (the row as it is now) or
    ``DELETE`` (the row as it was). With ``whole`` they are the whole table, all ``INSERT``.
    """

    snapshot_id: int
    whole: bool
    rows: int
    batches: Iterable[pa.RecordBatch]


def apply(
    connection: psycopg.Connection, declared: Contract, difference: Difference
) -> tuple[int, int, int]:
    """Applies all of it, or raises; returns rows inserted, updated and deleted."""
    create_staged(connection, declared)
    copied = copy_rows(connection, "staged", [*declared.column_names, "change"], difference.batches)
    connection.execute("ANALYZE staged")
    assert_staged(connection, declared, difference, copied)
    on = " AND ".join(f"{FACT}.{name} = s.{name}" for name in declared.primary_key)
    same = " AND ".join(f"n.{name} = s.{name}" for name in declared.primary_key)
    sequence = "(SELECT coalesce(max(load_sequence), 0) + 1 FROM sales.load_ledger)"
    if difference.whole:
        connection.execute(
            f"INSERT INTO {UNRECONCILED} (order_date, extract_day, load_sequence) "
            f"SELECT order_date, extract_day, {sequence} FROM {FACT} "
            f"UNION SELECT order_date, extract_day, {sequence} FROM staged"
        )
        deleted = connection.execute(
            f"DELETE FROM {FACT} WHERE NOT EXISTS (SELECT 1 FROM staged s WHERE {on})"
        ).rowcount
        # What is equal already is no change.
        connection.execute(f"DELETE FROM staged s USING {FACT} WHERE {on} AND {is_equal(declared)}")
    else:
        connection.execute(
            f"INSERT INTO {UNRECONCILED} (order_date, extract_day, load_sequence) "
            f"SELECT DISTINCT order_date, extract_day, {sequence} FROM staged"
        )
        deleted = connection.execute(
            f"DELETE FROM {FACT} USING staged s WHERE {on} AND s.change = 'DELETE' "
            f"AND NOT EXISTS (SELECT 1 FROM staged n WHERE n.change = 'INSERT' AND {same})"
        ).rowcount
    # Redshift's MERGE takes a table as its source and no query.
    connection.execute("DELETE FROM staged WHERE change = 'DELETE'")
    inserted, updated = merge(connection, declared, "staged")
    return inserted, updated, deleted


def create_staged(connection: psycopg.Connection, declared: Contract) -> None:
    """The temporary table ``staged``: the fact's columns and ``change``.

    It refuses a date or time outside the years 1 to 9999. Lake and PostgreSQL hold those, and no
    Python that reads them later: a reconcile of any day would fail on them.
    """
    bounds = {
        "date": ("DATE '0001-01-01'", "DATE '9999-12-31'"),
        "timestamp": (
            "TIMESTAMPTZ '0001-01-01 00:00:00+00'",
            "TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'",
        ),
    }
    checks = "".join(
        f",\n  CONSTRAINT {column.name}_in_years_1_to_9999 "
        f"CHECK ({column.name} BETWEEN {bounds[column.type][0]} AND {bounds[column.type][1]})"
        for column in declared.columns
        if column.type in bounds
    )
    connection.execute(
        f"CREATE TEMP TABLE staged (\n  {warehouse_columns(declared)},\n"
        f"  change text NOT NULL{checks}\n) ON COMMIT DROP"
    )


def is_equal(declared: Contract) -> str:
    """SQL: the staged row ``s`` is the fact's row. Written out, as Redshift has no IS NOT DISTINCT FROM."""
    return " AND ".join(
        f"(s.{name} = {FACT}.{name} OR (s.{name} IS NULL AND {FACT}.{name} IS NULL))"
        for name in declared.column_names
        if name not in declared.primary_key
    )


def merge(connection: psycopg.Connection, declared: Contract, source: str) -> tuple[int, int]:
    """Rows inserted and updated."""
    names = declared.column_names
    on = " AND ".join(f"{FACT}.{name} = s.{name}" for name in declared.primary_key)
    before = count_of(connection, f"SELECT count(*) FROM {FACT}")
    merged = connection.execute(
        f"MERGE INTO {FACT} USING {source} s ON {on} "
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f'{name} = s.{name}' for name in names)} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) "
        f"VALUES ({', '.join(f's.{name}' for name in names)})"
    ).rowcount
    inserted = count_of(connection, f"SELECT count(*) FROM {FACT}") - before
    return inserted, merged - inserted


def assert_staged(
    connection: psycopg.Connection, declared: Contract, difference: Difference, copied: int
) -> None:
    """Rows as announced, each key at most once a kind of change, nothing null that must not be."""
    if copied != difference.rows:
        raise LoadError(
            f"Staged {copied} rows of the {difference.rows} that differ at snapshot "
            f"{difference.snapshot_id}; the warehouse was not changed. Retry."
        )
    key = ", ".join(declared.primary_key)
    # A window sorts, and the rows come sorted: half the time of hashing them all into groups.
    twice = count_of(
        connection,
        "SELECT count(*) FROM (SELECT row_number() OVER "
        f"(PARTITION BY {key}, change) AS number FROM staged) d WHERE number = 2",
    )
    null = " OR ".join(f"{name} IS NULL" for name in declared.required_columns)
    nulls = count_of(connection, f"SELECT count(*) FROM staged WHERE {null}")
    if twice or nulls:
        raise LoadError(
            f"Of {copied} staged rows {twice} keys of ({key}) are duplicate and {nulls} rows have a "
            f"null in a required column; the warehouse was not changed. Check sales.fact at "
            f"snapshot {difference.snapshot_id}."
        )


def shown(value: object) -> str:
    """A key's value for a message, in ASCII and no longer than a line."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(str(value)):,} characters)"


def count_of(connection: psycopg.Connection, query: str) -> int:
    """The one number that a query answers."""
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
