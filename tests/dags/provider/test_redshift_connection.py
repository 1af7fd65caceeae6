"""Redshift's driver is given what the connection means, and not what Python takes a text for."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redshift_connector
from psycopg.conninfo import conninfo_to_dict

from feira.core.settings import SettingsError
from feira_provider.hooks.redshift_dsn import redshift_dsn
from feira_provider.hooks.warehouse import WarehouseHook

FIELDS = {"conn_type": "redshift", "host": "r.example.com", "login": "loader", "schema": "shop"}


def given(monkeypatch: pytest.MonkeyPatch, **extra: Any) -> dict[str, Any]:
    """What the driver is asked to connect with."""
    asked: dict[str, Any] = {}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(FIELDS | {"extra": extra}))
    monkeypatch.setattr(redshift_connector, "connect", asked.update)
    WarehouseHook().get_conn()
    return {name: value for name, value in asked.items() if name in ("ssl", "sslmode", "iam")}


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ({"ssl": "true", "iam": "false"}, {"ssl": True, "iam": False}),
        ({"ssl": "false"}, {"ssl": False}),
        ({"ssl": True, "sslmode": "verify-full"}, {"ssl": True, "sslmode": "verify-full"}),
        ({"ssl": "", "sslmode": None, "iam": None}, {}),
        ({"sslmode": ""}, {}),
    ],
)
def test_a_switch_may_be_a_text_and_a_blank_field_says_nothing(
    monkeypatch: pytest.MonkeyPatch, extra: dict[str, Any], options: dict[str, Any]
) -> None:
    found = given(monkeypatch, **extra)
    assert found == options
    assert all(type(found[name]) is type(options[name]) for name in options)


def test_what_is_no_switch_is_refused_by_name_and_value(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"Connection warehouse_default: iam .* 'perhaps'"):
        given(monkeypatch, iam="perhaps")


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
