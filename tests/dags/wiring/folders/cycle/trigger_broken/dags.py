"""A DAG starts the one that sets it off."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Asset

ORDERS = Asset("orders", uri="feira://orders")

with DAG(
    "load_orders",
    schedule=None,
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[ORDERS])

with DAG(
    "report",
    schedule=[ORDERS],
    is_paused_upon_creation=False,
):
    TriggerDagRunOperator(task_id="start", trigger_dag_id="load_orders")
