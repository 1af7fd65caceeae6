"""What moto holds is applied to it: network, keys, lake, Glue, secrets, images, roles, logs. Then each role does what
its component does, and what it must not.

Run by `make test-terraform`."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from terraform_tree import Terraform, changed, connection_outputs, copied, on_emulator

pytestmark = pytest.mark.terraform

HELD = (
    *("module.key", "module.network", "module.lake", "module.catalogue", "module.secrets"),
    *("module.images", "module.roles"),
    "module.watch.aws_sns_topic.alarms",
)
LAKE = "feira-dev-lake-123456789012"


class Account:
    """The AWS that moto is."""

    def __init__(self, url: str, terraform: Terraform) -> None:
        self.url = url
        self.terraform = terraform
        self.roles: dict[str, Any] = {}

    def client(self, service: str, **options: Any) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="eu-central-1",
            **{"config": config, **keys, **options},
        )

    def as_role(self, component: str) -> Any:
        """S3 with the keys that a pod of the component has."""
        taken = self.client(
            "sts", config=Config(signature_version=UNSIGNED)
        ).assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::123456789012:role/feira-dev-{component}",
            RoleSessionName="pod",
            WebIdentityToken="the-service-accounts",
        )["Credentials"]
        return self.client(
            "s3",
            aws_access_key_id=taken["AccessKeyId"],
            aws_secret_access_key=taken["SecretAccessKey"],
            aws_session_token=taken["SessionToken"],
        )

    def take(self, *components: str) -> None:
        """S3 of each role, before policies count: moto lets nobody take one without keys from then on."""
        self.roles = {component: self.as_role(component) for component in components}

    def enforce(self, *, policies: bool) -> None:
        """Whether moto asks the policies before it does anything."""
        request = urllib.request.Request(
            f"{self.url}/moto-api/reset-auth",
            data=b"0" if policies else b"inf",
            headers={"Content-Type": "text/plain"},
            method="POST",
        )
        urllib.request.urlopen(request, timeout=10).close()


def _applied(url: str, tree: Path) -> Account:
    """The parts that moto holds, on a server of its own."""
    terraform = on_emulator(tree, url)
    terraform.apply(*HELD)
    return Account(url, terraform)


@pytest.fixture(scope="module")
def account(moto: str, initialised: Path, tmp_path_factory: pytest.TempPathFactory) -> Account:
    return _applied(moto, copied(tmp_path_factory.mktemp("moto") / "tree", initialised))


def test_the_lake_is_closed_encrypted_and_keeps_versions(account: Account) -> None:
    s3 = account.client("s3")
    closed = s3.get_public_access_block(Bucket=LAKE)["PublicAccessBlockConfiguration"]
    assert set(closed.values()) == {True}
    assert s3.get_bucket_versioning(Bucket=LAKE)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=LAKE)["ServerSideEncryptionConfiguration"]["Rules"]
    key = rule["ApplyServerSideEncryptionByDefault"]
    assert key["SSEAlgorithm"] == "aws:kms"
    assert account.client("kms").get_key_rotation_status(KeyId=key["KMSMasterKeyID"])[
        "KeyRotationEnabled"
    ]
    rules = s3.get_bucket_lifecycle_configuration(Bucket=LAKE)["Rules"]
    assert {rule["ID"] for rule in rules} == {
        "deleted",
        "expire-staging",
        "expire-unload",
        "expire-logs",
    }
    policy = json.loads(s3.get_bucket_policy(Bucket=LAKE)["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_each_connection_has_a_secret_and_none_has_a_value(account: Account) -> None:
    vault = account.client("secretsmanager")
    names = {each["Name"] for each in vault.list_secrets(MaxResults=100)["SecretList"]}
    wanted = {f"airflow/connections/{conn_id}" for conn_id in connection_outputs()}
    assert wanted | {"feira/airflow", "feira/airflow-users"} <= names
    for name in wanted:
        with pytest.raises(ClientError, match="ResourceNotFound"):
            vault.get_secret_value(SecretId=name)


def test_glue_has_a_database_for_each_namespace(account: Account) -> None:
    found = account.client("glue").get_databases()["DatabaseList"]
    assert {each["Name"]: each["LocationUri"] for each in found} == {
        name: f"s3://{LAKE}/tables/{name}.db"
        for name in ("recommendations", "sales", "staging", "web")
    }


MAY = {
    "airflow": (
        "put landing/a",
        "put staging/a",
        "put reports/a",
        "put logs/a",
        "get tables/a",
        "delete landing/a",
    ),
    "spark": ("put tables/a", "delete tables/a", "get landing/a"),
    "serving": ("get recommendations/a",),
    "migrate": ("get tables/a",),
    "redshift": ("get staging/a", "put unload/a"),
}
MUST_NOT = {
    "airflow": ("put tables/a", "delete tables/a"),
    "spark": ("put landing/a", "delete reports/a"),
    "serving": ("get tables/a", "put recommendations/a"),
    "migrate": ("put tables/a", "delete landing/a"),
    "dbt": ("get tables/a", "put tables/a"),
    "redshift": ("get tables/a", "put staging/a", "delete landing/a"),
}


@pytest.fixture(scope="module")
def enforced(account: Account) -> Iterator[Account]:
    """With something in every folder, and policies that count. The bucket's own says that TLS is a must, which moto
    does not speak: it is taken away."""
    s3 = account.client("s3")
    s3.delete_bucket_policy(Bucket=LAKE)
    for folder in ("landing", "staging", "reports", "tables", "recommendations", "unload"):
        s3.put_object(Bucket=LAKE, Key=f"{folder}/a", Body=b"1")
    account.take(*MUST_NOT)
    account.enforce(policies=True)
    yield account
    account.enforce(policies=False)


def _do(s3: Any, what: str) -> None:
    action, key = what.split()
    if action == "put":
        s3.put_object(Bucket=LAKE, Key=key, Body=b"2")
    elif action == "get":
        s3.head_object(Bucket=LAKE, Key=key)
    else:
        # One that is not there: what others look for stays.
        s3.delete_object(Bucket=LAKE, Key=f"{key}-gone")


def _refused(account: Account, component: str, things: tuple[str, ...]) -> set[str]:
    s3 = account.roles[component]
    refused = set()
    for what in things:
        try:
            _do(s3, what)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 403:
                raise
            refused.add(what)
    return refused


@pytest.mark.parametrize("component", MAY)
def test_a_component_may_do_what_it_does(enforced: Account, component: str) -> None:
    assert _refused(enforced, component, MAY[component]) == set()


@pytest.mark.parametrize("component", MUST_NOT)
def test_a_component_may_do_no_more(enforced: Account, component: str) -> None:
    assert _refused(enforced, component, MUST_NOT[component]) == set(MUST_NOT[component])


def test_a_grant_that_is_missing_is_noticed(enforced: Account) -> None:
    enforced.enforce(policies=False)
    changed(
        enforced.terraform.tree,
        "modules/roles/main.tf",
        '"${var.lake_arn}/recommendations/*"',
        '"${var.lake_arn}/elsewhere/*"',
    )
    enforced.terraform.apply("module.roles")
    enforced.enforce(policies=True)
    assert _refused(enforced, "serving", MAY["serving"]) == set(MAY["serving"])
