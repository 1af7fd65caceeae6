"""A whole table into the warehouse day by day, for when it refuses a row: only that row's day is held up."""

from __future__ import annotations

import logging
from datetime import date

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from feira.core.errors import PermanentError, Remedy
from feira.core.published_table import PublishedTable
from feira.core.warehouse.apply import Difference, copy_fitting, merge_of, note_changed_dates
from feira.core.warehouse.column_types import Target, UnfitError
from feira.core.warehouse.merge import NUMBER, STAGED, LoadError, Merge
from feira.core.warehouse.side import Staging, among, side_of
from feira.core.warehouse.staged import (
    Merged,
    merge_changes,
    refuse_duplicates_there,
    shown,
    stage,
)

log = logging.getLogger(__name__)

# No table that is loaded has a name that begins so.
_CHANGED, _PART, _TAKEN = (f"{STAGED}_{of}" for of in ("changed", "part", "taken"))


class RowRefusedError(PermanentError, LoadError):
    """The warehouse cannot hold a row of the day that is loaded; the message names day and key."""


def apply_by_day(
    connection: psycopg.Connection,
    table: PublishedTable,
    own: date,
    found: Difference,
    staging: Staging | None = None,
) -> Merged:
    """Brings the warehouse to a whole table, but for the days with a row that it refuses.

    Those days' rows stay as the warehouse has them, and so do the rows of other days that those days' extracts have
    taken over; the days are noted as held, and the keys with them. Raises RowRefusedError where the refused row
    is of the day ``own``, whose load this is.
    """
    if not found.whole:
        raise LoadError(
            f"{table.table}: the warehouse refused a row of {found.origin}, and the lake gave no whole "
            "table to find it in; the warehouse was not changed."
        )
    merge, held = merge_of(table, whole=True), _Held(connection, table, staging)
    with connection.cursor() as cursor:
        copied = 0

        def fill(targets: list[Target]) -> None:
            nonlocal copied
            held.targets = targets
            for batch in found.read(merge.staged_columns):
                copied += batch.num_rows
                held.copy(batch)
            connection.execute(f"ANALYZE {STAGED}")

        staged = stage(cursor, merge, fill, None, found.origin, held.side.dialect)
        if copied != found.rows:
            raise LoadError(
                f"{table.table}: staged {copied} of the {found.rows} rows of {found.origin}; the table "
                "was not changed. Retry."
            )
        if not held.side.refuses_breaches(connection, table.table, merge.key, merge.required):
            refuse_duplicates_there(cursor, merge)
        note_changed_dates(connection, table, whole=True)
        same = merge.same_row(staged.dialect, staged.targets)
        connection.execute(
            f"CREATE TEMP TABLE {_CHANGED} AS SELECT *, row_number() OVER () AS "
            f"{NUMBER} FROM {STAGED} WHERE NOT EXISTS "
            f"(SELECT 1 FROM {merge.target} WHERE {same})"
        )
        inserted, updated = held.merge_days(merge)
        if own in held.days:
            key, cause = held.days[own]
            raise RowRefusedError(
                f"{table.name} {own}: the warehouse refused the row with key {key}: {cause}. The "
                "warehouse was not changed. Have the source fix the row."
            ).fixed_by(Remedy.REFETCH, (table.name, str(own)))
        kept, days = among(table.day, held.days)
        of_held, _ = among(f"{STAGED}.{table.day}", held.days)
        no_more = (
            f"FROM {merge.target} WHERE NOT {kept} AND NOT EXISTS "
            f"(SELECT 1 FROM {STAGED} WHERE {merge.same_key()} AND NOT {of_held})"
        )
        held.note_rows(found, no_more, [*days, *days])
        deleted = cursor.execute(
            f"DELETE {no_more} AND NOT EXISTS "
            f"(SELECT 1 FROM {table.held_rows} AS {_TAKEN} WHERE {merge.same_key(_TAKEN)})",
            [*days, *days],
        ).rowcount
        for each in (STAGED, _CHANGED):
            connection.execute(f"DROP TABLE {each}")
    held.note()
    return Merged(inserted, updated, deleted)


