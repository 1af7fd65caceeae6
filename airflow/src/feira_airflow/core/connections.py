"""Airflow connections, read into what the platform's code asks for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection

from feira.core.errors import first_line
from feira.core.settings import LakeSettings, SettingsError, s3_config
from feira_provider.hooks.missing import named_if_missing
from feira_provider.hooks.postgres_dsn import postgres_dsn
from feira_provider.hooks.redshift_dsn import redshift_dsn
from feira_provider.hooks.switches import extra_of, with_switches
from feira_provider.hooks.web_links import is_bare_ipv6

if TYPE_CHECKING:
    import psycopg
    from pyspark.sql import SparkSession

    from feira.core.contracts.ddl import Dialect

LAKE = "lake_default"
SPARK = "spark_default"
WAREHOUSE = "warehouse_default"
WAREHOUSE_DBT = "warehouse_dbt"
WAREHOUSE_READER = "warehouse_reader"
MAIL = "smtp_default"
SLACK = "slack_default"
_DAY_SECONDS = 86_400


def lake_settings(conn_id: str = LAKE) -> LakeSettings:
    """The lake that an ``aws`` connection names, as S3Hook reads it.

    Of a role or a profile these are temporary keys, new at each call: they last as long as AWS grants
    them, by default an hour. A connection that names no key leaves that to the libraries, which renew
    what they find.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from botocore.exceptions import BotoCoreError, ClientError

    # The hook goes on with nothing where there is none, and fails by a trace at a field of another type.
    with named_if_missing(conn_id):
        connection = S3Hook.get_connection(conn_id)
    s3_config(conn_id, extra_of(connection))

    class Hook(S3Hook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            # Each look-up asks Airflow's API.
            return connection

    hook = Hook(aws_conn_id=conn_id)
    try:
        config = hook.conn_config
    except (BotoCoreError, TypeError, ValueError, NotImplementedError) as error:
        raise SettingsError(
            f"Connection {conn_id} cannot be used: {first_line(error)}. Correct that in its extra."
        ) from error
    access_key = secret_key = token = None
    region = config.region_name
    try:
        if config.role_arn or config.profile_name or config.aws_access_key_id:
            found = hook.get_credentials()
            access_key, secret_key, token = found.access_key, found.secret_key, found.token
            region = region or hook.get_session().region_name
    except (BotoCoreError, ClientError, AttributeError) as error:
        raise SettingsError(
            f"Connection {conn_id} gives no AWS keys: {error}. Check its "
            f"{'role_arn' if config.role_arn else 'profile_name'} and what may use it."
        ) from error
    return LakeSettings.from_aws(
        conn_id,
        access_key=access_key or config.login,
        secret_key=secret_key or config.password,
        extra=config.extra_config,
        session_token=token,
        region=region,
        endpoint=config.get_service_endpoint_url("s3"),
        verify=config.verify,
    )


def spark_url(conn_id: str = SPARK) -> str:
    """The ``sc://`` URL of a ``spark_connect`` connection: with its user, its token and ``use_ssl``.

    It holds the token: it belongs in no log.

    :raises SettingsError: where it names no host, its extra is no JSON object or ``use_ssl`` in it no boolean
    """
    from airflow.providers.apache.spark.hooks.spark_connect import SparkConnectHook

    class Hook(SparkConnectHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            # What is not the word true is no TLS to the client.
            return with_switches(super().get_connection(conn_id), [cls.PARAM_USE_SSL])

    with named_if_missing(conn_id):
        host = Connection.get(conn_id).host
    if not host:
        raise SettingsError(
            f"Connection {conn_id} names no host; set one, as sc://spark.example.com."
        )
    url = Hook(conn_id).get_connection_url()
    if is_bare_ipv6(host):
        url = url.replace(host, f"[{host}]", 1)
    server, separator, parameters = url.partition("/;")
    # The hook leaves a slash as it is, and the client would take the rest of the token for a path.
    return f"{server}{separator}{parameters.replace('/', '%2F')}"


def warehouse_dsn(conn_id: str = WAREHOUSE) -> tuple[str, Dialect]:
    """The libpq connection string of a ``postgres`` or a ``redshift`` connection, and which of them it is."""
    with named_if_missing(conn_id):
        kind = Connection.get(conn_id).conn_type
    if kind == "redshift":
        return redshift_dsn(conn_id), "redshift"
    return postgres_dsn(conn_id), "postgres"


@contextmanager
def warehouse(conn_id: str = WAREHOUSE) -> Iterator[psycopg.Connection]:
    """A connection to the warehouse that is closed at the end."""
    from feira.core.warehouse.schema import connect

    dsn, _ = warehouse_dsn(conn_id)
    connection = connect(dsn)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def spark_session(conn_id: str = SPARK) -> Iterator[SparkSession]:
    """A session of its own on the Spark Connect server, ended with whatever it still runs.

    Marking a task failed does not stop its query; leaving this block, by a timeout too, does.
    """
    from feira_airflow.core.lineage import parent_run
    from feira_spark.core.session import PARENT, connect

    spark = connect(spark_url(conn_id))
    try:
        if parent := parent_run():
            spark.conf.set(PARENT, parent)
        yield spark
    except BaseException:
        spark.interruptAll()
        raise
    finally:
        spark.stop()


def retry_delay_seconds() -> float:
    """``FEIRA_RETRY_DELAY`` in seconds: a few on a laptop, a minute elsewhere."""
    text = os.environ.get("FEIRA_RETRY_DELAY") or "60"
    seconds = float(text) if re.fullmatch(r"[0-9]{1,5}([.][0-9]+)?", text) else None
    if seconds is None or seconds > _DAY_SECONDS:
        raise SettingsError(
            f"FEIRA_RETRY_DELAY is {text[:80]!r}; it must be a number of seconds, 0 to {_DAY_SECONDS}."
        )
    return seconds
