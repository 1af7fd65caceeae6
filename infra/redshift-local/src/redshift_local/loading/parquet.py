"""Parquet files: their columns in order must be of the table's types, as Redshift asks."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from redshift_local.loading.files import File
from redshift_local.loading.rows import Column, Row
from redshift_local.translation.errors import NotImitated, RedshiftError

_TYPES = {
    "smallint": ("int8", "int16"),
    "integer": ("int32",),
    "bigint": ("int64",),
    "real": ("float",),
    "double precision": ("double",),
    "boolean": ("bool",),
    "date": ("date32[day]",),
    "bytea": ("binary", "large_binary"),
}


def parquet_rows(file: File, columns: Sequence[Column]) -> Iterator[Row]:
    """Rows of the file, as texts that PostgreSQL reads. RedshiftError where a column is of another type."""
    try:
        table = pq.read_table(io.BytesIO(file.content))
    except (pa.ArrowException, OSError) as error:
        raise RedshiftError(
            f"Spectrum Scan Error. {file.url} is no Parquet file: {error}"
        ) from None
    if len(table.schema) != len(columns):
        raise RedshiftError(
            f"Unmatched number of columns between table and file. Table columns: {len(columns)}, "
            f"Data columns: {len(table.schema)}, File name: {file.url}"
        )
    texts: list[list[str | None]] = []
    for column, field in zip(columns, table.schema, strict=True):
        # Arrow's own note: in the file it is a column of the values.
        type_ = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if not _fits(column, type_):
            raise RedshiftError(
                f"Spectrum Scan Error. File '{file.url}' has an incompatible Parquet schema for column "
                f"'{column.name}'. Column type: {column.type.upper()}, Parquet schema: {type_} {field.name}"
            )
        texts.append([_text(v, type_) for v in table.column(len(texts)).to_pylist()])
    for number, values in enumerate(zip(*texts, strict=True), 1):
        yield Row(file.url, number, "", tuple(values))


def _fits(column: Column, type_: pa.DataType) -> bool:
    if column.type == "jsonb" or pa.types.is_nested(type_):
        raise NotImitated(f"COPY of nested Parquet into {column.name}")
    if column.character:
        return str(type_) in ("string", "large_string", "string_view")
    if column.type.startswith("numeric"):
        scale = int(column.type.rstrip(")").split(",")[1])
        return bool(pa.types.is_decimal(type_) and type_.scale == scale)
    if column.type.startswith("timestamp"):
        return bool(pa.types.is_timestamp(type_))
    return str(type_) in _TYPES.get(column.type, ())


def _text(value: object, type_: pa.DataType) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return str(value)
