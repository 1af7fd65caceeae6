"""Keys are days, and the mapper of the report reads days."""

from __future__ import annotations

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    PartitionedAssetTimetable,
    StartOfDayMapper,
    dag,
    task,
)

ORDERS = Asset("orders", uri="feira://orders")


@dag(
    schedule=CronPartitionTimetable(
        "0 0 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"
    )
)
def load_orders() -> None:
    @task(outlets=[ORDERS])
    def emit() -> None:
        pass

    emit()


load_orders()


@dag(
    schedule=PartitionedAssetTimetable(
        assets=ORDERS, default_partition_mapper=StartOfDayMapper(input_format="%Y-%m-%d")
    ),
    is_paused_upon_creation=False,
)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
