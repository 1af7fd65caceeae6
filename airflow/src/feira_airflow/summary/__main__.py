"""The marts outside a DAG: ``python -m feira_airflow.summary``, which a deployment runs after its migration.

The warehouse is that of the connection ``warehouse_dbt``. Ends with 1 and what is broken where a mart is not built or
breaks its contract.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from feira.core.errors import PermanentError
from feira.core.settings import repository_root
from feira_airflow.core.connections import WAREHOUSE_DBT, warehouse_dsn
from feira_airflow.summary.marts import MartsError, build_marts
from feira_provider.hooks.missing import MissingConnectionError


def build(target: Path) -> None:
    """Builds all anew and prints the rows of each mart; ``target`` takes what dbt writes. Exits with what is broken."""
    try:
        dsn, dialect = warehouse_dsn(WAREHOUSE_DBT)
        rows = build_marts(
            dsn,
            project_dir=repository_root() / "infra" / "dbt",
            target_dir=target,
            dialect=dialect,
            whole=True,
        )
    except (MartsError, PermanentError, MissingConnectionError) as error:
        sys.exit(str(error))
    for mart, count in rows.items():
        print(f"{mart}: {count:,} rows")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="feira-dbt-") as folder:
        build(Path(folder))
