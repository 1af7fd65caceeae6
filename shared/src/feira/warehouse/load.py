"""Loads the difference of two lake snapshots into the warehouse, with its ledger, in one transaction.

The warehouse follows the lake by difference and not by a guarded upsert: a guard on ``updated_at``
would block a line that falls back to an older version, and a MERGE alone removes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

import psycopg
import pyarrow as pa

from feira.contracts import Contract, contract
from feira.contracts.ddl import warehouse_columns
from feira.warehouse.clauses import SOLD
from feira.warehouse.copy_rows import copy_rows
from feira.warehouse.schema import UNRECONCILED, require_tables

LEDGER = "sales.load_ledger"
FACT = "sales.fact"


class LoadError(RuntimeError):
    """The staged difference is not what it must be; the transaction was rolled back."""


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


@dataclass(frozen=True)
class Extract:
    """The day's extract that a load is for, as its ledger row says it."""

    day: date
    landing_version: int
    landing_uri: str
    landed_lines: int
    valid_lines: int


@dataclass(frozen=True)
class Loaded:
    """What a load did: rows inserted, updated and deleted, and the snapshot the warehouse holds now."""

    snapshot_id: int
    inserted: int
    updated: int
    deleted: int
    day_rows: int


def load(
    connection: psycopg.Connection,
    extract: Extract,
    difference_since: Callable[[int | None], Difference | None],
) -> Loaded:
    """Brings the warehouse to the lake's main and writes the extract's ledger row; commits.

    ``difference_since`` is asked for the difference since the snapshot that the warehouse holds
    (None: it holds nothing) and answers None when that is main already. The ledger is locked from
    the first read to the commit, so loads queue. Raises LoadError, and ContractError where a table
    is not as declared; then nothing was changed.
    """
    with connection.transaction():
        require_tables(connection)
    with connection.transaction():
        connection.execute(f"LOCK TABLE {LEDGER} IN EXCLUSIVE MODE")
        held = held_snapshot(connection)
        difference = difference_since(held)
        declared = contract(FACT)
        if difference is None:
            if held is None:
                raise LoadError("The lake has no snapshot of sales.fact; publish a day first.")
            counts, snapshot = (0, 0, 0), held
        else:
            counts = _apply(connection, declared, difference)
            snapshot = difference.snapshot_id
        return _write_ledger(
            connection, declared, extract, snapshot, counts, difference is not None
        )


def held_snapshot(connection: psycopg.Connection) -> int | None:
    """The lake snapshot that the warehouse equals, by its ledger; None before the first load."""
    row = connection.execute(
        f"SELECT snapshot_id FROM {LEDGER} ORDER BY load_sequence DESC LIMIT 1"
    ).fetchone()
    return int(row[0]) if row else None


def _apply(
    connection: psycopg.Connection, declared: Contract, difference: Difference
) -> tuple[int, int, int]:
    connection.execute(
        f"CREATE TEMP TABLE staged (\n  {warehouse_columns(declared)},\n  change text NOT NULL\n) "
        "ON COMMIT DROP"
    )
    copied = copy_rows(connection, "staged", [*declared.column_names, "change"], difference.batches)
    connection.execute("ANALYZE staged")
    _assert_staged(connection, declared, difference, copied)
    on = " AND ".join(f"{FACT}.{name} = s.{name}" for name in declared.primary_key)
    same = " AND ".join(f"n.{name} = s.{name}" for name in declared.primary_key)
    sequence = "(SELECT coalesce(max(load_sequence), 0) + 1 FROM sales.load_ledger)"
    if difference.whole:
        connection.execute(
            f"INSERT INTO {UNRECONCILED} SELECT DISTINCT order_date, {sequence} FROM {FACT} "
            "UNION SELECT DISTINCT order_date, " + sequence + " FROM staged"
        )
        deleted = connection.execute(
            f"DELETE FROM {FACT} WHERE NOT EXISTS (SELECT 1 FROM staged s WHERE {on})"
        ).rowcount
        # What is equal already is no change. Written out, as Redshift has no IS NOT DISTINCT FROM.
        equal = " AND ".join(
            f"(s.{name} = {FACT}.{name} OR (s.{name} IS NULL AND {FACT}.{name} IS NULL))"
            for name in declared.column_names
            if name not in declared.primary_key
        )
        connection.execute(f"DELETE FROM staged s USING {FACT} WHERE {on} AND {equal}")
    else:
        connection.execute(
            f"INSERT INTO {UNRECONCILED} SELECT DISTINCT order_date, {sequence} FROM staged"
        )
        deleted = connection.execute(
            f"DELETE FROM {FACT} USING staged s WHERE {on} AND s.change = 'DELETE' "
            f"AND NOT EXISTS (SELECT 1 FROM staged n WHERE n.change = 'INSERT' AND {same})"
        ).rowcount
    # Redshift's MERGE takes a table as its source and no query.
    connection.execute("DELETE FROM staged WHERE change = 'DELETE'")
    before = _count(connection, f"SELECT count(*) FROM {FACT}")
    names = declared.column_names
    merged = connection.execute(
        f"MERGE INTO {FACT} USING staged s ON {on} "
        f"WHEN MATCHED THEN UPDATE SET {', '.join(f'{name} = s.{name}' for name in names)} "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) "
        f"VALUES ({', '.join(f's.{name}' for name in names)})"
    ).rowcount
    inserted = _count(connection, f"SELECT count(*) FROM {FACT}") - before
    return inserted, merged - inserted, deleted


