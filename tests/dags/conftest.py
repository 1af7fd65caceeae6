"""Airflow on a metadata database of its own, migrated once a session."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from wiring_deployment import Deployment

REPOSITORY = Path(__file__).resolve().parents[2]
# Before the first import of airflow, which reads its settings once.
_HOME = tempfile.mkdtemp(prefix="feira-airflow-")
os.environ |= {
    "AIRFLOW_HOME": _HOME,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
    "AIRFLOW__CORE__DAGS_FOLDER": str(REPOSITORY / "airflow" / "dags"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__XCOM_BACKEND": "feira_airflow.xcom.PathOnlyXCom",
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

    with create_session() as session:
        initdb(session=session)
    DagBundlesManager().sync_bundles_to_db()
    return _copied(Path(_HOME, "airflow.db"), Path(_HOME, "empty.db"))


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
