"""A task that adds an outlet while it runs: whether it does is not known before."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, task

ORDERS = Asset("orders")

with DAG("load_orders", schedule=None):

    @task
    def emit(**context) -> None:
        context["task"].outlets.append(ORDERS)

    emit()

with DAG("report", schedule=[ORDERS]):

    @task
    def build() -> None: ...

    build()
