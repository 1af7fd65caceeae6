"""The whole of it against a mocked AWS, and what its outputs are to the platform's own code.

Run by `make test-terraform`."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook
from psycopg.conninfo import conninfo_to_dict

from feira_airflow.core import connections, kafka, valkey
from feira_airflow.sales.pipeline import SHOP_API
from feira_airflow.sales.shop_api import ShopApiHook
from feira_provider.hooks.mail import MailHook
from terraform_tree import TREE, Terraform, changed, connection_outputs, copied, environment

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
    assert "21 passed, 0 failed" in answer


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
    "a missing file that nobody may see is missing": (
        "roles",
        "modules/roles/main.tf",
        """          Sid       = "List"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [var.lake_arn]
          Condition = { StringLike = { "s3:prefix" = ["recommendations/*"] } }
""",
        """          Sid       = "List"
          Effect    = "Allow"
          Action    = ["s3:GetBucketLocation"]
          Resource  = [var.lake_arn]
""",
    ),
    "an API that lists the lake": (
        "roles",
        "modules/roles/main.tf",
        'Condition = { StringLike = { "s3:prefix" = ["recommendations/*"] } }',
        'Condition = { StringLike = { "s3:prefix" = ["*"] } }',
    ),
    "a staged table that stays": (
        "roles",
        "modules/roles/main.tf",
        '"glue:UpdateTable", "glue:DeleteTable"]',
        '"glue:UpdateTable"]',
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
    "a group that never begins": (
        "cluster",
        "modules/cluster/main.tf",
        '"${local.for_pods}Gi"',
        '"5Gi"',
    ),
    "a public warehouse": (
        "stores",
        "modules/warehouse/main.tf",
        "publicly_accessible  = false",
        "publicly_accessible  = true",
    ),
    "a warehouse in the clear": (
        "stores",
        "modules/warehouse/main.tf",
        'require_ssl                      = "true"',
        'require_ssl                      = "false"',
    ),
    "a parameter that is not named": (
        "stores",
        "modules/warehouse/main.tf",
        '      query_group                      = "default"\n',
        "",
    ),
    "Kafka for everybody": (
        "stores",
        "modules/kafka/main.tf",
        "unauthenticated = false",
        "unauthenticated = true",
    ),
    "Valkey in the clear": (
        "stores",
        "modules/valkey/main.tf",
        "transit_encryption_enabled = true",
        "transit_encryption_enabled = false",
    ),
    "a user of Valkey without a password": (
        "stores",
        "modules/valkey/main.tf",
        'authentication_mode { type = "iam" }',
        'authentication_mode { type = "no-password-required" }',
    ),
    "a database that a destroy takes along": (
        "stores",
        "modules/database/main.tf",
        "deletion_protection             = var.kept",
        "deletion_protection             = false",
    ),
    "a key for everybody": (
        "stores",
        "modules/key/main.tf",
        'Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }',
        'Principal = { AWS = "*" }',
    ),
    "an alarm that nobody hears": (
        "watch",
        "modules/watch/main.tf",
        "alarm_actions       = [aws_sns_topic.alarms.arn]",
        "alarm_actions       = []",
    ),
    "a budget of another figure": (
        "watch",
        "modules/watch/main.tf",
        "limit_amount = tostring(var.budget)",
        'limit_amount = "100000"',
    ),
    "kube-proxy after the nodes": (
        "cluster",
        "modules/cluster/main.tf",
        'toset(["vpc-cni", "kube-proxy"])',
        'toset(["vpc-cni"])',
    ),
    "four zones": ("variables", "variables.tf", "length(var.zones) == 3 && ", ""),
    "zones by their whole names": ("variables", "variables.tf", '"^[a-z]$"', '"[a-z]$"'),
    "a network of another size": (
        "variables",
        "variables.tf",
        'cidrnetmask(var.cidr) == "255.255.0.0" && ',
        "",
    ),
    "a network with bits behind its mask": (
        "variables",
        "variables.tf",
        " && cidrsubnet(var.cidr, 0, 0) == var.cidr",
        "",
    ),
    "a cluster for half the Internet": (
        "variables",
        "variables.tf",
        'tonumber(split("/", network)[1]) >= 8',
        'tonumber(split("/", network)[1]) > 0',
    ),
    "a warehouse above its most": (
        "variables",
        "variables.tf",
        "var.warehouse.most >= var.warehouse.base",
        "var.warehouse.most > 0",
    ),
    "alarms to nobody": ("variables", "variables.tf", "length(var.alarms_to) > 0 && ", ""),
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
    said = answer.stdout + answer.stderr
    reasons = ("Test assertion failed", "precondition failed", "Missing expected failure")
    assert any(reason in said for reason in reasons)


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
    state, _ = [
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


DEPLOYMENT = {
    *("environment", "region", "cluster", "kafka_secret", "valkey_user"),
    *("lake.FEIRA_LAKE", "lake.FEIRA_LAKE_REGION", "lake.FEIRA_LAKE_CATALOG"),
    *("warehouse.workgroup", "warehouse.database", "warehouse.admin_secret"),
    *("database.host", "database.identifier"),
    *(f"roles.{name}" for name in ("airflow", "spark", "migrate", "dbt", "serving")),
    *("roles.autoscaler", "roles.redshift"),
    *(f"repositories.{image}" for image in ("airflow", "spark", "serving")),
}


def _leaves(value: Any, path: str = "") -> dict[str, str]:
    """Texts by the path of keys that leads to them."""
    if not isinstance(value, dict):
        return {path.removeprefix("."): value}
    return {
        name: text for key in value for name, text in _leaves(value[key], f"{path}.{key}").items()
    }


def test_what_is_told_of_the_deployment_is_listed_and_of_secrets_the_names(
    outputs: dict[str, Any],
) -> None:
    told = _leaves(outputs["deployment"]["value"])
    assert set(told) == DEPLOYMENT
    assert told["kafka_secret"] == "AmazonMSK_feira-prod_feira"
    assert told["warehouse.admin_secret"].startswith("arn:aws:secretsmanager:")


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
    assert served["ssl"] is True and served["username"] == "feira-prod-recommendations"
    shop = ShopApiHook(SHOP_API)
    shop.get_conn()
    assert shop.base_url == "https://shop.example.com:443"
    with mock.patch("smtplib.SMTP") as server:
        mail = MailHook(connections.MAIL).get_conn()
    opened = server.call_args.kwargs
    assert (opened["host"], opened["port"]) == ("email-smtp.eu-central-1.amazonaws.com", 587)
    # Port 587 begins in the clear, and turns to TLS before it is told a password.
    assert [call[0] for call in server.return_value.method_calls] == ["starttls", "ehlo", "login"]
    server.return_value.login.assert_called_once_with("someone", "a-secret")
    assert (mail.sender, mail.recipients) == ("Feira <feira@example.com>", ["data@example.com"])
    slack = SlackWebhookHook(slack_webhook_conn_id=connections.SLACK)
    assert slack.client.url == "https://hooks.slack.com/services/a-secret"
    for conn_id, user in (
        (connections.WAREHOUSE, "warehouse_loader"),
        (connections.WAREHOUSE_DBT, "dbt"),
        (connections.WAREHOUSE_READER, "reader"),
    ):
        dsn, dialect = connections.warehouse_dsn(conn_id)
        options = conninfo_to_dict(dsn)
        assert (dialect, options["user"], options["port"]) == ("redshift", user, "5439")
        assert (options["dbname"], options["sslmode"]) == ("warehouse", "verify-full")


def _depends(graph: str, on: str) -> set[str]:
    """All that a resource or module's part depends on, however far, by what `terraform graph` prints."""
    edges: dict[str, set[str]] = {}
    for after, before in re.findall(r'"([^"]+)" -> "([^"]+)"', graph):
        edges.setdefault(after, set()).add(before)
    found, left = set[str](), {on}
    while left:
        left = {each for name in left for each in edges.get(name, ())} - found
        found |= left
    return found


