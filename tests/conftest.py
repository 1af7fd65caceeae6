"""Fixtures that every test may use. Tests reach loopback only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _no_inherited_settings() -> None:
    """A shell that has evaluated `feira env` must not change what the tests do."""
    for name in list(os.environ):
        if name.startswith(("FEIRA_LAKE", "FEIRA_SPARK", "AIRFLOW_CONN_")):
            del os.environ[name]


@pytest.fixture(scope="session")
def spark_jars() -> str:
    """Spark's extra jars as `make install` fetches them, comma-separated."""
    folder = REPOSITORY / ".cache" / "jars" / "spark"
    jars = sorted(str(path) for path in folder.glob("*.jar"))
    assert jars, f"No jars in {folder}; run `make install`."
    return ",".join(jars)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A moto server with the bucket ``lake``; its address."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    import boto3

    boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    ).create_bucket(Bucket="lake")
    yield endpoint
    server.stop()
