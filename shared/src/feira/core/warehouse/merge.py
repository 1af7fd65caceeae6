"""Rows into a warehouse table by key: staged, asserted, deleted and merged by one list of statements.

It keeps to what PostgreSQL and Redshift both take. MERGE has no alias on its target, a plain table as
its source, both WHEN clauses and no further condition; DELETE has no alias either. Only the lock, how
the staged rows are filled, how a row is found unchanged and whether equal texts are identical are a
warehouse's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from feira.core.contracts.ddl import Dialect
from feira.core.errors import PermanentError
from feira.core.warehouse.column_types import Target

# Narrower than what either warehouse allows, so that a name can never end its quotes. Redshift takes
# up to 127 bytes; PostgreSQL cuts after 63, and two names could become one.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

STAGED = "staged_rows"
NUMBER = f"{STAGED}_number"
"""Of rows that are numbered or counted beside their own columns."""
Gone = Literal["kept", "absent", "marked"]
# Of the rows of duplicate keys an error names so many.
_NAMED = 4


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

    def require_usable(self, dialect: Dialect = "postgres") -> None:
        """Raises LoadRefusedError for a name that cannot be quoted safely, or columns that contradict: on
        Redshift names have no case, in quotes or not."""
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
        if NUMBER in self.staged_columns:
            raise LoadRefusedError(
                f"{self.table}: a column is named {NUMBER}, which is the load's own. Rename it."
            )
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
        if dialect == "redshift":
            self._without_case().require_usable()

    def _without_case(self) -> Merge:
        key, columns, required = (
            [name.lower() for name in names] for names in (self.key, self.columns, self.required)
        )
        table, mark = self.table.lower(), self.mark.lower()
        return replace(self, table=table, key=key, columns=columns, required=required, mark=mark)

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

    def describe(self, dialect: Dialect = "postgres", table: str = STAGED) -> Statement:
        """The types of the columns of the staged rows, or of another table, as the catalog writes them; on
        PostgreSQL also whether the column's collation is deterministic."""
        collation, source = "", "pg_attribute"
        if dialect == "postgres":
            collation = ", coalesce(collisdeterministic, TRUE)"
            source += " LEFT JOIN pg_collation ON pg_collation.oid = attcollation"
        return Statement(
            "describe",
            f"SELECT attname, format_type(atttypid, atttypmod){collation} FROM {source} "
            f"WHERE attrelid = CAST('{table}' AS REGCLASS) AND attnum > 0 ORDER BY attnum",
        )

    def assertions(self) -> list[Statement]:
        """How many rows are staged, how many of them have a null, how many keys are duplicates."""
        null = " OR ".join(f"{quoted(name)} IS NULL" for name in (*self.key, *self.required))
        key, values = self._distinct()
        return [
            self.count_staged("count staged"),
            Statement("count nulls", f"SELECT count(*) FROM {quoted(STAGED)} WHERE {null}"),
            # A window sorts, and rows mostly come sorted: half the time of hashing them into groups.
            Statement(
                "count duplicates",
                "SELECT count(*) FROM (SELECT row_number() OVER "
                f"(PARTITION BY {key}) AS {NUMBER} FROM {quoted(STAGED)}) AS d WHERE {NUMBER} = 2",
                values,
            ),
        ]

    def _distinct(self) -> tuple[str, tuple[str, ...]]:
        """SQL: what no two staged rows have in common, and its values."""
        key = ", ".join(quoted(name) for name in self.key)
        if self.gone == "marked":
            return f"{key}, coalesce({quoted(self.mark)}, '') = %s", (self.marked_gone,)
        return key, ()

    def duplicates_staged(self) -> Statement:
        """The first keys of which there are several staged rows, as each of the rows has it."""
        key = ", ".join(quoted(name) for name in self.key)
        distinct, values = self._distinct()
        return Statement(
            "duplicates staged",
            f"SELECT {key} FROM (SELECT {key}, count(*) OVER (PARTITION BY {distinct}) AS {NUMBER} "
            f"FROM {quoted(STAGED)}) AS d WHERE {NUMBER} > 1 ORDER BY {key} LIMIT {_NAMED}",
            values,
        )

    def duplicates_there(self) -> list[Statement]:
        """How many of the staged keys the target has in several rows; the first of them."""
        key = ", ".join(self._target(name) for name in self.key)
        names = ", ".join(quoted(name) for name in self.key)
        duplicates = (
            f"FROM (SELECT {key}, row_number() OVER (PARTITION BY {key}) AS {NUMBER} "
            f"FROM {self.target}, {quoted(STAGED)} WHERE {self.same_key()}) AS d WHERE {NUMBER} = 2"
        )
        return [
            Statement("count duplicates there", f"SELECT count(*) {duplicates}"),
            Statement(
                "duplicates there", f"SELECT {names} {duplicates} ORDER BY {names} LIMIT {_NAMED}"
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

    def changes(self, source: str = STAGED, targets: Sequence[Target] = ()) -> list[Statement]:
        """How many rows the source has, how many of them the target has under their key; the merge.

        :param targets: the columns' types. A key of a type whose = is identity is not written again: what
            watches or guards it in the warehouse would take that for another key
        """
        on = self.same_key(source)
        same = {each.column for each in targets if each.column in self.key and each.is_exact()}
        # There is no MATCHED clause without a column to set.
        updated = [name for name in self.columns if name not in same] or self.columns
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

    def drop_unchanged(self, dialect: Dialect, targets: Sequence[Target] = ()) -> Statement:
        """Drops staged rows that the target has already: they are no change, and cost no write."""
        same = self.same_row(dialect, targets)
        sql = f"DELETE FROM {quoted(STAGED)} USING {self.target} WHERE {same}"
        return Statement("drop unchanged", sql)

    def after_staging(
        self, dialect: Dialect = "postgres", targets: Sequence[Target] = ()
    ) -> list[Statement]:
        """All that happens in the warehouse once the rows are staged, in order."""
        return [
            *self.assertions(),
            *self.delete_gone(),
            self.duplicates_there()[0],
            self.drop_unchanged(dialect, targets),
            *self.changes(STAGED, targets),
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

    def same_row(self, dialect: Dialect, targets: Sequence[Target] = ()) -> str:
        """SQL: a row of the target and a staged one are identical, which ``=`` alone does not say: it is true
        of 1 and 1.00 in JSON, of 0 and -0, and on Redshift of texts that differ in trailing blanks.

        :param targets: the columns' types; on Redshift it takes them, without them it compares by ``=``
        """
        if dialect == "postgres":
            staged, there = (
                f"ROW({', '.join(of(name) for name in self.columns)})"
                for of in (partial(_of, STAGED), self._target)
            )
            return f"{self.same_key()} AND record_image_eq({staged}, {there})"
        types = {target.column: target for target in targets}
        identical = [self.same_key()]
        for name in self.columns:
            one, other = _of(STAGED, name), self._target(name)
            same = [f"{one} = {other}"] if name not in self.key else []
            if name in types:
                same += types[name].identical(one, other)
            if same:
                # Written out: Redshift has no IS NOT DISTINCT FROM.
                identical.append(f"({' AND '.join(same)} OR ({one} IS NULL AND {other} IS NULL))")
        return " AND ".join(identical)

    def _target(self, column: str) -> str:
        """A column of the target, by the table's bare name: three-part names are not for MERGE."""
        return _of(self.table.rpartition(".")[2], column)


def quoted(name: str) -> str:
    """A name that was checked, in double quotes."""
    return f'"{name}"'


def _of(table: str, column: str) -> str:
    return f"{quoted(table)}.{quoted(column)}"
