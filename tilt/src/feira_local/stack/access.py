"""How commands reach the local stack: addresses and logins, and lake, warehouse and Spark opened."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import requests

from feira.core.errors import first_line
from feira.core.lake import landing_store
from feira.core.landing.store import LandingStore
from feira.core.settings import LakeSettings
from feira_local.redshift import local as redshift
from feira_local.stack import airflow, health, postgres
from feira_local.stack.config import StackConfig, WarehouseOn
from feira_local.stack.errors import StackError
from feira_local.stack.lifecycle import Stack
from feira_local.stack.loopback import no_proxy
from feira_local.stack.own_connections import as_airflow_reads, own_connections
from feira_local.stack.postgres import WAREHOUSE_CONNECTIONS, Dsns
from feira_local.stack.secrets import known_secrets
from feira_local.stack.state import running_config

if TYPE_CHECKING:
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    from feira.core.contracts.ddl import Dialect


_SPARK = "spark_default"


def require_running() -> Stack:
    """The running stack. Raises StackError with the command that starts it.

    In containers there is no supervisor to ask; ``FEIRA_CONTAINERS`` says that they are what runs.
    """
    stack = Stack.of(running_config())
    if stack.supervisor.pid is None and not os.environ.get("FEIRA_CONTAINERS"):
        raise StackError(
            f"The stack in {stack.config.home} does not run; start it with `feira up`."
        )
    return stack


def lake_settings() -> LakeSettings:
    """The lake and its catalog on the local stack, with their keys."""
    stack = Stack.of(running_config())
    return stack.config.lake_settings(stack.secrets)


def spark_url() -> str:
    """What ``feira_spark.core.session.connect`` takes: the stack's own server, or that of
    ``connections.yaml``, with its token."""
    config = running_config()
    own = own_connections(config.home).get(_SPARK)
    if own is not None:
        with as_airflow_reads(_SPARK, own):
            from feira_airflow.core import connections

            return connections.spark_url(_SPARK)
    return config.spark_url


def shop_url() -> str:
    """The shop API's address without a trailing slash."""
    return running_config().shop_url


def warehouse_dsn(role: str = "reader") -> str:
    """A libpq connection string with password for ``warehouse_loader``, ``dbt`` or ``reader`` on the
    warehouse: the stack's own, or that of ``connections.yaml``."""
    if role not in WAREHOUSE_CONNECTIONS:
        known = ", ".join(WAREHOUSE_CONNECTIONS)
        raise StackError(f"The warehouse has no role {role!r}; it has {known}.")
    conn_id, config = WAREHOUSE_CONNECTIONS[role], running_config()
    own = own_connections(config.home).get(conn_id)
    if own is not None:
        with as_airflow_reads(conn_id, own):
            from feira_airflow.core import connections

            return connections.warehouse_dsn(conn_id)[0]
    if config.warehouse_on is WarehouseOn.REDSHIFT:
        return redshift.dsn(config, known_secrets(config.home), role)
    return str(getattr(dsns(), role))


def warehouse_dialect() -> Dialect:
    """The SQL that the warehouse of ``warehouse_dsn`` takes."""
    config = running_config()
    own = own_connections(config.home).get(WAREHOUSE_CONNECTIONS["reader"])
    kind = own["conn_type"] if own is not None else config.warehouse_on
    return "redshift" if kind == WarehouseOn.REDSHIFT else "postgres"


def dsns() -> Dsns:
    """A libpq URL for every role of the stack's PostgreSQL."""
    stack = Stack.of(running_config())
    config = stack.config
    return postgres.dsns(stack.secrets, config.ports.postgres, config.warehouse_database)


def airflow_login(user: str = airflow.ADMIN) -> tuple[str, str]:
    """A person's user of Airflow's web interface, and its password. Raises StackError, with the users there are, for
    another, and where there is no stack."""
    if user not in airflow.PEOPLE:
        raise StackError(
            f"There is no login of user {user!r} to print; there are those of {', '.join(airflow.PEOPLE)}."
        )
    config = running_config()
    _require_made(config)
    return user, known_secrets(config.home).by_name()[f"airflow_{user}"]


