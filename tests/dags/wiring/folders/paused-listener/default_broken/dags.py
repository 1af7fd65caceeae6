"""The report says nothing, and so it begins as Airflow is configured: paused, by default."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=PartitionedAtRuntime())
def load_orders() -> None:
    @task(outlets=[ORDERS])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    emit()


load_orders()


@dag(schedule=PartitionedAssetTimetable(assets=ORDERS))
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
