"""UNLOAD: a query's rows as one file on S3, and the manifest that names it."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError

from redshift_local.loading.files import S3, parts
from redshift_local.translation.errors import NotImitated, RedshiftError
from redshift_local.translation.unloading import Unload

Rows = list[list[bytes | None]]
# By PostgreSQL's number of a type: Arrow's, the manifest's name, and how a text of it is read.
_TYPES: dict[int, tuple[pa.DataType, str, Callable[[str], Any]]] = {
    16: (pa.bool_(), "boolean", lambda text: text == "t"),
    20: (pa.int64(), "bigint", int),
    21: (pa.int16(), "smallint", int),
    23: (pa.int32(), "integer", int),
    25: (pa.string(), "character varying", str),
    700: (pa.float32(), "real", float),
    701: (pa.float64(), "double precision", float),
    1042: (pa.string(), "character", str),
    1043: (pa.string(), "character varying", str),
    1082: (pa.date32(), "date", date.fromisoformat),
    1114: (pa.timestamp("us"), "timestamp without time zone", datetime.fromisoformat),
    1700: (pa.null(), "numeric", Decimal),
}


def unload(connection: psycopg.Connection[Any], s3: S3, order: Unload, query: str) -> int:
    """Writes what ``query``, the order's on PostgreSQL, returns; how many rows.

    Raises psycopg.Error of the query, RedshiftError where there is something under the prefix already.
    """
    with connection.cursor() as cursor:
        cursor.execute(query.encode())
        result = cursor.pgresult
        assert result is not None
        columns = [
            ((result.fname(n) or b"").decode(), result.ftype(n), result.fmod(n))
            for n in range(result.nfields)
        ]
        rows = [
            [result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)
        ]
    content = _parquet(columns, rows) if order.format == "PARQUET" else _text(order, columns, rows)
    ending = {"PARQUET": ".parquet"}.get(order.format, "")
    if order.compressed:
        content, ending = gzip.compress(content, mtime=0), ending + ".gz"
    url = order.url + ("0000_part_00" if order.parallel else "000") + ending
    try:
        _put(s3, order, url, content, _manifest(order, url, content, columns, len(rows)))
    except (BotoCoreError, ClientError) as error:
        raise RedshiftError(f"S3ServiceException: {error}", sqlstate="XX000") from None
    return len(rows)


def _put(s3: S3, order: Unload, url: str, content: bytes, manifest: bytes) -> None:
    client = s3.client(order.credentials, order.region)
    bucket, prefix = parts(order.url)
    present = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1).get("KeyCount", 0)
    if present and not order.overwrites:
        raise RedshiftError(
            "Specified unload destination on S3 is not empty. Consider using a different bucket / prefix, "
            "manually removing the target files in S3, or using the ALLOWOVERWRITE option.",
            sqlstate="XX000",
        )
    client.put_object(Bucket=bucket, Key=parts(url)[1], Body=content)
    if order.manifest:
        # Last, so that what it names is there.
        client.put_object(Bucket=bucket, Key=f"{prefix}manifest", Body=manifest)


def _manifest(
    order: Unload, url: str, content: bytes, columns: Sequence[tuple[str, int, int]], count: int
) -> bytes:
    size = {"content_length": len(content), "record_count": count}
    if not order.verbose:
        # Of a columnar file the length is said always: COPY asks for it.
        meta = {"meta": {"content_length": len(content)}} if order.format == "PARQUET" else {}
        return json.dumps({"entries": [{"url": url} | meta]}).encode()
    elements = [
        {
            "name": name,
            "type": {"base": _TYPES[type_][1] if type_ in _TYPES else "character varying"},
        }
        for name, type_, _ in columns
    ]
    said = {
        "entries": [{"url": url, "meta": size}],
        "schema": {"elements": elements},
        "meta": size,
        "author": {"name": "redshift-local", "version": "1.0.0"},
    }
    return json.dumps(said).encode()


def _text(order: Unload, columns: Sequence[tuple[str, int, int]], rows: Rows) -> bytes:
    def line(values: Sequence[str | None]) -> str:
        return order.delimiter.join(_field(order, value) for value in values) + "\n"

    head = line([name for name, *_ in columns]) if order.header else ""
    body = "".join(line([None if v is None else v.decode() for v in row]) for row in rows)
    return (head + body).encode()


def _field(order: Unload, value: str | None) -> str:
    if value is None:
        return order.null
    special = any(c in value for c in (order.delimiter, '"', "\n", "\r"))
    if order.quotes or (order.format == "CSV" and special):
        return '"' + value.replace('"', '""') + '"'
    return value


def _parquet(columns: Sequence[tuple[str, int, int]], rows: Rows) -> bytes:
    arrays = []
    for n, (name, type_, modifier) in enumerate(columns):
        if type_ not in _TYPES or (type_ == 1700 and modifier < 4):
            raise NotImitated(
                f"UNLOAD of {name} to PARQUET", "cast it to a type with its precision"
            )
        arrow, _, read = _TYPES[type_]
        if type_ == 1700:
            arrow = pa.decimal128(*divmod(modifier - 4, 1 << 16))
        values = [None if row[n] is None else read((row[n] or b"").decode()) for row in rows]
        arrays.append(pa.array(values, arrow))
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names=[name for name, *_ in columns]), out)
    return out.getvalue()
