"""The task resolves an alias that is none of its outlets."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, AssetAlias, task

RATES = Asset("rates", uri="feira://rates")

with DAG(
    "load_rates",
    schedule="@daily",
    is_paused_upon_creation=False,
):

    @task
    def emit(*, outlet_events=None) -> None:  # type: ignore[no-untyped-def]
        outlet_events[AssetAlias("any_rates")].add(RATES)

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
