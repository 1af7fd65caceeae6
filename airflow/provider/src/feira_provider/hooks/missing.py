"""A connection that is not found: which, what was asked for it, and what to do.

Airflow says of every failed look-up that the connection "isn't defined": also where the secrets back end refused it,
timed out or has no credentials, where its own API did not answer, and where what a variable or a secret states cannot
be read. All that is logged at DEBUG alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowNotFoundException

from feira.core.settings import SettingsError

if TYPE_CHECKING:
    from airflow.sdk.bases.secrets_backend import BaseSecretsBackend


class MissingConnectionError(AirflowNotFoundException):
    """A connection that was not found; the message names it and the next step. Where the secrets back end failed,
    a later try may find it."""


class NoConnectionError(MissingConnectionError, SettingsError):
    """One that nothing has in a form that can be read: another try would not find it."""


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
    """Asks each that Airflow asked once more, for what Airflow keeps to itself."""
    from airflow.sdk.configuration import get_custom_secret_backend
    from airflow.sdk.definitions.connection import Connection
    from airflow.sdk.execution_time.secrets.execution_api import ExecutionAPISecretsBackend
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    own = get_custom_secret_backend(worker_mode=True)
    secret = "its secret"
    if prefix := getattr(own, "connections_prefix", None):
        secret = f"the secret {prefix}/{conn_id}"
    for backend in ensure_secrets_backend_loaded():
        name, check = type(backend).__name__, "that it is up"
        place = variable if name == "EnvironmentVariablesBackend" else name
        if type(backend) is type(own):
            place = f"{secret} of {name}"
            check = f"[secrets] backend_kwargs, and that the role of this process may read {secret}"
        try:
            if isinstance(backend, ExecutionAPISecretsBackend):
                name = "Airflow's API"
                _ask_api(conn_id)
                continue
            backend._set_connection_class(Connection)
            if (found := backend.get_connection(conn_id=conn_id)) is not None:
                # What Airflow makes of each that it has found.
                found.get_uri()
        except Exception as error:
            if _is_stated(backend, conn_id):
                return NoConnectionError(
                    f"Connection {conn_id} cannot be read: what {place} holds is neither a URI nor a JSON object of "
                    "conn_type, host, login, password, schema, port (a number), extra and description, or not Unicode "
                    f"({_reason_of_form(error)}). Correct it there."
                )
            reason = type(error).__name__
            if str(error):
                reason = f"{reason}: {str(error).splitlines()[0][:300]}"
            return MissingConnectionError(
                f"Connection {conn_id} could not be read: {name} fails with {reason} and nothing else has it. Check "
                f"{check}."
            )
    if own is None:
        return NoConnectionError(
            f"There is no connection {conn_id}: no secrets back end is configured, and neither {variable} nor "
            f"Airflow's database has it. Set {variable}, or `airflow connections add {conn_id}`."
        )
    return NoConnectionError(
        f"There is no connection {conn_id}: {type(own).__name__} has not {secret}, and neither {variable} nor "
        f"Airflow's database has the connection. Make {secret}, a JSON object with conn_type, host, login, password "
        "and so on."
    )


def _ask_api(conn_id: str) -> None:
    """Raises RuntimeError where Airflow's API says something else than that it has no such connection."""
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    answer = SUPERVISOR_COMMS.send(GetConnection(conn_id=conn_id))
    if not isinstance(answer, ErrorResponse):
        raise RuntimeError("no answer before, and one by now")
    if answer.error is not ErrorType.CONNECTION_NOT_FOUND:
        raise RuntimeError(answer.error.value)


def _is_stated(backend: BaseSecretsBackend, conn_id: str) -> bool:
    """Whether the back end has a text for the connection, whatever it says."""
    try:
        return bool(backend.get_conn_value(conn_id=conn_id))
    except Exception:
        return False


def _reason_of_form(error: Exception) -> str:
    """What is wrong with a connection's text, and nothing of it: errors of Python and Airflow quote values."""
    if isinstance(error, JSONDecodeError):
        return f"JSON at line {error.lineno}, column {error.colno}: {error.msg}"
    return type(error).__name__
