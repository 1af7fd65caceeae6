"""Up to which load the marts are built, in the warehouse's schema ``intermediate``, which dbt's role owns.

``built`` has one row after a build that has succeeded, and none while all is to be built anew. ``touched`` has
the days that the build under way replaces, and ``spread_orders`` the orders whose lines are of several dates,
each with its earliest, on which the whole order counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from feira.core.contracts.registry import INTERMEDIATE_SCHEMA
from feira.core.warehouse.schema import NOTED_LOADS, table_types
from feira.core.warehouse.side import side_of
from feira.sales.published import PUBLISHED

_BUILT, _TOUCHED, _SPREAD = (
    f"{INTERMEDIATE_SCHEMA}.{table}" for table in ("built", "touched", "spread_orders")
)
_FACT, _KEYS = PUBLISHED.table, PUBLISHED.changed_keys


@dataclass(frozen=True)
class Build:
    """A build under way.

    :param whole: whether it is of all days
    :param definition: a hash of what dbt runs
    :param load_sequence: the newest load when it began
    :param noted_at: since when loads note the orders that they change; None where they do not
    """

    whole: bool
    definition: str
    load_sequence: int
    noted_at: datetime | None


def begin(warehouse: psycopg.Connection, project: Path, *, whole: bool = False) -> Build:
    """Finds what the next build is of. The connection commits each statement and is kept until the build has
    ended: another build waits for that, where the warehouse is PostgreSQL.

    All is built with ``whole``, after a change of the project, where tables are missing, where loads have
    begun anew to note what they change, as one of the whole table does, and where more loads have come than
    have their notes kept. That it is to be is kept until a build has succeeded.
    """
    if side_of(warehouse).dialect == "postgres":
        warehouse.execute(f"SELECT pg_advisory_lock(hashtext('{_BUILT}'))")
    _create_missing(warehouse)
    definition = _hash_of(project)
    row = warehouse.execute(f"SELECT definition, load_sequence, noted_at FROM {_BUILT}").fetchone()
    loaded, noted_at = _noted(warehouse)
    follows = (
        not whole
        and row is not None
        and noted_at is not None
        and (row[0], row[2]) == (definition, noted_at)
        and 0 <= loaded - row[1] <= NOTED_LOADS
    )
    with warehouse.transaction():
        if row is not None and follows:
            _find_touched(warehouse, since=row[1])
        else:
            _find_spread(warehouse)
    for table in (_TOUCHED, _SPREAD):
        warehouse.execute(f"ANALYZE {table}")
    return Build(not follows, definition, loaded, noted_at)


def finish(warehouse: psycopg.Connection, build: Build) -> bool:
    """Notes that all of a build has succeeded. False where loads came meanwhile: some models have seen them
    and others not, and another build is to take them up."""
    with warehouse.transaction():
        warehouse.execute(f"DELETE FROM {_BUILT}")
        warehouse.execute(
            f"INSERT INTO {_BUILT} (definition, load_sequence, noted_at) VALUES (%s, %s, %s)",
            [build.definition, build.load_sequence, build.noted_at],
        )
    return _noted(warehouse) == (build.load_sequence, build.noted_at)


def _find_touched(warehouse: psycopg.Connection, *, since: int) -> None:
    """An order's day was, whenever it was built, the date of a line that a load has removed or changed since,
    which is noted, or that of one of its lines as they are."""
    noted = f"FROM {_KEYS} WHERE load_sequence > {since}"
    side_of(warehouse).look_up_by_key(warehouse)
    warehouse.execute("DROP TABLE IF EXISTS order_dates")
    warehouse.execute(
        f"CREATE TEMPORARY TABLE order_dates AS SELECT DISTINCT order_id, order_date FROM {_FACT} "
        f"WHERE order_id IN (SELECT order_id {noted})"
    )
    warehouse.execute(f"DELETE FROM {_TOUCHED}")
    warehouse.execute(
        f"INSERT INTO {_TOUCHED} SELECT order_date {noted} UNION SELECT order_date FROM order_dates"
    )
    warehouse.execute(f"DELETE FROM {_SPREAD} WHERE order_id IN (SELECT order_id {noted})")
    warehouse.execute(
        f"INSERT INTO {_SPREAD} SELECT order_id, min(order_date) FROM order_dates "
        "GROUP BY order_id HAVING count(*) > 1"
    )


def _find_spread(warehouse: psycopg.Connection) -> None:
    warehouse.execute(f"DELETE FROM {_BUILT}")
    warehouse.execute(f"DELETE FROM {_SPREAD}")
    warehouse.execute(
        f"INSERT INTO {_SPREAD} SELECT order_id, min(order_date) FROM {_FACT} "
        "GROUP BY order_id HAVING min(order_date) <> max(order_date)"
    )


def _create_missing(warehouse: psycopg.Connection) -> None:
    """Where one of the tables is missing, what the others hold is of no use."""
    if all(table_types(warehouse, each) for each in (_BUILT, _TOUCHED, _SPREAD)):
        return
    # A role that owns the schema may yet make none.
    schema = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
    if warehouse.execute(schema, [INTERMEDIATE_SCHEMA]).fetchone() is None:
        warehouse.execute(f"CREATE SCHEMA {INTERMEDIATE_SCHEMA}")
    text = side_of(warehouse).text
    for table, columns in (
        (_BUILT, f"definition {text}, load_sequence bigint, noted_at timestamptz"),
        (_TOUCHED, "order_day date"),
        (_SPREAD, f"order_id {text}, order_day date"),
    ):
        warehouse.execute(f"DROP TABLE IF EXISTS {table}")
        warehouse.execute(f"CREATE TABLE {table} ({columns})")


def _noted(warehouse: psycopg.Connection) -> tuple[int, datetime | None]:
    """The newest load, and since when loads note what they change, if they do."""
    if any(table_types(warehouse, each) is None for each in (PUBLISHED.ledger, _KEYS)):
        return 0, None
    row = warehouse.execute(
        f"SELECT (SELECT coalesce(max(load_sequence), 0) FROM {PUBLISHED.ledger}), "
        f"(SELECT max(noted_at) FROM {_KEYS} WHERE order_id IS NULL)"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _hash_of(project: Path) -> str:
    files = sorted(each for each in project.rglob("*") if each.is_file())
    parts = (f"{each.relative_to(project)}\n".encode() + each.read_bytes() for each in files)
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
