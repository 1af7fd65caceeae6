"""The task writes to the event of rates, and has no outlets at all."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, task

RATES = Asset("rates", uri="feira://rates")

with DAG(
    "load_rates",
    schedule="@daily",
    is_paused_upon_creation=False,
):

    @task
    def emit(*, outlet_events=None) -> None:  # type: ignore[no-untyped-def]
        outlet_events[RATES].extra = {"rows": 1}

    emit()

with DAG(
    "load_orders",
    schedule="@daily",
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[RATES])

with DAG(
    "report",
    schedule=[RATES],
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
