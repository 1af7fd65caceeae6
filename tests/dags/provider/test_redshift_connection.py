"""Redshift's driver is given what the connection means, and not what Python takes a text for."""

from __future__ import annotations

import inspect
import json
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import redshift_connector
from psycopg.conninfo import conninfo_to_dict

from feira.core.settings import SettingsError
from feira_provider.hooks.redshift_dsn import redshift_dsn
from feira_provider.hooks.warehouse import WarehouseHook

DRIVER = inspect.signature(redshift_connector.connect)
OF_FIELDS = ("host", "user", "database")
FIELDS = {"conn_type": "redshift", "host": "r.example.com", "login": "loader", "schema": "shop"}


def given(monkeypatch: pytest.MonkeyPatch, **extra: Any) -> dict[str, Any]:
    """What the driver is asked to connect with."""
    asked: dict[str, Any] = {}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(FIELDS | {"extra": extra}))

    class Connected:
        _usock = SimpleNamespace(settimeout=lambda seconds: asked.update(then=seconds))

    def connect(**options: Any) -> Any:
        DRIVER.bind(**options)
        asked.update(options)
        return Connected()

    monkeypatch.setattr(redshift_connector, "connect", connect)
    WarehouseHook().get_conn()
    return {name: value for name, value in asked.items() if name not in OF_FIELDS}


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ({"ssl": "true", "iam": "false"}, {"ssl": True, "iam": False}),
        ({"ssl": "false"}, {"ssl": False}),
        ({"ssl": True, "sslmode": "verify-full"}, {"ssl": True, "sslmode": "verify-full"}),
        ({"ssl": "", "sslmode": None, "iam": None}, {}),
        ({"sslmode": ""}, {}),
        ({"sslmode": "verify-ca"}, {"sslmode": "verify-ca"}),
        ({"sslmode": "disable"}, {"ssl": False}),
        ({"connect_timeout": 5}, {"timeout": 5, "then": None}),
        ({"connect_timeout": "5", "timeout": 90}, {"timeout": 5, "then": 90}),
        # libpq waits without end then.
        ({"connect_timeout": 0}, {"then": None}),
        ({"connect_timeout": "-1"}, {"then": None}),
        ({"timeout": 90}, {"timeout": 90}),
        ({"sslrootcert": "system", "application_name": "etl"}, {"application_name": "etl"}),
        ({"serverless_token_duration_seconds": 900, "region": "x"}, {"region": "x"}),
    ],
)
def test_a_switch_may_be_a_text_and_a_blank_field_says_nothing(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], options: dict[str, Any]
) -> None:
    found = given(monkeypatch, **extra)
    stated = {} if options.get("ssl") is False else {"sslmode": "verify-full"}
    assert found == stated | options
    assert all(type(found[name]) is type(options[name]) for name in options)


def test_what_is_no_switch_is_refused_by_name_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"Connection warehouse_default: iam .* 'perhaps'"):
        given(monkeypatch, iam="perhaps")


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"sslrootcert": "/ca.pem"}, '"sslrootcert": "/ca.pem"'),
        ({"sslmod": "verify-full"}, "sslmod"),
        ({"sslmode": "prefer"}, '"sslmode": "prefer"'),
        ({"sslmode": "allow", "ssl": False}, '"sslmode": "allow"'),
        ({"keepalives_idle": 5, "ssl": True}, "keepalives_idle"),
    ],
)
def test_what_the_driver_does_not_take_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], named: str
) -> None:
    with pytest.raises(
        SettingsError, match=rf"^Connection warehouse_default has {named} in its extra, .*driver"
    ):
        given(monkeypatch, **extra)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"ssl": True, "sslmode": "Verify-Full"}, 'has "sslmode": "Verify-Full" .*one of disable, .*verify-full'),
        ({"sslmode": "verify_full"}, 'has "sslmode": "verify_full" '),
        ({"sslmode": True}, 'has "sslmode": true '),
        ({"sslmode": ["require"]}, r'has "sslmode": \["require"\] '),
        ({"connect_timeout": "soon"}, ": connect_timeout in its extra is 'soon'"),
        ({"connect_timeout": 1.5}, ": connect_timeout in its extra is '1.5'"),
        ({"connect_timeout": True}, ": connect_timeout in its extra is 'True'"),
    ],
)  # fmt: skip
def test_a_value_that_libpq_does_not_know_is_refused_by_load_and_driver(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], words: str
) -> None:
    with pytest.raises(
        SettingsError, match=f"^Connection warehouse_default{' ' * words.startswith('has')}{words}"
    ):
        given(monkeypatch, **extra)
    with pytest.raises(SettingsError, match=f"^Connection warehouse_default.*{words}"):
        redshift_dsn("warehouse_default")


def test_a_query_may_take_longer_than_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the driver itself, on a server that says no more than that the login is right."""
    ready = b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(ready)
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        at = {"host": "127.0.0.1", "port": listener.getsockname()[1]}
        extra = {"connect_timeout": 30, "ssl": False, "client_protocol_version": 0}
        stated = FIELDS | at | {"password": "p", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(stated))
        connected = WarehouseHook().get_conn()
        assert connected._usock.gettimeout() is None
        connected._usock.close()
        connected._sock.close()
        thread.join()


@pytest.mark.parametrize(("stated", "port"), [({}, "5439"), ({"port": 5440}, "5440")])
def test_loads_ask_the_port_that_the_driver_asks(
    monkeypatch: pytest.MonkeyPatch, stated: dict[str, int], port: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(FIELDS | stated))
    assert conninfo_to_dict(redshift_dsn("warehouse_default"))["port"] == port


@pytest.mark.parametrize(
    ("ssl", "mode", "agree"),
    [
        (False, "verify-full", False),
        ("false", "require", False),
        (True, "disable", False),
        (True, "prefer", False),
        (False, "disable", True),
        (True, "verify-ca", True),
    ],
)
def test_ssl_and_sslmode_that_contradict_each_other_are_refused_by_load_and_driver(
    monkeypatch: pytest.MonkeyPatch, ssl: Any, mode: str, agree: bool
) -> None:
    def refusal(connects: Any) -> str | None:
        try:
            connects()
        except SettingsError as error:
            return str(error)
        return None

    driver = refusal(lambda: given(monkeypatch, ssl=ssl, sslmode=mode))
    load = refusal(lambda: redshift_dsn("warehouse_default"))
    assert (driver is None, load) == (agree, driver)
    if driver:
        stated = f'"ssl": {str(ssl).lower()} and "sslmode": "{mode}"'
        assert f"Connection warehouse_default has {stated}" in driver
