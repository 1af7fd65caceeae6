"""The warehouse's tables as their contracts declare them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import psycopg
from psycopg.conninfo import conninfo_to_dict

from feira.core.contracts import Contract, contract
from feira.core.contracts.ddl import warehouse_ddl, warehouse_type
from feira.core.contracts.evolution import Evolution, Stored, compare, require_current
from feira.core.published_table import PublishedTable
from feira.core.warehouse.side import side_of

NOTED_LOADS = 30
"""Of so many loads, by their ``load_sequence``, the changed keys are kept."""
# Both warehouses' words for the contracts' types.
_TYPES = {
    "text": "string",
    "character varying(65535)": "string",
    "integer": "int",
    "bigint": "bigint",
    "boolean": "boolean",
    "date": "date",
    "timestamp with time zone": "timestamp",
}


def connect(dsn: str) -> psycopg.Connection:
    """A connection in UTC that commits each statement, or each ``transaction()`` block as a whole.

    The zone is set last, so that neither the DSN's ``options`` nor PGTZ brings another.
    """
    named = conninfo_to_dict(dsn).get("application_name") or "feira"
    # Redshift has a name of its own for its encoding, that psycopg does not know.
    connection = psycopg.connect(
        dsn, autocommit=True, application_name=str(named), client_encoding="utf8"
    )
    try:
        connection.execute("SET TIME ZONE 'UTC'")
        side_of(connection).begin(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def stored(connection: psycopg.Connection, table: str) -> Stored | None:
    """The columns of a table; None where it does not exist."""
    rows = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attnum = ANY (k.conkey) "
        "FROM pg_attribute a "
        "JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
        "LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' "
        "WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped "
        "ORDER BY a.attnum",
        table.split("."),
    ).fetchall()
    if not rows:
        return None
    key = frozenset(name for name, *_, of_key in rows if of_key)
    return Stored(
        {name: _contract_type(type_) for name, type_, *_ in rows},
        frozenset(name for name, _, required, _ in rows if required),
        # A table may have been made without: loads then assert the key themselves.
        key or None,
    )


def table_types(connection: psycopg.Connection, table: str) -> dict[str, str] | None:
    """Column names and types of a table in the contract's words; None where it does not exist."""
    found = stored(connection, table)
    return dict(found.types) if found else None


def _contract_type(type_: str) -> str:
    if match := re.fullmatch(r"numeric\((\d+),(\d+)\)", type_):
        return f"decimal({match[1]},{match[2]})"
    return _TYPES.get(type_, type_)


def require_tables(connection: psycopg.Connection, tables: Iterable[str]) -> None:
    """Raises ContractError, before a write, where a table is not as declared; creates missing ones."""
    declared = [contract(table) for table in tables]
    for each in declared:
        change = evolution(connection, each)
        if change is not None:
            require_current(each, "warehouse", change)
    create_missing(connection, declared)


def require_load_tables(connection: psycopg.Connection, table: PublishedTable) -> None:
    """The same for a published table, its ledger, and what its loads note beside that."""
    require_tables(connection, [table.table, table.ledger])
    create_notes(connection, table)


def create_missing(connection: psycopg.Connection, declared: Iterable[Contract]) -> None:
    """Creates the tables that do not exist; leaves the others as they are."""
    for each in declared:
        if table_types(connection, each.table) is None:
            connection.execute(warehouse_ddl(each, side_of(connection).dialect))


def missing_indexes(connection: psycopg.Connection, table: PublishedTable) -> list[str]:
    """The columns that rows are looked up by and no index begins with; none where there is no table."""
    return side_of(connection).missing_indexes(connection, table.table, table.looked_up_by)


def create_indexes(connection: psycopg.Connection, table: PublishedTable) -> None:
    """Creates the indexes that are missing; writers of the table wait until they are built."""
    for column in missing_indexes(connection, table):
        connection.execute(f"CREATE INDEX ON {table.table} ({column})")


