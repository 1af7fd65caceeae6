"""The marts outside a DAG: ``python -m feira_airflow.summary``, which a deployment runs after its migration.

The warehouse is that of the connection ``warehouse_dbt``. Ends with 1 and what is broken where a mart is not built or
breaks its contract.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from feira.core.settings import repository_root
from feira_airflow.core.connections import WAREHOUSE_DBT
from feira_airflow.summary.marts import MartsError, build_marts
from feira_provider.hooks.postgres_dsn import postgres_dsn


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="feira-dbt-") as target:
        try:
            rows = build_marts(
                postgres_dsn(WAREHOUSE_DBT),
                project_dir=repository_root() / "infra" / "dbt",
                target_dir=Path(target),
            )
        except MartsError as error:
            sys.exit(str(error))
    for mart, count in rows.items():
        print(f"{mart}: {count:,} rows")


if __name__ == "__main__":
    main()
