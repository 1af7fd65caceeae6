"""UNLOAD to S3, and what it wrote read back by COPY."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest

from redshift_local.translation.errors import NotImitated, RedshiftError
from redshift_local.translation.translate import translate

Session = psycopg.Connection[tuple[Any, ...]]
KEYS = "CREDENTIALS 'aws_access_key_id=test;aws_secret_access_key=test'"
ROWS = [
    (1, 'a,"b"\nc', Decimal("1.50"), True),
    (2, "", None, False),
    (3, "é|x", Decimal("-7.00"), None),
]


@pytest.fixture
def prefix(request: pytest.FixtureRequest) -> str:
    """A place of the test's own in the bucket ``lake``."""
    return f"unload/{abs(hash(request.node.nodeid))}/x"


@pytest.fixture
def session(wire_port: int, connection: object) -> Iterator[Session]:
    with psycopg.connect(f"postgresql://u@127.0.0.1:{wire_port}/dev", autocommit=True) as session:
        session.execute("CREATE TABLE t (a int, b varchar(9), c numeric(8,2), d boolean)")
        session.cursor().executemany("INSERT INTO t VALUES (%s, %s, %s, %s)", ROWS)
        session.execute("CREATE TABLE u (LIKE t)")
        yield session


def keys(s3_client: Any, prefix: str) -> list[str]:
    found = s3_client.list_objects_v2(Bucket="lake", Prefix=prefix).get("Contents", [])
    return [each["Key"].removeprefix(prefix) for each in found]


def content(s3_client: Any, key: str) -> bytes:
    read: bytes = s3_client.get_object(Bucket="lake", Key=key)["Body"].read()
    return read


@pytest.mark.parametrize(
    ("written", "read", "names"),
    [
        ("CSV", "CSV NULL AS '\\\\N'", ["0000_part_00"]),
        ("FORMAT AS CSV HEADER GZIP PARALLEL OFF", "CSV IGNOREHEADER 1 GZIP", ["000.gz"]),
        ("PARQUET", "FORMAT AS PARQUET", ["0000_part_00.parquet"]),
    ],
)
def test_what_is_unloaded_is_what_copy_loads(
    session: Session, s3_client: Any, prefix: str, written: str, read: str, names: list[str]
) -> None:
    cursor = session.execute(
        f"UNLOAD ('SELECT * FROM t ORDER BY a') TO 's3://lake/{prefix}' {KEYS} {written}"
    )
    assert cursor.statusmessage == "UNLOAD"
    assert keys(s3_client, prefix) == names
    session.execute(f"COPY u FROM 's3://lake/{prefix}' {KEYS} {read}")
    assert session.execute("SELECT * FROM u ORDER BY a").fetchall() == ROWS


def test_text_has_its_delimiter_quotes_and_null(
    session: Session, s3_client: Any, prefix: str
) -> None:
    session.execute(
        f"UNLOAD ('SELECT a, NVL2(c, \\'it\\'\\'s\\', NULL), c FROM t ORDER BY a') TO 's3://lake/{prefix}' {KEYS} "
        "DELIMITER ';' ADDQUOTES NULL AS '-'"
    )
    assert (
        content(s3_client, f"{prefix}0000_part_00")
        == b'"1";"it\'s";"1.50"\n"2";-;-\n"3";"it\'s";"-7.00"\n'
    )


def test_parquet_has_the_columns_types(session: Session, s3_client: Any, prefix: str) -> None:
    session.execute(f"UNLOAD ('SELECT * FROM t') TO 's3://lake/{prefix}' {KEYS} PARQUET")
    table = pq.read_table(io.BytesIO(content(s3_client, f"{prefix}0000_part_00.parquet")))
    assert [str(field.type) for field in table.schema] == [
        "int32",
        "string",
        "decimal128(8, 2)",
        "bool",
    ]
    with pytest.raises(psycopg.Error, match="UNLOAD of sum to PARQUET"):
        session.execute(
            f"UNLOAD ('SELECT SUM(c) FROM t') TO 's3://lake/{prefix}-sum' {KEYS} PARQUET"
        )


