"""Rows into a warehouse table by key: staged, asserted, deleted and merged by one list of statements.

It keeps to what PostgreSQL and Redshift both take. MERGE has no alias on its target, a plain table as
its source, both WHEN clauses and no further condition; DELETE has no alias either. Only the lock, and
how the staged rows are filled, are a warehouse's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from feira.core.contracts.ddl import Dialect
from feira.core.errors import PermanentError
from feira.core.warehouse.column_types import Target

# Narrower than what either warehouse allows, so that a name can never end its quotes. Redshift takes
# up to 127 bytes; PostgreSQL cuts after 63, and two names could become one.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

STAGED = "staged_rows"
Gone = Literal["kept", "absent", "marked"]


class LoadError(RuntimeError):
    """A load was refused before it changed anything; the message names the table and the cause."""


class LoadRefusedError(PermanentError, LoadError):
    """The same, where another try would find the same."""


@dataclass(frozen=True)
class Statement:
    """One SQL statement and its values; ``name`` says what it is for."""

    name: str
    sql: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """What a load did to its table, in rows."""

    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Merge:
    """What a load puts where.

    :param table: ``schema.table``, or a table on the search path
    :param key: the columns that name a row; never null, no duplicates among the staged rows
    :param columns: all columns to load, the key among them, in the order of the files
    :param gone: what becomes of rows that are no more. ``kept``: the rows are an increment, nothing
        is deleted. ``absent``: they are the whole table, what they do not hold is deleted.
        ``marked``: they have one more column, ``mark``, and its value ``marked_gone`` deletes, unless
        the key comes without it too: that row has changed
    :param mark: that column's name; it is not loaded
    :param marked_gone: the value of ``mark`` that deletes a row
    :param required: columns beside the key that are never null
    """

    table: str
    key: Sequence[str]
    columns: Sequence[str]
    gone: Gone = "kept"
    mark: str = "change"
    marked_gone: str = "DELETE"
    required: Sequence[str] = ()

    def require_usable(self) -> None:
        """Raises LoadRefusedError for a name that cannot be quoted safely, or columns that contradict."""
        for name in (*self.table.split("."), *self.columns, *self.key, *self.required, self.mark):
            if not _NAME.fullmatch(name):
                raise LoadRefusedError(
                    f"{self.table}: {name!r} is not a name that a load takes: letters, digits and _, "
                    "at most 63, the first no digit."
                )
        if self.table.count(".") > 1:
            raise LoadRefusedError(f"{self.table!r} has more than schema and table.")
        if self.table.rpartition(".")[2].startswith(STAGED):
            raise LoadRefusedError(f"{self.table}: {STAGED} is the name of the staged rows.")
        if self.gone not in ("kept", "absent", "marked"):
            raise LoadRefusedError(
                f"{self.table}: gone is {self.gone!r}; it may be kept, absent or marked."
            )
        if not self.key:
            raise LoadRefusedError(f"{self.table}: a merge needs a key; name its columns.")
        if len(set(self.columns)) != len(self.columns):
            raise LoadRefusedError(
                f"{self.table}: a column is a duplicate in {list(self.columns)}."
            )
        if missing := [n for n in (*self.key, *self.required) if n not in self.columns]:
            raise LoadRefusedError(
                f"{self.table}: {', '.join(missing)} is of the key or required, and not among the columns."
            )
        if self.gone == "marked" and self.mark in self.columns:
            raise LoadRefusedError(f"{self.table}: {self.mark} marks rows, so it cannot be loaded.")

    @property
    def staged_columns(self) -> list[str]:
        """The columns of the staged rows, in this order."""
        return [*self.columns, self.mark] if self.gone == "marked" else list(self.columns)

    @property
    def target(self) -> str:
        """The table, quoted."""
        return ".".join(quoted(part) for part in self.table.split("."))

    def create_staged(self) -> Statement:
        """An empty temporary table with the target's types for these columns."""
        self.require_usable()
        columns = [quoted(name) for name in self.columns]
        if self.gone == "marked":
            columns.append(f"CAST(NULL AS VARCHAR(64)) AS {quoted(self.mark)}")
        sql = f"CREATE TEMP TABLE {quoted(STAGED)} AS SELECT {', '.join(columns)} FROM {self.target} WHERE 1 = 0"
        return Statement("create staged", sql)

    def describe(self, table: str = STAGED) -> Statement:
        """The types of the columns of the staged rows, or of another table, as the catalog writes them."""
        return Statement(
            "describe",
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = CAST('{table}' AS REGCLASS) AND attnum > 0 ORDER BY attnum",
        )

    def assertions(self) -> list[Statement]:
        """How many rows are staged, how many of them have a null, how many keys are duplicates."""
        null = " OR ".join(f"{quoted(name)} IS NULL" for name in (*self.key, *self.required))
        key = ", ".join(quoted(name) for name in self.key)
        values: tuple[str, ...] = ()
        if self.gone == "marked":
            key, values = f"{key}, coalesce({quoted(self.mark)}, '') = %s", (self.marked_gone,)
        return [
            self.count_staged("count staged"),
            Statement("count nulls", f"SELECT count(*) FROM {quoted(STAGED)} WHERE {null}"),
            # A window sorts, and rows mostly come sorted: half the time of hashing them into groups.
            Statement(
                "count duplicates",
                "SELECT count(*) FROM (SELECT row_number() OVER "
                f"(PARTITION BY {key}) AS number FROM {quoted(STAGED)}) AS d WHERE number = 2",
                values,
            ),
        ]

    def delete_gone(self) -> list[Statement]:
        """Deletes what is no more from the target, and its marks from the staged rows."""
        if self.gone == "kept":
            return []
        if self.gone == "absent":
            sql = (
                f"DELETE FROM {self.target} WHERE NOT EXISTS "
                f"(SELECT 1 FROM {quoted(STAGED)} WHERE {self.same_key()})"
            )
            return [Statement("delete gone", sql)]
        marked = f"{_of(STAGED, self.mark)} = %s"
        also = " AND ".join(f"kept.{quoted(k)} = {_of(STAGED, k)}" for k in self.key)
        return [
            Statement(
                "delete gone",
                f"DELETE FROM {self.target} USING {quoted(STAGED)} WHERE {self.same_key()} "
                f"AND {marked} AND NOT EXISTS (SELECT 1 FROM {quoted(STAGED)} AS kept "
                f"WHERE {also} AND coalesce(kept.{quoted(self.mark)}, '') <> %s)",
                (self.marked_gone, self.marked_gone),
            ),
            # MERGE takes no subquery as its source on Redshift: what it must not see has to go.
            Statement(
                "drop marks", f"DELETE FROM {quoted(STAGED)} WHERE {marked}", (self.marked_gone,)
            ),
        ]

    def changes(self, source: str = STAGED) -> list[Statement]:
        """How many rows the source has, how many of them the target has under their key; the merge."""
        # A table of nothing but its key has nothing to update, and both clauses must stand.
        updated = [name for name in self.columns if name not in self.key] or [self.key[0]]
        on = self.same_key(source)
        return [
            self.count_staged("count changes", source),
            Statement(
                "count updates",
                f"SELECT count(*) FROM {self.target}, {quoted(source)} WHERE {on}",
            ),
            Statement(
                "merge",
                f"MERGE INTO {self.target} USING {quoted(source)} ON {on} "
                f"WHEN MATCHED THEN UPDATE SET "
                f"{', '.join(f'{quoted(name)} = {_of(source, name)}' for name in updated)} "
                f"WHEN NOT MATCHED THEN INSERT ({', '.join(quoted(name) for name in self.columns)}) "
                f"VALUES ({', '.join(_of(source, name) for name in self.columns)})",
            ),
        ]

    def drop_unchanged(self) -> Statement:
        """Drops staged rows that the target has already: they are no change, and cost no write."""
        sql = f"DELETE FROM {quoted(STAGED)} USING {self.target} WHERE {self.same_row()}"
        return Statement("drop unchanged", sql)

    def after_staging(self) -> list[Statement]:
        """All that happens in the warehouse once the rows are staged, in order."""
        return [
            *self.assertions(),
            *self.delete_gone(),
            self.drop_unchanged(),
            *self.changes(),
            self.drop_staged(),
        ]

    def drop_staged(self) -> Statement:
        """Drops the staged rows."""
        return Statement("drop staged", f"DROP TABLE {quoted(STAGED)}")

    def count_staged(self, name: str, source: str = STAGED) -> Statement:
        """How many rows there are now."""
        return Statement(name, f"SELECT count(*) FROM {quoted(source)}")

    def same_key(self, source: str = STAGED) -> str:
        """SQL: a row of the target and one of the source have one key."""
        return " AND ".join(f"{self._target(name)} = {_of(source, name)}" for name in self.key)

    def same_row(self) -> str:
        """SQL: a row of the target and a staged one are equal."""
        # Written out: Redshift has no IS NOT DISTINCT FROM.
        equal = [
            f"({_of(STAGED, name)} = {self._target(name)} "
            f"OR ({_of(STAGED, name)} IS NULL AND {self._target(name)} IS NULL))"
            for name in self.columns
            if name not in self.key
        ]
        return " AND ".join([self.same_key(), *equal])

    def _target(self, column: str) -> str:
        """A column of the target, by the table's bare name: three-part names are not for MERGE."""
        return _of(self.table.rpartition(".")[2], column)


