"""S3 as a connection says it: certificates too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from feira_provider.datasets.files import s3_files


@pytest.mark.parametrize(
    ("extra", "passed_on"),
    [
        ({"verify": False}, {"verify": False}),
        ({"verify": "/etc/ca.pem"}, {"verify": "/etc/ca.pem"}),
        ({}, {}),
    ],
)
def test_how_certificates_are_checked_is_the_connections(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], passed_on: dict[str, Any]
) -> None:
    extra |= {"endpoint_url": "https://s3.test", "region_name": "eu-west-1"}
    described = {"conn_type": "aws", "login": "k", "password": "s", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_S3_TEST", json.dumps(described))
    files = s3_files("s3_test")
    assert files.client_kwargs == passed_on
    assert files.endpoint_url == "https://s3.test"
