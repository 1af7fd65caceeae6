"""Connections as the providers' hooks read them: whatever a user has set reaches what connects."""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
import pytest
from airflow.sdk.bases.hook import BaseHook
from psycopg.conninfo import conninfo_to_dict

from feira.core.lake import lake_files
from feira.core.settings import SettingsError
from feira_airflow.core import connections
from feira_airflow.core.connections import (
    lake_settings,
    postgres_dsn,
    spark_session,
    spark_url,
    warehouse,
    warehouse_dsn,
)
from feira_airflow.summary.marts import MartsError, dbt_env

if TYPE_CHECKING:
    from feira_local.stack.postgres import Dsns

Patch = pytest.MonkeyPatch


def connection(monkeypatch: Patch, conn_id: str, **fields: Any) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))


def postgres_connection(monkeypatch: Patch, dsn: str, conn_id: str = "w", **extra: Any) -> None:
    parts = conninfo_to_dict(dsn)
    connection(
        monkeypatch,
        conn_id,
        conn_type="postgres",
        host=parts["host"],
        port=int(str(parts["port"])),
        login=parts["user"],
        password=parts["password"],
        schema=parts["dbname"],
        extra=extra,
    )


DSN = "host=db.example.com port=5433 user=loader password='it\\'s a=b' dbname=shop"


def test_every_libpq_option_of_the_extra_reaches_libpq(monkeypatch: Patch) -> None:
    options = {
        "sslmode": "verify-full",
        "sslrootcert": "/etc/my ca.pem",
        "keepalives": True,
        "keepalives_idle": 60,
        "options": "-c statement_timeout=5min",
        "target_session_attrs": "read-write",
    }
    postgres_connection(monkeypatch, DSN, **options, cursor="dictcursor", iam=False)
    assert conninfo_to_dict(postgres_dsn("w")) == conninfo_to_dict(DSN) | {
        **{name: str(value) for name, value in options.items()},
        "keepalives": "1",
    }


def test_an_option_that_libpq_does_not_know_is_refused_by_name(monkeypatch: Patch) -> None:
    postgres_connection(monkeypatch, DSN, sslmod="require")
    with pytest.raises(SettingsError, match=r"Connection w .*sslmod ") as refused:
        postgres_dsn("w")
    assert "it's" not in str(refused.value)


def test_sslmode_is_what_the_server_is_asked_for(monkeypatch: Patch, postgres: Dsns) -> None:
    """The test's server speaks no TLS: with sslmode dropped this connects."""
    postgres_connection(monkeypatch, postgres.reader, "w", sslmode="require")
    with pytest.raises(Exception, match="SSL"), warehouse("w"):
        pass


@pytest.mark.parametrize(
    "options", ["", "-c TimeZone=Asia/Tokyo", "-c work_mem=3MB -c timezone=EST"]
)
def test_the_warehouse_is_in_utc_whatever_else_is_set(
    monkeypatch: Patch, postgres: Dsns, options: str
) -> None:
    postgres_connection(
        monkeypatch, postgres.reader, "w", **({"options": options} if options else {})
    )
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    with warehouse("w") as opened:
        shown = opened.execute(
            "SELECT current_setting('TimeZone'), current_setting('work_mem')"
        ).fetchone()
    assert shown is not None and shown[0] == "UTC"
    assert (shown[1] == "3MB") == ("work_mem" in options)
    assert opened.closed


def test_an_iam_token_is_the_password(monkeypatch: Patch) -> None:
    connection(
        monkeypatch, "aws", conn_type="aws", login="AKIDEXAMPLE", password="s",
        extra={"region_name": "eu-west-1"},
    )  # fmt: skip
    postgres_connection(monkeypatch, DSN, iam=True, aws_conn_id="aws")
    password = str(conninfo_to_dict(postgres_dsn("w"))["password"])
    assert "Action=connect" in password and "AKIDEXAMPLE" in password


