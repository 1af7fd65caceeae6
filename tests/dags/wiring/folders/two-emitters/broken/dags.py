"""Web and shop emit the same orders."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=PartitionedAtRuntime())
def load_web() -> None:
    @task(outlets=[ORDERS])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    emit()


load_web()


@dag(schedule=PartitionedAtRuntime())
def load_shop() -> None:
    @task(outlets=[ORDERS])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    emit()


load_shop()


@dag(schedule=PartitionedAssetTimetable(assets=ORDERS), is_paused_upon_creation=False)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
