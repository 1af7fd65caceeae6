"""Columns of a CSV (also gzip) or Parquet file, as the bytes of their values. A file that is cut short or
damaged is refused whole; which kind it is, its first bytes say."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
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
_UNPACK = "Unpack it, or pack it with gzip"
# How files of other kinds begin, and what to do with one.
_OTHERS = (
    (
        rb"PK(\x03\x04|\x05\x06|\x07\x08)",
        "a ZIP archive or an Excel workbook",
        "Unpack it, or save it as CSV",
    ),
    (rb"\xd0\xcf\x11\xe0", "an Excel workbook", "Save it as CSV"),
    (rb"BZh[1-9]", "packed with bzip2", _UNPACK),
    (rb"\xfd7zXZ\x00", "packed with xz", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "packed with zstd", _UNPACK),
    (rb"\x04\x22\x4d\x18", "packed with lz4", _UNPACK),
    (rb"7z\xbc\xaf|Rar!\x1a|.{257}ustar", "an archive of 7z, RAR or tar", "Unpack it"),
    (rb"\x1f\x8b", "packed with gzip twice", "Unpack it once"),
    (rb"PAR1", "a Parquet file that is packed with gzip", "Unpack it"),
    (rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff", "text in UTF-32", "Write it in UTF-8"),
    (rb"\xff\xfe|\xfe\xff", "text in UTF-16", "Write it in UTF-8"),
)
_BLOCK = 16 * 2**20  # a row is at most that long
# What goes on for longer has a whole block without an end, which Arrow refuses.
_LONGEST = 2 * _BLOCK
_PART = 2**20  # of a file, that is checked at once
_LINE = re.compile(rb"([^\r\n]*+)[\r\n]")
_SHOWN = 240  # bytes, of which 60 characters are shown
# Each value once, whose bytes may be more than the 2 GiB that an array of binary holds.
_VALUES = pa.dictionary(pa.int32(), pa.large_binary())


@dataclass(frozen=True)
class Unreadable:
    """A line that is no row: of another number of fields than the header, or with a quote that nothing closes."""

    row: int
    text: str


@dataclass(frozen=True)
class Table:
    """The columns that were asked for, and the lines that are no rows.

    :param first: the first row's number; a CSV's header is row 1, and its blank lines have no number
    """

    columns: Any
    first: int
    unreadable: tuple[Unreadable, ...] = ()

    def __len__(self) -> int:
        return int(self.columns.num_rows)

    @property
    def lines(self) -> int:
        return len(self) + len(self.unreadable)

    def values(self, column: str) -> pa.DictionaryArray:
        """A column as binary values, each held once; null where Parquet has none."""
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
            start = file.read(len(_PARQUET))
            file.seek(0)
            if start == _PARQUET:
                return _parquet(path, file, names)
            if start.startswith(_GZIP):
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
    return _escaped(first, 200).rstrip(".")


def _escaped(text: str, most: int) -> str:
    """A text in a message: with codes for what cannot be printed, and cut."""
    text = text[: most + 1]
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= most else f"{text[:most]}…"


def _require(path: Path, names: Sequence[str], there: Sequence[str]) -> None:
    for name in names:
        if there.count(name) == 1:
            continue
        shown = _escaped(", ".join(_escaped(it, 60) for it in there[:20]), 500)
        more = f" and {len(there) - 20} more" if len(there) > 20 else ""
        how_often = "no column" if name not in there else "more than one column"
        raise ColumnsError(
            f"{named(path)} has {how_often} {name!r}; it has {shown or 'none at all'}{more}."
        )


def _csv(path: Path, file: BinaryIO | gzip.GzipFile, names: Sequence[str], delimiter: str) -> Table:
    _require_text(path, file)
    header = _header(path, file, delimiter)
    _require(path, names, header)
    file.seek(0)
    if file.read(len(BOM_UTF8)) != BOM_UTF8:
        file.seek(0)
    lines = _Lines(file, delimiter, len(header))
    unreadable: list[Unreadable] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        replaced = lines.broken and row.text == lines.mark
        text = lines.broken.popleft() if replaced else row.text
        unreadable.append(Unreadable(row.number, text[:60]))
        return "skip"

    columns = pa_csv.read_csv(
        io.BufferedReader(lines),
        read_options=pa_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
        ),
        convert_options=pa_csv.ConvertOptions(
            check_utf8=False,
            include_columns=list(names),
            column_types=dict.fromkeys(names, _VALUES),
            strings_can_be_null=False,
        ),
    )
    return Table(columns, 2, tuple(unreadable))


class _Lines(io.RawIOBase):
    """A CSV's bytes for Arrow, which takes what is between a quote that opens a field and the next quote for one
    value and reports nothing. In the place of a line that is no row is ``mark``, which it does report: a row with a
    field too many.

    :ivar broken: the lines in whose places marks are, without those that were reported
    """

    def __init__(self, file: BinaryIO | gzip.GzipFile, delimiter: str, width: int) -> None:
        self.mark = "\0" + delimiter * width
        self.broken: deque[str] = deque()
        self._pieces = self._checked(file, _rows(delimiter, width))
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        size = min(len(into), len(self._piece))
        into[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def _checked(self, file: BinaryIO | gzip.GzipFile, rows: re.Pattern[bytes]) -> Iterator[bytes]:
        held, ahead = b"", _LONGEST
        while ahead:
            # Twice as much each time while a row has no end.
            if not (more := file.read(max(_PART, len(held)))):
                # The last line may have no break; after one that has, this is an empty line, which is none.
                more, ahead = b"\n", 0
            held += more
            whole = held[: max(held.rfind(b"\n"), held.rfind(b"\r")) + 1]
            at = 0
            if _plain(whole):
                yield whole
                at = len(whole)
            while True:
                if found := rows.match(held, at):
                    yield found[0]
                    at = found.end()
                elif len(held) - at <= ahead:
                    break
                elif line := _LINE.match(held, at):
                    self.broken.append(line[1][:_SHOWN].decode(errors="backslashreplace"))
                    yield self.mark.encode() + b"\n"
                    at = line.end()
                else:
                    # Too long, which Arrow says.
                    yield held[at:]
                    at = len(held)
            held = held[at:]


def _plain(lines: bytes) -> bool:
    """Whether each of them is a row, or one that Arrow reports: it cannot where bytes are no UTF-8."""
    if b'"' in lines:
        return False
    try:
        lines.decode()
    except UnicodeDecodeError:
        return False
    return True


def _rows(delimiter: str, width: int) -> re.Pattern[bytes]:
    """Rows, as many as follow each other: of one line as Arrow reads them, with text after a closing quote too; of
    several lines as RFC 4180 has them, without."""
    end = re.escape(delimiter.encode())
    plain = rb'[^"%b\r\n][^%b\r\n]*+' % (end, end)
    lenient = rb'(?:"[^"\r\n]*+(?:""[^"\r\n]*+)*+"[^%b\r\n]*+|%b)?+' % (end, plain)
    strict = rb'(?:"[^"]*+(?:""[^"]*+)*+"|%b)?+' % plain
    several, one = (
        rb"%b(?:%b%b){%d}+[\r\n]++" % (it, end, it, width - 1) for it in (strict, lenient)
    )
    return re.compile(rb"(?:%b|%b|[\r\n]++)++" % (several, one))


def _require_text(path: Path, file: BinaryIO | gzip.GzipFile) -> None:
    start = file.read(512)
    file.seek(0)
    for begins, kind, otherwise in _OTHERS:
        if re.match(begins, start, re.DOTALL):
            raise InteractionsError(
                f"{named(path)} is {kind}; what is read is Parquet, and CSV in UTF-8 that is packed with gzip or not. "
                f"{otherwise}."
            )


def _header(path: Path, file: BinaryIO | gzip.GzipFile, delimiter: str) -> list[str]:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="backslashreplace", newline="")
    try:
        rows = csv.reader(_lines(text), delimiter=delimiter)
        header = next(rows)
        if rows.line_num > 1:
            text.seek(0)
            header = next(csv.reader(_lines(text), delimiter=delimiter, strict=True))
    except StopIteration:
        raise InteractionsError(
            f"{named(path)} is empty; it must have a header and lines."
        ) from None
    except csv.Error as error:
        raise InteractionsError(f"{named(path)} has no header of CSV: {error}.") from error
    finally:
        text.detach()
    if any("\0" in it for it in header):
        raise InteractionsError(
            f"{named(path)} is no text in UTF-8: its header has zero bytes. Write it as CSV in UTF-8, or as Parquet."
        )
    return header


def _lines(text: io.TextIOWrapper) -> Any:
    """Its lines that are not empty, none read further than a header can go."""
    while line := text.readline(_BLOCK):
        if line.strip("\r\n"):
            yield line


def _parquet(path: Path, file: BinaryIO, names: Sequence[str]) -> Table:
    source = pq.ParquetFile(file)
    _require(path, names, source.schema_arrow.names)
    found = source.read(columns=list(names))
    columns = {
        name: pa.chunked_array(
            [_bytes(path, name, chunk) for chunk in found.column(name).chunks], _VALUES
        )
        for name in names
    }
    return Table(pa.table(columns), 1)


def _bytes(path: Path, name: str, values: pa.Array) -> pa.DictionaryArray:
    """Values of any plain type as the bytes of their text."""
    kind = values.type
    if kinds.is_dictionary(kind):
        return _bytes(path, name, values.dictionary).take(values.indices)
    if getattr(kind, "extension_name", None) == "arrow.uuid":
        return _of_each(_uuids, values.storage)
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind):
        return values.cast(pa.large_binary()).dictionary_encode()
    if kinds.is_floating(kind):
        return _of_each(_floats, values)
    if kinds.is_decimal(kind):
        # Those of fewer bits have no kernel for dictionaries.
        wide = values.cast(pa.decimal128(38, kind.scale)) if kind.bit_width < 128 else values
        return _of_each(_decimals, wide)
    plain = kinds.is_primitive(kind) or kinds.is_null(kind)
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
    return _of_each(lambda it: it.cast(pa.large_string()), values)


def _of_each(texts: Callable[[pa.Array], Any], values: pa.Array) -> pa.DictionaryArray:
    """``texts`` of the distinct values."""
    encoded = values.dictionary_encode()
    held = pa.array(texts(encoded.dictionary), pa.large_string()).cast(pa.large_binary())
    return pa.DictionaryArray.from_arrays(encoded.indices, held)


def _uuids(values: pa.Array) -> list[str]:
    return [str(UUID(bytes=it)) for it in values.to_pylist()]


def _floats(values: pa.Array) -> list[str]:
    """Whole ones as integers are written."""
    written = zip(values.to_pylist(), values.cast(pa.string()).to_pylist(), strict=True)
    return [str(int(it)) if it.is_integer() else text for it, text in written]


def _decimals(values: pa.Array) -> list[str]:
    """As integers and doubles are written, without the zeros that the scale adds."""

    def text(value: Decimal) -> str:
        whole, _, fraction = f"{value:f}".partition(".")
        return f"{whole}.{fraction}".rstrip("0").rstrip(".") if fraction else whole

    return [text(it) for it in values.to_pylist()]
