"""Reads a dataset's files into DuckDB, row by row as they are, and each declared column with its type.

``__source`` has every row as it was read; ``__typed`` has the declared columns, null where a value is
of the wrong type, and beside each ``__bad_…``, which says so; ``__dataset`` is what a contract's own
queries see.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feira_airflow.contract_rules import Column, RuleSet, identifier, literal

if TYPE_CHECKING:
    import duckdb
    from fsspec import AbstractFileSystem

FORMATS = ("parquet", "csv", "ndjson")
# A line of NDJSON may be this long: DuckDB's default is 2 MB.
_MAX_LINE = 32 * 1024 * 1024
_FILE = "__file"
_READING = (
    f"auto_detect = false, max_line_size = {_MAX_LINE}, filename = '{_FILE}', "
    "store_rejects = true, rejects_limit = 0"
)
_SQL_TYPES = {
    "integer": "HUGEINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
}
_SHAPES = {
    "integer": r"[+-]?[0-9]+",
    "date": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "boolean": r"(?i:true|false)",
    "timestamp": r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*",
}
_ZONE = r".*(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
_JSON_TYPES = {
    "string": ("VARCHAR",),
    "date": ("VARCHAR",),
    "timestamp": ("VARCHAR",),
    "time": ("VARCHAR",),
    "integer": ("BIGINT", "UBIGINT", "HUGEINT"),
    "number": ("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"),
    "boolean": ("BOOLEAN",),
    "object": ("OBJECT",),
    "array": ("ARRAY",),
}
# What a Parquet column of a logical type may be called by DuckDB; [] ends a list's name.
_PARQUET_TYPES = {
    "string": ("VARCHAR", "UUID", "ENUM"),
    "integer": (
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
    ),
    "boolean": ("BOOLEAN",),
    "date": ("DATE",),
    "timestamp": ("TIMESTAMP",),
    "time": ("TIME",),
    "object": ("STRUCT", "MAP"),
}


class DatasetError(ValueError):
    """The dataset cannot be read as what it is said to be; the message names a file and why."""


def read_source(
    connection: duckdb.DuckDBPyConnection,
    urls: Sequence[str],
    file_format: str,
    delimiter: str,
    files: AbstractFileSystem,
) -> dict[str, str]:
    """Fills ``__source`` (__n, file, line, row); returns the columns read and their types, by name.

    A line that cannot be split is kept in DuckDB's table of rejects, with its text.
    """
    if not urls:
        connection.execute(
            "CREATE TABLE __source (__n BIGINT, file VARCHAR, line VARCHAR, row STRUCT(none INTEGER))"
        )
        return {}
    listed = "[" + ", ".join(literal(url) for url in urls) + "]"
    if file_format == "ndjson":
        # Read as lines and not by read_json: a line that is no JSON is that row's fault alone.
        lines = (
            f"read_csv({listed}, columns = {{'line': 'VARCHAR'}}, header = false, {_as_lines()})"
        )
        connection.execute(
            f"CREATE TABLE __source AS SELECT row_number() OVER () AS __n, {_FILE} AS file, line, "
            f"NULL AS row FROM {lines}"
        )
        return {}
    if file_format == "csv":
        rows = _csv_parts(connection, urls, delimiter, files)
    else:
        rows = f"read_parquet({listed}, union_by_name = true, filename = '{_FILE}')"
    connection.execute(
        f"CREATE TABLE __source AS SELECT row_number() OVER () AS __n, t.{_FILE} AS file, "
        f"NULL::VARCHAR AS line, t AS row FROM {rows} AS t"
    )
    described = connection.execute("DESCRIBE SELECT unnest(row) FROM __source").fetchall()
    return {name: type_ for name, type_, *_ in described if name != _FILE}


def _as_lines() -> str:
    return f"delim = '\\x1f', quote = '', escape = '', {_READING}"


def _csv_parts(
    connection: duckdb.DuckDBPyConnection,
    urls: Sequence[str],
    delimiter: str,
    files: AbstractFileSystem,
) -> str:
    """Reads each file by its own header; returns SQL for the rows of all, columns matched by name."""
    parts = []
    for number, url in enumerate(urls):
        columns = ", ".join(
            f"{literal(name)}: 'VARCHAR'" for name in _header(url, delimiter, files)
        )
        connection.execute(
            f"CREATE TABLE __part_{number} AS SELECT * FROM read_csv([{literal(url)}], "
            f"columns = {{{columns}}}, header = true, delim = {literal(delimiter)}, quote = '\"', "
            f"escape = '\"', {_READING})"
        )
        parts.append(f"SELECT * FROM __part_{number}")
    return f"({' UNION ALL BY NAME '.join(parts)})"


def _header(url: str, delimiter: str, files: AbstractFileSystem) -> list[str]:
    """The first line. DuckDB's own guess looks at the rows too, and dirty rows mislead it."""
    try:
        with files.open(url, "rt", compression="infer", encoding="utf-8-sig", newline="") as text:
            names = next(csv.reader(text, delimiter=delimiter), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{url} cannot be read as csv: {error}") from error
    if not names or len(set(names)) != len(names):
        raise DatasetError(f"{url} has the header {names}; a CSV file needs one, each name once.")
    return names


def add_types(
    connection: duckdb.DuckDBPyConnection,
    rules: RuleSet,
    file_format: str,
    columns: dict[str, str],
) -> None:
    """Makes ``__typed``: each declared column with its value, null where it is of the wrong type."""
    selected = []
    for column in rules.columns:
        value, bad = _value(column, file_format, columns)
        selected.append(f"{value} AS {identifier(column.name)}")
        selected.append(f"coalesce({bad}, false) AS {identifier(f'__bad_{column.name}')}")
    document = "CASE WHEN json_valid(line) THEN CAST(line AS JSON) END AS __doc"
    connection.execute(
        f"CREATE TABLE __typed AS SELECT __n, __doc, {', '.join(selected)} "
        f"FROM (SELECT *, {document} FROM __source)"
    )
    names = ", ".join(identifier(column.name) for column in rules.columns)
    connection.execute(f"CREATE VIEW __dataset AS SELECT {names} FROM __typed")


def json_pointer(column: Column) -> str:
    """Where a column stands in a JSON object (RFC 6901), as SQL."""
    return literal("/" + column.name.replace("~", "~0").replace("/", "~1"))


def _value(column: Column, file_format: str, columns: dict[str, str]) -> tuple[str, str]:
    """SQL for a column's value, and for whether what stands there is of the wrong type."""
    if file_format == "ndjson":
        pointer = json_pointer(column)
        kind = f"json_type(__doc, {pointer})"
        allowed = ", ".join(literal(name) for name in _JSON_TYPES[column.type])
        text = f"CASE WHEN {kind} IN ({allowed}) THEN __doc ->> {pointer} END"
        value, ill_shaped = _cast(column, text)
        wrong = f"({kind} <> 'NULL' AND {kind} NOT IN ({allowed})) OR {ill_shaped}"
        return value, wrong
    if column.name not in columns:
        return f"CAST(NULL AS {_SQL_TYPES.get(column.type, 'VARCHAR')})", "false"
    value = f"row.{identifier(column.name)}"
    if file_format == "csv":
        return _cast(column, value)
    return value, "false"


def _cast(column: Column, text: str) -> tuple[str, str]:
    sql_type = _SQL_TYPES.get(column.type)
    if sql_type is None:
        return text, "false"
    value = f"TRY_CAST({text} AS {sql_type})"
    # DuckDB rounds '1.5' to an integer and cuts a time to a date: the text must have the shape first.
    shapes = [_SHAPES[column.type]] if column.type in _SHAPES else []
    shapes += [_ZONE] if column.zoned else []
    for shape in shapes:
        value = f"CASE WHEN regexp_full_match({text}, {literal(shape)}) THEN {value} END"
    return value, f"({text}) IS NOT NULL AND ({value}) IS NULL"


def fits(column: Column, type_: str) -> bool:
    if column.type == "array":
        return type_.endswith("]")
    allowed = _PARQUET_TYPES.get(column.type, ())
    if column.type == "number":
        allowed = (*_PARQUET_TYPES["integer"], "DECIMAL", "DOUBLE", "FLOAT")
    fits = (
        not type_.endswith("]") and type_.partition("(")[0].split(" ")[0].split("_")[0] in allowed
    )
    return fits and not (column.zoned and "WITH TIME ZONE" not in type_)
