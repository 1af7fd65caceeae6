"""A session's settings by how much it reads; and what sessions of a server that goes on leave behind in the
catalog's database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from feira.core.settings import LakeSettings
from feira_local.stack.postgres import Dsns
from feira_spark.core.session import (
    CATALOG,
    CATALOG_IDLE_SECONDS,
    FEW_ROWS,
    FOR_FEW_ROWS,
    connect,
    planned_for,
    spark_conf,
)
from until import until

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def idle_catalog(name: str, dsn: str, folder: Path, seconds: int) -> dict[str, str]:
    """The lake's catalog as the stack configures it, under another name and with less patience."""
    parts = conninfo_to_dict(dsn)
    conf = spark_conf(
        LakeSettings(
            root=f"file://{folder}",
            catalog_uri=f"postgresql://{parts['host']}:{parts['port']}/{parts['dbname']}",
            catalog_user=str(parts["user"]),
            catalog_password=str(parts["password"]),
        )
    )
    prefix = f"spark.sql.catalog.{CATALOG}"
    options = conf[f"{prefix}.jdbc.options"]
    assert f"idle_session_timeout={CATALOG_IDLE_SECONDS}s" in options
    conf[f"{prefix}.jdbc.options"] = options.replace(f"{CATALOG_IDLE_SECONDS}s", f"{seconds}s")
    return {
        key.replace(prefix, f"spark.sql.catalog.{name}"): value
        for key, value in conf.items()
        if key.startswith(prefix)
    }


def test_a_sessions_connections_end_when_they_idle_and_come_back_when_it_goes_on(
    spark: SparkSession, postgres: Dsns, tmp_path: Path
) -> None:
    # On a busy machine a session idles while it is being opened.
    for key, value in idle_catalog("idle", postgres.iceberg, tmp_path, seconds=4).items():
        spark.conf.set(key, value)

    with psycopg.connect(postgres.iceberg, autocommit=True) as watcher:

        def connections() -> int:
            found: Any = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
            return int(found[0])

        spark.sql("CREATE NAMESPACE IF NOT EXISTS idle.sales")
        spark.sql("CREATE TABLE idle.sales.t (k int) USING iceberg")
        assert connections() > 0
        until(lambda: connections() == 0)

    spark.sql("INSERT INTO idle.sales.t VALUES (1)")
    assert spark.table("idle.sales.t").count() == 1
    spark.sql("DROP TABLE idle.sales.t PURGE")


def test_a_temporary_key_reaches_icebergs_files_and_sparks() -> None:
    conf = spark_conf(LakeSettings("s3://b", access_key="A", secret_key="s", session_token="t"))
    prefix = f"spark.sql.catalog.{CATALOG}"
    assert conf[f"{prefix}.s3.session-token"] == "t"
    assert conf["spark.hadoop.fs.s3a.session.token"] == "t"
    provider = "org.apache.hadoop.fs.s3a.TemporaryAWSCredentialsProvider"
    assert conf["spark.hadoop.fs.s3a.aws.credentials.provider"] == provider
    lasting = spark_conf(LakeSettings("s3://b", access_key="A", secret_key="s"))
    assert not [name for name in lasting if "token" in name or "provider" in name]


@pytest.mark.parametrize(
    ("endpoint", "tls"), [("http://127.0.0.1:9", "false"), ("https://s3.test", "true")]
)
def test_an_endpoint_is_asked_as_its_url_says(endpoint: str, tls: str) -> None:
    conf = spark_conf(LakeSettings("s3://b", endpoint=endpoint))
    assert conf["spark.hadoop.fs.s3a.connection.ssl.enabled"] == tls


def test_few_rows_are_planned_as_such_and_the_sessions_own_settings_come_back(
    spark: SparkSession,
) -> None:
    def held() -> dict[str, str | None]:
        return {name: spark.conf.get(name) for name in FOR_FEW_ROWS}

    before, own = held(), dict.fromkeys(FOR_FEW_ROWS, "true")
    own |= {"spark.sql.shuffle.partitions": "4", "spark.sql.codegen.factoryMode": "FALLBACK"}
    try:
        for name, value in own.items():
            spark.conf.set(name, value)
        with planned_for(spark, FEW_ROWS + 1):
            assert held() == own
        within: list[dict[str, str | None]] = []

        def step() -> None:
            with planned_for(spark, FEW_ROWS):
                within.append(held())
                raise RuntimeError("the step's")

        with pytest.raises(RuntimeError, match="the step's"):
            step()
        assert within == [FOR_FEW_ROWS]
        assert held() == own
    finally:
        for name, value in before.items():
            spark.conf.set(name, str(value))


def test_a_session_that_was_stopped_leaves_those_after_it_alone_when_it_is_collected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what all sessions share is shut down in the midst of another's call, and both wait for good."""
    from pyspark.sql.connect.client.reattach import (
        ExecutePlanResponseReattachableIterator as Results,
    )

    for name in ("SPARK_CONNECT_MODE_ENABLED", "SPARK_REMOTE"):
        # Put back as it was: the tests' own session is none of Connect's.
        monkeypatch.setenv(name, "")
    stopped = connect("sc://127.0.0.1:1")
    # All that ``stop`` does but for telling the server, which is none.
    stopped.client.close()
    releasing = Results._get_or_create_release_thread_pool()
    try:
        stopped.__del__()
        assert Results._release_thread_pool_instance is releasing
        assert releasing.submit(int).result(10) == 0
    finally:
        Results.shutdown()
    assert stopped.client.is_closed
