"""Rates are keyed by month, orders by day."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, CronPartitionTimetable, PartitionedAssetTimetable

ORDERS = Asset("orders", uri="feira://orders")
RATES = Asset("rates", uri="feira://rates")

with DAG(
    "load_orders",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", key_format="%Y-%m-%d"),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[ORDERS])

with DAG(
    "load_rates",
    schedule=CronPartitionTimetable("0 0 * * *", timezone="UTC", key_format="%Y-%m"),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[RATES])

with DAG(
    "report",
    schedule=PartitionedAssetTimetable(assets=ORDERS & RATES),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
