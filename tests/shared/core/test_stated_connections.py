"""A connection of Airflow's that a program without Airflow is given as JSON, as a secrets back end keeps it."""

from __future__ import annotations

import json

import pytest
from psycopg.conninfo import conninfo_to_dict

from feira.core.connections import dsn_of
from feira.core.settings import SettingsError

FIELDS = {
    "conn_type": "postgres",
    "host": "db.example.com",
    "port": 5433,
    "login": "loader",
    "password": "it's a=b",
    "schema": "shop",
}
OPTIONS = {"sslmode": "verify-full", "options": "-c statement_timeout=5min"}


@pytest.mark.parametrize("extra", [OPTIONS, json.dumps(OPTIONS)])
def test_the_warehouses_secret_is_its_connection_string(extra: object) -> None:
    assert conninfo_to_dict(dsn_of(json.dumps(FIELDS | {"extra": extra}), "W")) == {
        "host": "db.example.com",
        "port": "5433",
        "user": "loader",
        "password": "it's a=b",
        "dbname": "shop",
        **OPTIONS,
    }


@pytest.mark.parametrize("stated", ["host=db user=loader", "postgresql://loader@db/shop", ""])
def test_a_connection_string_is_left_as_it_is(stated: str) -> None:
    assert dsn_of(stated, "W") == stated


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ('{"password": "hunter2"', "W begins as a JSON object"),
        ('{"password": "hunter2", "extra": "hunter2"}', "W begins as a JSON object"),
        ('{"password": "hunter2", "extra": [1]}', "extra in W"),
        ("host=h hunter2", "W is neither"),
        ("postgresql://u:hunter2%zz@h/d", "W is neither"),
        ('{"password": "hunter2", "extra": {"sslmod": "require"}}', 'W cannot be used: .*"sslmod"'),
    ],
)
def test_what_cannot_be_used_is_named_and_not_quoted(stated: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        dsn_of(stated, "W")
    assert "hunter2" not in str(refused.value)
