"""What Terraform names is what the platform asks for. Needs no Terraform."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feira.core.contracts import contracts
from feira_airflow.core import connections
from feira_airflow.core.pipelines import pipelines
from feira_spark.core.session import CATALOG
from feira_spark.core.tables import STAGING
from terraform_tree import TREE, changed, connection_outputs, copied, variables, words

PLATFORM = {
    connections.LAKE,
    connections.SPARK,
    connections.WAREHOUSE,
    connections.WAREHOUSE_DBT,
    connections.WAREHOUSE_READER,
    connections.MAIL,
    connections.SLACK,
} | {conn_id for pipeline in pipelines() for conn_id, _ in pipeline.connections}


def test_the_outputs_are_the_connections_that_the_platform_reads() -> None:
    assert connection_outputs() == PLATFORM
    assert words("connection_ids", "connections.tf") == PLATFORM


def test_a_renamed_output_is_noticed(tmp_path: Path) -> None:
    tree = copied(tmp_path / "tree")
    changed(
        tree, "connections.tf", 'output "AIRFLOW_CONN_LAKE_DEFAULT"', 'output "AIRFLOW_CONN_LAKE"'
    )
    assert connection_outputs(tree) != PLATFORM


def test_the_databases_of_glue_are_the_lakes_namespaces() -> None:
    lake = {name.split(".")[0] for name, each in contracts().items() if "lake" in each.servers}
    assert words("namespaces") == lake | {STAGING.removeprefix(f"{CATALOG}.")}


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_state_is_under_the_key_that_is_made_for_it(environment: str) -> None:
    state = (TREE / "state" / "main.tf").read_text()
    (name,) = set(re.findall(r'name += "(feira-\$\{var\.environment\}-state)"', state))
    settings = dict(
        re.findall(
            r'^(\w+) += "(.+)"$',
            (TREE / "environments" / f"{environment}.s3.tfbackend").read_text(),
            re.M,
        )
    )
    name = name.replace("${var.environment}", environment)
    assert settings["kms_key_id"] == f"alias/{name}"
    assert settings["bucket"] == f"{name}-123456789012"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_no_environment_is_any_bodys_account(environment: str) -> None:
    """The files are examples: an account of AWS's documentation, addresses of example.com."""
    text = variables(environment)
    assert '"123456789012"' in text
    assert "@" not in text.replace("@example.com", "")
