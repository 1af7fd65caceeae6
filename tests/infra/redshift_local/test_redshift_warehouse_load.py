"""The provider's WarehouseHook on its Redshift side: every statement of a load run, and the table as it must be."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

# Before the first import of airflow, which reads its settings once.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="redshift-airflow-")
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

SCHEMA = pa.schema(
    [
        ("shop", pa.int32()),
        ("sku", pa.string()),
        ("price", pa.decimal128(18, 4)),
        ("sold_at", pa.timestamp("us", "UTC")),
        ("listed", pa.bool_()),
    ]
)
AT = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
Rows = list[tuple[Any, ...]]


@pytest.fixture
def stock(
    wire_port: int, connection: object, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """The empty table ``sales.stock`` by the PostgreSQL protocol, and the hook's two connections."""
    keys = {"login": "test", "password": "test"}
    redshift = {
        "conn_type": "redshift",
        "host": "127.0.0.1",
        "port": wire_port,
        "schema": "dev",
        **keys,
    }
    aws = {
        "conn_type": "aws",
        **keys,
        "extra": {"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    }
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(redshift | {"extra": {"ssl": False}})
    )
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(aws))
    # What stands for the cluster's role.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with psycopg.connect(f"postgresql://u@127.0.0.1:{wire_port}/dev", autocommit=True) as session:
        session.execute("CREATE SCHEMA sales")
        session.execute(
            "CREATE TABLE sales.stock (shop int, sku varchar(9), price numeric(18,4), sold_at timestamptz,"
            " listed boolean, PRIMARY KEY (shop, sku)) DISTKEY (shop)"
        )
        yield session
        session.execute("DROP SCHEMA sales CASCADE")


@pytest.fixture
def put(s3_client: Any) -> Callable[[Rows], str]:
    """Writes rows as Parquet files and their manifest; its URL."""

    def put(rows: Rows) -> str:
        entries = []
        for number, part in enumerate((rows[::2], rows[1::2])):
            records = [dict(zip(SCHEMA.names, row, strict=True)) for row in part]
            sink = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(records, SCHEMA), sink)
            key = f"warehouse/{number}.parquet"
            s3_client.put_object(Bucket="lake", Key=key, Body=sink.getvalue())
            meta = {"content_length": len(sink.getvalue()), "record_count": len(part)}
            entries.append({"url": f"s3://lake/{key}", "meta": meta})
        body = json.dumps({"entries": entries})
        s3_client.put_object(Bucket="lake", Key="warehouse/manifest.json", Body=body)
        return "s3://lake/warehouse/manifest.json"

    return put


def held(stock: psycopg.Connection[tuple[Any, ...]]) -> Rows:
    return stock.execute("SELECT * FROM sales.stock ORDER BY shop, sku").fetchall()


@pytest.mark.parametrize("gone", ["kept", "absent"])
def test_a_load_merges_by_key(
    stock: psycopg.Connection[tuple[Any, ...]], put: Callable[[Rows], str], gone: Any
) -> None:
    from feira_provider.hooks.warehouse import Loaded, Merge, WarehouseHook

    merge = Merge("sales.stock", key=("shop", "sku"), columns=tuple(SCHEMA.names), gone=gone)
    before: Rows = [
        (1, "a", Decimal("1.0000"), AT, True),
        (1, "b", Decimal("2.0000"), AT, None),
        (2, "a", None, None, False),
    ]
    assert WarehouseHook().load(merge, put(before)) == Loaded(3, 3, 0, 0)
    assert held(stock) == before
    after: Rows = [before[0], (1, "b", Decimal("2.5000"), AT, None), (3, "é", None, None, None)]
    deleted = int(gone == "absent")
    assert WarehouseHook().load(merge, put(after)) == Loaded(3, 1, 1, deleted)
    assert held(stock) == [*after[:2], *([] if deleted else [before[2]]), after[2]]


