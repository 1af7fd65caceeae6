"""A result as the Data API returns it: fields with their kind, or CSV, and what is said of each column."""

from __future__ import annotations

import re
from typing import Any

from redshift_local.execution import Column, Outcome

_LONG = {20, 21, 23, 26}
_DOUBLE = {700, 701}
_BOOLEAN, _BYTES, _JSON, _NUMERIC = 16, 17, 3802, 1700
_CHARACTER = {1042, 1043}
# Names that Redshift gives types, by PostgreSQL's number; any other is a text.
TYPES = {
    16: "bool",
    17: "varbyte",
    18: "char",
    19: "name",
    20: "int8",
    21: "int2",
    23: "int4",
    25: "text",
    26: "oid",
    700: "float4",
    701: "float8",
    1042: "bpchar",
    1043: "varchar",
    1082: "date",
    1083: "time",
    1114: "timestamp",
    1184: "timestamptz",
    1186: "interval",
    1266: "timetz",
    1700: "numeric",
    3802: "super",
}
_DIGITS = {20: 19, 21: 5, 23: 10, 700: 8, 701: 17}
_BETWEEN = re.compile(r'("(?:[^"\\]|\\.)*")|([:,]) ')


def text(value: bytes, column: Column) -> str:
    """The value as Redshift writes it: a bool in words, SUPER without blanks between its parts."""
    written = value.decode()
    if column.type == _BOOLEAN:
        return "true" if written == "t" else "false"
    if column.type == _JSON:
        return _BETWEEN.sub(lambda found: found[1] or found[2], written)
    if column.type == _BYTES:
        return written.removeprefix("\\x")
    return written


def field(value: bytes | None, column: Column) -> dict[str, Any]:
    if value is None:
        return {"isNull": True}
    if column.type in _LONG:
        return {"longValue": int(value)}
    if column.type in _DOUBLE:
        return {"doubleValue": float(value)}
    if column.type == _BOOLEAN:
        return {"booleanValue": value == b"t"}
    if column.type == _BYTES:
        return {"blobValue": bytes.fromhex(value.decode().removeprefix("\\x"))}
    return {"stringValue": text(value, column)}


def as_csv(outcome: Outcome, rows: list[list[bytes | None]], *, header: bool) -> str:
    """Rows as CSV, lines ended by CR LF; NULL is nothing, an empty text is in quotes."""
    lines = []
    if header:
        lines.append(",".join(_quoted(column.name) for column in outcome.columns))
    for row in rows:
        lines.append(
            ",".join(
                "" if value is None else _quoted(text(value, column))
                for value, column in zip(row, outcome.columns, strict=True)
            )
        )
    return "".join(f"{line}\r\n" for line in lines)


def _quoted(written: str) -> str:
    if written == "" or any(c in written for c in ',"\r\n'):
        return '"' + written.replace('"', '""') + '"'
    return written


def metadata(
    name: str, type_: int, modifier: int, *, nullable: int, schema: str = "", table: str = ""
) -> dict[str, Any]:
    """ColumnMetadata. ``nullable`` is 0 (no), 1 (yes) or 2 (not known), ``length`` counts bytes."""
    precision, scale, length = _DIGITS.get(type_, 0), 0, 0
    if type_ == _NUMERIC:
        precision, scale = (38, 0) if modifier < 4 else divmod(modifier - 4, 1 << 16)
    elif type_ in _CHARACTER:
        precision = length = modifier - 4 if modifier > 4 else 65_535
    return {
        "name": name,
        "label": name,
        "typeName": TYPES.get(type_, "varchar"),
        "nullable": nullable,
        "precision": precision,
        "scale": scale,
        "length": length,
        "schemaName": schema,
        "tableName": table,
        "isSigned": type_ in _LONG | _DOUBLE | {_NUMERIC},
        "isCurrency": False,
        "isCaseSensitive": type_ in _CHARACTER | {25},
    }


def of_result(column: Column) -> dict[str, Any]:
    return metadata(column.name, column.type, column.modifier, nullable=2)
