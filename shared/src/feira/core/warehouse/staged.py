"""Runs a merge: stages the rows, asserts what must hold of them, and brings the target to what they say.

On the caller's cursor, and in the transaction that it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from feira.core.contracts.ddl import Dialect
from feira.core.warehouse.column_types import Target
from feira.core.warehouse.merge import STAGED, LoadError, LoadRefusedError, Merge, Statement


@dataclass(frozen=True)
class Staged:
    """What was staged: how many rows, the types of their columns, and in which warehouse."""

    rows: int
    targets: Sequence[Target]
    dialect: Dialect


@dataclass(frozen=True)
class Merged:
    """What a load did to its table, in rows."""

    inserted: int
    updated: int
    deleted: int


def stage(
    cursor: Any,
    merge: Merge,
    fill: Callable[[list[Target]], None],
    rows: int | None,
    origin: str,
    dialect: Dialect = "postgres",
) -> Staged:
    """Fills the staged rows and asserts what must hold of them.

    :param fill: puts the rows into the staged table, given the types of its columns
    :param rows: how many there must be, where that is known
    :param origin: what the rows are of, for messages
    :param dialect: the warehouse's
    :raises LoadError: where there are fewer or more; another try may find them whole
    :raises LoadRefusedError: where a key is a duplicate or a required value is null
    """
    _run(cursor, merge.create_staged())
    _run(cursor, merge.describe(dialect))
    # By their order: Redshift's catalog has all names in lower case.
    described = zip(merge.staged_columns, cursor.fetchall(), strict=True)
    targets = [
        Target(name, type_, dialect == "redshift", *deterministic)
        for name, (_, type_, *deterministic) in described
    ]
    fill(targets)
    found, nulls, duplicates = (_count(cursor, each) for each in merge.assertions())
    if rows is not None and found != rows:
        raise LoadError(
            f"{merge.table}: staged {found} of the {rows} rows of {origin}; the table was not changed. "
            "Retry: were they written again meanwhile?"
        )
    if nulls or duplicates:
        named = f" Duplicates: {_named(cursor, merge.duplicates_staged())}." if duplicates else ""
        raise LoadRefusedError(
            f"{merge.table}: of the {found} rows of {origin}, {duplicates} keys of ({', '.join(merge.key)}) "
            f"are duplicate and {nulls} rows have a null in a required column; the table was not changed. "
            f"Fix what wrote them.{named}"
        )
    return Staged(found, targets, dialect)


def merge_staged(
    cursor: Any, merge: Merge, staged: Staged, *, key_is_enforced: bool = False
) -> Merged:
    """Brings the target to what the staged rows say, and drops them.

    :param key_is_enforced: whether the target itself refuses a second row of a key
    :raises LoadRefusedError: where the target has several rows of a staged key
    """
    deleted = 0
    for statement in merge.delete_gone():
        _run(cursor, statement)
        deleted += cursor.rowcount if statement.name == "delete gone" else 0
    if not key_is_enforced:
        refuse_duplicates_there(cursor, merge)
    _run(cursor, merge.drop_unchanged(staged.dialect, staged.targets))
    inserted, updated = merge_changes(cursor, merge, targets=staged.targets)
    _run(cursor, merge.drop_staged())
    return Merged(inserted, updated, deleted)


def refuse_duplicates_there(cursor: Any, merge: Merge) -> None:
    """Raises LoadRefusedError where the target has several rows of a staged key: which of them the load is to
    change, nobody can say."""
    count, first = merge.duplicates_there()
    if found := _count(cursor, count):
        raise LoadRefusedError(
            f"{merge.table} has several rows of {found} of the keys of ({', '.join(merge.key)}) that are to "
            f"be loaded: {_named(cursor, first)}; the table was not changed. Delete all but one row of each."
        )


def merge_changes(
    cursor: Any, merge: Merge, source: str = STAGED, targets: Sequence[Target] = ()
) -> tuple[int, int]:
    """Merges the rows of a table that has the merge's columns; how many were inserted and updated."""
    *counts, merging = merge.changes(source, targets)
    changes, updated = (_count(cursor, each) for each in counts)
    _run(cursor, merging)
    return changes - updated, updated


def shown(value: object) -> str:
    """A key's value for a message, in ASCII and no longer than a line."""
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else f"{text[:60]}… ({len(str(value)):,} characters)"


def _run(cursor: Any, statement: Statement) -> None:
    cursor.execute(statement.sql, statement.values or None)


def _count(cursor: Any, statement: Statement) -> int:
    """The one number that a statement answers."""
    _run(cursor, statement)
    return int(cursor.fetchone()[0])


def _named(cursor: Any, statement: Statement) -> str:
    """The keys that a statement answers, each of them once."""
    _run(cursor, statement)
    keys = [f"({', '.join(map(shown, row))})" for row in cursor.fetchall()]
    return ", ".join(dict.fromkeys(keys))
