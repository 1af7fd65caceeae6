"""Spark's S3A, with the stack's own jars in a JVM, finds credentials where its settings send it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

from feira.core.settings import LakeSettings
from feira_local.stack.ivy import pyspark_jars
from feira_local.stack.java import java_command
from feira_spark.core.session import spark_conf

ROLE = "arn:aws:iam::123456789012:role/feira-dev-spark"


@contextmanager
def jvm(jars: str, properties: Mapping[str, str]) -> Iterator[Any]:
    """A JVM with Spark's class path, that does not ask the network for an instance's role."""
    stated = {"aws.disableEc2Metadata": "true", "aws.region": "eu-central-1", **properties}
    port, process = launch_gateway(
        classpath=":".join([f"{pyspark_jars()}/*", *jars.split(",")]),
        javaopts=["-Xmx256m", *(f"-D{name}={value}" for name, value in stated.items())],
        java_path=java_command(),
        die_on_exit=True,
        return_proc=True,
    )
    gateway = JavaGateway(gateway_parameters=GatewayParameters(port=port))
    try:
        yield gateway.jvm
    finally:
        gateway.shutdown()
        process.stdin.close()
        process.wait(30)


def found_key(java: Any, lake: LakeSettings) -> str:
    """The access key that S3A finds for the lake's bucket."""
    conf = java.org.apache.hadoop.conf.Configuration()
    for name, value in spark_conf(lake).items():
        if name.startswith("spark.hadoop."):
            conf.set(name.removeprefix("spark.hadoop."), value)
    providers = java.org.apache.hadoop.fs.s3a.auth.CredentialProviderListFactory
    listed = providers.createAWSCredentialProviderList(java.java.net.URI(lake.root), conf)
    return str(listed.resolveCredentials().accessKeyId())


@pytest.fixture(autouse=True)
def _no_credentials_of_the_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def test_without_a_key_a_service_accounts_role_is_taken(
    tmp_path: Path, spark_jars: str, s3_endpoint: str
) -> None:
    (tmp_path / "token").write_text("the-service-accounts")
    properties = {
        "aws.roleArn": ROLE,
        "aws.webIdentityTokenFile": str(tmp_path / "token"),
        "aws.endpointUrlSts": s3_endpoint,
    }
    with jvm(spark_jars, properties) as java:
        # A temporary one, of the role.
        assert found_key(java, LakeSettings("s3://feira-lake")).startswith("ASIA")


def test_without_a_key_a_profile_is_taken_and_with_one_never(
    tmp_path: Path, spark_jars: str
) -> None:
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n"
    )
    with jvm(spark_jars, {}) as java:
        assert found_key(java, LakeSettings("s3://feira-lake")) == "AKIAPROFILE"
        own = LakeSettings("s3://feira-lake", access_key="AKIAOWN", secret_key="s")
        assert found_key(java, own) == "AKIAOWN"
        lent = LakeSettings("s3://b", access_key="ASIALENT", secret_key="s", session_token="t")
        assert found_key(java, lent) == "ASIALENT"
