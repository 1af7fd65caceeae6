"""Where the lake is: what the environment or an ``aws`` connection states wrongly is named."""

from __future__ import annotations

from typing import Any

import pytest

from feira.core.settings import LakeSettings, SettingsError

ENV = {"FEIRA_LAKE": "s3://feira-lake/eu", "FEIRA_LAKE_CATALOG": "hadoop"}


def test_a_blank_variable_is_one_that_is_not_set() -> None:
    names = ("REGION", "ENDPOINT", "ACCESS_KEY", "SECRET_KEY", "SESSION_TOKEN", "VERIFY")
    blank = {f"FEIRA_LAKE_{name}": "" for name in names}
    assert LakeSettings.from_env(ENV | blank) == LakeSettings.from_env(ENV)
    assert LakeSettings.from_env(ENV | blank).region == "us-east-1"


@pytest.mark.parametrize("other", [{}, {"FEIRA_LAKE_SECRET_KEY": ""}])
def test_half_a_key_in_the_environment_is_refused(other: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="one half of a key; set FEIRA_LAKE_ACCESS_KEY and "):
        LakeSettings.from_env(ENV | {"FEIRA_LAKE_ACCESS_KEY": "AKID"} | other)
    with pytest.raises(SettingsError, match="one half of a key") as refused:
        LakeSettings.from_env(ENV | {"FEIRA_LAKE_SECRET_KEY": "hunter2"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("root", "found"),
    [
        ("s3://feira-lake/", "s3://feira-lake"),
        ("s3://Old_Lake.2009/eu/", "s3://Old_Lake.2009/eu"),
        ("file:///data/lake", "file:///data/lake"),
    ],
)
def test_a_lake_is_a_bucket_or_a_folder(root: str, found: str) -> None:
    assert LakeSettings.from_env(ENV | {"FEIRA_LAKE": root}).root == found


@pytest.mark.parametrize(
    "root",
    [
        *("s3://", "s3:///", "s3:///eu", "s3:// ", "s3://feira-lake ", "s3://user:key@lake"),
        *("s3://feira?x", "s3://s3://lake", "s3:", "file://", "file:///", "s3a://lake", "lake", ""),
    ],
)
def test_a_lake_without_a_bucket_or_a_folder_is_refused(root: str) -> None:
    with pytest.raises(SettingsError, match=r"^FEIRA_LAKE is .*such as s3://feira-lake"):
        LakeSettings.from_env(ENV | {"FEIRA_LAKE": root})


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:9000", "https://s3.lan/", "http://[::1]:9", "HTTPS://s3.lan"]
)
def test_an_endpoint_is_a_url_of_http(endpoint: str) -> None:
    assert LakeSettings.from_env(ENV | {"FEIRA_LAKE_ENDPOINT": endpoint}).endpoint == endpoint
    stated = {"endpoint_url": endpoint, "service_config": {"s3": {"bucket_name": "lake"}}}
    assert aws(stated).endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        *(
            "127.0.0.1:9000",
            "localhost",
            "ftp://s3.lan",
            "http://",
            "http:///lake",
            "http://s3.lan?x=1",
        ),
        *(" http://s3.lan", "http://s3 .lan", "s3://lake", "http://key:hunter2@s3.lan"),
    ],
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match=r"endpoint is .*such as http://127") as refused:
        LakeSettings.from_env(ENV | {"FEIRA_LAKE_ENDPOINT": endpoint})
    assert "hunter2" not in str(refused.value)
    with pytest.raises(SettingsError, match="endpoint is "):
        aws({"endpoint_url": endpoint, "service_config": {"s3": {"bucket_name": "lake"}}})


@pytest.mark.parametrize("region", [" ", "eu west-1", "eu-west-1 ", "https://eu", "é"])
def test_a_region_that_is_none_is_refused(region: str) -> None:
    with pytest.raises(SettingsError, match=r"region is .*such as eu-west-1"):
        LakeSettings.from_env(ENV | {"FEIRA_LAKE_REGION": region})


def aws(extra: dict[str, Any]) -> LakeSettings:
    return LakeSettings.from_aws("l", access_key=None, secret_key=None, extra=extra)


@pytest.mark.parametrize(
    "bucket",
    [
        *("s3://lake", "lake/", "lake/eu", "arn:aws:s3:::lake", " ", " lake", "lake\n", "-", "é"),
        *(7, True, ["lake"], {"name": "lake"}, "l" * 256),
    ],
)
def test_a_bucket_is_its_name_alone(bucket: Any) -> None:
    with pytest.raises(SettingsError) as refused:
        aws({"service_config": {"s3": {"bucket_name": bucket}}})
    said = str(refused.value)
    assert said.startswith("Connection l: service_config.s3.bucket_name is ")
    assert said.endswith("it must be the bucket's name alone, such as feira-lake.")
    assert len(said) < 220


@pytest.mark.parametrize(
    "extra",
    [
        *({}, {"service_config": None}, {"service_config": {}}, {"service_config": {"s3": None}}),
        {"service_config": {"s3": {"bucket_name": ""}}},
    ],
)
def test_a_lake_without_a_bucket_says_where_to_name_it(extra: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"^Connection l names no bucket; set service_config\."):
        aws(extra)


S3: dict[str, Any] = {"s3": {"bucket_name": "lake"}}


@pytest.mark.parametrize(
    ("extra", "field", "due"),
    [
        ({"service_config": '{"s3": {}}'}, "service_config", "JSON object"),
        ({"service_config": [S3]}, "service_config", "JSON object"),
        ({"service_config": ""}, "service_config", "JSON object"),
        ({"service_config": {"s3": "lake"}}, "service_config.s3", "JSON object"),
        ({"service_config": S3 | {"sts": 5}}, "service_config.sts", "JSON object"),
        ({"session_kwargs": "secret"}, "session_kwargs", "JSON object"),
        ({"config_kwargs": ["secret"]}, "config_kwargs", "JSON object"),
        ({"assume_role_kwargs": True}, "assume_role_kwargs", "JSON object"),
        ({"region_name": 5}, "region_name", "text"),
        ({"region_name": False}, "region_name", "text"),
        ({"endpoint_url": ["secret"]}, "endpoint_url", "text"),
        ({"aws_secret_access_key": 12345}, "aws_secret_access_key", "text"),
        ({"verify": 5}, "verify", "file of certificates"),
        ({"verify": []}, "verify", "file of certificates"),
        (
            {"service_config": {"s3": {"bucket_name": "lake", "endpoint_url": {}}}},
            "service_config.s3.endpoint_url",
            "text",
        ),
    ],
)
def test_a_field_of_another_type_is_named_and_not_quoted(
    extra: dict[str, Any], field: str, due: str
) -> None:
    with pytest.raises(SettingsError, match=f"^Connection l: {field} in its extra must be") as it:
        aws({"service_config": S3} | extra)
    said = str(it.value)
    assert due in said and "secret" not in said.replace(field, "") and "12345" not in said


def test_a_field_that_is_null_is_one_that_is_not_stated() -> None:
    nulls = dict.fromkeys(("region_name", "endpoint_url", "verify", "config_kwargs", "role_arn"))
    found = aws({"service_config": S3 | {"sts": None}} | nulls)
    assert found == LakeSettings(root="s3://lake")
