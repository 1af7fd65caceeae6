"""Airflow on a metadata database of its own, migrated once a session."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

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
