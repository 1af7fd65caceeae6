"""A connection that is not found: which, what was asked for it, and what to do.

Airflow says of every failed look-up that the connection "isn't defined": also where the secrets back end refused it,
timed out or has no credentials, where its own API did not answer, and where what a variable or a secret states cannot
be read. All that is logged at DEBUG alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSecretsBackendAccessDenied

from feira.core.errors import first_line
from feira.core.settings import SettingsError

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from airflow.sdk.bases.secrets_backend import BaseSecretsBackend


class MissingConnectionError(AirflowNotFoundException):
    """A connection that was not found; the message names it and the next step. Where the secrets back end failed,
    a later try may find it."""


class NoConnectionError(MissingConnectionError, SettingsError):
    """One that nothing has in a form that can be read: another try would not find it."""


@dataclass(frozen=True)
class _Fault:
    """Why a place that holds connections gave none: what it says is no connection (``form``), or it failed."""

    reason: str
    form: bool


@contextmanager
def named_if_missing(conn_id: str) -> Iterator[None]:
    """Around what looks a connection up.

    :raises MissingConnectionError: where there is none, or the back end failed, with the error of that
    """
    try:
        yield
    except MissingConnectionError:
        raise
    except AirflowSecretsBackendAccessDenied as error:
        raise NoConnectionError(
            f"Connection {conn_id} may not be read by this task: Airflow's API denies it. Let the task's team have "
            "it, or name another connection."
        ) from error
    except AirflowNotFoundException as error:
        raise _missing(conn_id) from error


def _missing(conn_id: str) -> MissingConnectionError:
    """Asks each that Airflow asked once more, for what Airflow keeps to itself."""
    from airflow.sdk.configuration import get_custom_secret_backend
    from airflow.sdk.execution_time.secrets.execution_api import ExecutionAPISecretsBackend
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    own = get_custom_secret_backend(worker_mode=True)
    secret = "its secret"
    if prefix := getattr(own, "connections_prefix", None):
        secret = f"the secret {prefix}/{conn_id}"
    backends = ensure_secrets_backend_loaded()
    for backend in backends:
        name, check = type(backend).__name__, "that it is up"
        place = variable if name == "EnvironmentVariablesBackend" else name
        if type(backend) is type(own):
            place = f"{secret} of {name}"
            check = f"[secrets] backend_kwargs, and that the role of this process may read {secret}"
        if isinstance(backend, ExecutionAPISecretsBackend):
            name = place = "Airflow's API"
            fault = _asked_api(backend, conn_id)
        else:
            fault = _asked(backend, conn_id)
        if fault is None:
            continue
        if fault.form:
            return NoConnectionError(
                f"Connection {conn_id} cannot be read: what {place} holds is neither a URI nor a JSON object of "
                "conn_type, host, login, password, schema and description (texts), port (a number) and extra (an "
                f"object), or not Unicode ({fault.reason}). Correct it there."
            )
        return MissingConnectionError(
            f"Connection {conn_id} could not be read: {name} fails with {fault.reason} and nothing else has it. Check "
            f"{check}."
        )
    # A program outside Airflow is not given what its database has.
    with_database = len(backends) > (own is not None) + 1
    nowhere = f"neither {variable} nor Airflow's database has it"
    if not with_database:
        nowhere = f"{variable} is not set; Airflow's database is asked in tasks alone"
    if own is None:
        other = f", or `airflow connections add {conn_id}`" if with_database else ""
        return NoConnectionError(
            f"There is no connection {conn_id}: no secrets back end is configured, and {nowhere}. Set "
            f"{variable}{other}."
        )
    return NoConnectionError(
        f"There is no connection {conn_id}: {type(own).__name__} has not {secret}, and {nowhere}. Make {secret}, a "
        "JSON object with conn_type, host, login, password and so on."
    )


def _asked(backend: BaseSecretsBackend, conn_id: str) -> _Fault | None:
    """None where it has no such connection."""
    from airflow.sdk.definitions.connection import Connection

    backend._set_connection_class(Connection)
    try:
        text = backend.get_conn_value(conn_id=conn_id)
    except NotImplementedError:
        # Those that have a way of their own make of it what they find.
        return _read(lambda: backend.get_connection(conn_id=conn_id), _is_of_form)
    except Exception as error:
        # Some parse a secret by themselves.
        return _Fault(_reason(error), form=isinstance(error, (JSONDecodeError, UnicodeError)))
    if not text:
        return None
    # Nobody is asked any more: whatever fails now is the text's fault.
    return _read(
        lambda: backend.deserialize_connection(conn_id=conn_id, value=text), lambda _: True
    )


def _asked_api(backend: BaseSecretsBackend, conn_id: str) -> _Fault | None:
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        answer = SUPERVISOR_COMMS.send(GetConnection(conn_id=conn_id))
    except Exception as error:
        return _Fault(_reason(error), form=False)
    if not isinstance(answer, ErrorResponse):
        return _read(lambda: backend.get_connection(conn_id=conn_id), _is_of_form)
    if answer.error is ErrorType.CONNECTION_NOT_FOUND:
        return None
    return _Fault(answer.error.value, form=False)


def _read(
    read: Callable[[], Connection | None], is_of_form: Callable[[Exception], bool]
) -> _Fault | None:
    """None where it reads none."""
    try:
        found = read()
        if found is None:
            return None
        # Airflow makes one of each that it has found.
        found.get_uri()
    except Exception as error:
        return _Fault(_reason(error), form=is_of_form(error))
    return _Fault("no answer before, and one by now,", form=False)


def _is_of_form(error: Exception) -> bool:
    """Whether it is what Python and Airflow raise for a text of another form; they quote it, passwords too."""
    return type(error).__module__.partition(".")[0] in (
        "airflow",
        "builtins",
        "json",
    ) and not isinstance(error, OSError)


def _reason(error: Exception) -> str:
    """The error in words that hold nothing of a connection."""
    if isinstance(error, JSONDecodeError):
        return f"JSON at line {error.lineno}, column {error.colno}: {error.msg}"
    if _is_of_form(error) or not str(error):
        return type(error).__name__
    return f"{type(error).__name__}: {first_line(error)[:300]}"
