"""A difference into the warehouse's table, on the caller's connection and in its transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
import pyarrow as pa

from feira.core.published_table import PublishedTable
from feira.core.warehouse.column_types import Target, fit
from feira.core.warehouse.merge import STAGED, Gone, Merge
from feira.core.warehouse.schema import note_all_keys
from feira.core.warehouse.side import Staging, side_of
from feira.core.warehouse.staged import Merged, merge_staged, stage


@dataclass(frozen=True)
class Difference:
    """What changed between the snapshot that the warehouse holds and ``snapshot_id``.

    ``read`` gives its rows, as often as it is asked, of the columns that are asked for: those of the
    table and ``change``, which is ``INSERT`` (the row as it is now) or ``DELETE`` (the row as it was).
    With ``whole`` it is the whole table, all ``INSERT``.
    """

    snapshot_id: int
    whole: bool
    rows: int
    read: Callable[[Sequence[str]], Iterable[pa.RecordBatch]]

    @property
    def origin(self) -> str:
        """What its rows are of, for messages."""
        return f"the difference at snapshot {self.snapshot_id}"


def apply(
    connection: psycopg.Connection,
    table: PublishedTable,
    difference: Difference,
    staging: Staging | None = None,
) -> Merged:
    """Applies all of it, or raises."""
    merge = merge_of(table, whole=difference.whole)
    with connection.cursor() as cursor:
        batches = difference.read(merge.staged_columns)
        fill = partial(_fill, connection, merge, batches, staging)
        side = side_of(connection)
        staged = stage(cursor, merge, fill, difference.rows, difference.origin, side.dialect)
        note_changed_dates(connection, table, whole=difference.whole)
        enforced = side.refuses_breaches(connection, table.table, merge.key, merge.required)
        return merge_staged(cursor, merge, staged, key_is_enforced=enforced)


def merge_of(table: PublishedTable, *, whole: bool) -> Merge:
    """How staged rows of the table are merged."""
    declared = table.contract
    gone: Gone = "absent" if whole else "marked"
    others = [name for name in declared.required_columns if name not in table.key]
    return Merge(table.table, table.key, declared.column_names, gone, required=others)


def _fill(
    connection: psycopg.Connection,
    merge: Merge,
    batches: Iterable[pa.RecordBatch],
    staging: Staging | None,
    targets: list[Target],
) -> None:
    copy_fitting(connection, batches, targets, staging)
    # By no other column are rows looked for, and each costs as much.
    looked_for = [*merge.key, *([merge.mark] if merge.gone == "marked" else [])]
    connection.execute(f"ANALYZE {STAGED} ({', '.join(looked_for)})")


def copy_fitting(
    connection: psycopg.Connection,
    batches: Iterable[pa.RecordBatch],
    targets: list[Target],
    staging: Staging | None,
) -> None:
    """Copies the batches to the staged rows; raises UnfitError for a value that its column does not hold."""
    names = [target.column for target in targets]
    fitting = (fit(batch, targets) for batch in batches)
    side_of(connection).copy(connection, STAGED, names, fitting, staging)


def note_changed_dates(
    connection: psycopg.Connection, table: PublishedTable, *, whole: bool
) -> None:
    """Notes every event date that the load is about to change, before and after, for reconcile; and the
    keys, for who follows the table by them."""
    sources = (STAGED, table.table) if whole else (STAGED,)
    dates = (f"SELECT {table.event_date}, {table.day} FROM {source}" for source in sources)
    note_dates(connection, table, " UNION ".join(dates))
    note_keys(connection, table, whole=whole)


def note_keys(connection: psycopg.Connection, table: PublishedTable, *, whole: bool) -> None:
    """Notes the keys of the staged rows, with their event dates; or of a whole table that all may have changed."""
    if whole:
        note_all_keys(connection, table)
    elif table.noted_key is not None:
        noted = f"{table.noted_key}, {table.event_date}"
        connection.execute(
            f"INSERT INTO {table.changed_keys} ({noted}, load_sequence) "
            f"SELECT DISTINCT {noted}, {next_sequence(table)} FROM {STAGED}"
        )


def note_dates(
    connection: psycopg.Connection, table: PublishedTable, dates: str, values: Sequence[Any] = ()
) -> None:
    """Notes them for reconcile: a query of event dates and extract days, with its values."""
    connection.execute(
        f"INSERT INTO {table.unreconciled} ({table.waiting_date}, {table.day}, load_sequence) "
        f"SELECT DISTINCT d.*, {next_sequence(table)} FROM ({dates}) AS d",
        values or None,
    )


def next_sequence(table: PublishedTable) -> str:
    """SQL: the number of the load that is under way, under the ledger's lock."""
    return f"(SELECT coalesce(max(load_sequence), 0) + 1 FROM {table.ledger})"
