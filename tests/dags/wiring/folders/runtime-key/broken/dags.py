"""Orders have the key of their run, if it has one, and nothing looks."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, PartitionedAtRuntime

ORDERS = Asset("orders", uri="feira://orders")

with DAG(
    "load_orders",
    schedule=PartitionedAtRuntime(),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[ORDERS])

with DAG(
    "report",
    schedule=PartitionedAssetTimetable(assets=ORDERS),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
