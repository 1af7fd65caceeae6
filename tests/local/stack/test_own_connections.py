"""A file of connections that replaces the stack's own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from feira_local.stack import access, airflow, spark
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack
from feira_local.stack.own_connections import own_connections
from feira_local.stack.service import by_name

OWN = """
shop_api:
  conn_type: http
  host: sales.example.com
  schema: https
orders_api: {conn_type: http, host: orders.example.com}
lake_default:
  conn_type: aws
  login: AKIDEXAMPLE
  password: "own/secret"
  extra:
    region_name: eu-central-1
    service_config: {s3: {bucket_name: my-lake}}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def write(home: Path, text: str, mode: int = 0o600) -> None:
    path = home / "connections.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    path.chmod(mode)


def stack(home: Path) -> Stack:
    return Stack.of(StackConfig.from_env({"FEIRA_HOME": str(home)}))


def test_own_connections_replace_the_stacks_and_join_them(home: Path) -> None:
    write(home, OWN)
    of = stack(home)
    found = airflow.connections(of.config, of.secrets)
    assert json.loads(found["AIRFLOW_CONN_SHOP_API"]) == {
        "conn_type": "http",
        "host": "sales.example.com",
        "schema": "https",
    }
    assert json.loads(found["AIRFLOW_CONN_ORDERS_API"])["host"] == "orders.example.com"
    assert json.loads(found["AIRFLOW_CONN_WAREHOUSE_DEFAULT"])["login"] == "warehouse_loader"


def test_an_own_lake_reaches_spark_and_needs_no_s3_server(home: Path) -> None:
    assert "s3" in by_name(stack(home).services)
    write(home, OWN)
    of = stack(home)
    named = by_name(of.services)
    assert "s3" not in named
    assert "s3" not in named["spark"].depends_on
    properties = spark.properties(of.config, of.config.lake_settings(of.secrets))
    assert properties["spark.sql.catalog.lake.warehouse"] == "s3://my-lake/tables"
    assert properties["spark.sql.catalog.lake.client.region"] == "eu-central-1"
    assert properties["spark.sql.catalog.lake.s3.secret-access-key"] == "own/secret"
    assert "spark.sql.catalog.lake.s3.endpoint" not in properties
    assert properties["spark.sql.catalog.lake.URI"].endswith("/iceberg")
    settings = airflow.private_settings(of.config, of.secrets)
    assert settings["FEIRA_LAKE"] == "s3://my-lake"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Warehouse_Default: {conn_type: postgres}",
            "Warehouse_Default is the same as warehouse_default",
        ),
        ("Shop_API: {conn_type: http}", "Shop_API is the same as shop_api"),
        ("mine: {conn_type: http}\nMine: {conn_type: http}", "Mine is the same as mine"),
    ],
)
def test_two_ids_that_differ_by_case_alone_are_one_to_airflow(
    home: Path, text: str, words: str
) -> None:
    write(home, text)
    with pytest.raises(StackError, match=words):
        stack(home)


def test_no_secret_of_an_own_connection_is_in_what_the_services_show(home: Path) -> None:
    write(home, OWN)
    for service in stack(home).services:
        assert "own/secret" not in json.dumps(service.as_json())


def test_the_commands_ask_the_warehouse_that_the_dags_load(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(home))
    write(
        home,
        "warehouse_reader: {conn_type: postgres, host: db.example.com, port: 5433, login: analyst,"
        " password: 'it''s', schema: shop}",
    )
    assert conninfo_to_dict(access.warehouse_dsn("reader")) == {
        "host": "db.example.com",
        "port": "5433",
        "user": "analyst",
        "password": "it's",
        "dbname": "shop",
    }
    assert conninfo_to_dict(access.warehouse_dsn("dbt"))["host"] == "127.0.0.1"


def test_the_commands_connect_with_all_that_the_connection_says(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(home))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_READER", "postgres://elsewhere")
    write(
        home,
        """
warehouse_reader:
  {conn_type: postgres, host: db, login: a, schema: shop, extra: {sslmode: verify-full}}
spark_default:
  {conn_type: spark_connect, host: spark.test, port: 443, password: a/b, extra: {use_ssl: true}}
""",
    )
    assert conninfo_to_dict(access.warehouse_dsn("reader"))["sslmode"] == "verify-full"
    assert access.spark_url() == "sc://spark.test:443/;token=a%2Fb;use_ssl=True"
    assert os.environ["AIRFLOW_CONN_WAREHOUSE_READER"] == "postgres://elsewhere"
    assert "AIRFLOW_CONN_SPARK_DEFAULT" not in os.environ


@pytest.mark.parametrize(
    ("fields", "key", "token"),
    [
        ("login: A, password: s, extra: {aws_session_token: t, ", "A", "t"),
        ("extra: {aws_access_key_id: A, aws_secret_access_key: s, ", "A", None),
        ("extra: {profile_name: shop, ", "P", "pt"),
    ],
)
def test_an_own_lakes_temporary_keys_reach_spark(
    home: Path, monkeypatch: pytest.MonkeyPatch, fields: str, key: str, token: str | None
) -> None:
    profiles = home / "profiles"
    profiles.write_text(
        "[shop]\naws_access_key_id=P\naws_secret_access_key=s\naws_session_token=pt\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profiles))
    bucket = "service_config: {s3: {bucket_name: b}}}"
    write(home, f"lake_default: {{conn_type: aws, {fields}{bucket}}}")
    of = stack(home)
    settings = of.config.lake_settings(of.secrets)
    assert (settings.access_key, settings.session_token) == (key, token)
    assert settings.catalog_user == "iceberg"
    properties = spark.properties(of.config, of.config.lake_settings(of.secrets))
    assert properties.get("spark.sql.catalog.lake.s3.session-token") == token


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (OWN, 0o640, "others may read it (mode 0640): chmod 600"),
        ("a: {password: hunter2", 0o600, "is not YAML"),
        ("a: \udcff", 0o600, "is not YAML in UTF-8"),
        ("a: {conn_type: 2010-13-01}", 0o600, "is not YAML in UTF-8"),
        ("[" * 1_000, 0o600, "is not YAML in UTF-8"),
        ("7: {conn_type: http}", 0o600, "connection id 7 is no text"),
        ("a: {conn_type: http, extra: {since: 2010-12-01}}", 0o600, "connection a cannot be"),
        ("a: {conn_type: http, 7: a, hots: a}", 0o600, "a has 7, hots; it may have"),
        ("a: {conn_type: http, login: 007}", 0o600, "the login of connection a is no text"),
        ("a: {conn_type: http, password: 0123456}", 0o600, "the password of connection a is no"),
        ("a: {conn_type: http, host: 1.5}", 0o600, "the host of connection a is no text"),
        ("- shop_api", 0o600, "must map connection ids"),
        ("shop_api: {host: a.example.com}", 0o600, "shop_api needs at least a conn_type"),
        ("shop_api: {conn_type: http, hots: a}", 0o600, "shop_api has hots; it may have"),
        ("shop_api: {conn_type: http, extra: '{}'}", 0o600, "extra of connection shop_api"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    home: Path, text: str, mode: int, words: str
) -> None:
    write(home, text, mode)
    with pytest.raises(StackError) as refused:
        own_connections(home)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)
