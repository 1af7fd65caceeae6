"""Airflow imports this at its start: its workers are forked with the slow imports done.

It is on the scheduler's path only. A task would otherwise spend about two seconds on them.
"""

import contextlib
import importlib

for module in (
    "pandas",
    "pyarrow.parquet",
    "s3fs",
    "psycopg",
    "orjson",
    "pyspark.sql.connect.session",
    "pyiceberg.table",
    # Not our own modules: an edit of those would need the scheduler restarted.
    "dbt.cli.main",
    "dbt.adapters.postgres",
):
    with contextlib.suppress(ImportError):
        importlib.import_module(module)
