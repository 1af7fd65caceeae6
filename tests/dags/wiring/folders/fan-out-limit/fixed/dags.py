"""A week of days is seven keys, and the limit is 7."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    Asset,
    CronPartitionTimetable,
    FanOutMapper,
    PartitionedAssetTimetable,
    StartOfWeekMapper,
    WeekWindow,
)

ORDERS = Asset("orders", uri="feira://orders")

with DAG(
    "load_orders",
    schedule=CronPartitionTimetable("0 0 * * 1", timezone="UTC", key_format="%Y-%m-%d"),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[ORDERS])

with DAG(
    "report",
    schedule=PartitionedAssetTimetable(
        assets=ORDERS,
        default_partition_mapper=FanOutMapper(
            upstream_mapper=StartOfWeekMapper(input_format="%Y-%m-%d"),
            window=WeekWindow(),
            max_downstream_keys=7,
        ),
    ),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
