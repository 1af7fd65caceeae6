"""Schemas of the warehouse, who owns them and who reads them: ``infra/warehouse/*.sql``, once a schema.

The roles are there already: ``warehouse_loader``, which loads, ``dbt``, which builds, and ``reader``.
"""

from __future__ import annotations

from psycopg import sql

from feira.core.contracts.registry import BUILT_SCHEMA, INTERMEDIATE_SCHEMA, stored_in
from feira.core.settings import repository_root


def grants() -> list[str]:
    """The statements for every schema that a contract names, and for what dbt makes of them on the way, in
    order; each may be run again.

    A superuser, or the database's owner, runs them; the roles themselves may make no schema.
    """
    loaded = sorted({each.schema for each in stored_in("warehouse")})
    return [
        statement
        for file, schema in (
            *(("loaded_schema.sql", schema) for schema in loaded),
            ("built_schema.sql", BUILT_SCHEMA),
            ("intermediate_schema.sql", INTERMEDIATE_SCHEMA),
        )
        for statement in _statements(file, schema)
    ]


def _statements(file: str, schema: str) -> list[str]:
    template = (repository_root() / "infra" / "warehouse" / file).read_text(encoding="utf-8")
    lines = [line for line in template.splitlines() if not line.startswith("--")]
    named = sql.SQL("\n".join(lines)).format(schema=sql.Identifier(schema)).as_string()
    return [each.strip() for each in named.split(";") if each.strip()]
