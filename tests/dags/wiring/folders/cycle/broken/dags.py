"""Prices follow stock, and stock follows prices."""

from __future__ import annotations

from airflow.sdk import Asset, PartitionedAssetTimetable, dag, task

PRICES = Asset("prices", uri="feira://prices")
STOCK = Asset("stock", uri="feira://stock")


@dag(schedule=PartitionedAssetTimetable(assets=STOCK), is_paused_upon_creation=False)
def refresh_prices() -> None:
    @task(outlets=[PRICES])
    def build() -> None:
        pass

    build()


refresh_prices()


@dag(schedule=PartitionedAssetTimetable(assets=PRICES), is_paused_upon_creation=False)
def refresh_stock() -> None:
    @task(outlets=[STOCK])
    def build() -> None:
        pass

    build()


refresh_stock()
