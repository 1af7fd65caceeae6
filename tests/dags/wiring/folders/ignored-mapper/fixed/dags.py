"""The mapper that reads days is for orders, and the report listens to orders."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    Asset,
    CronPartitionTimetable,
    FixedKeyMapper,
    PartitionedAssetTimetable,
)

ORDERS = Asset("orders", uri="feira://orders")
RATES = Asset("rates", uri="feira://rates")

with DAG(
    "load_orders",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", key_format="%Y-%m-%d"),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[ORDERS])

with DAG(
    "report",
    schedule=PartitionedAssetTimetable(
        assets=ORDERS, partition_mapper_config={ORDERS: FixedKeyMapper("all")}
    ),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
