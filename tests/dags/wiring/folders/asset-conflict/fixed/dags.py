"""A URI for each name."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

WEB = Asset("web_orders", uri="feira://orders/web")
SHOP = Asset("shop_orders", uri="feira://orders/shop")

with DAG(
    "load_web",
    schedule="@daily",
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[WEB])

with DAG(
    "report_web",
    schedule=[WEB],
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")

with DAG(
    "load_shop",
    schedule="@daily",
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[SHOP])

with DAG(
    "report_shop",
    schedule=[SHOP],
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
