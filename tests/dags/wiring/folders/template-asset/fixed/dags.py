"""A URI without a template."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

ORDERS = Asset("feira://orders")

with DAG(
    "load_orders",
    schedule="@daily",
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[ORDERS])

with DAG(
    "report",
    schedule=[ORDERS],
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
