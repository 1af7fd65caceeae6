"""Loads the difference of two lake snapshots into the warehouse, with its ledger, in one transaction.

The warehouse follows the lake by difference and not by a guarded upsert: a guard on the version would
block a row that falls back to an older one, and a MERGE alone removes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import psycopg

from feira.core.published_table import PublishedTable
from feira.core.warehouse.apply import Difference, apply
from feira.core.warehouse.by_day import apply_by_day
from feira.core.warehouse.merge import STAGED, LoadError
from feira.core.warehouse.schema import NOTED_LOADS, create_indexes, require_load_tables
from feira.core.warehouse.side import Staging, side_of
from feira.core.warehouse.staged import Merged
from feira.core.warehouse.straight import apply_straight


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
    table: PublishedTable,
    extract: Extract,
    difference_since: Callable[[int | None], Difference | None],
    staging: Staging | None = None,
) -> Loaded:
    """Brings the warehouse to the lake's main and writes the extract's ledger row; commits.

    ``difference_since`` is asked for the difference since the snapshot that the warehouse holds
    (None: the whole table, as it holds nothing or a day is held) and answers None when that is main
    already. A row that the warehouse cannot hold keeps only its own day back: RowRefusedError where
    that day is the extract's, else the day is noted as held and the rest is loaded.
    The first load makes the table's indexes, where the warehouse has any. ``staging`` is for Redshift, which
    reads rows from there.
    The ledger is locked from the first read to the commit, so loads queue. Raises LoadError, and
    ContractError where a table is not as declared; then nothing was changed.
    """
    with connection.transaction():
        require_load_tables(connection, table)
    side = side_of(connection)
    with connection.transaction():
        connection.execute(side.lock(table.ledger))
        side.find_temporary_first(connection)
        side.look_up_by_key(connection)
        snapshot = held_snapshot(connection, table)
        is_first = snapshot is None
        holds = connection.execute(f"SELECT 1 FROM {table.held_days} LIMIT 1").fetchone()
        # While a day is held the warehouse equals no snapshot, so there is none to differ from.
        difference = difference_since(None if holds else snapshot)
        if difference is None:
            if snapshot is None:
                raise LoadError(f"The lake has no snapshot of {table.table}; publish a day first.")
            done = None
        else:
            try:
                with side.undone_when_refused(connection):
                    done = apply_straight(connection, table, difference)
                    done = done or apply(connection, table, difference, staging)
                    for held in (table.held_days, table.held_rows):
                        connection.execute(f"DELETE FROM {held}")
            except side.refused:
                done = None
            if done is None:
                # Not in the except block: what is raised here would carry the refused value along.
                side.drop_refused(connection, STAGED)
                difference = difference_since(None) or difference
                done = apply_by_day(connection, table, extract.day, difference, staging)
            snapshot = difference.snapshot_id
        if is_first:
            # Built of all rows at once, in a quarter of the time that row by row takes. A table that was
            # loaded before and lacks them may be large, and its load is not to wait.
            create_indexes(connection, table)
        return _write_ledger(connection, table, extract, snapshot, done)


def held_snapshot(connection: psycopg.Connection, table: PublishedTable) -> int | None:
    """The lake snapshot that the warehouse equals, but for days that are held, by its ledger; None
    before the first load."""
    row = connection.execute(
        f"SELECT snapshot_id FROM {table.ledger} ORDER BY load_sequence DESC LIMIT 1"
    ).fetchone()
    return int(row[0]) if row else None


def _note_for_who_follows(connection: psycopg.Connection, table: PublishedTable, day: date) -> None:
    """Notes the newest load: it has changed that day's ledger row, and what now waits for reconcile. Forgets
    the keys that old loads have changed."""
    newest = f"(SELECT max(load_sequence) FROM {table.ledger})"
    waiting = f"FROM {table.unreconciled} WHERE load_sequence = {newest}"
    connection.execute(
        f"DELETE FROM {table.changed_dates} WHERE changed_date = %s "
        f"OR changed_date IN (SELECT {table.waiting_date} {waiting})",
        [day],
    )
    connection.execute(
        f"INSERT INTO {table.changed_dates} (changed_date, load_sequence) "
        f"SELECT {table.waiting_date}, load_sequence {waiting} UNION SELECT %s, {newest}",
        [day],
    )
    if table.noted_key is not None:
        connection.execute(
            f"DELETE FROM {table.changed_keys} WHERE {table.noted_key} IS NOT NULL "
            f"AND load_sequence <= {newest} - {NOTED_LOADS}"
        )


def _write_ledger(
    connection: psycopg.Connection,
    table: PublishedTable,
    extract: Extract,
    snapshot: int,
    done: Merged | None,
) -> Loaded:
    """One row for each day, landing and contract version; untouched when the load changed nothing."""
    ledger, merged = table.ledger, done or Merged(0, 0, 0)
    of_day = ["count(*)", *(measure.sql for measure in table.measures)]
    row = connection.execute(
        f"SELECT {', '.join(of_day)} FROM {table.table} WHERE {table.day} = %s", [extract.day]
    ).fetchone()
    assert row is not None
    key = {
        table.day: extract.day,
        "landing_version": extract.landing_version,
        "contract_version": table.contract.version,
    }
    figures = dict(zip(["day_rows", *(f"day_{m.name}" for m in table.measures)], row, strict=True))
    counts = {
        "inserted_rows": merged.inserted,
        "updated_rows": merged.updated,
        "deleted_rows": merged.deleted,
    }
    where = " AND ".join(f"{name} = %s" for name in key)
    known = connection.execute(f"SELECT 1 FROM {ledger} WHERE {where}", [*key.values()]).fetchone()
    found = connection.execute(
        f"SELECT coalesce(max(load_sequence), 0) + 1 FROM {ledger}"
    ).fetchone()
    assert found is not None
    (sequence,), now = found, side_of(connection).now
    if known is None:
        entry = {
            **key,
            "landing_uri": extract.landing_uri,
            "landed_lines": extract.landed_lines,
            "valid_lines": extract.valid_lines,
            "quarantined_lines": extract.landed_lines - extract.valid_lines,
            **figures,
            **counts,
            "snapshot_id": snapshot,
            "load_sequence": sequence,
        }
        connection.execute(
            f"INSERT INTO {ledger} ({', '.join(entry)}, loaded_at) "
            f"VALUES ({'%s, ' * len(entry)}{now})",
            [*entry.values()],
        )
    elif done is not None:
        changes = [
            *(f"{name} = %s" for name in (*figures, "snapshot_id", "load_sequence")),
            *(f"{name} = {name} + %s" for name in counts),
        ]
        connection.execute(
            f"UPDATE {ledger} SET {', '.join(changes)}, loaded_at = {now} WHERE {where}",
            [*figures.values(), snapshot, sequence, *counts.values(), *key.values()],
        )
    if known is None or done is not None:
        _note_for_who_follows(connection, table, extract.day)
    return Loaded(snapshot, merged.inserted, merged.updated, merged.deleted, figures["day_rows"])
