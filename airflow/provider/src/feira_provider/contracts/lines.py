"""The rows of NDJSON and CSV files, read strictly: what is no row is kept as its line, with the fault.

DuckDB's own readers are lenient: its JSON takes trailing commas and NaN and keeps the first of two
equal keys, its CSV reader guesses. So rows are split here, and DuckDB gets them as Arrow.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from feira.core.contracts.model import DUPLICATE_KEY
from feira.core.landing.strict_json import near_a_limit, strict_json
from feira_provider.datasets.files import DatasetError

if TYPE_CHECKING:
    import pyarrow as pa

# A line may be this long, and so may a record of CSV.
_MAX_LINE = 32 * 1024 * 1024
_BATCH = 20_000
# DuckDB takes several times the bytes of a batch.
_BATCH_BYTES = 16_000_000
LINE = "line"
FAULTS = (LINE, DUPLICATE_KEY)
"""The rules that a line breaks which is no row: named once, no rule of a column is looked at."""
OWN = ("__n", "__line", "__fault")
"""Columns of the batches that are not the data's."""
_RESERVED = (*OWN, "__file")


@dataclass
class Seen:
    """What was seen of a dataset's lines so far."""

    fields: set[str] = field(default_factory=set)
    """Of NDJSON."""
    longest: int = 0
    """Of a line, or of a record of CSV: bytes of NDJSON, characters of CSV."""
    longest_at: str = ""

    def measure(self, size: int, url: str, line: int) -> None:
        if size > self.longest:
            self.longest, self.longest_at = size, f"{url}, line {line:,}"


def ndjson_batches(
    stream: io.BufferedReader, url: str, first_n: int, seen: Seen
) -> Iterator[pa.RecordBatch]:
    """Every line with its fault: not one strict JSON object, or a key that it has twice, at any depth.

    :param first_n: the number of the first row
    :param seen: takes the fields of the lines without a fault, and the length of the longest line
    :raises DatasetError: for a line over 32 MB, and as ``unpacked``
    """
    if stream.peek(3).startswith(b"\xef\xbb\xbf"):
        stream.read(3)
    batch: list[bytes] = []
    size = 0
    for number, raw in enumerate(iter(lambda: stream.readline(_MAX_LINE + 1), b""), start=1):
        if len(raw) > _MAX_LINE:
            raise _too_long(url, number)
        seen.measure(len(raw), url, number)
        batch.append(raw)
        size += len(raw)
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            yield _ndjson_batch(batch, first_n, seen)
            first_n += len(batch)
            batch, size = [], 0
    if batch:
        yield _ndjson_batch(batch, first_n, seen)


def _ndjson_batch(batch: list[bytes], first_n: int, seen: Seen) -> pa.RecordBatch:
    import pyarrow as pa

    faults = [_fault(raw, seen.fields) for raw in batch]
    texts = [
        raw.decode(errors="replace" if fault else "strict").rstrip("\r\n")
        for raw, fault in zip(batch, faults, strict=True)
    ]
    numbers = pa.array(range(first_n, first_n + len(batch)), pa.int64())
    return pa.record_batch(
        [numbers, pa.array(texts), pa.array(faults, pa.string())], names=list(OWN)
    )


def _fault(raw: bytes, fields: set[str]) -> str | None:
    """The rule that a line breaks which is no row; of any other its fields are added to ``fields``."""
    try:
        document = orjson.loads(raw)
        if not isinstance(document, dict):
            return LINE
        # A pair that was dropped took its colon along. An escape may be one more, so it is looked at.
        plain = b"\\u" not in raw and not near_a_limit(raw)
        if plain and raw.count(b":") == orjson.dumps(document).count(b":"):
            fields.update(document)
            return None
    except (ValueError, TypeError):
        # Right JSON can still be more than orjson holds, as 1e400 or a value 300 deep: that is its
        # column's fault.
        pass
    return _slow_fault(raw, fields)


def _slow_fault(raw: bytes, fields: set[str]) -> str | None:
    duplicates = False

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal duplicates
        document = dict(found)
        duplicates = duplicates or len(document) != len(found)
        return document

    try:
        document = strict_json(raw, pairs)
    except ValueError:
        return LINE
    if not isinstance(document, dict):
        return LINE
    if duplicates:
        return DUPLICATE_KEY
    fields.update(document)
    return None


