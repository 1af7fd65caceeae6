"""A ``postgres`` connection as libpq takes it, which is how loads and dbt connect."""

from __future__ import annotations

from typing import Any

from feira.core.settings import SettingsError
from feira_provider.hooks.missing import named_if_missing
from feira_provider.hooks.switches import with_switches

# Of the extra: what PostgresHook reads by itself.
_SWITCHES = ("iam", "redshift", "redshift-serverless")


def postgres_dsn(conn_id: str) -> str:
    """A libpq connection string for a ``postgres`` connection, with every libpq option of its extra.

    Read by PostgresHook: an IAM token is in the place of the password where the extra says ``iam``.

    :raises MissingConnectionError: where there is no such connection
    :raises SettingsError: for an option that libpq does not know, or a switch of the hook's that is no boolean
    """
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from airflow.sdk.log import mask_secret
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import Conninfo

    found: dict[str, Any] = {}

    class Arguments(PostgresHook):
        """Stops before the provider connects: with psycopg2, say, or in another time zone."""

        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            return with_switches(super().get_connection(conn_id), _SWITCHES)

        def _create_connection(self, conn_args: dict[str, Any]) -> Any:
            found.update(conn_args)

    with named_if_missing(conn_id):
        Arguments(postgres_conn_id=conn_id).get_conn()
    # The hook's own option for Python, made from the extra's "cursor".
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    given = {name: value for name, value in found.items() if not name.endswith("_factory")}
    if unknown := sorted(given.keys() - known):
        raise SettingsError(
            f"Connection {conn_id} has {', '.join(unknown)} in its extra, which libpq does not know; "
            "remove that, or correct its name (sslmode, sslrootcert, options, connect_timeout, …)."
        )
    if given.get("password"):
        mask_secret(given["password"])
    options: Any = {name: int(v) if isinstance(v, bool) else v for name, v in given.items()}
    return make_conninfo(**options)
