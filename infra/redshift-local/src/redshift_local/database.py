"""A PostgreSQL database as this package needs it: Redshift's functions, and a trigger that counts bytes."""

from __future__ import annotations

from importlib.resources import files

import psycopg

_SCRIPTS = ("functions.sql", "columns.sql", "system.sql")


def install(dsn: str) -> None:
    """Makes the schema ``redshift`` in the database of ``dsn``, or brings it up to date.

    The role must be a superuser: the trigger that looks at new tables is one of the whole database.
    Raises psycopg.Error, and then nothing was changed.
    """
    with psycopg.connect(dsn) as connection:
        for name in _SCRIPTS:
            script = files("redshift_local").joinpath(name).read_text(encoding="utf-8")
            connection.execute(script.encode())
