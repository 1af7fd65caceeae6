"""Stock follows prices, and prices are refreshed by hand."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, PartitionedAtRuntime, dag, task

PRICES = Asset("prices", uri="feira://prices")
STOCK = Asset("stock", uri="feira://stock", extra={"terminal": True})


@dag(schedule=PartitionedAtRuntime())
def refresh_prices() -> None:
    @task(outlets=[PRICES])
    def emit(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    emit()


refresh_prices()


@dag(schedule=PartitionedAssetTimetable(assets=PRICES), is_paused_upon_creation=False)
def refresh_stock() -> None:
    @task(outlets=[STOCK])
    def build(*, partition_key: str | None = None) -> None:
        assert partition_key, "a run needs a key"

    build()


refresh_stock()
