"""One DAG triggers reports."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

with DAG(
    "load_orders",
    schedule="@daily",
    is_paused_upon_creation=False,
):
    TriggerDagRunOperator(task_id="start", trigger_dag_id="reports")

with DAG(
    "report",
    schedule=None,
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
