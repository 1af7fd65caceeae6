"""Reads a dataset's files into DuckDB, row by row as they are, and each declared column with its type.

``__source`` has every row as it was read; ``__typed`` has the declared columns, null where a value is
of the wrong type, and beside each ``__bad_…``, which says so; ``__dataset`` is what a contract's own
queries see. Lines that are no rows are in ``__source`` alone. A line of NDJSON is parsed once, in the
batch that it was read in: DuckDB parses 2,048 rows at a time and keeps what it made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from feira.core.landing.manifest import ListedFile
from feira_provider.contracts.beside import Beside
from feira_provider.contracts.lines import CsvRows, Seen, ndjson_batches, require_distinct
from feira_provider.contracts.terms import (
    SHAPES,
    ZONED,
    Column,
    RuleSet,
    identifier,
    json_pointer,
    literal,
)
from feira_provider.datasets.files import DatasetError, require_rows, spooled, unpacked

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from fsspec import AbstractFileSystem

FORMATS = ("parquet", "csv", "ndjson")
_SQL_TYPES = {
    "integer": "HUGEINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "time": "TIME",
    "int": "INTEGER",
    "bigint": "BIGINT",
}
_JSON_TYPES = {
    "string": ("VARCHAR",),
    "date": ("VARCHAR",),
    "timestamp": ("VARCHAR",),
    "time": ("VARCHAR",),
    # An integer beyond 64 bits is a DOUBLE to DuckDB; its text shows that it is one.
    "integer": ("BIGINT", "UBIGINT", "DOUBLE"),
    "int": ("BIGINT", "UBIGINT"),
    "bigint": ("BIGINT", "UBIGINT"),
    "number": ("BIGINT", "UBIGINT", "DOUBLE"),
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


def read_source(
    connection: duckdb.DuckDBPyConnection,
    listed: Sequence[ListedFile],
    file_format: str,
    delimiter: str,
    files: AbstractFileSystem,
    scratch: Path,
    declared: Sequence[Column],
    seen: Seen,
) -> dict[str, str]:
    """Fills ``__source`` (__n, file, line, fault, row, of NDJSON kinds and texts); returns the columns
    read and their types.

    A line that is no row is kept with its text and its ``fault``, the name of the rule that it breaks.

    :param listed: the files, with what a manifest states about them
    :param scratch: a folder for local copies of Parquet files
    :param declared: the columns whose JSON types and texts are wanted
    :param seen: takes the length of the longest line
    :raises DatasetError: for the first file that is not whole, or not as the manifest states it
    """
    if file_format == "parquet" and listed:
        columns = _read_parquet(connection, listed, files, scratch)
    elif file_format == "csv" and listed:
        columns = _read_csv(connection, listed, delimiter, files, seen)
    else:
        connection.execute(
            "CREATE TABLE __source (__n BIGINT, file VARCHAR, line VARCHAR, fault VARCHAR, "
            "row STRUCT(none INTEGER), kinds VARCHAR[], texts VARCHAR[])"
        )
        _read_ndjson(connection, listed, files, declared, seen)
        columns = dict.fromkeys(sorted(seen.fields), "JSON")
    found = dict(connection.execute("SELECT file, count(*) FROM __source GROUP BY 1").fetchall())
    for file in listed:
        require_rows(file, found.get(file.url, 0))
    return columns


def _read_ndjson(
    connection: duckdb.DuckDBPyConnection,
    listed: Sequence[ListedFile],
    files: AbstractFileSystem,
    declared: Sequence[Column],
    seen: Seen,
) -> None:
    # Read as lines and not by read_json: a line that is no JSON is that row's fault alone.
    row = "CASE WHEN __fault IS NULL THEN __line END"
    pointers = f"[{', '.join(json_pointer(column.name) for column in declared)}]"
    values = f"json_type({row}, {pointers}), json_extract_string({row}, {pointers})"
    n = 1
    for file in listed:
        for batch in ndjson_batches(unpacked(file, files, "ndjson"), file.url, n, seen):
            n += batch.num_rows
            _insert(
                connection,
                batch,
                f"__source SELECT __n, {literal(file.url)}, __line, __fault, NULL, {values}",
            )


def _insert(connection: duckdb.DuckDBPyConnection, batch: pa.RecordBatch, into: str) -> None:
    import pyarrow as pa

    connection.register("__batch", pa.Table.from_batches([batch]))
    connection.execute(f"INSERT INTO {into} FROM __batch")
    connection.unregister("__batch")


def _read_csv(
    connection: duckdb.DuckDBPyConnection,
    listed: Sequence[ListedFile],
    delimiter: str,
    files: AbstractFileSystem,
    seen: Seen,
) -> dict[str, str]:
    """Reads each file by its own header; columns are matched by name, exactly."""
    names: dict[str, str] = {}
    parts, n = [], 1
    for number, file in enumerate(listed):
        rows = CsvRows(unpacked(file, files, "csv"), file.url, delimiter, seen)
        _one_case(names, rows.names, file.url)
        own = ", ".join(f"{identifier(name)} VARCHAR" for name in rows.names)
        part = f"__part_{number}"
        connection.execute(
            f"CREATE TABLE {part} (__n BIGINT, __line VARCHAR, __fault VARCHAR, {own})"
        )
        # An empty field is a null.
        values = ", ".join(f"nullif(__{index}, '')" for index in range(len(rows.names)))
        for batch in rows.batches(n):
            n += batch.num_rows
            _insert(connection, batch, f"{part} SELECT __n, __line, __fault, {values}")
        parts.append(f"SELECT *, {literal(file.url)} AS __file FROM {part}")
    row = ", ".join(f"{literal(name)}: {identifier(name)}" for name in names)
    connection.execute(
        "CREATE TABLE __source AS SELECT __n, __file AS file, __line AS line, __fault AS fault, "
        f"CASE WHEN __fault IS NULL THEN {{{row}}} END AS row "
        f"FROM ({' UNION ALL BY NAME '.join(parts)})"
    )
    for number in range(len(listed)):
        connection.execute(f"DROP TABLE __part_{number}")
    return dict.fromkeys(names, "VARCHAR")


def _one_case(names: dict[str, str], found: Sequence[str], url: str) -> None:
    """Adds the names of a file's columns to those of the files before it.

    :raises DatasetError: where one differs from another file's in its case alone: DuckDB would take
        the two for one column
    """
    folded = {name.casefold(): (name, where) for name, where in names.items()}
    for name in found:
        other, where = folded.get(name.casefold(), (name, url))
        if other != name:
            raise DatasetError(
                f"{url} has a column {name!r} and {where} one {other!r}: they differ in case alone "
                "and are one name to SQL. Write both alike, or validate the files apart."
            )
        names.setdefault(name, url)


def _read_parquet(
    connection: duckdb.DuckDBPyConnection,
    listed: Sequence[ListedFile],
    files: AbstractFileSystem,
    scratch: Path,
) -> dict[str, str]:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: dict[str, str] = {}
    local: list[str] = []
    for number, file in enumerate(listed):
        path = spooled(file, files, scratch / f"{number}.parquet")
        try:
            found = pq.read_schema(path).names
        except (pa.ArrowException, OSError) as error:
            raise DatasetError(f"{file.url} cannot be read as parquet: {error}.") from error
        require_distinct(file.url, found)
        _one_case(names, found, file.url)
        local.append(str(path))
    paths = "[" + ", ".join(literal(path) for path in local) + "]"
    urls = (
        "MAP {"
        + ", ".join(
            f"{literal(path)}: {literal(file.url)}"
            for path, file in zip(local, listed, strict=True)
        )
        + "}"
    )
    row = ", ".join(f"{literal(name)}: {identifier(name)}" for name in names)
    try:
        connection.execute(
            f"CREATE TABLE __source AS SELECT row_number() OVER () AS __n, {urls}[__file] AS file, "
            f"NULL::VARCHAR AS line, NULL::VARCHAR AS fault, {{{row}}} AS row "
            f"FROM read_parquet({paths}, union_by_name = true, filename = '__file')"
        )
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        raise _unreadable(connection, listed, local, error) from error
    for copy in local:
        Path(copy).unlink()
    described = connection.execute("DESCRIBE SELECT unnest(row) FROM __source").fetchall()
    return {name: type_ for name, type_, *_ in described}


def _unreadable(
    connection: duckdb.DuckDBPyConnection,
    listed: Sequence[ListedFile],
    local: Sequence[str],
    error: duckdb.Error,
) -> DatasetError:
    """The error for Parquet files that cannot be read together, naming the first that cannot alone."""
    import duckdb

    for path, file in zip(local, listed, strict=True):
        try:
            connection.execute(f"SELECT count(COLUMNS(*)) FROM read_parquet({literal(path)})")
        except duckdb.Error as own:
            return DatasetError(f"{file.url} cannot be read as parquet: {own}")
    more = f" and {len(listed) - 1} more" if len(listed) > 1 else ""
    return DatasetError(f"{listed[0].url}{more} cannot be read as parquet together: {error}")


def add_types(
    connection: duckdb.DuckDBPyConnection,
    rules: RuleSet,
    file_format: str,
    columns: dict[str, str],
    beside: Beside,
) -> None:
    """Makes ``__typed``: each declared column with its value, null where it is of the wrong type.

    A landing's columns have ``__long_…`` and ``__kind_…`` (the JSON type) too, and beside them are the
    inputs of its rules.

    :param beside: what was landed beside the lines
    """
    selected = []
    for number, column in enumerate(rules.columns, start=1):
        value, bad = _value(column, number, file_format, columns)
        if rules.landing:
            selected.append(f"kinds[{number}] AS {identifier(f'__kind_{column.name}')}")
        if rules.landing and column.type == "string":
            # U+0000 is nothing that a table of the platform could hold.
            text = f"CASE WHEN NOT contains({value}, chr(0)) THEN {value} END"
            bad = f"({bad}) OR contains({value}, chr(0))"
            long = "false" if column.max_length is None else f"length({text}) > {column.max_length}"
            value = f"CASE WHEN NOT ({long}) THEN {text} END"
            selected.append(f"coalesce({long}, false) AS {identifier(f'__long_{column.name}')}")
        selected.append(f"{value} AS {identifier(column.name)}")
        selected.append(f"coalesce({bad}, false) AS {identifier(f'__bad_{column.name}')}")
    typed = f"SELECT __n, {', '.join(selected)} FROM __source WHERE fault IS NULL"
    types = {column.name: column.type for column in rules.columns}
    for each in rules.inputs:
        made = beside.value(connection, each, types)
        typed = f"SELECT l.*, {made} AS {identifier(each.name)} FROM ({typed}) l"
        types[each.name] = each.type
    connection.execute(f"CREATE TABLE __typed AS {typed}")
    names = ", ".join(identifier(column.name) for column in rules.columns)
    connection.execute(f"CREATE VIEW __dataset AS SELECT {names} FROM __typed")


def _value(
    column: Column, number: int, file_format: str, columns: dict[str, str]
) -> tuple[str, str]:
    """SQL for a column's value, and for whether what stands there is of the wrong type.

    :param number: of the column, from 1
    """
    if file_format == "ndjson":
        kind = f"kinds[{number}]"
        allowed = ", ".join(literal(name) for name in _JSON_TYPES[column.type])
        text = f"CASE WHEN {kind} IN ({allowed}) THEN texts[{number}] END"
        value, ill_shaped = _cast(column, text)
        wrong = f"({kind} <> 'NULL' AND {kind} NOT IN ({allowed})) OR {ill_shaped}"
        return value, wrong
    if column.name not in columns:
        return f"CAST(NULL AS {_SQL_TYPES.get(column.type, 'VARCHAR')})", "false"
    value = f"row.{identifier(column.name)}"
    if file_format == "csv":
        return _cast(column, value)
    if columns[column.name] in ("DOUBLE", "FLOAT"):
        return _finite(value), f"{value} IS NOT NULL AND NOT isfinite({value})"
    return value, "false"


def _finite(value: str) -> str:
    """NaN and the infinities are no numbers: DuckDB orders NaN over all others, and equals it."""
    return f"CASE WHEN isfinite({value}) THEN {value} END"


def _cast(column: Column, text: str) -> tuple[str, str]:
    sql_type = _SQL_TYPES.get(column.type)
    if sql_type is None:
        return text, "false"
    value = f"TRY_CAST({text} AS {sql_type})"
    if sql_type == "TIMESTAMP":
        # By way of a type with a zone: a cast to TIMESTAMP drops the offset that a text states.
        value = f"CAST(TRY_CAST({text} AS TIMESTAMPTZ) AS TIMESTAMP)"
    if sql_type == "DOUBLE":
        value = _finite(value)
    # DuckDB rounds '1.5' to an integer and cuts a time to a date: the text must have the shape first.
    shape = ZONED if column.zoned else SHAPES.get(column.type)
    if shape is not None:
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
