"""The URI is the same each time; only a task's notes hold the UUID."""

from __future__ import annotations

import uuid

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset

ORDERS = Asset("orders", uri="feira://orders")

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