def stage(
    cursor: Any,
    merge: Merge,
    fill: Callable[[list[Target]], None],
    rows: int | None,
    origin: str,
    dialect: Dialect = "postgres",
) -> int:
    """Fills the staged rows and asserts what must hold of them; returns how many they are.

    :param cursor: of the connection whose transaction the load is; so for all of this module
    :param fill: puts the rows into the staged table, given the types of its columns
    :param rows: how many there must be, where that is known
    :param origin: what the rows are of, for messages
    :param dialect: the warehouse's, which says what a text's length counts
    :raises LoadError: where there are fewer or more; another try may find them whole
    :raises LoadRefusedError: where a key is a duplicate or a required value is null
    """
    _run(cursor, merge.create_staged())
    _run(cursor, merge.describe())
    in_bytes = dialect == "redshift"
    fill([Target(column, type_, in_bytes) for column, type_ in cursor.fetchall()])
    found, nulls, duplicates = (_count(cursor, each) for each in merge.assertions())
    if rows is not None and found != rows:
        raise LoadError(
            f"{merge.table}: staged {found} of the {rows} rows of {origin}; the table was not changed. "
            "Retry: were they written again meanwhile?"
        )
    if nulls or duplicates:
        raise LoadRefusedError(
            f"{merge.table}: of the {found} rows of {origin}, {duplicates} keys of ({', '.join(merge.key)}) "
            f"are duplicate and {nulls} rows have a null in a required column; the table was not changed. "
            "Fix what wrote them."
        )
    return found


