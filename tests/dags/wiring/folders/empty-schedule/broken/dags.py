"""A schedule that is an empty list."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

with DAG(
    "report",
    schedule=[],
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