def test_a_manifest_says_what_was_written_and_copy_reads_it(
    session: Session, s3_client: Any, prefix: str
) -> None:
    session.execute(
        f"UNLOAD ('SELECT * FROM t') TO 's3://lake/{prefix}' {KEYS} PARQUET MANIFEST VERBOSE"
    )
    said = json.loads(content(s3_client, f"{prefix}manifest"))
    (entry,) = said["entries"]
    size = len(content(s3_client, f"{prefix}0000_part_00.parquet"))
    assert entry == {
        "url": f"s3://lake/{prefix}0000_part_00.parquet",
        "meta": {"content_length": size, "record_count": 3},
    }
    assert [each["name"] for each in said["schema"]["elements"]] == ["a", "b", "c", "d"]
    session.execute(f"COPY u FROM 's3://lake/{prefix}manifest' {KEYS} FORMAT AS PARQUET MANIFEST")
    assert session.execute("SELECT COUNT(*) FROM u").fetchone() == (3,)


def test_what_is_there_is_overwritten_when_that_is_said(
    session: Session, s3_client: Any, prefix: str
) -> None:
    unload = f"UNLOAD ('SELECT a FROM t WHERE a = 1') TO 's3://lake/{prefix}' {KEYS} CSV"
    session.execute(unload)
    with pytest.raises(psycopg.Error, match="Specified unload destination on S3 is not empty"):
        session.execute(unload.replace("a = 1", "a = 2"))
    assert content(s3_client, f"{prefix}0000_part_00") == b"1\n"
    session.execute(unload.replace("a = 1", "a = 2") + " ALLOWOVERWRITE")
    assert content(s3_client, f"{prefix}0000_part_00") == b"2\n"


def test_it_reads_its_own_transaction_and_fails_it(
    session: Session, s3_client: Any, prefix: str
) -> None:
    session.execute("BEGIN")
    session.execute("DELETE FROM t WHERE a > 1")
    session.execute(f"UNLOAD ('SELECT a FROM t') TO 's3://lake/{prefix}' {KEYS} CSV")
    assert list(csv.reader(io.StringIO(content(s3_client, f"{prefix}0000_part_00").decode()))) == [
        ["1"]
    ]
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute(f"UNLOAD ('SELECT 1/0') TO 's3://lake/{prefix}-2' {KEYS} CSV")
    assert session.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    session.execute("ROLLBACK")
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (3,)


def test_the_data_api_unloads(session: Session, client: Any, s3_client: Any, prefix: str) -> None:
    made = client.execute_statement(
        Sql=f"UNLOAD ('SELECT a FROM (SELECT a FROM t ORDER BY a LIMIT 2) AS x') TO 's3://lake/{prefix}' {KEYS}",
        WorkgroupName="laptop",
        Database="dev",
    )
    described = client.describe_statement(Id=made["Id"], WaitTimeSeconds=30)
    assert (described["Status"], described["ResultRows"], described["HasResultSet"]) == (
        "FINISHED",
        2,
        False,
    )
    assert content(s3_client, f"{prefix}0000_part_00") == b"1\n2\n"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UNLOAD ('SELECT 1 AS a LIMIT 1') TO 's3://b/k' {}", "Limit clause is not supported"),
        ("UNLOAD ('SELECT STRING_AGG(a) FROM t') TO 's3://b/k' {}", "string_agg"),
        ("UNLOAD ('DELETE FROM t') TO 's3://b/k' {}", 'at or near "DELETE"'),
        ("UNLOAD ('SELECT 1; SELECT 2') TO 's3://b/k' {}", 'at or near ";"'),
        ("UNLOAD ('SELECT \\'') TO 's3://b/k' {}", "syntax error"),
        ("UNLOAD ('') TO 's3://b/k' {}", "end of input"),
        ("UNLOAD ('SELECT 1') TO 's3://b/k' CSV", "No credentials provided for UNLOAD"),
        ("UNLOAD ('SELECT 1') TO 's3://b/k' {} PARQUET HEADER", "HEADER is not supported"),
        ("UNLOAD (SELECT 1) TO 's3://b/k' {}", 'at or near "SELECT"'),
        ("UNLOAD ('SELECT 1') TO '/tmp/x' {}", "destination is not supported"),
    ],
)
def test_an_unload_that_redshift_refuses(statement: str, message: str) -> None:
    with pytest.raises(RedshiftError) as refused:
        translate(statement.format(KEYS))
    assert message in str(refused.value) and not isinstance(refused.value, NotImitated)


@pytest.mark.parametrize("option", ["JSON", "PARTITION BY (a)", "CLEANPATH", "ZSTD"])
def test_an_unload_that_is_not_known_here(option: str) -> None:
    with pytest.raises(NotImitated):
        translate(f"UNLOAD ('SELECT 1') TO 's3://b/k' {KEYS} {option}")
