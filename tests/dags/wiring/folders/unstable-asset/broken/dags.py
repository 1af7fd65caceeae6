"""The URI holds a new UUID each time the file is parsed."""

from __future__ import annotations

import uuid

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

ORDERS = Asset("orders", uri=f"feira://orders/{uuid.uuid4()}")

with DAG(
    "load_orders",
    schedule="@daily",
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="emit", outlets=[ORDERS], doc=str(uuid.uuid4()))

with DAG(
    "report",
    schedule=[ORDERS],
    is_paused_upon_creation=False,
):
    EmptyOperator(task_id="build")
