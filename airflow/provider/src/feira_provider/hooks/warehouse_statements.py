"""The SQL of a load into a warehouse table: one list of statements for PostgreSQL and for Redshift.

It keeps to what both accept. MERGE has no alias on its target, a plain table as its source, both WHEN
clauses and no further condition; DELETE has no alias either. Only staging the rows differs, and that is
the sides' own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from airflow.sdk.exceptions import AirflowFailException

# Narrower than what either warehouse allows, so that a name can never end its quotes. Redshift takes
# up to 127 bytes; PostgreSQL cuts after 63, and two names could become one.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

STAGED = "staged_rows"
DESCRIBE = "describe staged"
Gone = Literal["kept", "absent", "marked"]


class WarehouseError(RuntimeError):
    """A load was refused before it changed anything; the message names the table and the cause."""


class WarehouseRefusedError(WarehouseError, AirflowFailException):
    """The same, where another try would find the same: Airflow does not retry the task."""


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
    :param gone: what becomes of rows that are no more. ``kept``: the files are an increment, nothing
        is deleted. ``absent``: the files are the whole table, what they do not hold is deleted.
        ``marked``: the files have one more column, ``mark``, and its value ``marked_gone`` deletes
    :param mark: that column's name; it is not loaded
    :param marked_gone: the value of ``mark`` that deletes a row
    """

    table: str
    key: Sequence[str]
    columns: Sequence[str]
    gone: Gone = "kept"
    mark: str = "change"
    marked_gone: str = "DELETE"

    def __post_init__(self) -> None:
        """Raises WarehouseRefusedError for a name that cannot be quoted safely, or columns that contradict."""
        for name in (*self.table.split("."), *self.columns, *self.key, self.mark):
            if not _NAME.fullmatch(name):
                raise WarehouseRefusedError(
                    f"{self.table}: {name!r} is not a name that a load takes: letters, digits and _, "
                    "at most 63, the first no digit."
                )
        if self.table.count(".") > 1:
            raise WarehouseRefusedError(f"{self.table!r} has more than schema and table.")
        if self.table.rpartition(".")[2] == STAGED:
            raise WarehouseRefusedError(f"{self.table}: {STAGED} is the name of the staged rows.")
        if self.gone not in ("kept", "absent", "marked"):
            raise WarehouseRefusedError(
                f"{self.table}: gone is {self.gone!r}; it may be kept, absent or marked."
            )
        if not self.key:
            raise WarehouseRefusedError(f"{self.table}: a merge needs a key; name its columns.")
        if len(set(self.columns)) != len(self.columns):
            raise WarehouseRefusedError(
                f"{self.table}: a column is a duplicate in {list(self.columns)}."
            )
        if missing := [name for name in self.key if name not in self.columns]:
            raise WarehouseRefusedError(
                f"{self.table}: key {', '.join(missing)} is not among the columns."
            )
        if self.gone == "marked" and self.mark in self.columns:
            raise WarehouseRefusedError(
                f"{self.table}: {self.mark} marks rows, so it cannot be loaded."
            )

    @property
    def file_columns(self) -> list[str]:
        """The columns that each file must have, in this order."""
        return [*self.columns, self.mark] if self.gone == "marked" else list(self.columns)

    @property
    def target(self) -> str:
        """The table, quoted."""
        return ".".join(quoted(part) for part in self.table.split("."))

    def create_staged(self) -> Statement:
        """An empty temporary table with the target's types for these columns."""
        columns = [quoted(name) for name in self.columns]
        if self.gone == "marked":
            columns.append(f"CAST(NULL AS VARCHAR(64)) AS {quoted(self.mark)}")
        sql = f"CREATE TEMP TABLE {quoted(STAGED)} AS SELECT {', '.join(columns)} FROM {self.target} WHERE 1 = 0"
        return Statement("create staged", sql)

    def describe_staged(self) -> Statement:
        """The types of its columns, as the catalog writes them."""
        return Statement(
            DESCRIBE,
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = CAST('{STAGED}' AS REGCLASS) AND attnum > 0 ORDER BY attnum",
        )

    def drop_staged(self) -> Statement:
        """Ends the temporary table: the session may be used again."""
        return Statement("drop staged", f"DROP TABLE {quoted(STAGED)}")

    def count_staged(self, name: str = "count staged") -> Statement:
        """How many rows are staged now."""
        return Statement(name, f"SELECT count(*) FROM {quoted(STAGED)}")

    def after_staging(self) -> list[Statement]:
        """All that happens in the warehouse once the rows are staged, in order."""
        gone = self.count_gone()
        return [
            self.count_staged(),
            *self.count_unusable(),
            *([gone] if gone else []),
            *self.delete_gone(),
            self.drop_unchanged(),
            self.count_staged("count changes"),
            self.count_updates(),
            self.merge(),
            self.drop_staged(),
        ]

    def count_unusable(self) -> list[Statement]:
        """How many staged keys are null, and how many are duplicates: both must be none."""
        null = " OR ".join(f"{quoted(name)} IS NULL" for name in self.key)
        keys = ", ".join(quoted(name) for name in self.key)
        return [
            Statement("count null keys", f"SELECT count(*) FROM {quoted(STAGED)} WHERE {null}"),
            Statement(
                "count repeated keys",
                f"SELECT count(*) FROM (SELECT {keys} FROM {quoted(STAGED)} GROUP BY {keys} "
                "HAVING count(*) > 1) AS repeated",
            ),
        ]

    def count_gone(self) -> Statement | None:
        """How many rows of the target the load will delete; None where it deletes none."""
        if self.gone == "kept":
            return None
        if self.gone == "absent":
            sql = f"SELECT count(*) FROM {self.target} WHERE NOT EXISTS ({self._same_key()})"
            return Statement("count gone", sql)
        return Statement(
            "count gone",
            f"SELECT count(*) FROM {self.target}, {quoted(STAGED)} "
            f"WHERE {self._on()} AND {_staged(self.mark)} = %s",
            (self.marked_gone,),
        )

    def delete_gone(self) -> list[Statement]:
        """Deletes what is no more from the target, and its marks from the staged rows."""
        if self.gone == "kept":
            return []
        if self.gone == "absent":
            sql = f"DELETE FROM {self.target} WHERE NOT EXISTS ({self._same_key()})"
            return [Statement("delete gone", sql)]
        marked = f"{_staged(self.mark)} = %s"
        return [
            Statement(
                "delete gone",
                f"DELETE FROM {self.target} USING {quoted(STAGED)} WHERE {self._on()} AND {marked}",
                (self.marked_gone,),
            ),
            # MERGE takes no subquery as its source on Redshift: what it must not see has to go.
            Statement(
                "drop marks", f"DELETE FROM {quoted(STAGED)} WHERE {marked}", (self.marked_gone,)
            ),
        ]

    def drop_unchanged(self) -> Statement:
        """Drops staged rows that the target has already: they are no change, and cost no write."""
        # Written out: Redshift has no IS NOT DISTINCT FROM.
        equal = [
            f"({_staged(name)} = {self._of(name)} OR ({_staged(name)} IS NULL AND {self._of(name)} IS NULL))"
            for name in self.columns
            if name not in self.key
        ]
        where = " AND ".join([self._on(), *equal])
        sql = f"DELETE FROM {quoted(STAGED)} USING {self.target} WHERE {where}"
        return Statement("drop unchanged", sql)

    def count_updates(self) -> Statement:
        """How many staged rows the target has under their key."""
        sql = f"SELECT count(*) FROM {self.target}, {quoted(STAGED)} WHERE {self._on()}"
        return Statement("count updates", sql)

    def merge(self) -> Statement:
        """Updates the rows that the target has, inserts the others."""
        # A table of nothing but its key has nothing to update, and both clauses must stand.
        updated = [name for name in self.columns if name not in self.key] or [self.key[0]]
        return Statement(
            "merge",
            f"MERGE INTO {self.target} USING {quoted(STAGED)} ON {self._on()} "
            f"WHEN MATCHED THEN UPDATE SET "
            f"{', '.join(f'{quoted(name)} = {_staged(name)}' for name in updated)} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(quoted(name) for name in self.columns)}) "
            f"VALUES ({', '.join(_staged(name) for name in self.columns)})",
        )

    def _on(self) -> str:
        return " AND ".join(f"{self._of(name)} = {_staged(name)}" for name in self.key)

    def _same_key(self) -> str:
        return f"SELECT 1 FROM {quoted(STAGED)} WHERE {self._on()}"

    def _of(self, column: str) -> str:
        """A column of the target, by the table's bare name: three-part names are not for MERGE."""
        return f"{quoted(self.table.rpartition('.')[2])}.{quoted(column)}"


def quoted(name: str) -> str:
    """A name that was checked, in double quotes."""
    return f'"{name}"'


def _staged(column: str) -> str:
    return f"{quoted(STAGED)}.{quoted(column)}"
