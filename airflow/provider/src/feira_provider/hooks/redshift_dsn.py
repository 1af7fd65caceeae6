"""A ``redshift`` connection as libpq takes it: loads connect as they do to PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from feira.core.settings import SettingsError
from feira_provider.hooks.switches import with_switches

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

# Of the extra: what libpq takes too, under the same name.
_LIBPQ = ("application_name", "connect_timeout", "sslmode", "sslrootcert")
# Of sslmode: never without TLS.
_WITH_TLS = ("require", "verify-ca", "verify-full")
# Where the service listens; libpq would ask PostgreSQL's.
_PORT = 5439
# Of the extra: what RedshiftSQLHook reads for a temporary password.
_IAM = (
    *("iam", "cluster_identifier", "is_serverless", "serverless_work_group"),
    "serverless_token_duration_seconds",
)


def redshift_hook(conn_id: str) -> RedshiftSQLHook:
    """Airflow's hook, for a connection whose switches may be texts and whose fields may be blank.

    :raises SettingsError: where one of ``ssl``, ``iam`` and ``is_serverless`` is no boolean, or ``ssl`` and ``sslmode``
        contradict each other
    """
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

    class Read(RedshiftSQLHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            switches = ("ssl", "iam", "is_serverless")
            connection = with_switches(super().get_connection(conn_id), switches)
            _check_tls(conn_id, connection.extra_dejson)
            return connection

    return Read(redshift_conn_id=conn_id)


def _check_tls(conn_id: str, extra: dict[str, Any]) -> None:
    ssl, mode = extra.get("ssl"), extra.get("sslmode")
    if ssl is not None and mode is not None and ssl != (mode in _WITH_TLS):
        raise SettingsError(
            f'Connection {conn_id} has "ssl": {str(ssl).lower()} and "sslmode": "{mode}" in its extra, which '
            "contradict each other; remove one of them."
        )


def redshift_dsn(conn_id: str) -> str:
    """A libpq connection string for a ``redshift`` connection.

    Read by RedshiftSQLHook: a temporary password is in the place of the connection's where the extra says
    ``iam``. The server's certificate is verified against the system's authorities, but where the extra has
    ``sslmode`` or ``"ssl": false``; a field that is null or blank says nothing. The port is 5439 where none is stated.

    Raises SettingsError for an option of the extra that libpq does not take, and as ``redshift_hook``.
    """
    from airflow.sdk.log import mask_secret
    from psycopg.conninfo import make_conninfo

    hook = redshift_hook(conn_id)
    extra = hook.conn.extra_dejson
    if unknown := sorted(extra.keys() - {*_LIBPQ, *_IAM, "ssl"}):
        raise SettingsError(
            f"Connection {conn_id} has {', '.join(unknown)} in its extra, which a load does not take; it "
            f"takes ssl, {', '.join((*_LIBPQ, *_IAM))}."
        )
    found: dict[str, Any] = {"port": _PORT} | hook._get_conn_params()
    if found.get("password"):
        mask_secret(found["password"])
    options: dict[str, Any] = {name: extra[name] for name in _LIBPQ if name in extra}
    if not extra.get("ssl", True):
        options["sslmode"] = "disable"
    elif "sslmode" not in options:
        options |= {"sslmode": "verify-full", "sslrootcert": options.get("sslrootcert", "system")}
    return make_conninfo(dbname=found.pop("database", None), **found, **options)
