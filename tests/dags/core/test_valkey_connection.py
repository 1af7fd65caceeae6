"""A connection of the Redis provider's type, as Valkey's client takes it."""

from __future__ import annotations

import json

import pytest
import valkey

from feira.core.settings import SettingsError
from feira_airflow.core.valkey import valkey_options


def connection(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_V", json.dumps({"conn_type": "redis", **fields}))


def test_login_database_and_tls_of_the_connection_reach_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection(
        monkeypatch,
        host="db.example.com",
        port=7000,
        login="feira",
        password="p@w/ d",
        extra={"db": 2, "ssl": True, "ssl_cert_reqs": "required", "ssl_ca_certs": "/etc/ca.pem"},
    )
    options = valkey_options("v")
    assert options == {
        "host": "db.example.com",
        "port": 7000,
        "username": "feira",
        "password": "p@w/ d",
        "db": 2,
        "ssl": True,
        "ssl_cert_reqs": "required",
        "ssl_ca_certs": "/etc/ca.pem",
    }
    assert valkey.Valkey(**options).connection_pool.connection_class is valkey.SSLConnection


def test_what_is_not_stated_is_left_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, host="db.example.com", extra={"ssl": False})
    assert valkey_options("v") == {"host": "db.example.com", "ssl": False}


@pytest.mark.parametrize(
    ("stated", "found"),
    [("false", valkey.Connection), ("no", valkey.Connection), ("True", valkey.SSLConnection)],
)
def test_a_connection_that_is_given_as_a_url_says_in_a_text_whether_tls_is_used(
    monkeypatch: pytest.MonkeyPatch, stated: str, found: type
) -> None:
    url = f"redis://:password@db.example.com:7000/?ssl={stated}&ssl_check_hostname={stated}"
    monkeypatch.setenv("AIRFLOW_CONN_V", url)
    options = valkey_options("v")
    assert options["ssl"] is options["ssl_check_hostname"] is (found is valkey.SSLConnection)
    assert valkey.Valkey(**options).connection_pool.connection_class is found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"host": "h", "extra": {"ssl": "maybe"}}, "Connection v: ssl .* 'maybe'"),
        ({"extra": {"db": 0}}, "Connection v names no host"),
        (
            {"host": "h", "extra": {"ssl_ca_cert": "/x"}},
            "Connection v has ssl_ca_cert in its extra",
        ),
        ({"host": "h", "password": "pw", "extra": {"cluster": True}}, "has cluster"),
    ],
)
def test_a_connection_that_would_be_read_in_part_is_refused(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, object], message: str
) -> None:
    connection(monkeypatch, **fields)
    with pytest.raises(SettingsError, match=message) as refused:
        valkey_options("v")
    assert "pw" not in str(refused.value)
