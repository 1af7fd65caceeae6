"""The ``redis`` connection of Airflow's Redis provider, as Valkey's client takes it.

The provider itself is not needed: its hook would bring a client of its own.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.hook import BaseHook

from feira.core.connections import valkey_options_of
from feira_provider.hooks.missing import named_if_missing
from feira_provider.hooks.switches import extra_of

VALKEY = "valkey_default"


def valkey_options(conn_id: str = VALKEY) -> dict[str, Any]:
    """Host, port, login, and of the extra ``db`` and ``ssl…``, for ``valkey.Valkey``.

    It holds the password: it belongs in no log.

    :raises SettingsError: where it names no host, or its extra has what is not passed on
    :raises MissingConnectionError: where there is no such connection
    """
    with named_if_missing(conn_id):
        connection = BaseHook.get_connection(conn_id)
    fields = {
        "host": connection.host,
        "port": connection.port,
        "login": connection.login,
        "password": connection.password,
        "extra": extra_of(connection),
    }
    return valkey_options_of(fields, f"Connection {conn_id}")
