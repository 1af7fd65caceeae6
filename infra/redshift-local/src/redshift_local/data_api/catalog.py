"""What the Data API lists of a database: databases, schemas, tables and a table's columns."""

from __future__ import annotations

from typing import Any

from redshift_local.data_api.results import metadata
from redshift_local.execution import Connection

# The functions' schema is no schema of the user's; PostgreSQL's own are.
_SCHEMAS = (
    "nspname <> 'redshift' AND nspname NOT LIKE 'pg\\_toast%' AND nspname NOT LIKE 'pg\\_temp%'"
)


def schemas(connection: Connection, pattern: str) -> list[str]:
    rows = connection.execute(
        f"SELECT nspname FROM pg_namespace WHERE {_SCHEMAS} AND nspname LIKE $1 ORDER BY 1".encode(),
        [pattern],
    )
    return [row[0] for row in rows]


def tables(connection: Connection, schema: str, table: str) -> list[dict[str, Any]]:
    rows = connection.execute(
        f"""
        SELECT relname, nspname,
               CASE WHEN nspname IN ('pg_catalog', 'information_schema')
                    THEN 'SYSTEM ' || CASE WHEN relkind IN ('v', 'm') THEN 'VIEW' ELSE 'TABLE' END
                    WHEN relkind IN ('v', 'm') THEN 'VIEW' ELSE 'TABLE' END
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'v', 'm') AND {_SCHEMAS} AND nspname LIKE $1 AND relname LIKE $2
        ORDER BY 2, 1
        """.encode(),
        [schema, table],
    )
    return [{"name": row[0], "schema": row[1], "type": row[2]} for row in rows]


def columns(connection: Connection, schema: str, table: str) -> list[dict[str, Any]]:
    """ColumnMetadata of each column in order; none where there is no such table."""
    rows = connection.execute(
        b"""
        SELECT attname, atttypid::bigint, atttypmod, attnotnull, pg_get_expr(adbin, adrelid)
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attnum > 0 AND NOT attisdropped AND relkind IN ('r', 'v', 'm') AND nspname = $1 AND relname = $2
        ORDER BY attnum
        """,
        [schema, table],
    )
    found = []
    for name, type_, modifier, not_null, default in rows:
        about = metadata(
            name, type_, modifier, nullable=0 if not_null else 1, schema=schema, table=table
        )
        found.append(about | ({"columnDefault": default} if default is not None else {}))
    return found
