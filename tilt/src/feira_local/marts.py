"""Building the marts on the local stack, outside Airflow."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict

from feira.settings import repository_root
from feira_airflow.summary.marts import MartsConnection, build_marts
from feira_local.stack import access
from feira_local.stack.state import running_config


def build_local_marts() -> dict[str, int]:
    """Rebuilds and tests every mart; returns the rows of each. Raises MartsError as the task does."""
    parts = conninfo_to_dict(access.warehouse_dsn("dbt"))
    return build_marts(
        MartsConnection(
            host=str(parts["host"]),
            port=int(str(parts["port"])),
            user=str(parts["user"]),
            password=str(parts["password"]),
            database=str(parts["dbname"]),
        ),
        project_dir=repository_root() / "infra" / "dbt",
        target_dir=running_config().home / "dbt",
        quiet=True,
    )
