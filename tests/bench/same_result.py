"""Whether the engines found the same: counts by rule, and an order-independent hash of every row.

The extract and the quarantine that each engine wrote are read back from their Parquet files by one
reader, DuckDB, so that what is compared is what is stored: the columns, their types, and the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from pyiceberg.table import StaticTable

QUARANTINED = ("landing_order", "raw", "broken_rules")
EXAMPLES = 3


class DifferenceError(AssertionError):
    """Two engines made different results of one landing; the message holds both."""


@dataclass(frozen=True)
class Result:
    """What an engine found in a landing, and the files that it wrote."""

    engine: str
    rows: int
    valid: int
    broken: dict[str, int]
    extract: tuple[str, ...]
    quarantine: tuple[str, ...]

    @classmethod
    def of_folder(cls, engine: str, found: dict[str, Any], out: Path) -> Result:
        """An engine that writes two Parquet files."""
        return cls(
            engine,
            found["rows"],
            found["valid"],
            dict(found["broken"]),
            (str(out / "extract.parquet"),),
            (str(out / "quarantine.parquet"),),
        )

    @classmethod
    def of_lake(cls, engine: str, validated: dict[str, Any], transformed: dict[str, Any]) -> Result:
        """Of Spark, alone or with Comet: the data files of the two tables that its steps have pinned."""
        return cls(
            engine,
            validated["rows"],
            validated["valid"],
            dict(validated["broken"]),
            _data_files(transformed["extract"]),
            _data_files(transformed["quarantine"]),
        )


def require_same(results: list[Result]) -> dict[str, Any]:
    """Compares every result with the first; returns what all of them hold, counts and hashes.

    Raises DifferenceError naming the engines, what differs, and a few rows that only one has.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        figures = [_figures(connection, result) for result in results]
        for result, found in zip(results[1:], figures[1:], strict=True):
            for what, value in found.items():
                if value != figures[0][what]:
                    raise DifferenceError(
                        f"{result.engine} and {results[0].engine} differ in {what}: "
                        f"{value} and {figures[0][what]}."
                        + _examples(connection, results[0], result, what)
                    )
    return figures[0]


def _figures(connection: duckdb.DuckDBPyConnection, result: Result) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "rows": result.rows,
        "valid": result.valid,
        "broken": dict(sorted(result.broken.items())),
    }
    for table in ("extract", "quarantine"):
        source = _source(result, table)
        columns = connection.execute(f"DESCRIBE {source}").fetchall()
        figures[f"{table} columns"] = [[name, type_] for name, type_, *_ in columns]
        names = ", ".join(name for name, *_ in columns)
        row = connection.execute(
            f"SELECT count(*), sum(CAST(hash(({names})) AS HUGEINT)), bit_xor(hash(({names}))) "
            f"FROM ({source})"
        ).fetchone()
        assert row is not None
        figures[f"{table} rows"] = row[0]
        figures[f"{table} hash"] = f"{row[1]}/{row[2]}"
    return figures


def _source(result: Result, table: str) -> str:
    files = list(getattr(result, table))
    columns = "*" if table == "extract" else ", ".join(QUARANTINED)
    return f"SELECT {columns} FROM read_parquet({files!r})"


def _examples(
    connection: duckdb.DuckDBPyConnection, first: Result, second: Result, what: str
) -> str:
    table = what.split()[0]
    if table not in ("extract", "quarantine") or what.endswith("columns"):
        return ""
    text = ""
    for one, other in ((first, second), (second, first)):
        rows = connection.execute(
            f"({_source(one, table)}) EXCEPT ALL ({_source(other, table)}) LIMIT {EXAMPLES}"
        ).fetchall()
        text += f" Only {one.engine} has {rows}."
    return text


def _data_files(metadata: str) -> tuple[str, ...]:
    """The Parquet files of the snapshot that a ``metadata.json`` pins."""
    tasks = StaticTable.from_metadata(metadata).scan().plan_files()
    return tuple(task.file.file_path.removeprefix("file:") for task in tasks)
