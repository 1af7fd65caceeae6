"""Airflow pools: what may run at once, whatever the DAG. ``airflow/pools.json`` gives slots and reasons.

A task whose pool does not exist waits for ever, so a deployment imports that file first:
``airflow pools import airflow/pools.json``.
"""

from __future__ import annotations

SHOP_API = "shop_api"
SPARK = "spark"
WAREHOUSE = "warehouse"
