"""The outlets are an expression."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

ORDERS = Asset("orders", uri="feira://orders")
RATES = Asset("rates", uri="feira://rates")

with DAG(
    "load_orders",
    schedule="@daily",
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[ORDERS & RATES])

with DAG(
    "report",
    schedule=ORDERS & RATES,
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