def _assert_staged(
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
    twice = _count(
        connection,
        "SELECT count(*) FROM (SELECT row_number() OVER "
        f"(PARTITION BY {key}, change) AS number FROM staged) d WHERE number = 2",
    )
    null = " OR ".join(f"{name} IS NULL" for name in declared.required_columns)
    nulls = _count(connection, f"SELECT count(*) FROM staged WHERE {null}")
    if twice or nulls:
        raise LoadError(
            f"Of {copied} staged rows {twice} keys of ({key}) stand twice and {nulls} rows have a "
            f"null in a required column; the warehouse was not changed. Check sales.fact at "
            f"snapshot {difference.snapshot_id}."
        )


def _write_ledger(
    connection: psycopg.Connection,
    declared: Contract,
    extract: Extract,
    snapshot: int,
    counts: tuple[int, int, int],
    moved: bool,
) -> Loaded:
    """One row for each day, landing and contract version; untouched when the load changed nothing."""
    row = connection.execute(
        f"SELECT count(*), coalesce(sum(CASE WHEN {SOLD} THEN amount_usd END), 0) FROM {FACT} "
        "WHERE extract_day = %s",
        [extract.day],
    ).fetchone()
    assert row is not None
    day_rows, day_revenue = row
    key = [extract.day, extract.landing_version, declared.version]
    where = "extract_day = %s AND landing_version = %s AND contract_version = %s"
    known = connection.execute(f"SELECT snapshot_id FROM {LEDGER} WHERE {where}", key).fetchone()
    sequence = f"(SELECT coalesce(max(load_sequence), 0) + 1 FROM {LEDGER})"
    if known is None:
        connection.execute(
            f"INSERT INTO {LEDGER} (extract_day, landing_version, contract_version, landing_uri, "
            "landed_lines, valid_lines, quarantined_lines, day_rows, day_revenue, inserted_rows, "
            "updated_rows, deleted_rows, snapshot_id, load_sequence, loaded_at) VALUES "
            f"(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {sequence}, now())",
            [
                *key,
                extract.landing_uri,
                extract.landed_lines,
                extract.valid_lines,
                extract.landed_lines - extract.valid_lines,
                day_rows,
                day_revenue,
                *counts,
                snapshot,
            ],
        )
    elif moved:
        connection.execute(
            f"UPDATE {LEDGER} SET day_rows = %s, day_revenue = %s, "
            "inserted_rows = inserted_rows + %s, updated_rows = updated_rows + %s, "
            "deleted_rows = deleted_rows + %s, snapshot_id = %s, "
            f"load_sequence = {sequence}, loaded_at = now() WHERE {where}",
            [day_rows, day_revenue, *counts, snapshot, *key],
        )
    inserted, updated, deleted = counts
    return Loaded(snapshot, inserted, updated, deleted, day_rows)


def _count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])
