"""The whole of it against a mocked AWS, and what its outputs are to the platform's own code.

Run by `make test-terraform`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from psycopg.conninfo import conninfo_to_dict

from feira_airflow.core import connections, kafka, valkey
from terraform_tree import Terraform, changed, connection_outputs, copied, environment

pytestmark = pytest.mark.terraform


def test_it_is_formatted_and_valid(terraform: Terraform) -> None:
    terraform.done("fmt", "-check", "-recursive", "-diff")
    terraform.done("validate")


def test_the_bucket_of_states_is_valid(terraform: Terraform) -> None:
    state = Terraform(terraform.tree / "state", terraform.env)
    state.done("init")
    state.done("validate")


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_an_environment_holds_what_its_tests_say(terraform: Terraform, environment: str) -> None:
    answer = terraform.done("test", f"-var-file=environments/{environment}.tfvars")
    assert "8 passed, 0 failed" in answer


FAULTS = {
    "a public bucket": (
        "bucket",
        "modules/bucket/main.tf",
        "restrict_public_buckets = true",
        "restrict_public_buckets = false",
    ),
    "no versions": (
        "bucket",
        "modules/bucket/main.tf",
        'versioning_configuration { status = "Enabled" }',
        'versioning_configuration { status = "Suspended" }',
    ),
    "a grant of everything": (
        "roles",
        "modules/roles/main.tf",
        'write      = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]',
        'write      = ["s3:*"]',
    ),
    "another's secret": (
        "roles",
        "modules/roles/main.tf",
        'dbt     = ["airflow/connections/warehouse_dbt"]',
        'dbt     = ["airflow/connections/warehouse_default"]',
    ),
    "a missing grant": (
        "roles",
        "modules/roles/main.tf",
        'local.key_for["secretsmanager"], local.secrets_of["migrate"]',
        'local.key_for["secretsmanager"]',
    ),
    "a role for every pod": (
        "roles",
        "modules/roles/main.tf",
        '"${var.issuer}:aud" = "sts.amazonaws.com"',
        '"${var.issuer}:aud" = "anybody"',
    ),
    "a store for everybody": (
        "network",
        "modules/network/main.tf",
        "referenced_security_group_id = aws_security_group.nodes.id",
        'cidr_ipv4                    = "0.0.0.0/0"',
    ),
    "an open API": (
        "cluster",
        "modules/cluster/main.tf",
        "endpoint_public_access  = length(var.api_from) > 0",
        "endpoint_public_access  = true",
    ),
    "the node's role for pods": (
        "cluster",
        "modules/cluster/main.tf",
        "http_put_response_hop_limit = 1",
        "http_put_response_hop_limit = 2",
    ),
    "a password among the outputs": (
        "platform",
        "connections.tf",
        'host      = "https://hooks.slack.com/services"',
        'host      = "https://hooks.slack.com/services"\n      password  = "T000"',
    ),
    "a connection without a secret": (
        "platform",
        "connections.tf",
        '"smtp_default", "slack_default",',
        '"smtp_default",',
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_turns_its_test_red(terraform: Terraform, fault: str) -> None:
    check, *planted = FAULTS[fault]
    changed(terraform.tree, *planted)
    answer = terraform.run(
        "test", "-var-file=environments/prod.tfvars", f"-filter=tests/{check}.tftest.hcl"
    )
    assert answer.returncode == 1
    assert (
        "Test assertion failed" in answer.stdout + answer.stderr
        or "precondition failed" in answer.stderr
    )


@pytest.fixture(scope="module")
def outputs(initialised: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `terraform output -json` would print of prod, its hosts mocked."""
    tree = copied(tmp_path_factory.mktemp("outputs") / "tree", initialised)
    printed = Terraform(tree, environment()).done(
        "test",
        "-json",
        "-verbose",
        "-var-file=environments/prod.tfvars",
        "-filter=tests/platform.tftest.hcl",
    )
    (state,) = [
        line["test_state"]
        for line in map(json.loads, printed.splitlines())
        if line["type"] == "test_state"
    ]
    found: dict[str, Any] = state["outputs"]
    return found


@pytest.fixture
def as_airflow_has_them(outputs: dict[str, Any]) -> Iterator[None]:
    """The outputs as the environment of a task; the secrets that they lack are put in."""
    from terraform_tree import fill_secrets

    program = fill_secrets()
    given = {"login": "someone", "password": "a-secret"}
    env = {
        f"AIRFLOW_CONN_{conn_id.upper()}": json.dumps(
            program.whole(
                conn_id, described, None, given if conn_id in program.MUST_BE_GIVEN else None
            )
        )
        for conn_id, described in program.connections(outputs).items()
    }
    with mock.patch.dict(os.environ, env):
        yield


def test_the_outputs_are_those_that_the_files_name(outputs: dict[str, Any]) -> None:
    named = {f"AIRFLOW_CONN_{conn_id.upper()}" for conn_id in connection_outputs()}
    assert set(outputs) == named | {"deployment"}


@pytest.mark.usefixtures("as_airflow_has_them")
def test_the_platform_reads_each_connection() -> None:
    lake = connections.lake_settings()
    assert (lake.root, lake.region) == ("s3://feira-prod-lake-123456789012", "eu-central-1")
    assert (lake.endpoint, lake.access_key) == (None, None)
    assert connections.spark_url().startswith("sc://spark-connect.spark.svc.cluster.local:15002")
    brokers = kafka.kafka_config()
    assert brokers["bootstrap.servers"].endswith(":9096")
    assert brokers["sasl.username"] == "feira" and len(brokers["sasl.password"]) >= 43
    served = valkey.valkey_options()
    assert served["ssl"] is True and served["username"] == "recommendations"
    for conn_id, user in (
        (connections.WAREHOUSE, "warehouse_loader"),
        (connections.WAREHOUSE_DBT, "dbt"),
        (connections.WAREHOUSE_READER, "reader"),
    ):
        dsn, dialect = connections.warehouse_dsn(conn_id)
        options = conninfo_to_dict(dsn)
        assert (dialect, options["user"], options["port"]) == ("redshift", user, "5439")
        assert (options["dbname"], options["sslmode"]) == ("warehouse", "verify-full")
