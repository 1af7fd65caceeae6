"""COPY into a table: rows are staged as texts, those that do not fit are load errors, the rest is inserted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from redshift_local.loading.files import S3, read, read_one
from redshift_local.loading.rows import Column, Row, json_paths, rows
from redshift_local.translation.copying import Copy
from redshift_local.translation.errors import RedshiftError

_STAGE = sql.Identifier("pg_temp", "redshift stage")
Connection = psycopg.Connection[tuple[Any, ...]]
# A row with, in its place, the value that did not fit; the column's name and type; a number and a reason.
Fault = tuple[Row, str, str, tuple[int, str]]


def load(connection: Connection, dsn: str, s3: S3, copy: Copy) -> int:
    """Runs the COPY in the connection's transaction, or in one of its own; how many rows were loaded.

    Raises RedshiftError when files or rows are not as they must be, and then nothing was loaded. The
    errors of rows are in ``redshift.load_errors``, committed by a connection to ``dsn`` of its own.
    """
    connection.execute("SELECT 1")
    alone = connection.autocommit and (
        connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    )
    if alone:
        connection.execute("BEGIN")
    try:
        count = _load(connection, dsn, s3, copy)
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_STAGE))
    except BaseException:
        if alone:
            connection.execute("ROLLBACK")
        raise
    if alone:
        connection.execute("COMMIT")
    return count


def _load(connection: Connection, dsn: str, s3: S3, copy: Copy) -> int:
    columns = _columns(connection, copy)
    staged, faults = _readable(copy, _rows(s3, copy, columns), columns)
    _stage(connection, staged, columns, copy)
    bad = _bad(connection, columns, copy)
    faults += [
        (staged_row, column.name, column.type, (number, reason))
        for staged_row, column, number, reason in bad
    ]
    if faults:
        _note(dsn, connection.info.user, copy, faults)
    lines = {(row.url, row.line) for row, *_ in faults}
    if len(lines) > copy.max_error:
        raise RedshiftError(
            f"Load into table '{copy.table[-1]}' failed.  Check 'stl_load_errors' system table for details.",
            sqlstate="XX000",
            hint=f"{faults[0][3][1]} ({faults[0][0].url}, line {faults[0][0].line})",
        )
    table = sql.Identifier(*copy.table)
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    values = sql.SQL(", ").join(
        sql.SQL("{}::{}").format(_fitted(copy, n, column), _raw(column.type))
        for n, column in enumerate(columns)
    )
    insert = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} WHERE NOT bad ORDER BY number").format(
        table, names, values, _STAGE
    )
    return connection.execute(insert).rowcount


def _raw(text: str) -> sql.SQL:
    """SQL of this module's own, or of PostgreSQL's catalogue."""
    return sql.SQL(text)


def _columns(connection: Connection, copy: Copy) -> list[Column]:
    """Columns that are loaded, in the order of the files' fields. RedshiftError where there is no such."""
    # As regclass reads a name, which is the form of an identifier too.
    name = sql.Identifier(*copy.table).as_string()
    found = {
        row[0]: Column(*row[:4])
        for row in connection.execute(
            sql.SQL(
                "SELECT attname, format_type(atttypid, atttypmod), atttypmod - 4, attnotnull"
                " FROM pg_attribute WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped"
                " AND (attidentity <> 'a') ORDER BY attnum"
            ).format(sql.Literal(name))
        )
    }
    missing = [column for column in copy.columns if column not in found]
    if missing:
        raise RedshiftError(
            f'column "{missing[0]}" of relation "{copy.table[-1]}" does not exist', sqlstate="42703"
        )
    return [found[column] for column in copy.columns] if copy.columns else list(found.values())


def _rows(s3: S3, copy: Copy, columns: Sequence[Column]) -> list[Row]:
    files = read(s3, copy)
    if copy.format == "PARQUET":
        from redshift_local.loading.parquet import parquet_rows

        return [row for file in files for row in parquet_rows(file, columns)]
    paths: list[str] = []
    if copy.format == "JSON" and copy.json not in ("auto", "auto ignorecase"):
        paths = json_paths(read_one(s3, copy, copy.json), len(columns))
    return [row for file in files for row in rows(copy, file, columns, paths)]


def _readable(
    copy: Copy, found: Sequence[Row], columns: Sequence[Column]
) -> tuple[list[Row], list[Fault]]:
    """The rows, with their times of an epoch as PostgreSQL reads them, and the faults of the others."""
    rows: list[Row] = []
    faults: list[Fault] = []
    for each in found:
        row = replace(each, raw=_storable(each.raw))
        if row.fault:
            faults.append((row, "", "", row.fault))
            continue
        values = []
        for value, column in zip(row.values, columns, strict=True):
            try:
                values.append(_read(copy, value, column))
            except _UnreadableError as error:
                shown = replace(row, values=(_storable(value or ""),))
                faults.append((shown, column.name, column.type, (error.number, str(error))))
                break
        else:
            rows.append(replace(row, values=tuple(values)))
    return rows, faults


class _UnreadableError(ValueError):
    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