class _Held:
    """The days with a refused row, each with that row's key and the cause."""

    def __init__(
        self, connection: psycopg.Connection, table: PublishedTable, staging: Staging | None
    ) -> None:
        self.connection = connection
        self.side = side_of(connection)
        self.staging = staging
        self.table = table
        self.targets: list[Target] = []
        self.days: dict[date, tuple[str, str]] = {}

    def copy(self, batch: pa.RecordBatch) -> None:
        """Copies the rows that the table takes, and notes the days of the others.

        Of a day that is refused already no more rows are tried: one is enough to hold it, and a day
        of refused rows would cost a savepoint for each.
        """
        table = self.table
        if self.days:
            batch = batch.filter(pc.invert(self._are_held(batch)))
        if not batch.num_rows:
            return
        try:
            with self.side.undone_when_refused(self.connection):
                copy_fitting(self.connection, [batch], self.targets, self.staging)
            return
        except self.side.refused as error:
            if batch.num_rows == 1:
                (row,) = batch.select(list(dict.fromkeys([*table.key, table.day]))).to_pylist()
                key = ", ".join(shown(row[name]) for name in table.key)
                self.days[row[table.day]] = (key, _cause(error))
                return
        half = batch.num_rows // 2
        for part in (batch.slice(0, half), batch.slice(half)):
            self.copy(part)

    def merge_days(self, merge: Merge) -> tuple[int, int]:
        """Merges what changed, each day by itself; rows inserted and updated."""
        found = self.connection.execute(f"SELECT DISTINCT {self.table.day} FROM {_CHANGED}")
        inserted = updated = 0
        for day in sorted(row[0] for row in found):
            if day in self.days:
                continue
            where = f"{self.table.day} = DATE '{day.isoformat()}'"
            done = self._try_merge(merge, where)
            if isinstance(done, tuple):
                inserted, updated = inserted + done[0], updated + done[1]
            else:
                self.days[day] = (self._refused_key(merge, where), _cause(done))
        return inserted, updated

    def _try_merge(self, merge: Merge, where: str) -> tuple[int, int] | Exception:
        """Merges those of the changed rows, in a savepoint: what was done, or why none was."""
        try:
            with (
                self.side.undone_when_refused(self.connection),
                self.connection.cursor() as cursor,
            ):
                cursor.execute(
                    f"CREATE TEMP TABLE {_PART} AS SELECT * FROM {_CHANGED} WHERE {where}"
                )
                counts = merge_changes(cursor, merge, _PART, self.targets)
                cursor.execute(f"DROP TABLE {_PART}")
                return counts
        except self.side.refused as error:
            return error

    def _refused_key(self, merge: Merge, where: str) -> str:
        """The first key among those rows that is refused by itself, by halving."""
        query = f"SELECT {NUMBER} FROM {_CHANGED} WHERE {where} ORDER BY {NUMBER}"
        numbers = [row[0] for row in self.connection.execute(query).fetchall()]
        while len(numbers) > 1:
            first = numbers[: len(numbers) // 2]
            with self.connection.transaction(force_rollback=True):
                between = f"{where} AND {NUMBER} BETWEEN {first[0]} AND {first[-1]}"
                tried = self._try_merge(merge, between)
            numbers = numbers[len(first) :] if isinstance(tried, tuple) else first
        key = ", ".join(self.table.key)
        row = self.connection.execute(
            f"SELECT {key} FROM {_CHANGED} WHERE {NUMBER} = %s", [numbers[0]]
        ).fetchone()
        assert row is not None
        return ", ".join(map(shown, row))

    def _are_held(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        days = pa.array(list(self.days), pa.date32())
        return pc.is_in(batch.column(self.table.day), value_set=days)

    def note_rows(self, found: Difference, no_more: str, values: list[date]) -> None:
        """Writes down which of the rows that the lake has no more, but for held days, a held day has taken over.

        ``no_more`` is SQL after SELECT, with its values. Those rows' keys are in memory.
        """
        key, kept = self.table.key, self.table.held_rows
        self.connection.execute(f"DELETE FROM {kept}")
        if not self.days:
            return
        gone = {*self.connection.execute(f"SELECT {', '.join(key)} {no_more}", values)}
        if not gone:
            return
        taken = {
            row
            for batch in found.read([*key, self.table.day])
            for held in [batch.filter(self._are_held(batch))]
            for row in zip(*(held.column(name).to_pylist() for name in key), strict=True)
            if row in gone
        }
        with self.connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {kept} ({', '.join(key)}) VALUES ({', '.join(['%s'] * len(key))})",
                sorted(taken),
            )

    def note(self) -> None:
        """Writes down the days that are held now, and forgets those that no longer are."""
        day, kept = self.table.day, self.table.held_days
        still, days = among(day, self.days)
        self.connection.execute(f"DELETE FROM {kept} WHERE NOT {still}", days)
        for each, (key, cause) in self.days.items():
            log.warning(
                "%s %s is held: the warehouse refused key %s: %s", self.table.name, each, key, cause
            )
            known = self.connection.execute(
                f"UPDATE {kept} SET row_key = %s, reason = %s WHERE {day} = %s", [key, cause, each]
            )
            if not known.rowcount:
                self.connection.execute(
                    f"INSERT INTO {kept} ({day}, row_key, reason) VALUES (%s, %s, %s)",
                    [each, key, cause],
                )


def _cause(error: Exception) -> str:
    if isinstance(error, UnfitError):
        # Without the value: the key names the row, and what is in it may be confidential.
        return f"{error.column}: {error.cause}"
    reason = error.diag.message_primary if isinstance(error, psycopg.Error) else str(error)
    return reason or type(error).__name__
