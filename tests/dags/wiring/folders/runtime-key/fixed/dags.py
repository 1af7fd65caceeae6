"""The task that emits orders fails where its run has no key."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, PartitionedAtRuntime, task

ORDERS = Asset("orders", uri="feira://orders")

with DAG(
    "load_orders",
    schedule=PartitionedAtRuntime(),
    is_paused_upon_creation=False,
):

    @task(outlets=[ORDERS])
    def emit(*, partition_key: str | None = None) -> None:
        if not partition_key:
            raise ValueError("load_orders needs a partition key")

    emit()

with DAG(
    "report",
    schedule=PartitionedAssetTimetable(assets=ORDERS),
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
