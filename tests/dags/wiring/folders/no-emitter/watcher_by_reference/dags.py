"""Nobody is scheduled on the watched file itself, only on a reference to it."""

from __future__ import annotations

from airflow.providers.standard.triggers.file import FileDeleteTrigger
from airflow.sdk import Asset, AssetWatcher, dag, task

FILE = Asset(
    "file",
    uri="feira://file",
    watchers=[AssetWatcher("arrival", trigger=FileDeleteTrigger(filepath="/nowhere/orders.csv"))],
)


@dag(schedule=Asset.ref(name="file"))
def take_in() -> None:
    @task(inlets=[FILE])
    def move() -> None:
        pass

    move()


take_in()
