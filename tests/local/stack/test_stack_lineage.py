"""Where the local stack sends lineage, and that Airflow and Spark are told the same end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import yaml

from feira_local.stack import airflow, lineage, spark
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError
from feira_local.stack.secrets import load_secrets

LISTENER = "io.openlineage.spark.agent.OpenLineageSparkListener"


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig.from_env({"FEIRA_HOME": str(tmp_path / "home")})


def own(config: StackConfig, **transport: Any) -> None:
    """A connection of the user's own, in the stack's folder."""
    config.home.mkdir()
    file = config.home / "connections.yaml"
    described = {"conn_type": "generic", "extra": {"transport": transport}}
    file.write_text(yaml.safe_dump({lineage.CONNECTION: described}))
    file.chmod(0o600)


def told(config: StackConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """The transport that Airflow's connection has, and what Spark's properties say of lineage."""
    secrets = load_secrets(config.home)
    private = airflow.private_settings(config, secrets)
    connection = json.loads(private[f"AIRFLOW_CONN_{lineage.CONNECTION.upper()}"])
    properties = spark.properties(config, config.lake_settings(secrets))
    prefix = "spark.openlineage.transport."
    return connection["extra"]["transport"], {
        name.removeprefix(prefix): value
        for name, value in properties.items()
        if name.startswith(prefix)
    }


def test_both_send_to_the_inbox_and_wait_a_moment_only(config: StackConfig) -> None:
    of_airflow, of_spark = told(config)
    assert of_airflow["url"] == of_spark["url"] == config.inbox_url
    assert of_airflow["endpoint"] == of_spark["endpoint"] == "api/v1/lineage"
    assert (of_airflow["timeout"], of_spark["timeoutInMillis"]) == (2, "2000")
    assert of_airflow["retry"] == {"total": 0}
    settings = airflow.settings(config)
    assert settings["AIRFLOW__OPENLINEAGE__CONFIG_CONN_ID"] == lineage.CONNECTION
    (rule,) = json.loads(settings["AIRFLOW__OPENLINEAGE__EMISSION_POLICY"])
    assert (rule["scope"], rule["locked"]) == ({}, True)
    assert rule["controls"] == {"extract_operator_metadata": False}


def test_a_connection_of_the_users_own_is_told_to_both(config: StackConfig) -> None:
    own(
        config,
        type="http",
        url="https://marquez.example",
        timeout=1.5,
        auth={"type": "api_key", "apiKey": "k3y"},
        custom_headers={"X-Tenant": "sales"},
    )
    of_airflow, of_spark = told(config)
    assert of_airflow["url"] == "https://marquez.example"
    assert of_spark == {
        "type": "http",
        "url": "https://marquez.example",
        "endpoint": "api/v1/lineage",
        "timeoutInMillis": "1500",
        "headers.X-Tenant": "sales",
        "auth.type": "api_key",
        "auth.apiKey": "k3y",
    }


def test_into_files_each_program_has_its_own(config: StackConfig) -> None:
    own(config, type="file", log_file_path="/var/lineage/events")
    assert told(config)[1] == {"type": "file", "location": "/var/lineage/events-spark.ndjson"}


def test_a_transport_that_spark_has_not_is_refused_by_name(config: StackConfig) -> None:
    own(config, type="kafka")
    with pytest.raises(StackError, match=re.escape("lineage_default has the transport 'kafka'")):
        told(config)


@pytest.mark.parametrize(
    ("end", "told_to_spark"),
    [
        ({"url": "https://a.example/"}, ("https://a.example", "api/v1/lineage")),
        ({"url": "https://a.example/base"}, ("https://a.example", "api/v1/lineage")),
        ({"url": "https://a.example/base/", "endpoint": "x/y"}, ("https://a.example", "base/x/y")),
        ({"url": "http://[::1]:5000/base/", "endpoint": "/x"}, ("http://[::1]:5000", "x")),
        ({"url": "https://a.example/base", "endpoint": "/"}, ("https://a.example", "/")),
    ],
)
def test_both_join_url_and_endpoint_alike(
    config: StackConfig, end: dict[str, str], told_to_spark: tuple[str, str]
) -> None:
    own(config, type="http", **end)
    of_airflow, of_spark = told(config)
    assert (of_spark["url"], of_spark["endpoint"]) == told_to_spark
    posted_to = urljoin(of_airflow["url"], of_airflow.get("endpoint", "api/v1/lineage"))
    assert posted_to == f"{told_to_spark[0]}/{told_to_spark[1].removeprefix('/')}"


def test_what_both_can_be_told_is_told(config: StackConfig) -> None:
    key = {"type": "api_key", "api_key": "é\\k"}
    own(config, type="http", url="http://a", compression="gzip", verify=True, auth=key)
    assert told(config)[1] == {
        "type": "http",
        "url": "http://a",
        "endpoint": "api/v1/lineage",
        "timeoutInMillis": "2000",
        "auth.type": "api_key",
        "auth.apiKey": "é\\k",
        "compression": "gzip",
    }


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"auth": {"type": "jwt", "apiKey": "s3cret", "tokenEndpoint": "https://t"}}, "auth.type"),
        ({"auth": {"type": "airflow_connection_api_key", "conn_id": "c"}}, "auth.type"),
        ({"auth": {"apiKey": "s3cret"}}, "auth.type: Field required"),
        ({"auth": {"type": "api_key"}}, "auth.apiKey: Field required"),
        ({"auth": {"type": "api_key", "apiKey": "s3cret\nspark.x y"}}, "auth.apiKey"),
        ({"auth": None}, "auth: Input should be a valid dictionary."),
        ({"verify": False}, "verify: Input should be True"),
        ({"compression": "zstd"}, "compression"),
        ({"sslContext": {"caCertPath": "/ca.pem"}}, "sslContext: Extra inputs are not permitted"),
        ({"headers": {"X": "s3cret"}}, "headers: Extra inputs are not permitted"),
        ({"custom_headers": None}, "custom_headers"),
        ({"custom_headers": {"X Y": "1"}}, "custom_headers.X Y"),
        ({"timeout": "2"}, "timeout: Input should be a valid number"),
        ({"timeout": True}, "timeout: Input should be a valid number"),
        ({"timeout": None}, "timeout: Input should be a valid number"),
        ({"timeout": 0}, "timeout: Input should be greater than 0"),
        ({"timeout": 1e9}, "timeout: Input should be less than or equal to 3600"),
        ({"endpoint": None}, "endpoint: Input should be a valid string"),
        ({"endpoint": "x?key=s3cret"}, "url: It should hold no"),
        ({"url": "https://me:s3cret@a.example"}, "url: It should hold no login"),
        ({"url": "a.example"}, "url: It should be http"),
        ({"url": "http://[::1"}, "url: It should be http"),
        ({"url": None}, "url: Input should be a valid string"),
    ],
)
def test_what_spark_cannot_be_told_is_refused_by_its_field(
    config: StackConfig, changes: dict[str, Any], why: str
) -> None:
    own(config, **{"type": "http", "url": "https://a.example"} | changes)
    with pytest.raises(StackError, match=re.escape(f"transport.{why}")) as refused:
        told(config)
    assert "FEIRA_LINEAGE=off" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_named_by_half_is_refused(config: StackConfig) -> None:
    own(config, type="file", append=True, storage_options={"key": "s3cret"})
    with pytest.raises(StackError, match=r"transport.log_file_path: Field required") as refused:
        told(config)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("transport", ["http", None, ["http"], 1])
def test_a_transport_that_is_no_mapping_is_refused(config: StackConfig, transport: object) -> None:
    own(config)
    file = config.home / "connections.yaml"
    described = {"conn_type": "generic", "extra": {"transport": transport}}
    file.write_text(yaml.safe_dump({lineage.CONNECTION: described}))
    with pytest.raises(StackError, match=r"Connection lineage_default .*transport"):
        told(config)


def test_without_lineage_nobody_is_told_of_it(config: StackConfig) -> None:
    off = replace(config, lineage=False)
    secrets = load_secrets(off.home)
    said = {
        **airflow.settings(off),
        **airflow.private_settings(off, secrets),
        **spark.properties(off, off.lake_settings(secrets)),
    }
    assert not [name for name in said if "LINEAGE" in name.upper()]
    assert LISTENER not in said.values()


def test_it_is_turned_off_by_the_environment_and_by_nothing_else(tmp_path: Path) -> None:
    home = {"FEIRA_HOME": str(tmp_path)}
    assert StackConfig.from_env(home).lineage
    assert not StackConfig.from_env(home | {"FEIRA_LINEAGE": "off"}).lineage
    with pytest.raises(StackError, match="FEIRA_LINEAGE is 'no'; it may be on or off"):
        StackConfig.from_env(home | {"FEIRA_LINEAGE": "no"})
