"""What ministack holds is applied to it: Airflow's database, Valkey, the cluster itself and who may administer it.

Run by `make test-terraform`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from terraform_tree import Terraform, copied, fill_secrets, on_emulator

pytestmark = pytest.mark.terraform

HELD = (
    *("module.database", "module.valkey", "module.secrets", "module.cluster.aws_eks_cluster.this"),
    "module.cluster.aws_eks_access_policy_association.administrator",
)

Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def applied(
    ministack: tuple[str, int], initialised: Path, tmp_path_factory: pytest.TempPathFactory
) -> Terraform:
    url, _ = ministack
    terraform = on_emulator(copied(tmp_path_factory.mktemp("ministack") / "tree", initialised), url)
    terraform.apply(*HELD)
    return terraform


@pytest.fixture
def client(ministack: tuple[str, int], applied: Terraform) -> Client:
    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=ministack[0],
            region_name="eu-central-1",
            aws_access_key_id="123456789012",
            aws_secret_access_key="test",
        )

    return client


@pytest.mark.usefixtures("applied")
def test_ministack_listens_on_loopback_alone(ministack: tuple[str, int]) -> None:
    process = psutil.Process(ministack[1])
    heard = {
        connection.laddr.ip
        for each in (process, *process.children(recursive=True))
        for connection in each.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert heard == {"127.0.0.1"}


def test_the_database_is_encrypted_and_no_state_holds_its_password(
    client: Client, applied: Terraform
) -> None:
    (database,) = client("rds").describe_db_instances()["DBInstances"]
    assert database["StorageEncrypted"] and not database["PubliclyAccessible"]
    state = json.loads((applied.tree / "terraform.tfstate").read_text())
    (kept,) = [
        each["instances"][0]["attributes"]
        for each in state["resources"]
        if each["type"] == "aws_db_instance"
    ]
    assert (kept["password"], kept["password_wo"]) == (None, None)


def test_valkeys_user_may_do_nothing_until_it_has_a_password(client: Client) -> None:
    (group,) = client("elasticache").describe_replication_groups()["ReplicationGroups"]
    assert group["TransitEncryptionEnabled"] and group["AtRestEncryptionEnabled"]
    assert group["UserGroupIds"] == ["feira-dev"]

    def rights() -> str:
        users = client("elasticache").describe_users()["Users"]
        (own,) = [each for each in users if each["UserId"] == "feira-dev-recommendations"]
        assert own["UserName"] == own["UserId"]
        return str(own["AccessString"])

    assert rights() == "off -@all"
    program = fill_secrets()
    deployment = {"valkey_user": "feira-dev-recommendations"}
    program.Account(client, deployment).set_valkey("a-password-of-some-length")
    assert rights() == program.VALKEY_RIGHTS


def test_the_cluster_is_reached_from_inside_alone_and_administered_by_those_named(
    client: Client,
) -> None:
    eks = client("eks")
    cluster = eks.describe_cluster(name="feira-dev")["cluster"]
    network = cluster["resourcesVpcConfig"]
    assert network["endpointPrivateAccess"] and not network["endpointPublicAccess"]
    assert cluster["encryptionConfig"][0]["resources"] == ["secrets"]
    assert cluster["accessConfig"] == {
        "bootstrapClusterCreatorAdminPermissions": False,
        "authenticationMode": "API",
    }
    entries = eks.list_access_entries(clusterName="feira-dev")["accessEntries"]
    assert entries == ["arn:aws:iam::123456789012:role/platform-administrator"]
