"""Columns of a warehouse's table that nobody may write again."""

from __future__ import annotations

import psycopg


def watch(connection: psycopg.Connection, table: str, *columns: str) -> None:
    """From here on an UPDATE that sets one of the columns fails with ``a key was written``; one that sets others
    does not. A later call for the table takes the place of this one."""
    connection.execute(
        "CREATE OR REPLACE FUNCTION sales.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'a key was written'; END $$"
    )
    connection.execute(
        f"CREATE OR REPLACE TRIGGER watches BEFORE UPDATE OF {', '.join(columns)} ON {table} "
        "EXECUTE FUNCTION sales.refuse()"
    )