def test_a_redshift_connection_is_verified_unless_it_says_otherwise(monkeypatch: Patch) -> None:
    fields = {
        "conn_type": "redshift", "host": "r.example.com", "port": 5439, "login": "loader",
        "password": "it's a=b", "schema": "shop",
    }  # fmt: skip
    parts = {
        "host": "r.example.com", "port": "5439", "user": "loader", "password": "it's a=b",
        "dbname": "shop",
    }  # fmt: skip
    cases: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({}, {"sslmode": "verify-full", "sslrootcert": "system"}),
        ({"sslrootcert": "/ca.pem"}, {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
        ({"sslmode": "verify-ca"}, {"sslmode": "verify-ca"}),
        ({"ssl": False, "connect_timeout": 3}, {"sslmode": "disable", "connect_timeout": "3"}),
        ({"ssl": "false"}, {"sslmode": "disable"}),
        ({"ssl": "true", "iam": "false"}, {"sslmode": "verify-full", "sslrootcert": "system"}),
        ({"sslmode": None, "ssl": None}, {"sslmode": "verify-full", "sslrootcert": "system"}),
        (
            {"sslmode": "", "sslrootcert": "", "ssl": ""},
            {"sslmode": "verify-full", "sslrootcert": "system"},
        ),
    ]
    for extra, options in cases:
        connection(monkeypatch, "w", **fields, extra=extra)
        dsn, dialect = warehouse_dsn("w")
        assert (conninfo_to_dict(dsn), dialect) == (parts | options, "redshift")
    connection(monkeypatch, "w", **fields, extra={"region": "eu-west-1"})
    with pytest.raises(SettingsError, match=r"Connection w .*region ") as refused:
        warehouse_dsn("w")
    assert "it's" not in str(refused.value)
    connection(monkeypatch, "w", **fields, extra={"ssl": "perhaps"})
    with pytest.raises(SettingsError, match=r"Connection w: ssl .*'perhaps'"):
        warehouse_dsn("w")
    postgres_connection(monkeypatch, DSN, "p")
    assert warehouse_dsn("p")[1] == "postgres"


def test_a_switch_of_postgres_may_be_a_text_and_a_blank_field_says_nothing(
    monkeypatch: Patch,
) -> None:
    postgres_connection(monkeypatch, DSN, iam="false", redshift="no", sslmode="", options=None)
    assert conninfo_to_dict(postgres_dsn("w")) == conninfo_to_dict(DSN)
    postgres_connection(monkeypatch, DSN, iam="perhaps")
    with pytest.raises(SettingsError, match=r"Connection w: iam .*'perhaps'"):
        postgres_dsn("w")


LAKE: dict[str, Any] = {"service_config": {"s3": {"bucket_name": "my-lake"}}}


def lake(
    monkeypatch: Patch, login: str | None = None, password: str | None = None, **extra: Any
) -> None:
    connection(
        monkeypatch, "lake", conn_type="aws", login=login, password=password, extra=LAKE | extra
    )


def test_a_session_token_an_endpoint_and_certificates_are_the_lakes(monkeypatch: Patch) -> None:
    lake(
        monkeypatch,
        "AKID",
        "secret",
        aws_session_token="token",
        endpoint_url="https://all.test",
        region_name="eu-central-1",
        verify="/etc/ca.pem",
        service_config={"s3": {"bucket_name": "b", "endpoint_url": "https://s3.test"}},
    )
    found = lake_settings("lake")
    assert (found.root, found.endpoint, found.region) == (
        "s3://b",
        "https://s3.test",
        "eu-central-1",
    )
    assert (found.access_key, found.secret_key, found.session_token) == ("AKID", "secret", "token")
    assert found.storage_options() == {
        "key": "AKID",
        "secret": "secret",
        "token": "token",
        "endpoint_url": "https://s3.test",
        "config_kwargs": {"s3": {"addressing_style": "path"}},
        "client_kwargs": {"region_name": "eu-central-1", "verify": "/etc/ca.pem"},
    }
    assert "token" not in repr(found).replace("session_token", "")
    assert (
        type(found).from_env(found.to_env() | {"FEIRA_LAKE_CATALOG": "hadoop"}).verify
        == "/etc/ca.pem"
    )


@pytest.mark.parametrize(
    ("stated", "verify"), [("false", False), ("True", True), ("", None), ("/ca.pem", "/ca.pem")]
)
def test_how_the_lakes_certificates_are_verified_may_be_a_text(
    monkeypatch: Patch, stated: str, verify: Any
) -> None:
    lake(monkeypatch, "AKID", "secret", verify=stated)
    assert lake_settings("lake").verify == verify


@pytest.mark.parametrize("login", ["test", None])
def test_a_role_becomes_temporary_keys_that_open_the_lake(
    monkeypatch: Patch, s3_endpoint: str, login: str | None
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    bucket = f"lake-{uuid.uuid4().hex}"
    keys = {
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "region_name": "us-east-1",
    }
    boto3.client("s3", endpoint_url=s3_endpoint, **keys).create_bucket(Bucket=bucket)
    lake(
        monkeypatch,
        login,
        login,
        role_arn="arn:aws:iam::123456789012:role/lake",
        endpoint_url=s3_endpoint,
        region_name="us-east-1",
        service_config={"s3": {"bucket_name": bucket}, "sts": {"endpoint_url": s3_endpoint}},
    )
    found = lake_settings("lake")
    assert found.access_key != "test" and found.session_token
    files = lake_files(found)
    files.pipe(f"{found.root}/a", b"1")
    assert files.cat(f"{found.root}/a") == b"1"


def test_a_profiles_keys_and_region_are_the_lakes(monkeypatch: Patch, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(
        "[shop]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = p\n"
        "aws_session_token = t\nregion = sa-east-1\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    lake(monkeypatch, profile_name="shop")
    found = lake_settings("lake")
    assert (found.access_key, found.session_token, found.region) == (
        "AKIDPROFILE",
        "t",
        "sa-east-1",
    )
    lake(monkeypatch, profile_name="nobody")
    with pytest.raises(SettingsError, match=r"Connection lake .*nobody.*profile_name"):
        lake_settings("lake")


def test_without_keys_the_libraries_look_for_them(monkeypatch: Patch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOFTHEMACHINE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    lake(monkeypatch)
    assert lake_settings("lake").access_key is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"extra": {}}, "bucket_name"), ({"extra": LAKE, "login": "AKID"}, "one half of a key")],
)
def test_a_lake_that_cannot_be_used_is_refused(
    monkeypatch: Patch, fields: dict[str, Any], words: str
) -> None:
    connection(monkeypatch, "lake", conn_type="aws", **fields)
    with pytest.raises(SettingsError, match=words):
        lake_settings("lake")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([LAKE], "Connection lake: its extra must be a JSON object"),
        ('{"service_config": {"s3"', "Connection lake: its extra is no JSON"),
        ({"service_config": None}, "Connection lake names no bucket"),
        ({"service_config": {"s3": None}}, "Connection lake names no bucket"),
        ({"service_config": "hunter2"}, "Connection lake: service_config in its extra must be"),
        (LAKE | {"session_kwargs": "hunter2"}, "Connection lake: session_kwargs in its extra"),
        (LAKE | {"config_kwargs": {"reties": 2}}, "Connection lake cannot be used: .*'reties'"),
        (
            LAKE | {"config_kwargs": {"s3": {"addressing_style": "folder"}}},
            "Connection lake cannot be used: .*folder",
        ),
        (
            LAKE | {"role_arn": "arn:aws:iam::1:role/x", "assume_role_method": "by_letter"},
            "Connection lake cannot be used: .*'by_letter'",
        ),
    ],
)
def test_an_extra_that_airflows_hook_would_fail_at_is_named(
    monkeypatch: Patch, extra: Any, words: str
) -> None:
    connection(monkeypatch, "lake", conn_type="aws", login="A", password="hunter2", extra=extra)
    with pytest.raises(SettingsError, match=f"^{words}") as refused:
        lake_settings("lake")
    assert "hunter2" not in str(refused.value)


