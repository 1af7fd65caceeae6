"""One task emits orders after every instance of a mapped one."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

ORDERS = Asset("orders", uri="feira://orders")


@dag(schedule=PartitionedAtRuntime())
def load_orders() -> None:
    @task
    def load(shop: str) -> None:
        pass

    @task(outlets=[ORDERS])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    load.expand(shop=["web", "street"]) >> emit()


load_orders()


@dag(schedule=PartitionedAssetTimetable(assets=ORDERS), is_paused_upon_creation=False)
def report() -> None:
    @task
    def build() -> None:
        pass

    build()


report()
