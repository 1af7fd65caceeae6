"""Airflow imports this at its start: its workers are forked with the slow imports done.

It is on the scheduler's path only. A task would otherwise spend about two seconds on them, and one that publishes
lists two more.
"""

import contextlib
import importlib
import inspect

for module in (
    "pandas",
    "pyarrow.parquet",
    "s3fs",
    "psycopg",
    "orjson",
    "jsonschema_rs",
    "sqlglot.lineage",
    "pyspark.sql.connect.session",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "pyiceberg.table",
    # Not our own modules: an edit of those would need the scheduler restarted.
    "dbt.cli.main",
    "dbt.task.build",
    "dbt.adapters.postgres",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    # Of providers what the DAG files import, and what Airflow does for the address of an asset.
    "airflow.providers.amazon.aws.assets.s3",
    "airflow.providers.common.sql.operators.sql",
    "airflow.providers.http.hooks.http",
    "airflow.providers.postgres.hooks.postgres",
    "airflow.providers.standard.decorators.python",
):
    with contextlib.suppress(ImportError):
        importlib.import_module(module)

# What dbt else works out anew in each process: the schemas of its settings, and where all modules come from.
with contextlib.suppress(ImportError):
    from dbt.contracts.project import PackageConfig, Project

    for settings in (Project, PackageConfig):
        settings.json_schema()
inspect.stack()

# Of Numba half is imported when it first compiles.
with contextlib.suppress(ImportError):
    from numba import njit

    njit("int64(int64)")(lambda number: number)
