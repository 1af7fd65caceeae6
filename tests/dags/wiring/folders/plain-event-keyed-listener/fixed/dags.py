"""The runs have no key, and the task gives its event one."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, dag, task

ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=None)
def load_orders() -> None:
    @task(outlets=[ORDERS])
    def emit(*, outlet_events) -> None:
        outlet_events[ORDERS].add_partitions(["2010-12-01"])

    emit()


load_orders()


@dag(schedule=PartitionedAssetTimetable(assets=ORDERS), is_paused_upon_creation=False)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
