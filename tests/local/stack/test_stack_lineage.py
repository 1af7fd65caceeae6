"""Where the local stack sends lineage, and that Airflow and Spark are told the same end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

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