class CsvRows:
    """The rows of a CSV file, by its own header.

    A row has as many fields as the header; a line that is none of these is kept, whole, as a fault.
    A quote that is not closed within 32 MB costs its own line and none of those that follow it.

    :ivar names: the header
    :raises DatasetError: where the header is missing, or a name is empty, reserved or there again, be
        it in other case; for a line over 32 MB, and as ``unpacked``
    """

    def __init__(self, stream: io.BufferedReader, url: str, delimiter: str, seen: Seen) -> None:
        self._url = url
        self._seen = seen
        self._text = io.TextIOWrapper(
            stream, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self._line = 0
        self._taken: list[str] = []
        # Characters of the record that is read, and of those in its batch.
        self._length = self._batch = 0
        self._again: deque[str] = deque()
        self._reader = csv.reader(self._lines(), delimiter=delimiter, strict=True)
        self.names = self._header()

    def _lines(self) -> Iterator[str]:
        while True:
            if self._again:
                line = self._again.popleft()
            else:
                line = self._text.readline(_MAX_LINE + 1)
                self._line += 1
                if len(line) > _MAX_LINE:
                    raise _too_long(self._url, self._line)
                if not line:
                    self._line -= 1
                    return
            self._taken.append(line)
            self._length += len(line)
            if self._length > _MAX_LINE:
                raise csv.Error("longer than a record may be")
            yield line

    def _header(self) -> list[str]:
        try:
            names = next(self._reader, [])
            "".join(names).encode()
        except csv.Error as error:
            raise DatasetError(
                f"{self._url} cannot be read as csv: its header is {error}."
            ) from error
        except UnicodeEncodeError as error:
            raise DatasetError(
                f"{self._url} cannot be read as csv: its header is no UTF-8. Write it again as UTF-8."
            ) from error
        self._end_record()
        require_distinct(self._url, names)
        return names

    def batches(self, first_n: int) -> Iterator[pa.RecordBatch]:
        """Rows and faults in their order; a row's fields under their numbers in the header.

        :param first_n: the number of the first row
        """
        previous = csv.field_size_limit(_MAX_LINE)
        try:
            batch = []
            for record in self._records():
                batch.append(record)
                if len(batch) == _BATCH or self._batch >= _BATCH_BYTES:
                    yield _csv_batch(batch, len(self.names), first_n)
                    first_n += len(batch)
                    batch, self._batch = [], 0
            if batch:
                yield _csv_batch(batch, len(self.names), first_n)
        finally:
            csv.field_size_limit(previous)

    def _records(self) -> Iterator[tuple[list[str] | None, str | None]]:
        width = len(self.names)
        while True:
            try:
                for fields in self._reader:
                    taken = self._end_record()
                    if len(fields) == width:
                        yield fields, None
                    elif not fields:
                        # A line without anything: none where rows have several fields, else a null.
                        if width == 1:
                            yield [""], None
                    else:
                        yield None, "".join(taken)
                return
            except csv.Error:
                first, *rest = self._taken
                # What was read beyond the line is read again.
                self._taken, self._length = [first], len(first)
                self._end_record()
                self._again.extendleft(reversed(rest))
                # After the end of its lines a reader is at its end for good.
                self._reader = csv.reader(
                    self._lines(), delimiter=self._reader.dialect.delimiter, strict=True
                )
                yield None, first

    def _end_record(self) -> list[str]:
        """The lines that were read of the record."""
        self._seen.measure(self._length, self._url, self._line)
        self._batch += self._length
        taken, self._taken, self._length = self._taken, [], 0
        return taken


def _csv_batch(
    batch: list[tuple[list[str] | None, str | None]], width: int, first_n: int
) -> pa.RecordBatch:
    import pyarrow as pa

    empty: list[str | None] = [None] * width

    def columns_of(batch: list[tuple[list[str] | None, str | None]]) -> list[pa.Array]:
        columns = zip(*(fields or empty for fields, _ in batch), strict=True)
        return [pa.array(column, pa.string()) for column in columns]

    try:
        columns = columns_of(batch)
    except UnicodeEncodeError:
        # Bytes that are no UTF-8: their line is kept, with a mark for each.
        batch = [_decoded(fields, line) for fields, line in batch]
        columns = columns_of(batch)
    lines = [
        None if line is None else line.rstrip("\r\n").encode("utf-8", "replace").decode()
        for _, line in batch
    ]
    faults = [None if line is None else LINE for line in lines]
    numbers = pa.array(range(first_n, first_n + len(batch)), pa.int64())
    return pa.record_batch(
        [numbers, pa.array(lines, pa.string()), pa.array(faults, pa.string()), *columns],
        names=[*OWN, *(f"__{number}" for number in range(width))],
    )


def _decoded(fields: list[str] | None, line: str | None) -> tuple[list[str] | None, str | None]:
    if fields is None:
        return fields, line
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return None, ",".join(fields)
    return fields, line


def require_distinct(url: str, names: list[str]) -> None:
    """Raises DatasetError where two columns' names are one to SQL, as DuckDB ignores case."""
    if not names or "" in names:
        raise DatasetError(f"{url} has the header {names}; each column needs a name.")
    seen: dict[str, str] = {}
    for name in names:
        if "\0" in name:
            raise DatasetError(
                f"{url} has a column {name!r}, which holds U+0000. Write it again as UTF-8."
            )
        if name.casefold() in _RESERVED:
            raise DatasetError(f"{url} has a column {name!r}, a name that is reserved here.")
        if name.casefold() in seen:
            raise DatasetError(
                f"{url} has the header {names}: {seen[name.casefold()]!r} and {name!r} are one name "
                "to SQL. Give each name once, whatever its case."
            )
        seen[name.casefold()] = name


def _too_long(url: str, number: int) -> DatasetError:
    return DatasetError(
        f"{url}: line {number} is longer than the {_MAX_LINE:,} bytes that a line may have. Is it "
        "one row a line?"
    )
