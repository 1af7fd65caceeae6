"""Keys are half past two, and the week of the report waits for midnights."""

from __future__ import annotations

from airflow.sdk import (
    Asset,
    CronPartitionTimetable,
    PartitionedAssetTimetable,
    RollupMapper,
    StartOfWeekMapper,
    WeekWindow,
    dag,
    task,
)

ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=CronPartitionTimetable("30 2 * * *", timezone="UTC", key_format="%Y-%m-%dT%H:%M"))
def load_orders() -> None:
    @task(outlets=[ORDERS])
    def emit() -> None:
        pass

    emit()


load_orders()


@dag(
    schedule=PartitionedAssetTimetable(
        assets=ORDERS,
        default_partition_mapper=RollupMapper(
            upstream_mapper=StartOfWeekMapper(input_format="%Y-%m-%dT%H:%M"), window=WeekWindow()
        ),
    ),
    is_paused_upon_creation=False,
)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
