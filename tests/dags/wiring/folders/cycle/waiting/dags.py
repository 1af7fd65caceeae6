"""Prices wait for orders and stock, and stock waits for prices."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

ORDERS = Asset("orders", uri="feira://orders")
PRICES = Asset("prices", uri="feira://prices")
STOCK = Asset("stock", uri="feira://stock")


@dag(schedule=PartitionedAtRuntime())
def load_orders() -> None:
    @task(outlets=[ORDERS])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    emit()


load_orders()


@dag(schedule=PartitionedAssetTimetable(assets=ORDERS & STOCK), is_paused_upon_creation=False)
def refresh_prices() -> None:
    @task(outlets=[PRICES])
    def build(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    build()


refresh_prices()


@dag(schedule=PartitionedAssetTimetable(assets=PRICES), is_paused_upon_creation=False)
def refresh_stock() -> None:
    @task(outlets=[STOCK])
    def build(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    build()


refresh_stock()
