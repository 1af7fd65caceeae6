"""A ``redshift`` connection as libpq takes it: loads connect as they do to PostgreSQL."""

from __future__ import annotations

import json
import re
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING, Any

from feira.core.settings import SettingsError
from feira_provider.hooks.switches import with_switches

if TYPE_CHECKING:
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

# Of the extra: what libpq takes too, under the same name.
_LIBPQ = ("application_name", "connect_timeout", "sslmode", "sslrootcert")
# Of sslmode: those that may do without TLS, and those that never do.
_WITHOUT_TLS = ("disable", "allow", "prefer")
_WITH_TLS = ("require", "verify-ca", "verify-full")
# Where the service listens; libpq would ask PostgreSQL's.
_PORT = 5439
# Of the extra: what RedshiftSQLHook reads for a temporary password.
_IAM = (
    *("iam", "cluster_identifier", "is_serverless", "serverless_work_group"),
    "serverless_token_duration_seconds",
)


def redshift_hook(conn_id: str) -> RedshiftSQLHook:
    """Airflow's hook, for a connection whose switches may be texts and whose fields may be blank. Its extra is as a
    load takes it: ``connect_timeout`` counts until there is a connection, and ``sslrootcert`` may be ``system``, which
    the driver trusts beside Redshift's own authorities.

    :raises SettingsError: as ``redshift_dsn`` for a value; and by ``get_conn`` for an option that the driver does not
        take
    """
    stated = _stated(conn_id)

    class ForDriver(type(stated)):  # type: ignore[misc]
        @cached_property
        def conn(self) -> Any:
            connection = copy(stated.conn)
            connection.extra = json.dumps(_for_driver(conn_id, connection.extra_dejson))
            return connection

        def _get_conn_params(self) -> dict[str, str | int]:
            return stated._get_conn_params()

        def get_conn(self) -> Any:
            try:
                connection = super().get_conn()
            except TypeError as error:
                _, unknown, name = str(error).partition("unexpected keyword argument ")
                if not unknown:
                    raise
                raise _not_taken(conn_id, name.strip("'")) from None
            if "connect_timeout" in stated.conn.extra_dejson:
                # The driver would give up on a query after as many seconds too.
                connection._usock.settimeout(stated.conn.extra_dejson.get("timeout"))
            return connection

    return ForDriver(redshift_conn_id=conn_id)


def _for_driver(conn_id: str, extra: dict[str, Any]) -> dict[str, Any]:
    """Of the extra what the driver takes, under its names."""
    # This one is for the temporary password alone.
    own = {k: v for k, v in extra.items() if k != "serverless_token_duration_seconds"}
    mode = own.get("sslmode")
    if mode in ("allow", "prefer"):
        raise _not_taken(conn_id, f'"sslmode": "{mode}"')
    if mode == "disable":
        own["ssl"] = False
        del own["sslmode"]
    elif mode is None and own.get("ssl", True):
        # The driver's own default does not ask whose certificate it is.
        own["sslmode"] = "verify-full"
    if (root := own.pop("sslrootcert", "system")) != "system":
        raise _not_taken(conn_id, f'"sslrootcert": "{root}"')
    if (seconds := int(own.pop("connect_timeout", 0))) > 0:
        own["timeout"] = seconds
    return own


def _not_taken(conn_id: str, option: str) -> SettingsError:
    return SettingsError(
        f"Connection {conn_id} has {option} in its extra, which Redshift's driver does not take; remove that, or "
        "correct its name. The driver trusts the system's authorities and Redshift's own."
    )


def _stated(conn_id: str) -> RedshiftSQLHook:
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

    class Read(RedshiftSQLHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            switches = ("ssl", "iam", "is_serverless")
            connection = with_switches(super().get_connection(conn_id), switches)
            _check(conn_id, connection.extra_dejson)
            return connection

    return Read(redshift_conn_id=conn_id)


def _check(conn_id: str, extra: dict[str, Any]) -> None:
    ssl, mode = extra.get("ssl"), extra.get("sslmode")
    modes = (*_WITHOUT_TLS, *_WITH_TLS)
    if mode is not None and mode not in modes:
        raise SettingsError(
            f'Connection {conn_id} has "sslmode": {json.dumps(mode)} in its extra; it is one of {", ".join(modes)}.'
        )
    if ssl is not None and mode is not None and ssl != (mode in _WITH_TLS):
        raise SettingsError(
            f'Connection {conn_id} has "ssl": {str(ssl).lower()} and "sslmode": "{mode}" in its extra, which '
            "contradict each other; remove one of them."
        )
    seconds = str(extra.get("connect_timeout", 0))
    if not re.fullmatch("[+-]?[0-9]{1,9}", seconds):
        raise SettingsError(
            f"Connection {conn_id}: connect_timeout in its extra is {seconds!r}; it is a whole number of seconds."
        )


def redshift_dsn(conn_id: str) -> str:
    """A libpq connection string for a ``redshift`` connection.

    Read by RedshiftSQLHook: a temporary password is in the place of the connection's where the extra says
    ``iam``. The server's certificate is verified against the system's authorities, but where the extra has
    ``sslmode`` or ``"ssl": false``; a field that is null or blank says nothing. The port is 5439 where none is stated.

    :raises SettingsError: for an option of the extra that libpq does not take; where one of ``ssl``, ``iam`` and
        ``is_serverless`` is no boolean, ``sslmode`` or ``connect_timeout`` none of libpq's, or ``ssl`` and ``sslmode``
        contradict each other
    """
    from airflow.sdk.log import mask_secret
    from psycopg.conninfo import make_conninfo

    hook = _stated(conn_id)
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