def _require_made(config: StackConfig) -> None:
    """Raises StackError where no stack was started yet: passwords made now would open nothing."""
    if not airflow.passwords_file(config).is_file():
        raise StackError(
            f"There is no stack in {config.home}. `feira up` makes one there; if it is elsewhere, set FEIRA_HOME to "
            "its folder."
        )


def airflow_api() -> tuple[str, Callable[[], str]]:
    """Airflow's base address, and a function that returns a token for ``Authorization: Bearer``.

    The token is asked for once and renewed after an hour (it is valid for a day).
    """
    base = running_config().airflow_url
    held: list[tuple[float, str]] = []

    def token() -> str:
        if not held or time.monotonic() - held[-1][0] > 3600:
            held.append((time.monotonic(), _new_token(base)))
        return held[-1][1]

    return base, token


def _new_token(base: str) -> str:
    user, password = airflow_login()
    login = {"username": user, "password": password}
    try:
        with loopback_session() as session:
            answer = session.post(f"{base}/auth/token", json=login, timeout=20)
            answer.raise_for_status()
            return str(answer.json()["access_token"])
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        # The text of a failed connection shows objects of the library.
        failed = isinstance(error, requests.ConnectionError)
        reason = type(error).__name__ if failed else error
        raise StackError(
            f"Airflow at {base} gives no token ({reason}); `feira status` shows whether it runs."
        ) from error


def loopback_session() -> requests.Session:
    """Asks programs on this machine: never through a proxy of the environment."""
    session = requests.Session()
    session.trust_env = False
    return session


def environment() -> dict[str, str]:
    """What a shell or a program needs to use the stack as its tasks do: lake, connections, addresses.

    Raises StackError where there is no stack.
    """
    config = running_config()
    _require_made(config)
    secrets = known_secrets(config.home)
    return {
        **no_proxy(os.environ),
        "FEIRA_HOME": str(config.home),
        "FEIRA_SPARK_URL": spark_url(),
        **config.lake_settings(secrets).to_env(),
        **airflow.connections(config, secrets),
    }


@contextmanager
def landings(dataset: str) -> Iterator[LandingStore]:
    """The landings of a dataset. Raises StackError where the lake's store does not answer, or refuses."""
    from botocore.exceptions import BotoCoreError

    settings = lake_settings()
    try:
        yield landing_store(settings, dataset, health.PATIENCE_SECONDS)
    except (BotoCoreError, OSError) as error:
        raise StackError(
            f"The lake at {settings.endpoint or settings.root} cannot be read "
            f"({first_line(error)}); `feira status` shows whether its store runs."
        ) from error


@contextmanager
def warehouse(role: str = "reader") -> Iterator[psycopg.Connection]:
    """The warehouse as one of its roles; the reader can change nothing.

    Raises StackError where it does not answer, or holds no tables yet.
    """
    from feira.core.warehouse.schema import connect

    try:
        connection = connect(warehouse_dsn(role))
    except psycopg.OperationalError as error:
        raise StackError(
            f"The warehouse does not answer ({first_line(error)}); `feira status` shows whether it "
            "runs."
        ) from error
    try:
        yield connection
    except psycopg.errors.UndefinedTable as error:
        raise StackError(no_table(error)) from error
    finally:
        connection.close()


@contextmanager
def spark_session() -> Iterator[SparkSession]:
    """A session of its own on the stack's Spark; raises StackError with Spark's reason for a refusal."""
    from pyspark.errors import PySparkException

    from feira_spark.core.session import connect

    require_running()
    # Spark logs each refusal as JSON, beside the sentence that a command ends with.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
    try:
        spark = connect(spark_url())
        try:
            yield spark
        finally:
            spark.stop()
    except PySparkException as error:
        raise StackError(f"Spark refused the query: {spark_reason(error)}") from error


def spark_reason(error: PySparkException) -> str:
    """What Spark says of a refusal, without the query and the plan that follow it."""
    return first_line(error.getMessage() or error)


def no_table(error: psycopg.errors.UndefinedTable) -> str:
    """What is missing, and the command that makes it."""
    return f"{first_line(error)}. Has its pipeline run? `feira run PIPELINE --day D`, as in `feira run sales --day D`"
