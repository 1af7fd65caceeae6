"""The ``redis`` connection of Airflow's Redis provider, as Valkey's client takes it.

The provider itself is not needed: its hook would bring a client of its own.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from feira.core.settings import SettingsError

VALKEY = "valkey_default"
_EXTRA = {
    "db",
    "ssl",
    "ssl_cert_reqs",
    "ssl_ca_certs",
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_check_hostname",
}


def valkey_options(conn_id: str = VALKEY) -> dict[str, Any]:
    """Host, port, login, and of the extra ``db`` and ``ssl…``, for ``valkey.Valkey``.

    It holds the password: it belongs in no log.

    :raises SettingsError: where there is no such connection, it names no host, or its extra has what is not
        passed on
    """
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise SettingsError(
            f"There is no connection {conn_id}. It is of type redis, and leads to the Valkey that the "
            "recommendations are served from; `feira up --without valkey` leaves it out."
        ) from error
    extra = connection.extra_dejson
    if not connection.host:
        raise SettingsError(f"Connection {conn_id} names no host; set one.")
    if unknown := sorted(set(extra) - _EXTRA):
        raise SettingsError(
            f"Connection {conn_id} has {', '.join(unknown)} in its extra, which is not passed on to "
            f"Valkey; known are {', '.join(sorted(_EXTRA))}."
        )
    stated = {
        "host": connection.host,
        "port": connection.port,
        "username": connection.login,
        "password": connection.password,
        **extra,
    }
    return {name: value for name, value in stated.items() if value not in (None, "")}
