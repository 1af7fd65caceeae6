"""Columns of a CSV (also gzip) or Parquet file, as the bytes of their values. A file that is cut short or
damaged is refused whole; which kind it is, its first bytes say."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pyarrow.types as kinds

from feira.recommendations.interactions import InteractionsError


class ColumnsError(InteractionsError):
    """A file has not the columns that were asked for, each once."""


_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_BLOCK = 16 * 2**20  # a row is at most that long


@dataclass(frozen=True)
class Unreadable:
    """A row with another number of fields than the header: more than one line where a quote is open."""

    row: int
    lines: int
    text: str


@dataclass(frozen=True)
class Table:
    """The columns that were asked for, and the rows that could not be read.

    :param first: the first row's number; a CSV's header is row 1, and its blank lines have no number
    """

    columns: Any
    first: int
    unreadable: tuple[Unreadable, ...] = ()

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    @property
    def lines(self) -> int:
        return len(self) + sum(it.lines for it in self.unreadable)

    def values(self, column: str) -> pa.Array:
        """A column as binary values; null where Parquet has none."""
        return self.columns.column(column).combine_chunks()

    def row(self, position: int) -> int:
        """The row in the file of a row of ``columns``."""
        skipped = np.array([it.row for it in self.unreadable]) - self.first
        before = skipped - np.arange(len(skipped))
        return position + self.first + int(np.searchsorted(before, position, side="right"))


def read_table(path: Path, names: Sequence[str], delimiter: str) -> Table:
    """Reads the columns ``names``.

    :raises ColumnsError: where the file has not each of them once
    :raises InteractionsError: where there is no such file, or it is no CSV or Parquet
    """
    try:
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            raise InteractionsError(
                f"{named(path)} {what}; name a CSV or Parquet file, or a folder of them."
            )
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == _PARQUET:
                return _parquet(path, file, names)
            if start[:2] == _GZIP:
                with gzip.open(file) as unpacked:
                    return _csv(path, unpacked, names, delimiter)
            return _csv(path, file, names, delimiter)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InteractionsError(
            f"{named(path)} is cut short or damaged: {reason(error)}."
        ) from error
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InteractionsError(f"{named(path)} cannot be read: {reason(error)}.") from error


def named(path: Path) -> str:
    """A path in a message, cut."""
    text = str(path)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text):,} characters)"


def reason(error: Exception) -> str:
    """The first line of what an error says, cut, without a point at its end."""
    said = getattr(error, "strerror", None) or str(error)
    first = (said.splitlines() or [type(error).__name__])[0]
    return first[:200].rstrip(".")


def _require(path: Path, names: Sequence[str], there: Sequence[str]) -> None:
    for name in names:
        if there.count(name) == 1:
            continue
        shown = ", ".join(there[:20]) + (f" and {len(there) - 20} more" if len(there) > 20 else "")
        how_often = "no column" if name not in there else "more than one column"
        raise ColumnsError(
            f"{named(path)} has {how_often} {name!r}; it has {shown[:500] or 'none at all'}."
        )


def _csv(path: Path, file: BinaryIO | gzip.GzipFile, names: Sequence[str], delimiter: str) -> Table:
    header = _header(path, file, delimiter)
    _require(path, names, header)
    file.seek(0)
    unreadable: list[Unreadable] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        unreadable.append(Unreadable(row.number, row.text.count("\n") + 1, row.text[:60]))
        return "skip"

    try:
        columns = pa_csv.read_csv(
            file,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
            parse_options=pa_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pa_csv.ConvertOptions(
                check_utf8=False,
                include_columns=list(names),
                column_types={name: pa.binary() for name in names},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise
        # A header that no line break ends.
        columns = pa.table({name: pa.array([], pa.binary()) for name in names})
    return Table(columns, 2, tuple(unreadable))


def _header(path: Path, file: BinaryIO | gzip.GzipFile, delimiter: str) -> list[str]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="backslashreplace", newline="")
    try:
        return next(csv.reader(_lines(text), delimiter=delimiter))
    except StopIteration:
        raise InteractionsError(
            f"{named(path)} is empty; it must have a header and lines."
        ) from None
    except csv.Error as error:
        raise InteractionsError(f"{named(path)} has no header of CSV: {error}.") from error
    finally:
        text.detach()


def _lines(text: io.TextIOWrapper) -> Any:
    """Its lines that are not empty, none read further than a header can go."""
    while line := text.readline(_BLOCK):
        if line.strip("\r\n"):
            yield line


def _parquet(path: Path, file: BinaryIO, names: Sequence[str]) -> Table:
    source = pq.ParquetFile(file)
    _require(path, names, source.schema_arrow.names)
    found = source.read(columns=list(names))
    arrays = [_bytes(path, name, found.column(name).combine_chunks()) for name in names]
    return Table(pa.table(arrays, names=list(names)), 1)


def _bytes(path: Path, name: str, values: pa.Array) -> pa.Array:
    """Values of any plain type as the bytes of their text."""
    kind = values.type
    if kinds.is_dictionary(kind):
        return _bytes(path, name, values.dictionary_decode())
    if getattr(kind, "extension_name", None) == "arrow.uuid":
        return _uuids(values.storage)
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind):
        return values.cast(pa.binary())
    plain = kinds.is_primitive(kind) or kinds.is_decimal(kind) or kinds.is_null(kind)
    if not (
        plain or kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind)
    ):
        otherwise = (
            " Write it as text; bytes of UUIDs are read where the file says that they are (the logical type UUID)."
            if kinds.is_fixed_size_binary(kind)
            else ""
        )
        raise InteractionsError(
            f"{named(path)}: the column {name!r} is of type {kind}; it must be text or a number.{otherwise}"
        )
    return values.cast(pa.string()).cast(pa.binary())


def _uuids(values: pa.Array) -> pa.Array:
    encoded = values.dictionary_encode()
    texts = [str(UUID(bytes=it)).encode() for it in encoded.dictionary.to_pylist()]
    return pa.array(texts, pa.binary()).take(encoded.indices)