def merge_staged(cursor: Any, merge: Merge) -> Merged:
    """Brings the target to what the staged rows say, and drops them."""
    deleted = 0
    for statement in merge.delete_gone():
        _run(cursor, statement)
        deleted += cursor.rowcount if statement.name == "delete gone" else 0
    _run(cursor, merge.drop_unchanged())
    inserted, updated = merge_changes(cursor, merge)
    _run(cursor, merge.drop_staged())
    return Merged(inserted, updated, deleted)


def merge_changes(cursor: Any, merge: Merge, source: str = STAGED) -> tuple[int, int]:
    """Merges the rows of a table that has the merge's columns; how many were inserted and updated."""
    *counts, merging = merge.changes(source)
    changes, updated = (_count(cursor, each) for each in counts)
    _run(cursor, merging)
    return changes - updated, updated


def quoted(name: str) -> str:
    """A name that was checked, in double quotes."""
    return f'"{name}"'


def _of(table: str, column: str) -> str:
    return f"{quoted(table)}.{quoted(column)}"


def _run(cursor: Any, statement: Statement) -> None:
    cursor.execute(statement.sql, statement.values or None)


def _count(cursor: Any, statement: Statement) -> int:
    """The one number that a statement answers."""
    _run(cursor, statement)
    return int(cursor.fetchone()[0])
