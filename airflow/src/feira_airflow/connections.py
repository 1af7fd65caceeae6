"""Airflow connections, read into what the platform's code asks for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow.sdk import Connection

from feira.settings import LakeSettings

if TYPE_CHECKING:
    import psycopg
    from pyspark.sql import SparkSession

SHOP_API = "shop_api"
LAKE = "lake_default"
SPARK = "spark_default"
WAREHOUSE = "warehouse_default"
WAREHOUSE_DBT = "warehouse_dbt"
WAREHOUSE_READER = "warehouse_reader"
MAIL = "smtp_default"
SLACK = "slack_default"


def lake_settings(conn_id: str = LAKE) -> LakeSettings:
    """The lake that an ``aws`` connection names."""
    connection = Connection.get(conn_id)
    return LakeSettings.from_aws(
        conn_id,
        access_key=connection.login,
        secret_key=connection.password,
        extra=connection.extra_dejson,
    )


def postgres_dsn(conn_id: str) -> str:
    """A libpq connection string for a ``postgres`` connection."""
    from psycopg.conninfo import make_conninfo

    connection = Connection.get(conn_id)
    return make_conninfo(
        host=connection.host,
        port=connection.port,
        user=connection.login,
        password=connection.password,
        dbname=connection.schema,
    )


@contextmanager
def warehouse(conn_id: str = WAREHOUSE) -> Iterator[psycopg.Connection]:
    """A connection to the warehouse that is closed at the end."""
    from feira.warehouse.schema import connect

    connection = connect(postgres_dsn(conn_id))
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def spark_session(conn_id: str = SPARK) -> Iterator[SparkSession]:
    """A session of its own on the Spark Connect server, ended with whatever it still runs.

    Marking a task failed does not stop its query; leaving this block, by a timeout too, does.
    """
    from feira_spark.session import connect

    connection = Connection.get(conn_id)
    host = (connection.host or "").removeprefix("sc://")
    spark = connect(f"sc://{host}:{connection.port or 15002}")
    try:
        yield spark
    except BaseException:
        spark.interruptAll()
        raise
    finally:
        spark.stop()


def retry_delay_seconds() -> float:
    """``FEIRA_RETRY_DELAY`` in seconds: a few on a laptop, a minute elsewhere."""
    return float(os.environ.get("FEIRA_RETRY_DELAY", "60"))
