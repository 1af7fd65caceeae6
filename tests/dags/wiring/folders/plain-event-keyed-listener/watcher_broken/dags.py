"""A watcher's events have no key, and the report listens for one."""

from __future__ import annotations

from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import Asset, AssetWatcher, PartitionedAssetTimetable, dag, task

FILE = Asset(
    "file",
    uri="feira://file",
    watchers=[AssetWatcher("arrival", trigger=FileDeleteTrigger(filepath="/nowhere/orders.csv"))],
)


@dag(schedule=PartitionedAssetTimetable(assets=FILE), is_paused_upon_creation=False)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
