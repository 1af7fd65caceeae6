"""One Spark configuration for the Connect server, spark-submit and the tests; and sessions made from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from feira.core.settings import LakeSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CATALOG = "lake"
CATALOG_IDLE_SECONDS = 20
# A session's own setting, which OpenLineage's listener is told to report: the task that the session is for.
# Connect gives all sessions one application, and the listener knows a parent of that alone.
PARENT = "spark.feira.lineage.parent"
# For the JVM of a driver and of executors. Avro's reader makes room for a text before it reads it: a
# message of ten bytes that announces 1.5 GB would end the server. No message of Kafka is longer than this.
JVM_OPTIONS = "-Dorg.apache.avro.limits.string.maxLength=1048576"

FEW_ROWS = 80_000
"""Up to so many rows are read before what makes Spark fast with many has paid for itself, as `make bench-small`
shows of days of up to that size; where it begins to pay lies higher."""
FOR_FEW_ROWS: Mapping[str, str] = MappingProxyType(
    {
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        # Both kinds of generated code: of stages, and of single expressions.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    }
)

COMET: Mapping[str, str] = MappingProxyType(
    {
        "spark.plugins": "org.apache.spark.CometPlugin",
        "spark.shuffle.manager": "org.apache.spark.sql.comet.execution.shuffle.CometShuffleManager",
        # What it holds is outside the heap, and without this it leaves everything to Spark.
        "spark.memory.offHeap.enabled": "true",
        "spark.memory.offHeap.size": "1g",
        # Else so does a library that cannot be loaded.
        "spark.comet.nativeLoadRequired": "true",
        # Landed pages are text, and what reads them is where it gains.
        "spark.comet.convert.text.enabled": "true",
        # Its own writer was found not to work with Iceberg 1.12.
        "spark.comet.write.iceberg.enabled": "false",
    }
)
"""What has DataFusion Comet do what it can of a query, beside its jar on the class path of driver and executors.
They belong to the server's start: a session cannot load it."""


def spark_conf(lake: LakeSettings, *, cores: int = 2) -> dict[str, str]:
    """Spark properties for a session on the lake: UTC, the Iceberg catalog ``lake``, and S3 access.

    They hold the lake's secrets: pass them by a properties file that only its owner reads, not by
    the command line.
    """
    prefix = f"spark.sql.catalog.{CATALOG}"
    conf = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.defaultCatalog": CATALOG,
        prefix: "org.apache.iceberg.spark.SparkCatalog",
        f"{prefix}.warehouse": lake.tables_root,
        # A laptop's day is a few partitions; adaptive execution coalesces what is left over.
        "spark.sql.shuffle.partitions": str(2 * cores),
        "spark.sql.adaptive.enabled": "true",
        # Rows that are together by some keys of a join need not be moved to be together by all of them.
        "spark.sql.requireAllClusterKeysForCoPartition": "false",
        # What a step keeps lives for seconds and is read two or three times: to pack it costs more than it spares.
        "spark.sql.inMemoryColumnarStorage.compressed": "false",
        "spark.ui.enabled": "false",
        "spark.driver.extraJavaOptions": JVM_OPTIONS,
        "spark.executor.extraJavaOptions": JVM_OPTIONS,
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
    }
    if lake.catalog == "jdbc":
        conf |= {
            f"{prefix}.type": "jdbc",
            # In capitals, which Iceberg takes for the same: OpenLineage's listener knows no JDBC catalog,
            # and would read this one's address as that of Hive's metastore, and name no table.
            f"{prefix}.URI": f"jdbc:{lake.catalog_uri}",
            f"{prefix}.jdbc.user": lake.catalog_user or "",
            f"{prefix}.jdbc.password": lake.catalog_password or "",
            f"{prefix}.jdbc.schema-version": "V1",
            # Spark does not close a session's catalog (SPARK-54367), so each session leaves its
            # connections behind until a collection of the heap finds them. The database closes them
            # when they idle, and the catalog connects anew where it meets one that was closed.
            f"{prefix}.jdbc.options": f"-c idle_session_timeout={CATALOG_IDLE_SECONDS}s",
            f"{prefix}.retryable_status_codes": "57P05",
        }
    else:
        conf[f"{prefix}.type"] = lake.catalog
    if lake.root.startswith("s3://"):
        conf |= {
            f"{prefix}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            f"{prefix}.http-client.type": "urlconnection",
            f"{prefix}.client.region": lake.region,
            "spark.hadoop.fs.s3a.endpoint.region": lake.region,
        }
    if lake.endpoint:
        conf |= {
            f"{prefix}.s3.endpoint": lake.endpoint,
            f"{prefix}.s3.path-style-access": "true",
            "spark.hadoop.fs.s3a.endpoint": lake.endpoint,
            "spark.hadoop.fs.s3a.path.style.access": "true",
            "spark.hadoop.fs.s3a.connection.ssl.enabled": str(
                lake.endpoint.lower().startswith("https:")
            ).lower(),
        }
    if lake.access_key:
        conf |= {
            f"{prefix}.s3.access-key-id": lake.access_key,
            f"{prefix}.s3.secret-access-key": lake.secret_key or "",
            "spark.hadoop.fs.s3a.access.key": lake.access_key,
            "spark.hadoop.fs.s3a.secret.key": lake.secret_key or "",
        }
    elif lake.root.startswith("s3://"):
        # What S3FileIO asks too. S3A's own list knows neither a service account's role nor a profile.
        conf["spark.hadoop.fs.s3a.aws.credentials.provider"] = (
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        )
    if lake.session_token:
        conf |= {
            f"{prefix}.s3.session-token": lake.session_token,
            "spark.hadoop.fs.s3a.session.token": lake.session_token,
            "spark.hadoop.fs.s3a.aws.credentials.provider": (
                "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider"
            ),
        }
    return conf


def connect(url: str) -> SparkSession:
    """A Spark Connect session of its own at ``sc://host:port``, or ``sc://host:port/;token=…``.

    A dead server answers within about ten seconds instead of the client's ten minutes.
    """
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy
    from pyspark.sql.connect.logging import logger

    if "SPARK_CONNECT_LOG_LEVEL" not in os.environ:
        # Its own default, which Airflow's logging set-up undoes: a warning for each result whose
        # release meets the session's end would stand in every task's log.
        logger.disabled = True
    spark: SparkSession = SparkSession.builder.remote(url).create()
    # `client` is Spark Connect's own: type checkers see a property of the classic session.
    client = cast(Any, spark).client
    client.set_retry_policies(
        [DefaultPolicy(max_retries=8, initial_backoff=200, max_backoff=2000, backoff_multiplier=2)]
    )
    close = client.close

    def close_once() -> None:
        if not client.is_closed:
            close()

    # A session that was stopped is closed again when it is collected, which may be inside a call of another
    # session: closing waits for threads that all sessions share, and these for that call (SPARK-55362).
    client.close = close_once
    return spark


@contextmanager
def planned_for(spark: SparkSession, rows: int) -> Iterator[None]:
    """Has the session's queries planned for so many rows: up to ``FEW_ROWS`` by ``FOR_FEW_ROWS``, and by the
    session's own settings else, and afterwards. What they find is the same."""
    if rows > FEW_ROWS:
        yield
        return
    own = {name: str(spark.conf.get(name)) for name in FOR_FEW_ROWS}
    for name, value in FOR_FEW_ROWS.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in own.items():
            spark.conf.set(name, value)