def _storable(text: str) -> str:
    """The text with what PostgreSQL has no character for written out."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def _read(copy: Copy, value: str | None, column: Column) -> str | None:
    if value is None:
        return None
    if _storable(value) != value:
        raise _UnreadableError(1220, "String contains invalid or unsupported UTF8 codepoints")
    if not copy.time.startswith("epoch") or not column.type.startswith("timestamp"):
        return value
    try:
        if not re.fullmatch(r"\s*[+-]?\d+(\.\d*)?\s*", value):
            raise ValueError(value)
        seconds = float(value) / (1000 if copy.time == "epochmillisecs" else 1)
        return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ")
    except (ValueError, OverflowError, OSError):
        number, reason = _KINDS["timestamp"]
        raise _UnreadableError(number, f"{reason}, Value '{value}'") from None


def _stage(
    connection: Connection, staged: Sequence[Row], columns: Sequence[Column], copy: Copy
) -> None:
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_STAGE))
    texts = "".join(f", c{n} text" for n in range(len(columns)))
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE {} (number int, bad boolean, url text, line int, raw text{})"
        ).format(sql.Identifier("redshift stage"), _raw(texts))
    )
    statement = sql.SQL("COPY {} FROM STDIN").format(_STAGE).as_string()
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as into:
        for number, row in enumerate(staged):
            into.write_row((number, False, row.url, row.line, row.raw, *row.values))
    for n, column in enumerate(columns):
        if copy.truncates and column.character:
            connection.execute(
                sql.SQL("UPDATE {} SET {c} = redshift.left_bytes({c}, {size})").format(
                    _STAGE, c=sql.Identifier(f"c{n}"), size=sql.Literal(column.size)
                )
            )


_KINDS = {
    "date": (1205, "Invalid Date Format - length must be 10 or more"),
    "timestamp": (1206, "Invalid timestamp format or value"),
    "boolean": (1210, "Unknown boolean format"),
}


def _fitted(copy: Copy, n: int, column: Column) -> sql.Composable:
    """The field as it is cast to its column: of a DECIMAL the digits that it has no place for are cut, which INSERT
    and ROUNDEC round."""
    c = sql.Identifier(f"c{n}")
    if column.scale is None or copy.rounds:
        return c
    return sql.SQL(
        "CASE WHEN redshift.reads({c}, 'numeric') AND pg_input_is_valid({c}, 'numeric') "
        "THEN trunc({c}::numeric, {scale})::text ELSE {c} END"
    ).format(c=c, scale=sql.Literal(column.scale))


def _bad(
    connection: Connection, columns: Sequence[Column], copy: Copy
) -> list[tuple[Row, Column, int, str]]:
    """Rows that do not fit, with their column and why; they are marked."""
    found = []
    for n, column in enumerate(columns):
        c = sql.Identifier(f"c{n}")
        if column.character and column.size > 0:
            wrong = sql.SQL("octet_length(rtrim({c})) > {size}").format(
                c=c, size=sql.Literal(column.size)
            )
            number, reason = 1204, "String length exceeds DDL length"
        else:
            wrong = sql.SQL(
                "NOT (redshift.reads({c}, {t}, true) AND pg_input_is_valid({value}, {t}))"
            ).format(c=c, value=_fitted(copy, n, column), t=sql.Literal(column.type))
            number, reason = _KINDS.get(
                column.type.split()[0], (1207, f"Invalid digit, Type: {column.type.capitalize()}")
            )
        found += _marked(connection, n, column, wrong, number, reason)
        if column.type.startswith("character("):
            wrong = sql.SQL("NOT bad AND octet_length({c}) <> char_length({c})").format(c=c)
            reason = "Multibyte character not supported for CHAR (Hint: Try using VARCHAR)"
            found += _marked(connection, n, column, wrong, 1220, reason)
        if column.not_null:
            wrong = sql.SQL("{c} IS NULL").format(c=c)
            found += _marked(connection, n, column, wrong, 1213, "Missing data for not-null field")
    return found


def _marked(
    connection: Connection, n: int, column: Column, wrong: sql.Composable, number: int, reason: str
) -> list[tuple[Row, Column, int, str]]:
    statement = sql.SQL("UPDATE {} SET bad = true WHERE {} RETURNING url, line, raw, {}").format(
        _STAGE, wrong, sql.Identifier(f"c{n}")
    )
    return [
        (
            Row(url, line, raw, (value,)),
            column,
            number,
            f"{reason}, Value '{value}'" if value else reason,
        )
        for url, line, raw, value in connection.execute(statement)
    ]


def _note(dsn: str, user: str, copy: Copy, faults: Sequence[Fault]) -> None:
    with psycopg.connect(dsn) as own, own.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO redshift.load_errors (username, table_name, filename, line_number, colname, type,"
            " raw_line, raw_field_value, err_code, err_reason) VALUES"
            " (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    user,
                    copy.table[-1],
                    row.url,
                    row.line,
                    name,
                    type_,
                    row.raw[:1024],
                    (row.values[0] or "")[:1024] if name else "",
                    number,
                    reason[:100],
                )
                for row, name, type_, (number, reason) in faults
            ],
        )
