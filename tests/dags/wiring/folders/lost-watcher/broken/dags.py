"""A task reads the watched asset, declared anew without its watcher."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import DAG, Asset, AssetWatcher

ORDERS = Asset(
    "orders",
    watchers=[AssetWatcher(name="drop", trigger=FileDeleteTrigger(filepath="incoming/ready"))],
)

with DAG(
    "report",
    schedule=[ORDERS],
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build", inlets=[Asset("orders")])
