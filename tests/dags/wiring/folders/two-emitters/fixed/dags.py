"""Web and shop have an asset each, and the report waits for both."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

WEB = Asset("web_orders", uri="feira://orders/web")
SHOP = Asset("shop_orders", uri="feira://orders/shop")


@dag(schedule=PartitionedAtRuntime())
def load_web() -> None:
    @task(outlets=[WEB])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    emit()


load_web()


@dag(schedule=PartitionedAtRuntime())
def load_shop() -> None:
    @task(outlets=[SHOP])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    emit()


load_shop()


@dag(schedule=PartitionedAssetTimetable(assets=WEB & SHOP), is_paused_upon_creation=False)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
