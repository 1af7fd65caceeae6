"""Rows of a file as texts, one for each column of the COPY; what cannot be read is a fault with its line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from redshift_local.loading.files import File
from redshift_local.translation.copying import Copy
from redshift_local.translation.errors import RedshiftError


@dataclass(frozen=True)
class Column:
    """A column that is loaded: its type as PostgreSQL writes it (``character varying(3)``)."""

    name: str
    type: str
    size: int
    not_null: bool

    @property
    def scale(self) -> int | None:
        """Digits after the point, of a DECIMAL alone."""
        found = re.fullmatch(r"numeric\(\d+,(\d+)\)", self.type)
        return int(found[1]) if found else None

    @property
    def character(self) -> bool:
        return self.type.startswith("character")


@dataclass(frozen=True)
class Row:
    """``fault`` is a number and a reason, of a row that could not be taken apart."""

    url: str
    line: int
    raw: str
    values: tuple[str | None, ...]
    fault: tuple[int, str] | None = None


def rows(
    copy: Copy, file: File, columns: Sequence[Column], paths: Sequence[str] = ()
) -> Iterator[Row]:
    """The file's rows, whatever its format but Parquet. ``paths`` are JSONPaths, one for each column."""
    try:
        text = file.content.decode()
    except UnicodeDecodeError as error:
        line = file.content[: error.start].count(b"\n") + 1
        bad = file.content[error.start]
        reason = f"String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: {bad:02x}"
        yield Row(file.url, line, "", (None,) * len(columns), (1220, reason))
        return
    if copy.format == "JSON":
        yield from _json(copy, file.url, text, columns, paths)
    else:
        yield from _lines(copy, file.url, text, columns)


def _lines(copy: Copy, url: str, text: str, columns: Sequence[Column]) -> Iterator[Row]:
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=copy.delimiter,
        quotechar=copy.quote if copy.format == "CSV" else None,
        quoting=csv.QUOTE_MINIMAL if copy.format == "CSV" else csv.QUOTE_NONE,
        doublequote=True,
        strict=copy.format == "CSV",
    )
    count, line = len(columns), 0
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(
                url,
                line,
                "",
                (None,) * count,
                (1214, f"Delimited value missing end quote: {error}"),
            )
            return
        if line <= copy.header or (not fields and copy.skips_blank_lines):
            continue
        # A blank line is a row of one field, which is empty.
        fields = fields or [""]
        raw = copy.delimiter.join(fields)
        if len(fields) > count:
            yield Row(url, line, raw, (None,) * count, (1202, "Extra column(s) found"))
        elif len(fields) < count and not copy.fills:
            yield Row(url, line, raw, (None,) * count, (1214, "Delimiter not found"))
        else:
            padded = [*fields, *[None] * (count - len(fields))]
            values = tuple(_value(copy, v, c) for v, c in zip(padded, columns, strict=True))
            yield Row(url, line, raw, values)


def _value(copy: Copy, value: str | None, column: Column) -> str | None:
    if value is None or value == copy.null:
        return None
    if value == "":
        # Of what is no text an empty field is NULL whatever was said.
        return None if copy.empty_is_null or not column.character else ""
    if copy.blanks_are_null and column.character and not value.strip():
        return None
    return value


def _json(
    copy: Copy, url: str, text: str, columns: Sequence[Column], paths: Sequence[str]
) -> Iterator[Row]:
    decoder = json.JSONDecoder(parse_float=_Number, parse_int=_Number)
    blanks = re.compile(r"\s*")
    at, line, nothing = 0, 1, (None,) * len(columns)
    while True:
        found = blanks.match(text, at)
        begin = found.end() if found else at
        line += text.count("\n", at, begin)
        if begin == len(text):
            return
        try:
            value, at = decoder.raw_decode(text, begin)
            values = _values(copy, value, columns, paths)
        except (ValueError, RecursionError):
            raw = text[begin : begin + 1024].splitlines()[0]
            yield Row(url, line, raw, nothing, (1216, "Invalid JSON format. Invalid value."))
            return
        raw = text[begin:at]
        if values is None:
            yield Row(url, line, raw, nothing, (1216, "Invalid JSON format. Not an object."))
        else:
            yield Row(url, line, raw, values)
        line += raw.count("\n")


def _values(
    copy: Copy, value: object, columns: Sequence[Column], paths: Sequence[str]
) -> tuple[str | None, ...] | None:
    """The columns' values in one of a file's JSON values; None where it has no names to find them by."""
    if paths:
        return tuple(_text(_followed(value, path)) for path in paths)
    if not isinstance(value, dict):
        return None
    if copy.json == "auto ignorecase":
        value = {key.lower(): each for key, each in value.items()}
    return tuple(_text(value.get(column.name)) for column in columns)


class _Number(str):
    """A number with the digits that it was written with."""


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)
    return "true" if value is True else "false" if value is False else _written(value)


def _written(value: object) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        inner = ",".join(
            f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in value.items()
        )
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return json.dumps(value, ensure_ascii=False)


def json_paths(content: bytes, columns: int) -> list[str]:
    """The paths of a JSONPaths file, which must be as many as the columns."""
    try:
        found = json.loads(content)["jsonpaths"]
    except (ValueError, KeyError, TypeError):
        raise RedshiftError("Invalid JSONPath format: no JSON object with jsonpaths") from None
    if len(found) != columns:
        raise RedshiftError(
            f"Number of jsonpaths and the number of columns should match. JSONPath size: {len(found)}, "
            f"Number of columns in table or column list: {columns}"
        )
    for path in found:
        if not re.fullmatch(r"\$(\['[^']*'\]|\[\d+\]|\.[A-Za-z_]\w*)+", path):
            raise RedshiftError(f"Invalid JSONPath format: {path}")
    return list(found)


def _followed(value: object, path: str) -> object:
    for name, place, dotted in re.findall(r"\['([^']*)'\]|\[(\d+)\]|\.([A-Za-z_]\w*)", path):
        if place:
            value = (
                value[int(place)] if isinstance(value, list) and int(place) < len(value) else None
            )
        else:
            value = value.get(name or dotted) if isinstance(value, dict) else None
    return value
