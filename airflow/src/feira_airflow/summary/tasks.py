"""The task of sales_summary as the DAG runs it."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from feira_airflow.connections import WAREHOUSE_DBT
from feira_airflow.partitions import partition_day

log = logging.getLogger(__name__)


def build_marts() -> dict[str, Any]:
    """Builds and tests the marts from the whole fact; returns the rows of each."""
    from airflow.sdk import Connection

    from feira.settings import repository_root
    from feira_airflow.summary.marts import MartsConnection, build_marts

    day = partition_day()
    connection = Connection.get(WAREHOUSE_DBT)
    rows = build_marts(
        MartsConnection(
            host=connection.host or "",
            port=connection.port or 5432,
            user=connection.login or "",
            password=connection.password or "",
            database=connection.schema or "",
        ),
        project_dir=repository_root() / "infra" / "dbt",
        target_dir=Path(os.environ.get("FEIRA_HOME", tempfile.gettempdir())) / "dbt",
    )
    log.info("sales_summary[%s]: %s", day, rows)
    return dict(rows)
