"""Statements run on a connection: what each returned, as PostgreSQL's texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.string import StrDumperUnknown

from redshift_local.loading.files import S3
from redshift_local.loading.transfer import transfer
from redshift_local.translation.translate import Translated

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Column:
    """A column of a result: its type by PostgreSQL's number, and the type's modifier (-1: none)."""

    name: str
    type: int
    modifier: int
    table: int


@dataclass(frozen=True)
class Outcome:
    """``rows`` are texts as PostgreSQL writes them, None where nothing was returned; ``count`` is how many
    rows were returned or changed, -1 where that is not said."""

    columns: tuple[Column, ...]
    rows: list[list[bytes | None]] | None
    count: int


def connect(dsn: str, *, autocommit: bool = True) -> Connection:
    """A session as Redshift's begin: in UTC, no statement prepared behind the caller's back."""
    connection = psycopg.connect(
        dsn, autocommit=autocommit, prepare_threshold=None, cursor_factory=psycopg.RawCursor
    )
    # A text parameter has no type of its own: it takes the one that its place has.
    connection.adapters.register_dumper(str, StrDumperUnknown)
    connection.execute("SET timezone TO 'UTC'")
    connection.execute("SET datestyle TO 'ISO, MDY'")
    if not autocommit:
        connection.commit()
    return connection


def run(
    connection: Connection,
    translated: Translated,
    values: Mapping[str, str] | None = None,
    *,
    dsn: str,
    s3: S3,
) -> Outcome:
    """Runs the statement; the outcome of the first of its parts.

    Raises psycopg.Error, and RedshiftError of COPY and UNLOAD.
    """
    if translated.transfer is not None:
        return Outcome((), None, transfer(connection, dsn, s3, translated))
    given = [(values or {})[name] for name in translated.parameters]
    first: Outcome | None = None
    for statement in translated.statements:
        with connection.cursor() as cursor:
            cursor.execute(statement.encode(), given or None)
            first = first or _outcome(cursor)
    assert first is not None
    return first


def _outcome(cursor: psycopg.Cursor[tuple[Any, ...]]) -> Outcome:
    result = cursor.pgresult
    assert result is not None
    if cursor.description is None:
        return Outcome((), None, cursor.rowcount)
    columns = tuple(
        Column((result.fname(n) or b"").decode(), result.ftype(n), result.fmod(n), result.ftable(n))
        for n in range(result.nfields)
    )
    rows = [[result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)]
    return Outcome(columns, rows, result.ntuples)
