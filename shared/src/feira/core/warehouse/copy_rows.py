"""Arrow batches into a table of PostgreSQL by COPY, on the caller's connection and in its transaction.

In PostgreSQL's binary format, which it takes in less than half the time of text; pgpq writes it. It has
no wheel for Linux on ARM, and there pyarrow writes CSV. Both put the same values into the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from io import BytesIO
from itertools import chain

import psycopg
import pyarrow as pa
from pyarrow import csv

HAS_PGPQ = find_spec("pgpq") is not None


def copy_rows(
    connection: psycopg.Connection,
    table: str,
    columns: list[str],
    batches: Iterable[pa.RecordBatch],
    *,
    binary: bool = HAS_PGPQ,
) -> int:
    """Copies the named columns of the batches, one batch at a time; returns the number of rows.

    The batches share a schema. In binary PostgreSQL casts nothing: an ``int32`` fills an ``integer``
    and no ``bigint``. Raises psycopg.Error for a value or a type that the table does not take.
    """
    copied = 0

    def selected() -> Iterator[pa.RecordBatch]:
        nonlocal copied
        for batch in batches:
            copied += batch.num_rows
            yield batch.select(columns)

    encode: Callable[[Iterator[pa.RecordBatch]], Iterator[bytes | memoryview]]
    encode, form = (_binary, "binary") if binary else (_csv, "csv")
    command = copy_command(table, columns, form)
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        for piece in encode(selected()):
            copy.write(piece)
    return copied


def copy_command(table: str, columns: list[str], form: str) -> str:
    """The COPY that takes the stream; column names hold no quote."""
    names = ", ".join(f'"{name}"' for name in columns)
    return f"COPY {table} ({names}) FROM STDIN WITH (FORMAT {form})"


def _binary(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    from pgpq import ArrowToPostgresBinaryEncoder

    first = next(batches, None)
    # A null where the schema forbids one goes on to the table, whose error or check names the rows.
    fields = () if first is None else (field.with_nullable(True) for field in first.schema)
    schema = pa.schema(fields)
    encoder = ArrowToPostgresBinaryEncoder(schema)
    yield encoder.write_header()
    if first is not None:
        for batch in chain([first], batches):
            yield encoder.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    yield encoder.finish()


def _csv(batches: Iterator[pa.RecordBatch]) -> Iterator[memoryview]:
    """A text stands in quotes, and what is null is nothing at all."""
    options = csv.WriteOptions(include_header=False)
    for batch in batches:
        sink = BytesIO()
        csv.write_csv(batch, sink, options)
        yield sink.getbuffer()