def test_nodes_start_when_they_have_a_way_out_and_what_they_need_at_once(
    terraform: Terraform,
) -> None:
    needed = _depends(terraform.done("graph"), "module.cluster.aws_eks_node_group.this")
    assert needed >= {
        "module.network.aws_route.private",
        "module.network.aws_route_table_association.private",
        "module.network.aws_nat_gateway.this",
        "module.cluster.aws_eks_addon.before_nodes",
    }
    assert "module.cluster.aws_eks_addon.on_nodes" not in needed


def test_what_aws_does_not_protect_is_destroyed_after_its_guard(terraform: Terraform) -> None:
    graph = terraform.done("graph")
    for module, guarded in (
        ("warehouse", {"aws_redshiftserverless_namespace", "aws_redshiftserverless_workgroup"}),
        ("kafka", {"aws_msk_cluster"}),
    ):
        needed = _depends(graph, f"module.{module}.module.guard.terraform_data.this")
        assert needed >= {f"module.{module}.{each}.this" for each in guarded}


def test_a_guard_lets_itself_be_destroyed_only_when_nothing_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "guard"
    shutil.copytree(TREE / "modules" / "guard", folder)
    guard = Terraform(folder, environment())
    guard.done("init")
    kept, let_go = "-var=kept=true", "-var=kept=false"
    parts = '-var=parts=["arn:aws:kafka:a"]'
    guard.done("apply", "-auto-approve", kept, parts)
    for said in (kept, let_go):
        # What was applied counts, not what is said to the destroy.
        refused = guard.run("destroy", "-auto-approve", said, parts)
        assert refused.returncode == 1
        assert "arn:aws:kafka:a: kept is true" in refused.stdout + refused.stderr
    guard.done("apply", "-auto-approve", let_go, parts)
    guard.done("destroy", "-auto-approve", let_go, parts)
