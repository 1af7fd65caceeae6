"""Orders have no key, and the report listens for one."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, dag, task

ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=None)
def load_orders() -> None:
    @task(outlets=[ORDERS])
    def emit() -> None:
        pass

    emit()


load_orders()


@dag(schedule=PartitionedAssetTimetable(assets=ORDERS), is_paused_upon_creation=False)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