def create_notes(connection: psycopg.Connection, table: PublishedTable) -> None:
    """Creates what is missing of the tables of dates that wait for reconcile, of days that are held with the keys
    that they hold up, and of dates and keys that have changed."""
    side = side_of(connection)
    pending = table_types(connection, table.unreconciled)
    if pending is None:
        connection.execute(
            f"CREATE TABLE {table.unreconciled} ({table.waiting_date} date NOT NULL, "
            f"{table.day} date, load_sequence bigint NOT NULL)"
        )
    elif table.day not in pending:
        # Its rows wait for every extract day of their date: null.
        connection.execute(
            f"ALTER TABLE {table.unreconciled} ADD COLUMN {table.day} date, "
            "DROP CONSTRAINT IF EXISTS unreconciled_dates_pkey"
        )
    if table_types(connection, table.held_days) is None:
        connection.execute(
            f"CREATE TABLE {table.held_days} ({table.day} date PRIMARY KEY, "
            f"row_key {side.text} NOT NULL, reason {side.text} NOT NULL, "
            f"held_at timestamptz NOT NULL DEFAULT {side.now})"
        )
    if table_types(connection, table.held_rows) is None:
        columns = ", ".join(
            f"{name} {warehouse_type(table.contract.column(name), side.dialect)} NOT NULL"
            for name in table.key
        )
        connection.execute(f"CREATE TABLE {table.held_rows} ({columns})")
    if table_types(connection, table.changed_dates) is None:
        _create_changed_dates(connection, table)
    if table.noted_key is not None and table_types(connection, table.changed_keys) is None:
        _create_changed_keys(connection, table, table.noted_key)


def note_all_keys(connection: psycopg.Connection, table: PublishedTable) -> None:
    """Notes that any row may have changed, in the place of what was noted before."""
    if table.noted_key is not None:
        connection.execute(f"DELETE FROM {table.changed_keys}")
        connection.execute(f"INSERT INTO {table.changed_keys} (load_sequence) VALUES (0)")


def _create_changed_keys(connection: psycopg.Connection, table: PublishedTable, key: str) -> None:
    """What has changed before it was noted is unknown."""
    side = side_of(connection)
    type_ = warehouse_type(table.contract.column(key), side.dialect)
    with side.undone_when_refused(connection):
        connection.execute(
            f"CREATE TABLE {table.changed_keys} ({key} {type_}, {table.event_date} date, "
            f"load_sequence bigint NOT NULL, noted_at timestamptz NOT NULL DEFAULT {side.now})"
        )
        for column in side.missing_indexes(connection, table.changed_keys, ["load_sequence"]):
            connection.execute(f"CREATE INDEX ON {table.changed_keys} ({column})")
        note_all_keys(connection, table)


def _create_changed_dates(connection: psycopg.Connection, table: PublishedTable) -> None:
    """With every date of a table that is there already: what has changed before it was noted is unknown."""
    there = [
        f"SELECT {column}, 0 FROM {source}"
        for source, column in ((table.table, table.event_date), (table.ledger, table.day))
        if table_types(connection, source) is not None
    ]
    with side_of(connection).undone_when_refused(connection):
        connection.execute(
            f"CREATE TABLE {table.changed_dates} (changed_date date PRIMARY KEY, "
            "load_sequence bigint NOT NULL)"
        )
        if there:
            # One and the same date of both is one row.
            connection.execute(f"INSERT INTO {table.changed_dates} {' UNION '.join(there)}")


def evolution(connection: psycopg.Connection, declared: Contract) -> Evolution | None:
    """What the contract asks of the warehouse's table; None where the table does not exist yet."""
    existing = stored(connection, declared.table)
    if existing is None:
        return None
    change = compare(declared, existing)
    if side_of(connection).drops_not_null:
        return change
    refused = [
        f"column {column.name} takes no null in the table and is optional in the contract; Redshift drops "
        "no NOT NULL, so declare a new column"
        for column in change.relaxed
    ]
    return replace(change, relaxed=(), refused=(*change.refused, *refused))


def evolve(connection: psycopg.Connection, change: Evolution) -> None:
    """Adds the optional columns of an evolution, for which rows that exist hold null, and lets those that need no
    longer have a value take null."""
    for column in change.added:
        connection.execute(
            f"ALTER TABLE {change.table} ADD COLUMN {column.name} "
            f"{warehouse_type(column, side_of(connection).dialect)}"
        )
    for column in change.relaxed:
        connection.execute(f"ALTER TABLE {change.table} ALTER COLUMN {column.name} DROP NOT NULL")
