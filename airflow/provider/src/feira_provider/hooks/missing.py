"""A connection that is not found: which, what was asked for it, and what to do.

Airflow says of every failed look-up that the connection "isn't defined": also where the secrets back end refused it,
timed out or has no credentials, which is logged at DEBUG alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowNotFoundException

from feira.core.settings import SettingsError


class MissingConnectionError(AirflowNotFoundException):
    """A connection that was not found; the message names it and the next step. Where the secrets back end failed,
    a later try may find it."""


class NoConnectionError(MissingConnectionError, SettingsError):
    """One that nothing has: another try would not find it."""


@contextmanager
def named_if_missing(conn_id: str) -> Iterator[None]:
    """Around what looks a connection up.

    :raises MissingConnectionError: where there is none, or the back end failed, with the error of that
    """
    try:
        yield
    except MissingConnectionError:
        raise
    except AirflowNotFoundException as error:
        raise _missing(conn_id) from error


def _missing(conn_id: str) -> MissingConnectionError:
    from airflow.sdk.configuration import get_custom_secret_backend
    from airflow.sdk.definitions.connection import Connection

    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    backend = get_custom_secret_backend(worker_mode=True)
    if backend is None:
        return NoConnectionError(
            f"There is no connection {conn_id}: no secrets back end is configured, and neither {variable} nor "
            f"Airflow's database has it. Set {variable}, or `airflow connections add {conn_id}`."
        )
    name = type(backend).__name__
    prefix = getattr(backend, "connections_prefix", None)
    secret = f"the secret {prefix}/{conn_id}" if prefix else "its secret"
    backend._set_connection_class(Connection)
    try:
        # Once more, for what Airflow keeps to itself.
        backend.get_connection(conn_id=conn_id)
    except Exception as error:
        reason = (
            f"{type(error).__name__}: {str(error).splitlines()[0][:300]}"
            if str(error)
            else repr(error)
        )
        return MissingConnectionError(
            f"Connection {conn_id} could not be read: {name} fails with {reason} and nothing else has it. Check "
            f"[secrets] backend_kwargs, and that the role of this process may read {secret}."
        )
    return NoConnectionError(
        f"There is no connection {conn_id}: {name} has not {secret}, and neither {variable} nor Airflow's database "
        f"has the connection. Make {secret}, a JSON object with conn_type, host, login, password and so on."
    )
