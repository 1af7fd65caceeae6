"""Loads the difference of two lake snapshots into the warehouse, with its ledger, in one transaction.

The warehouse follows the lake by difference and not by a guarded upsert: a guard on ``updated_at``
would block a line that falls back to an older version, and a MERGE alone removes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import psycopg

from feira.core.contracts import Contract, contract
from feira.core.warehouse.apply import (
    FACT,
    LEDGER,
    REFUSED,
    Difference,
    LoadError,
    RowRefusedError,
    apply,
)
from feira.core.warehouse.by_day import apply_by_day
from feira.core.warehouse.clauses import SOLD
from feira.core.warehouse.schema import HELD_DAYS, require_tables

__all__ = [
    "FACT",
    "LEDGER",
    "Difference",
    "Extract",
    "LoadError",
    "Loaded",
    "RowRefusedError",
    "held_snapshot",
    "load",
]


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
    (None: the whole table, as it holds nothing or a day is held) and answers None when that is main
    already. A row that the warehouse cannot hold keeps only its own day back: RowRefusedError where
    that day is the extract's, else the day is noted in ``sales.held_days`` and the rest is loaded.
    The ledger is locked from the first read to the commit, so loads queue. Raises LoadError, and
    ContractError where a table is not as declared; then nothing was changed.
    """
    with connection.transaction():
        require_tables(connection)
    with connection.transaction():
        connection.execute(f"LOCK TABLE {LEDGER} IN EXCLUSIVE MODE")
        held = held_snapshot(connection)
        declared = contract(FACT)
        holds = connection.execute(f"SELECT 1 FROM {HELD_DAYS} LIMIT 1").fetchone()
        # While a day is held the warehouse equals no snapshot, so there is none to differ from.
        difference = difference_since(None if holds else held)
        if difference is None:
            if held is None:
                raise LoadError("The lake has no snapshot of sales.fact; publish a day first.")
            counts, snapshot = (0, 0, 0), held
        else:
            try:
                with connection.transaction():
                    counts = apply(connection, declared, difference)
                    connection.execute(f"DELETE FROM {HELD_DAYS}")
            except REFUSED:
                difference = difference_since(None) or difference
                counts = apply_by_day(connection, declared, extract.day, difference)
            snapshot = difference.snapshot_id
        return _write_ledger(
            connection, declared, extract, snapshot, counts, difference is not None
        )


def held_snapshot(connection: psycopg.Connection) -> int | None:
    """The lake snapshot that the warehouse equals, but for days that are held, by its ledger; None
    before the first load."""
    row = connection.execute(
        f"SELECT snapshot_id FROM {LEDGER} ORDER BY load_sequence DESC LIMIT 1"
    ).fetchone()
    return int(row[0]) if row else None


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
