"""Every reusable part has an example DAG; each parses, and runs on a real API, S3 and warehouse."""

from __future__ import annotations

import gzip
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_bucket import Bucket
from scripted_api import scripted_api

import feira_provider.example_dags
from feira_local.stack.postgres import Dsns
from inbox_server import Inbox
from reported_days import Shop

FOLDER = Path(feira_provider.example_dags.__file__).parent
PART = b"a part"


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    """The example DAGs by id; a file that cannot be imported fails the test."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(FOLDER))
    assert not bag.import_errors, bag.import_errors
    return dict(bag.dags)


@pytest.fixture
def examples_bundle(metadata: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tells Airflow that the folder holds DAGs: a run belongs to a bundle."""
    bundle = {
        "name": "examples",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(FOLDER)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))


def run(examples: dict[str, Any], dag_id: str, tasks: int, **params: Any) -> dict[str, Any]:
    """Runs an example to its success; returns what each task returned."""
    done = examples[dag_id].test(run_conf=params)
    instances = done.get_task_instances()
    states = {instance.task_id: str(instance.state) for instance in instances}
    # A run without tasks succeeds too.
    assert len(states) == tasks and set(states.values()) == {"success"}, states
    return {each.task_id: each.xcom_pull(task_ids=each.task_id) for each in instances}


def test_every_file_of_the_folder_is_one_dag_of_its_name(examples: dict[str, Any]) -> None:
    files = {path.stem for path in FOLDER.glob("example_*.py")}
    assert set(examples) == files
    assert all(dag.schedule is None for dag in examples.values())


def test_every_example_is_owned_tagged_and_documented(examples: dict[str, Any]) -> None:
    for dag_id, dag in examples.items():
        assert {task.owner for task in dag.tasks} == {"orders-data"}, dag_id
        assert dag.tags == {"example"}, dag_id
        assert dag.doc_md.strip().startswith("### "), dag_id


def test_the_example_waits_without_a_worker(examples: dict[str, Any]) -> None:
    wait = examples["example_s3_manifest_sensor"].get_task("orders_are_complete")
    assert wait.deferrable is True


@pytest.mark.usefixtures("examples_bundle")
def test_the_example_lands_an_api(
    examples: dict[str, Any], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted_api() as api:
        monkeypatch.setenv("AIRFLOW_CONN_HTTP_DEFAULT", api.url)
        api.says({"data": {"orders": [{"id": 1}], "next": "b", "total": 2}})
        api.says({"data": {"orders": [{"id": 2}], "next": None, "total": 2}})
        found = run(examples, "example_paged_api_to_s3", 1, prefix=bucket.url)
    assert found["land_orders"] == f"{bucket.url}/manifest.json"
    assert json.loads(bucket.get(found["land_orders"]))["meta"]["record_count"] == 2


@pytest.mark.usefixtures("examples_bundle")
def test_the_example_waits_for_a_dataset(examples: dict[str, Any], bucket: Bucket) -> None:
    meta = {"content_length": len(PART), "record_count": 7}
    entries = [{"url": bucket.put("a", PART), "meta": meta}]
    uri = bucket.put("manifest.json", json.dumps({"entries": entries}).encode())
    found = run(examples, "example_s3_manifest_sensor", 2, manifest=uri)
    assert found["orders_are_complete"]["files"] == 1
    assert found["count"] == 7


@pytest.mark.usefixtures("examples_bundle")
def test_the_example_merges_files_into_the_warehouse(
    examples: dict[str, Any],
    bucket: Bucket,
    empty_warehouse: Dsns,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dsn = empty_warehouse.warehouse_loader
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT", dsn.replace("postgresql://", "postgres://")
    )
    sink = BytesIO()
    rows = [{"order_id": 1, "amount": 2.5, "updated_at": None}]
    types = {
        "order_id": pa.int64(),
        "amount": pa.float64(),
        "updated_at": pa.timestamp("us", "UTC"),
    }
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(types.items()))), sink)
    entries = [{"url": bucket.put("a.parquet", sink.getvalue()), "meta": {"record_count": 1}}]
    uri = bucket.put("manifest.json", json.dumps({"entries": entries}).encode())
    with psycopg.connect(dsn, autocommit=True) as warehouse:
        warehouse.execute(
            "CREATE TABLE sales.orders (order_id bigint, amount float8, updated_at timestamptz)"
        )
        found = run(examples, "example_warehouse_load", 1, manifest=uri)
        held = warehouse.execute("SELECT order_id, amount FROM sales.orders").fetchall()
    assert found["load_orders"] == {"staged": 1, "inserted": 1, "updated": 0, "deleted": 0}
    assert held == [(1, 2.5)]


@pytest.mark.usefixtures("examples_bundle")
def test_the_example_watches_a_day_and_tells_people(
    examples: dict[str, Any], shop: Shop, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are there; nobody has announced the day."""
    shop.connection.execute("CREATE TABLE sales.orders (order_date date, amount numeric)")
    shop.connection.execute("INSERT INTO sales.orders VALUES ('2010-12-01', 12.5)")
    watched = examples["example_watched_day"]
    # Airflow's test run looks for stored deadlines, and finds none.
    monkeypatch.setattr(watched, "deadline", None)
    done = watched.test(run_conf={"day": "2010-12-01"})
    assert {each.task_id: str(each.state) for each in done.get_task_instances()} == {
        "day_is_complete": "success",
        "day_was_announced": "failed",
    }
    title = "example_watched_day.day_was_announced failed for 2010-12-01"
    assert [mail["Subject"] for mail in inbox.mails()] == [title]
    assert [message["blocks"][0]["text"]["text"] for message in inbox.slack()] == [title]


CONTRACT = b"""
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: order_id, logicalType: integer, primaryKey: true}
"""


@pytest.mark.usefixtures("examples_bundle")
def test_the_example_validates_a_dataset(examples: dict[str, Any], bucket: Bucket) -> None:
    entries = [{"url": bucket.put("a.ndjson.gz", gzip.compress(b'{"order_id": 1}\n'))}]
    found = run(
        examples,
        "example_validate_contract",
        1,
        contract=bucket.put("orders.odcs.yaml", CONTRACT),
        manifest=bucket.put("manifest.json", json.dumps({"entries": entries}).encode()),
        report=f"{bucket.url}/report",
    )
    assert found["validate_orders"]["valid"] == 1
    assert json.loads(bucket.get(f"{bucket.url}/report/report.json"))["passed"] is True