def test_a_lake_is_looked_up_once(monkeypatch: Patch) -> None:
    looked_up: list[str] = []
    look_up = BaseHook.get_connection

    def counted(cls: type[BaseHook], conn_id: str) -> Any:
        looked_up.append(conn_id)
        return look_up(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", classmethod(counted))
    connection(monkeypatch, "lake", conn_type="aws", login="A", password="s", extra=LAKE)
    assert lake_settings("lake").access_key == "A"
    assert looked_up == ["lake"]


def test_a_lake_that_is_given_as_a_url_says_how_its_bucket_is_stated(monkeypatch: Patch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "aws://A:s@/?service_config=%7B%7D")
    with pytest.raises(SettingsError, match=r"service_config in its extra .*__extra__"):
        lake_settings("lake")
    extra = quote(json.dumps(LAKE))
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", f"aws://A:s@/?__extra__={extra}")
    assert lake_settings("lake").root == "s3://my-lake"


TOKEN = "ab/c+d=e;f g?h#i"


@pytest.mark.parametrize("use_ssl", [True, "true", "yes", "1"])
def test_sparks_user_token_and_tls_reach_the_client(
    monkeypatch: Patch, use_ssl: bool | str
) -> None:
    from pyspark.sql.connect.client import DefaultChannelBuilder

    connection(
        monkeypatch,
        "spark",
        conn_type="spark_connect",
        host="sc://spark.example.com",
        port=443,
        login="airflow",
        password=TOKEN,
        extra={"use_ssl": use_ssl},
    )
    client = DefaultChannelBuilder(spark_url("spark"))
    assert (client.token, client.userId, client.use_ssl) == (TOKEN, "airflow", True)
    assert client.endpoint == "spark.example.com:443"


def test_a_spark_whose_tls_is_neither_on_nor_off_is_refused(monkeypatch: Patch) -> None:
    extra = {"use_ssl": "maybe"}
    connection(monkeypatch, "spark", conn_type="spark_connect", host="127.0.0.1", extra=extra)
    with pytest.raises(SettingsError, match=r"Connection spark: use_ssl .*maybe"):
        spark_url("spark")


def test_a_spark_without_extras_is_asked_at_its_usual_port(monkeypatch: Patch) -> None:
    from pyspark.sql.connect.client import DefaultChannelBuilder

    connection(monkeypatch, "spark", conn_type="spark_connect", host="127.0.0.1")
    client = DefaultChannelBuilder(spark_url("spark"))
    assert (client.endpoint, client.token, client.secure) == ("127.0.0.1:15002", None, False)
    connection(monkeypatch, "spark", conn_type="spark_connect")
    with pytest.raises(SettingsError, match=r"Connection spark .*host"):
        spark_url("spark")


def test_a_spark_with_an_ipv6_address_is_asked_there(monkeypatch: Patch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SPARK", "spark-connect://u:token@[2001:db8::1]:15003")
    assert spark_url("spark") == "sc://[2001:db8::1]:15003/;user_id=u;token=token"
    connection(monkeypatch, "spark", conn_type="spark_connect", host="[2001:db8::1]", port=15003)
    assert spark_url("spark") == "sc://[2001:db8::1]:15003/"


class Session:
    """A Spark session that notes what is asked of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def interruptAll(self) -> None:
        self.calls.append("interruptAll")

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, None])
def test_a_block_that_is_left_by_an_error_ends_its_queries_and_then_the_session(
    monkeypatch: Patch, error: type[BaseException] | None
) -> None:
    session, asked = Session(), []
    connection(
        monkeypatch, "spark", conn_type="spark_connect", host="s.test", password="t", extra={}
    )
    monkeypatch.setattr(
        "feira_spark.core.session.connect", lambda url: asked.append(url) or session
    )
    if error is None:
        with spark_session("spark"):
            assert session.calls == []
    else:
        with pytest.raises(error), spark_session("spark"):
            raise error
    assert session.calls == (["interruptAll", "stop"] if error else ["stop"])
    assert asked == ["sc://s.test/;token=t"]


def test_dbt_gets_every_option_that_libpq_knows(
    postgres: Dsns, tmp_path: Path, monkeypatch: Patch
) -> None:
    import psycopg2

    dsn = f"{postgres.dbt}?application_name=marts&keepalives_idle=77&options=-c%20work_mem%3D3MB"
    env = dbt_env(dsn, tmp_path)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    given = conninfo_to_dict(postgres.dbt)
    # As dbt connects: by keywords, and libpq adds what the service says.
    opened = psycopg2.connect(
        host=given["host"], port=given["port"], user=given["user"], password=given["password"],
        dbname=given["dbname"], connect_timeout=10,
    )  # fmt: skip
    try:
        found = opened.get_dsn_parameters()
        cursor = opened.cursor()
        cursor.execute("SELECT current_setting('work_mem')")
        assert cursor.fetchone() == ("3MB",)
    finally:
        opened.close()
    assert (found["application_name"], found["keepalives_idle"]) == ("marts", "77")
    file = Path(env["PGSERVICEFILE"])
    assert file.stat().st_mode & 0o077 == 0 and str(given["password"]) not in file.read_text()


def test_what_dbt_cannot_be_given_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MartsError, match=" has service "):
        dbt_env("host=h dbname=d service=mine", tmp_path)


def test_no_secret_is_logged_while_connections_are_read(
    monkeypatch: Patch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    postgres_connection(monkeypatch, DSN.replace("it\\'s a=b", "hunter2"), sslmode="require")
    lake(monkeypatch, "AKID", "hunter2", aws_session_token="hunter2")
    connection(monkeypatch, "spark", conn_type="spark_connect", host="h", password="hunter2")
    postgres_dsn("w"), lake_settings("lake"), connections.spark_url("spark")
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize(
    "text", ["abc", "-1", "nan", "inf", "1e400", "86401", "9" * 4000, " ", "\uff11", "1_0"]
)
def test_a_retry_delay_that_is_no_number_of_seconds_is_refused_by_name(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_RETRY_DELAY", text)
    with pytest.raises(SettingsError, match=r"FEIRA_RETRY_DELAY is .*0 to 86400") as refused:
        connections.retry_delay_seconds()
    assert len(str(refused.value)) < 250


def test_the_retry_delay_is_a_minute_unless_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for text, seconds in (("", 60.0), ("0", 0.0), ("2.5", 2.5), ("86400", 86400.0)):
        monkeypatch.setenv("FEIRA_RETRY_DELAY", text)
        assert connections.retry_delay_seconds() == seconds