def test_a_load_that_is_refused_leaves_the_table_as_it_was(
    stock: psycopg.Connection[tuple[Any, ...]], put: Callable[[Rows], str]
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from feira_provider.hooks.warehouse import Merge, WarehouseHook

    merge = Merge("sales.stock", key=("shop", "sku"), columns=tuple(SCHEMA.names))
    twice: Rows = [(1, "a", None, None, None), (1, "a", None, None, None)]
    with pytest.raises(AirflowFailException):
        WarehouseHook().load(merge, put(twice))
    assert held(stock) == []


Load = Callable[..., Any]


@pytest.fixture
def load(stock: psycopg.Connection[tuple[Any, ...]], s3_client: Any) -> Load:
    """Loads a file of one table into ``sales.typed``, which is made with those columns and rows; what the load did."""

    def load(columns: str, merge: Any, table: pa.Table, before: str = "") -> Any:
        from feira_provider.hooks.warehouse import WarehouseHook

        stock.execute("DROP TABLE IF EXISTS sales.typed")
        stock.execute(f"CREATE TABLE sales.typed ({columns})".encode())
        if before:
            stock.execute(f"INSERT INTO sales.typed {before}".encode())
        sink = io.BytesIO()
        pq.write_table(table, sink)
        meta = {"content_length": len(sink.getvalue()), "record_count": table.num_rows}
        entry = {"url": "s3://lake/warehouse/v.parquet", "meta": meta}
        for key, body in (
            ("v.parquet", sink.getvalue()),
            ("v.json", json.dumps({"entries": [entry]}).encode()),
        ):
            s3_client.put_object(Bucket="lake", Key=f"warehouse/{key}", Body=body)
        return WarehouseHook().load(merge, "s3://lake/warehouse/v.json")

    return load


def typed(stock: psycopg.Connection[tuple[Any, ...]]) -> Rows:
    return stock.execute("SELECT * FROM sales.typed ORDER BY 1").fetchall()


@pytest.mark.parametrize(
    "in_file", [("OrderId", "Amount"), ("orderid", "amount"), ("ORDERID", "Amount")]
)
@pytest.mark.parametrize("marked", [False, True])
def test_names_have_no_case(
    stock: psycopg.Connection[tuple[Any, ...]], load: Load, in_file: tuple[str, str], marked: bool
) -> None:
    """Also where a column is looked at before the COPY: a text, and the mark."""
    from feira_provider.hooks.warehouse import Loaded, Merge

    merge = Merge(
        "sales.Typed",
        ("OrderId",),
        ("OrderId", "Amount"),
        gone="marked" if marked else "kept",
        mark="Change",
    )
    columns = {in_file[0]: ["a", "b"], in_file[1]: pa.array([1, 2], pa.int32())}
    mark = {"CHANGE": ["INSERT", "INSERT"]} if marked else {}
    assert load('"OrderId" varchar(9), "Amount" int', merge, pa.table(columns | mark)) == Loaded(
        2, 2, 0, 0
    )
    assert typed(stock) == [("a", 1), ("b", 2)]


def test_names_that_differ_in_case_alone_are_one(load: Load) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from feira_provider.hooks.warehouse import Merge

    merge = Merge("sales.typed", ("id",), ("id", "Amount", "amount"))
    with pytest.raises(AirflowFailException, match="a column is a duplicate"):
        load("id int, amount int", merge, pa.table({"id": [1], "Amount": [1], "amount": [1]}))


DAYS = pa.array([3_000_000], pa.int32()).cast(pa.date32())
LATE = pa.array([260_000_000_000_000_000], pa.timestamp("us"))


@pytest.mark.parametrize(
    ("type_", "values", "found"),
    [
        ("date", DAYS, "has 10183-09-21 in v"),
        ("timestamp", LATE, "has 10209-"),
        ("timestamp", pa.array([1], pa.timestamp("ns")), "has 1970-01-01 00:00:00.000000001 in v"),
        (
            "timestamptz",
            pa.array([1], pa.timestamp("us")),
            "has a column of type timestamp[us] in v",
        ),
        ("varchar(20)", pa.array(["a\0b"]), r"has a\x00b in v"),
        ("varchar(3)", pa.array(["é", "éé"]), "has éé in v"),
        ("varchar(3)", pa.array(["é", "éé"]).dictionary_encode(), "has éé in v"),
        ("char(2)", pa.array(["ab", "é"]), "has é in v"),
        ("char(2)", pa.array(["ab", "a"]), "has a in v"),
        (
            "decimal(12,2)",
            pa.array([Decimal("12345678901.25")], pa.decimal128(14, 2)),
            "has 12345678901.25 in v",
        ),
        (
            "decimal(12,4)",
            pa.array([Decimal("1.25")], pa.decimal128(10, 2)),
            "has a column of type decimal128(10, 2) in v",
        ),
        ("decimal(12,2)", pa.array([1.25]), "has a column of type double in v"),
        ("int", pa.nulls(1), "has a column of type null in v"),
        ("int", pa.array([1], pa.int64()), "has a column of type int64 in v"),
        ("bigint", pa.array([1], pa.uint32()), "has a column of type uint32 in v"),
        ("super", pa.array(["{}"]), "has a column of type string in v"),
    ],
    ids=lambda each: str(each)[:30] if isinstance(each, str) else "",
)
def test_what_a_column_does_not_hold_is_refused_before_the_copy_and_not_retried(
    stock: psycopg.Connection[tuple[Any, ...]], load: Load, type_: str, values: Any, found: str
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from feira_provider.hooks.warehouse import Merge

    ids = pa.array(range(len(values)), pa.int32())
    with pytest.raises(AirflowFailException) as refused:
        load(
            f"id int, v {type_}",
            Merge("sales.typed", ("id",), ("id", "v")),
            pa.table({"id": ids, "v": values}),
        )
    assert str(refused.value).startswith("sales.typed: s3://lake/warehouse/v.parquet has ")
    assert found in str(refused.value)
    assert typed(stock) == []


@pytest.mark.parametrize(
    ("type_", "values", "held"),
    [
        ("smallint", pa.array([7], pa.int8()), 7),
        ("decimal(12,2)", pa.array([Decimal("1.25")], pa.decimal128(14, 2)), Decimal("1.25")),
        ("decimal(12,2)", pa.array([Decimal("1.25")], pa.decimal128(5, 2)), Decimal("1.25")),
        ("timestamp", pa.array([1000], pa.timestamp("ns")), datetime(1970, 1, 1, 0, 0, 0, 1)),
        ("varchar(2)", pa.array(["é"]).dictionary_encode(), "é"),
        ("char(2)", pa.array(["ab"]), "ab"),
        ("date", pa.array([None], pa.date32()), None),
    ],
    ids=str,
)
def test_what_a_column_holds_is_loaded(
    stock: psycopg.Connection[tuple[Any, ...]], load: Load, type_: str, values: Any, held: object
) -> None:
    from feira_provider.hooks.warehouse import Loaded, Merge

    table = pa.table({"id": pa.array([1], pa.int32()), "v": values})
    merge = Merge("sales.typed", ("id",), ("id", "v"))
    assert load(f"id int, v {type_}", merge, table) == Loaded(1, 1, 0, 0)
    assert typed(stock) == [(1, held)]


def test_zero_and_minus_zero_are_a_change(
    stock: psycopg.Connection[tuple[Any, ...]], load: Load
) -> None:
    from feira_provider.hooks.warehouse import Loaded, Merge

    merge = Merge("sales.typed", ("id",), ("id", "v", "w"))

    def table(value: float) -> pa.Table:
        return pa.table({"id": pa.array([1], pa.int32()), "v": [value], "w": ["x "]})

    columns, before = "id int, v float8, w varchar(9)", "VALUES (1, 0, 'x ')"
    assert load(columns, merge, table(-0.0), before) == Loaded(1, 0, 1, 0)
    assert str(typed(stock)[0][1]) == "-0.0"
    assert load(columns, merge, table(0.0), before) == Loaded(1, 0, 0, 0)


@pytest.mark.parametrize("value", [7, 6])
def test_several_rows_of_a_key_in_the_table_are_refused(
    stock: psycopg.Connection[tuple[Any, ...]], load: Load, value: int
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from feira_provider.hooks.warehouse import Merge

    merge = Merge("sales.typed", ("id",), ("id", "n"), gone="absent")
    table = pa.table({"id": pa.array([1], pa.int32()), "n": pa.array([value], pa.int32())})
    with pytest.raises(
        AirflowFailException, match=r"several rows of 1 of the keys of \(id\).*: \(1\);"
    ):
        load("id int PRIMARY KEY, n int", merge, table, "VALUES (1, 5), (1, 6), (2, 5)")
    assert typed(stock) == [(1, 5), (1, 6), (2, 5)]
