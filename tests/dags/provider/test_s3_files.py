"""S3 as a connection says it: certificates too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from feira_provider.datasets.files import bucket_and_key, s3_files


@pytest.mark.parametrize(
    ("extra", "passed_on"),
    [
        ({"verify": False}, {"verify": False}),
        ({"verify": "false"}, {"verify": False}),
        ({"verify": "True"}, {"verify": True}),
        ({"verify": ""}, {}),
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


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("s3://lake/d/a.ndjson?x=1", "d/a.ndjson?x=1"),
        ("s3://lake/d/a#b?c#d", "d/a#b?c#d"),
        ("s3a://lake//d//a%20b ", "/d//a%20b "),
        ("s3://lake", ""),
    ],
)
def test_a_key_is_what_follows_the_bucket_letter_for_letter(url: str, key: str) -> None:
    assert bucket_and_key(url) == ("lake", key)
