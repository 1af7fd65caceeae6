"""A whole table into the warehouse day by day, for when it refuses a row: only that row's day is held up."""

from __future__ import annotations

import logging
from datetime import date

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from feira.core.contracts import Contract
from feira.core.warehouse.apply import (
    FACT,
    REFUSED,
    Difference,
    LoadError,
    RowRefusedError,
    assert_staged,
    create_staged,
    is_equal,
    merge,
    shown,
)
from feira.core.warehouse.copy_rows import copy_rows
from feira.core.warehouse.schema import HELD_DAYS, UNRECONCILED

log = logging.getLogger(__name__)


def apply_by_day(
    connection: psycopg.Connection, declared: Contract, own: date, found: Difference
) -> tuple[int, int, int]:
    """Brings the warehouse to a whole table, but for the days with a row that it refuses.

    Those days' rows stay as the warehouse has them, and the days are noted in ``sales.held_days``.
    Returns rows inserted, updated and deleted; raises RowRefusedError where the refused row is of
    the day ``own``, whose load this is.
    """
    if not found.whole:
        raise LoadError(
            f"The warehouse refused a row of the difference at snapshot {found.snapshot_id}, and "
            "the lake gave no whole table to find it in; the warehouse was not changed."
        )
    create_staged(connection, declared)
    refused: dict[date, tuple[str, str]] = {}
    columns = [*declared.column_names, "change"]
    copied = 0
    for batch in found.batches:
        _copy_accepted(connection, declared, columns, batch, refused)
        copied += batch.num_rows
    connection.execute("ANALYZE staged")
    assert_staged(connection, declared, found, copied)
    sequence = "(SELECT coalesce(max(load_sequence), 0) + 1 FROM sales.load_ledger)"
    connection.execute(
        f"INSERT INTO {UNRECONCILED} (order_date, extract_day, load_sequence) "
        f"SELECT order_date, extract_day, {sequence} FROM {FACT} "
        f"UNION SELECT order_date, extract_day, {sequence} FROM staged"
    )
    on = " AND ".join(f"{FACT}.{name} = s.{name}" for name in declared.primary_key)
    connection.execute(
        "CREATE TEMP TABLE changed ON COMMIT DROP AS SELECT s.*, row_number() OVER () AS number "
        f"FROM staged s WHERE NOT EXISTS (SELECT 1 FROM {FACT} WHERE {on} AND {is_equal(declared)})"
    )
    days = [r[0] for r in connection.execute("SELECT DISTINCT extract_day FROM changed").fetchall()]
    inserted = updated = 0
    for day in sorted(days, key=lambda each: (each != own, each)):
        if day in refused:
            continue
        where = f"extract_day = DATE '{day.isoformat()}'"
        error = _try_merge(connection, declared, where)
        if isinstance(error, tuple):
            inserted, updated = inserted + error[0], updated + error[1]
        else:
            refused[day] = (_refused_key(connection, declared, where), _cause(error))
    if own in refused:
        key, cause = refused[own]
        raise RowRefusedError(
            f"sales {own}: the warehouse refused the row with key {key}: {cause}. The warehouse was "
            "not changed. Have the source fix the row, then run the day with `--refetch`."
        )
    held = list(refused)
    deleted = connection.execute(
        f"DELETE FROM {FACT} WHERE extract_day <> ALL(%s::date[]) AND NOT EXISTS "
        f"(SELECT 1 FROM staged s WHERE {on} AND s.extract_day <> ALL(%s::date[]))",
        [held, held],
    ).rowcount
    connection.execute(f"DELETE FROM {HELD_DAYS} WHERE extract_day <> ALL(%s::date[])", [held])
    for day, (key, cause) in refused.items():
        log.warning("sales %s is held: the warehouse refused key %s: %s", day, key, cause)
        connection.execute(
            f"INSERT INTO {HELD_DAYS} (extract_day, row_key, reason) VALUES (%s, %s, %s) "
            "ON CONFLICT (extract_day) DO UPDATE SET row_key = excluded.row_key, "
            "reason = excluded.reason",
            [day, key, cause],
        )
    return inserted, updated, deleted


def _copy_accepted(
    connection: psycopg.Connection,
    declared: Contract,
    columns: list[str],
    batch: pa.RecordBatch,
    refused: dict[date, tuple[str, str]],
) -> None:
    """Copies the rows that the table takes, and notes the days of the others.

    Of a day that is refused already no more rows are tried: one is enough to hold it, and a day of
    refused rows would cost a savepoint for each.
    """
    if refused:
        days = pa.array(list(refused), pa.date32())
        batch = batch.filter(pc.invert(pc.is_in(batch.column("extract_day"), value_set=days)))
    if not batch.num_rows:
        return
    try:
        with connection.transaction():
            copy_rows(connection, "staged", columns, [batch])
        return
    except REFUSED as error:
        if batch.num_rows == 1:
            (row,) = batch.select([*declared.primary_key, "extract_day"]).to_pylist()
            key = ", ".join(shown(row[name]) for name in declared.primary_key)
            refused[row["extract_day"]] = (key, _cause(error))
            return
    half = batch.num_rows // 2
    for part in (batch.slice(0, half), batch.slice(half)):
        _copy_accepted(connection, declared, columns, part, refused)


def _try_merge(
    connection: psycopg.Connection, declared: Contract, where: str
) -> tuple[int, int] | psycopg.Error:
    """Merges those rows of ``changed``, in a savepoint: what was done, or why none was."""
    try:
        with connection.transaction():
            connection.execute(
                f"CREATE TEMP TABLE part ON COMMIT DROP AS SELECT * FROM changed WHERE {where}"
            )
            counts = merge(connection, declared, "part")
            connection.execute("DROP TABLE part")
            return counts
    except REFUSED as error:
        return error


def _refused_key(connection: psycopg.Connection, declared: Contract, where: str) -> str:
    """The first key among those rows that is refused by itself, by halving."""
    query = f"SELECT number FROM changed WHERE {where} ORDER BY number"
    numbers = [row[0] for row in connection.execute(query).fetchall()]
    while len(numbers) > 1:
        first = numbers[: len(numbers) // 2]
        with connection.transaction(force_rollback=True):
            tried = _try_merge(
                connection, declared, f"{where} AND number BETWEEN {first[0]} AND {first[-1]}"
            )
        numbers = numbers[len(first) :] if isinstance(tried, tuple) else first
    row = connection.execute(
        f"SELECT {', '.join(declared.primary_key)} FROM changed WHERE number = %s", [numbers[0]]
    ).fetchone()
    assert row is not None
    return ", ".join(map(shown, row))


def _cause(error: psycopg.Error) -> str:
    return error.diag.message_primary or type(error).__name__
