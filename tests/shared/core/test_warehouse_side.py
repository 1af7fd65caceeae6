"""What differs between two warehouses, where no warehouse is needed to see it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import parquet

from feira.core.warehouse import side
from feira.core.warehouse.column_types import Target, UnfitError
from feira.core.warehouse.side import POSTGRES, REDSHIFT, Staging, StagingError, among, side_of


def leading_to(version: int) -> psycopg.Connection:
    return cast(psycopg.Connection, SimpleNamespace(info=SimpleNamespace(server_version=version)))


class Noted:
    """A connection that notes the statements, and what was staged when it got them."""

    def __init__(self, files: MemoryFileSystem, fails: bool = False) -> None:
        self.files, self.fails = files, fails
        self.statements: list[str] = []
        self.staged: dict[str, bytes] = {}

    def execute(self, statement: bytes | str) -> None:
        self.statements.append(statement if isinstance(statement, str) else statement.decode())
        self.staged = {path: self.files.cat_file(path) for path in self.files.find("/lake")}
        if self.fails:
            raise psycopg.OperationalError("gone")


@pytest.fixture
def files() -> MemoryFileSystem:
    found = MemoryFileSystem(skip_instance_cache=True)
    found.store = {}
    return found


def copied(connection: Noted, staging: Staging | None, *batches: pa.RecordBatch) -> None:
    REDSHIFT.copy(cast(Any, connection), "staged_rows", ["a"], batches, staging)


def test_a_server_that_calls_itself_older_than_any_postgresql_is_redshift() -> None:
    assert side_of(leading_to(80_002)) is REDSHIFT
    assert side_of(leading_to(150_000)) is side_of(leading_to(180_001)) is POSTGRES


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (
            "examplecluster.abc123xyz789.us-west-2.redshift.amazonaws.com",
            "examplecluster.us-west-2",
        ),
        ("sales.123456789012.eu-west-1.redshift-serverless.amazonaws.com", "sales.eu-west-1"),
        ("sales.abc123.cn-north-1.redshift.amazonaws.com.cn", "sales.cn-north-1"),
        (
            "wg.123456789012.cn-northwest-1.redshift-serverless.amazonaws.com.cn",
            "wg.cn-northwest-1",
        ),
        ("Sales.ABC123.us-gov-west-1.Redshift.amazonaws.com", "sales.us-gov-west-1"),
        ("a.b.c.redshift.example.com", "a.b.c.redshift.example.com"),
        ("a.b.c.redshift.amazonaws.com.example", "a.b.c.redshift.amazonaws.com.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("a.b.c.d.example.com", "a.b.c.d.example.com"),
    ],
)
def test_lineage_names_a_cluster_and_its_region(host: str, name: str) -> None:
    assert REDSHIFT.lineage_server(host) == f"redshift://{name}"
    assert POSTGRES.lineage_server(host) == f"postgres://{host}"


def test_redshift_alone_has_what_a_refused_block_staged_dropped(files: MemoryFileSystem) -> None:
    for each, statements in ((POSTGRES, []), (REDSHIFT, ["DROP TABLE staged_rows"])):
        connection = Noted(files)
        each.drop_refused(cast(Any, connection), "staged_rows")
        assert connection.statements == statements


def test_among_no_values_is_nothing() -> None:
    assert among("day", []) == ("FALSE", [])
    assert among("day", (each for each in (1, 2))) == ("day IN (%s, %s)", [1, 2])


def test_rows_are_staged_as_files_of_a_bounded_size_that_a_manifest_lists_and_then_gone(
    files: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side, "_ROWS_A_FILE", 3)
    batches = [
        pa.record_batch({"b": [0] * len(found), "a": found}) for found in ([1, 2], [], [3, 4], [5])
    ]
    files.pipe_file("memory://lake/staging/left by a load that was killed", b"rows")
    connection = Noted(files)
    copied(connection, Staging(files, "memory://lake/staging/", "arn:aws:iam::1:role/r"), *batches)
    (statement,) = connection.statements
    manifest = statement.split("'")[1]
    assert statement == (
        f"COPY staged_rows FROM '{manifest}' IAM_ROLE 'arn:aws:iam::1:role/r' FORMAT PARQUET MANIFEST"
    )
    entries = json.loads(connection.staged[manifest.removeprefix("memory:/")])["entries"]
    assert len(connection.staged) == 1 + len(entries)
    held = [connection.staged[each["url"].removeprefix("memory:/")] for each in entries]
    assert [each["meta"]["content_length"] for each in entries] == [len(each) for each in held]
    tables = [parquet.read_table(pa.BufferReader(each)).to_pydict() for each in held]
    assert tables == [{"a": [1, 2, 3, 4]}, {"a": [5]}]
    assert [each["meta"]["record_count"] for each in entries] == [4, 1]
    assert files.find("/lake") == []


def test_without_rows_nothing_is_sent(files: MemoryFileSystem) -> None:
    connection = Noted(files)
    copied(
        connection, Staging(files, "memory://lake"), pa.record_batch({"a": pa.array([], "int32")})
    )
    assert (connection.statements, files.find("/lake")) == ([], [])


def test_what_was_staged_is_gone_also_where_the_copy_fails(files: MemoryFileSystem) -> None:
    connection = Noted(files, fails=True)
    with pytest.raises(psycopg.OperationalError):
        copied(connection, Staging(files, "memory://lake"), pa.record_batch({"a": [1]}))
    assert len(connection.staged) == 2
    assert files.find("/lake") == []


def test_redshift_without_a_folder_to_stage_in_is_refused(files: MemoryFileSystem) -> None:
    with pytest.raises(StagingError, match="staged_rows"):
        copied(Noted(files), None, pa.record_batch({"a": [1]}))


@pytest.mark.parametrize(
    ("counts_bytes", "fits", "too_long"), [(False, "éé", "ééé"), (True, "é", "éé")]
)
def test_a_texts_length_is_in_characters_or_in_bytes(
    counts_bytes: bool, fits: str, too_long: str
) -> None:
    target = Target("a", "character varying(2)", counts_bytes)
    assert target.convert(pa.array([fits, None])).to_pylist() == [fits, None]
    unit = "bytes" if counts_bytes else "characters"
    with pytest.raises(UnfitError, match=f"longer than 2 {unit}"):
        target.convert(pa.array([fits, too_long]))
