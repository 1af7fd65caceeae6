"""Orders have a key, and the report listens without one."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAtRuntime, dag, task

ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=PartitionedAtRuntime())
def load_orders() -> None:
    @task(outlets=[ORDERS])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    emit()


load_orders()


@dag(schedule=ORDERS)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
