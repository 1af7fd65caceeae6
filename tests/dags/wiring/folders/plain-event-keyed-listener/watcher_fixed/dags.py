"""A plain DAG stands between the watcher and the report, and gives the key."""

from __future__ import annotations

from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import Asset, AssetWatcher, PartitionedAssetTimetable, dag, task

FILE = Asset(
    "file",
    uri="feira://file",
    watchers=[AssetWatcher("arrival", trigger=FileDeleteTrigger(filepath="/nowhere/orders.csv"))],
)
ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=FILE)
def take_in() -> None:
    @task(outlets=[ORDERS])
    def emit(*, outlet_events) -> None:
        outlet_events[ORDERS].add_partitions(["2010-12-01"])

    emit()


take_in()


@dag(schedule=PartitionedAssetTimetable(assets=ORDERS), is_paused_upon_creation=False)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
