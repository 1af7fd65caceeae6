"""A schedule that says that there is none."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG(
    "report",
    schedule=None,
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
