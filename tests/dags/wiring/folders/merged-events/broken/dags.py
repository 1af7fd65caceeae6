"""Orders come without a key."""

from __future__ import annotations

from airflow.sdk import Asset, dag, task

ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=None)
def load_orders() -> None:
    @task(outlets=[ORDERS])
    def emit() -> None:
        pass

    emit()


load_orders()


@dag(schedule=ORDERS, max_active_runs=1)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
