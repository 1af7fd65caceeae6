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
