"""The task writes to the event of rates, which is one of its outlets."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, task

ORDERS = Asset("orders", uri="feira://orders")
RATES = Asset("rates", uri="feira://rates")

with DAG(
    "load_orders",
    schedule="@daily",
    is_paused_upon_creation=False,
):

    @task(outlets=[ORDERS, RATES])
    def emit(*, outlet_events=None) -> None:  # type: ignore[no-untyped-def]
        outlet_events[RATES].extra = {"rows": 1}

    emit()

with DAG(
    "report",
    schedule=[ORDERS, RATES],
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
