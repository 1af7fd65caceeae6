"""A difference straight into a table whose constraints assert its rows: what was is deleted, what is copied.

Each row is written once, many by one entry of the server's log, and read by nobody before it is there: half
the time of staging, asserting and merging it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from feira.core.published_table import PublishedTable
from feira.core.warehouse.apply import (
    Difference,
    merge_of,
    next_sequence,
    note_dates,
    note_keys,
)
from feira.core.warehouse.column_types import Target, fit
from feira.core.warehouse.copy_rows import copy_rows
from feira.core.warehouse.merge import STAGED, Merge
from feira.core.warehouse.side import side_of
from feira.core.warehouse.staged import Merged


class _UnlikeError(Exception):
    """The difference has not the rows that it announces, or the warehouse not those that it removes."""


def apply_straight(
    connection: psycopg.Connection, table: PublishedTable, difference: Difference
) -> Merged | None:
    """Applies all of it; None, with nothing changed, where that takes staged rows.

    So it does where the table has not the constraints, or rows that a whole table takes the place of; and where
    something follows its rows, to which a row that was deleted and copied anew is not one that was updated. And
    where the difference or the table is not as it must be: of staged rows it can be said what is wrong with
    them, and a merge brings a table that differs from its ledger to where it should be.
    """
    merge, side = merge_of(table, whole=False), side_of(connection)
    if not side.refuses_breaches(connection, table.table, merge.key, merge.required):
        return None
    takes_staging = _has_rows if difference.whole else _is_followed
    if takes_staging(connection, table):
        return None
    try:
        with side.undone_when_refused(connection):
            return _applied(connection, table, merge, difference)
    except (psycopg.IntegrityError, _UnlikeError):
        return None


def _applied(
    connection: psycopg.Connection, table: PublishedTable, merge: Merge, difference: Difference
) -> Merged:
    dates = (table.event_date, table.day)
    were = Merge(table.table, merge.key, [*dict.fromkeys((*merge.key, *dates))])
    same_key = merge.same_key()
    deleted = updated = 0
    with connection.cursor() as cursor:

        def put(into: str, columns: list[str], rows: Iterable[pa.RecordBatch]) -> int:
            described = cursor.execute(merge.describe(table=into).sql).fetchall()
            types = {name: type_ for name, type_, _ in described}
            targets = [Target(name, types[name]) for name in columns]
            fitting = (fit(batch, targets) for batch in rows)
            return copy_rows(connection, into, columns, fitting)

        cursor.execute(were.create_staged().sql)
        gone = 0
        if not difference.whole:
            gone = put(STAGED, [*were.columns], _rows(difference, merge, were.columns, gone=True))
        if gone:
            cursor.execute(f"ANALYZE {STAGED}")
            deleted = cursor.execute(
                f"DELETE FROM {merge.target} USING {STAGED} WHERE {same_key}"
            ).rowcount
        seen = _Seen(dates, None if difference.whole else table.noted_key)
        rows = seen.passing(_rows(difference, merge, merge.columns, gone=False))
        there = put(merge.target, [*merge.columns], rows)
        if deleted != gone or gone + there != difference.rows:
            raise _UnlikeError
        if gone:
            (updated,) = cursor.execute(
                f"SELECT count(*) FROM {merge.target}, {STAGED} WHERE {same_key}"
            ).fetchone() or (0,)
        note_dates(
            connection,
            table,
            f"SELECT {', '.join(dates)} FROM {STAGED} UNION SELECT * FROM unnest(%s::date[], %s::date[])",
            seen.columns,
        )
        note_keys(connection, table, whole=difference.whole)
        if seen.keys:
            row = cursor.execute(f"SELECT {next_sequence(table)}").fetchone()
            assert row is not None
            noted = seen.noted(row[0])
            put(table.changed_keys, noted.column_names, noted.to_batches())
        cursor.execute(merge.drop_staged().sql)
    return Merged(there - updated, updated, deleted - updated)


def _rows(
    difference: Difference, merge: Merge, columns: Iterable[str], *, gone: bool
) -> Iterator[pa.RecordBatch]:
    """Those columns of the rows that were, or of those that are."""
    for batch in difference.read([*columns, merge.mark]):
        marked = pc.equal(batch.column(merge.mark), merge.marked_gone)
        taken = marked if gone else pc.invert(marked)
        if pc.any(taken).as_py():
            yield batch if pc.all(taken).as_py() else batch.filter(taken)


@dataclass
class _Seen:
    """The distinct pairs of two dates in batches that pass; and those of a key, where one is named, and the
    first of the dates."""

    names: tuple[str, str]
    key: str | None
    pairs: set[tuple[date, date]] = field(default_factory=set)
    keys: list[pa.Table] = field(default_factory=list)

    def passing(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches as they are."""
        names = [*dict.fromkeys(self.names)]
        for batch in batches:
            yield batch
            # Once it was taken: a date that no Python reads has been refused by then.
            found = pa.table(batch.select(names)).group_by(names).aggregate([])
            self.pairs.update(zip(*(found[name].to_pylist() for name in self.names), strict=True))
            if self.key is not None:
                noted = [self.key, self.names[0]]
                self.keys.append(pa.table(batch.select(noted)).group_by(noted).aggregate([]))

    def noted(self, load_sequence: int) -> pa.Table:
        """The keys with their dates, and the load."""
        keys = pa.concat_tables(self.keys)
        keys = keys.group_by(keys.column_names).aggregate([])
        sequence = pa.repeat(pa.scalar(load_sequence, pa.int64()), keys.num_rows)
        return keys.append_column("load_sequence", sequence)

    @property
    def columns(self) -> list[list[date]]:
        """The first of each pair, and the second."""
        return [[pair[at] for pair in self.pairs] for at in (0, 1)]


def _has_rows(connection: psycopg.Connection, table: PublishedTable) -> bool:
    return connection.execute(f"SELECT 1 FROM {table.table} LIMIT 1").fetchone() is not None


def _is_followed(connection: psycopg.Connection, table: PublishedTable) -> bool:
    """Whether a row that is deleted takes rows of another table with it, or runs somebody's trigger."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_constraint WHERE confrelid = t AND confdeltype IN ('c', 'n', 'd')) "
        "OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t AND NOT tgisinternal AND tgenabled <> 'D') "
        "FROM to_regclass(%s) AS t",
        [table.table],
    ).fetchone()
    return bool(row and row[0])
