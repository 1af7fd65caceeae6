"""Building the marts on the local stack, outside Airflow."""

from __future__ import annotations

from feira.core.settings import repository_root
from feira_airflow.summary.marts import MartsConnection, build_marts
from feira_local.stack import access
from feira_local.stack.state import running_config


def build_local_marts() -> dict[str, int]:
    """Rebuilds and tests every mart; returns the rows of each. Raises MartsError as the task does."""
    return build_marts(
        MartsConnection.from_dsn(access.warehouse_dsn("dbt")),
        project_dir=repository_root() / "infra" / "dbt",
        target_dir=running_config().home / "dbt",
        quiet=True,
    )
