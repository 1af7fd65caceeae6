"""Airflow on a metadata database of its own, migrated once a session."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from s3_bucket import Bucket

from feira_local.stack.postgres import Dsns
from inbox_server import Inbox, running_inbox
from reported_days import Shop

if TYPE_CHECKING:
    from wiring_deployment import Deployment

REPOSITORY = Path(__file__).resolve().parents[2]
# Before the first import of airflow, which reads its settings once.
# FEIRA_TEST_AIRFLOW_HOME names the home of an Airflow that was imported before: the migrated database
# in it is taken as it is.
_HOME = os.environ.get("FEIRA_TEST_AIRFLOW_HOME") or tempfile.mkdtemp(prefix="feira-airflow-")
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "airflow" / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__XCOM_BACKEND": "feira_airflow.core.xcom.PathOnlyXCom",
}


@pytest.fixture(scope="session")
def dags() -> dict[str, object]:
    """The DAGs of the folder by id; a file that cannot be imported fails the test."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=str(REPOSITORY / "airflow" / "dags"))
    assert not bag.import_errors, bag.import_errors
    return bag.dags


@pytest.fixture(scope="session")
def empty_metadata_database() -> Path:
    """A copy of Airflow's metadata database as it is before the first DAG."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    used, empty = Path(_HOME, "airflow.db"), Path(_HOME, "empty.db")
    if empty.is_file():
        _copied(empty, used)
        return empty
    used.unlink(missing_ok=True)
    with create_session() as session:
        initdb(session=session)
    DagBundlesManager().sync_bundles_to_db()
    return _copied(used, Path(_HOME, "copy.db")).rename(empty)


@pytest.fixture
def deploy(empty_metadata_database: Path) -> Callable[[Path], Deployment]:
    """Deploys a DAG folder on an Airflow that has no other DAG, run or event."""
    from wiring_deployment import Deployment

    _copied(empty_metadata_database, Path(_HOME, "airflow.db"))
    return Deployment


def _copied(database: Path, to: Path) -> Path:
    """SQLite's own copy: part of a database may be in its write-ahead log."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    return to


@pytest.fixture(scope="session")
def metadata(empty_metadata_database: Path) -> None:
    """Airflow's metadata database, migrated: needed where a task runs for good."""


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """An inbox, which Airflow's mail and Slack connections lead to."""
    with running_inbox(tmp_path / "inbox") as running:
        for name, value in running.connections().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def shop(
    empty_warehouse: Dsns,
    s3_endpoint: str,
    s3_client: Any,
    inbox: Inbox,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    """A shop whose lake and warehouse are Airflow's connections, as mail and Slack are."""
    from psycopg.conninfo import conninfo_to_dict

    from feira.core.lake import landing_store
    from feira.core.settings import LakeSettings
    from feira.core.warehouse.schema import connect

    bucket = f"lake-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=bucket)
    lake = {
        "conn_type": "aws",
        "login": "test",
        "password": "test",
        "extra": {
            "endpoint_url": s3_endpoint,
            "region_name": "us-east-1",
            "service_config": {"s3": {"bucket_name": bucket}},
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_LAKE_DEFAULT", json.dumps(lake))
    for name, dsn in (
        ("WAREHOUSE_DEFAULT", empty_warehouse.warehouse_loader),
        ("WAREHOUSE_DBT", empty_warehouse.dbt),
        ("WAREHOUSE_READER", empty_warehouse.reader),
    ):
        parts = conninfo_to_dict(dsn)
        warehouse = {
            "conn_type": "postgres",
            "host": parts["host"],
            "port": int(str(parts["port"])),
            "login": parts["user"],
            "password": parts["password"],
            "schema": parts["dbname"],
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(warehouse))
    settings = LakeSettings(f"s3://{bucket}", s3_endpoint, "test", "test", catalog="hadoop")
    with connect(empty_warehouse.warehouse_loader) as connection:
        yield Shop(connection, landing_store(settings, "sales"))


@pytest.fixture
def bucket(s3_endpoint: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty folder on S3, and the connection ``aws_default`` that reaches it."""
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    # For its name in the user agent each hook would read the sources of all that is on pytest's stack.
    monkeypatch.setattr(AwsGenericHook, "_get_caller", lambda self: "Unknown")
    connection = {
        "conn_type": "aws",
        "login": "test",
        "password": "test",
        "extra": {"endpoint_url": s3_endpoint, "region_name": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    return Bucket(f"s3://lake/{uuid.uuid4().hex}", s3_client)
