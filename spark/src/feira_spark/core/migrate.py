"""Brings every contract's table, in lake and warehouse, to what is declared; refuses the whole before a
part changes.

Every statement is tried first, the warehouse's in a transaction that is rolled back and the lake's on an
empty table of the same columns. Then each table of the lake gains its columns by one statement and is relaxed
by one for each column, and the warehouse's change all in one transaction that also notes that the marts are to
be rebuilt: a migration that was killed anywhere is finished by running it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import psycopg
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from feira.core.contracts import Contract
from feira.core.contracts.evolution import Evolution
from feira.core.contracts.registry import stored_in
from feira.core.errors import PermanentError, first_line
from feira.core.published_table import PublishedTable, published_tables
from feira.core.warehouse import schema as warehouse
from feira_spark.core import tables as lake
from feira_spark.core.session import CATALOG

_TRIAL = "staging.migration_trial"


class MigrationError(PermanentError, RuntimeError):
    """A table cannot take what its contract declares; nothing was changed."""


def migrate(
    spark: SparkSession,
    connection: psycopg.Connection,
    rebuild_marts: Callable[[], str] | None = None,
) -> list[str]:
    """Creates missing tables and indexes, adds declared optional columns and lets those that were required take
    null, on the lake of that session and the warehouse of that connection, whose role owns the tables.

    Where the warehouse gains a column the marts are rebuilt, also where an earlier migration was killed before
    it came to that. Without ``rebuild_marts`` they stay marked as to be rebuilt.

    Returns a sentence for each thing done. Raises MigrationError naming every change that a table
    cannot take; then nothing was changed.
    """
    in_warehouse = stored_in("warehouse")
    done = bring_tables_to_contracts(
        spark, connection, stored_in("lake"), in_warehouse, published_tables()
    )
    due = [
        marker
        for marker in sorted({marts_to_rebuild(each.schema) for each in in_warehouse})
        if warehouse.table_types(connection, marker) is not None
    ]
    if due and rebuild_marts is None:
        done.append(
            f"marts: their tables have changed; rebuild them with dbt, then drop {', '.join(due)}, which "
            "says so until then"
        )
    elif due and rebuild_marts:
        done.append(rebuild_marts())
        for marker in due:
            connection.execute(f"DROP TABLE {marker}")
    return done


def marts_to_rebuild(schema: str) -> str:
    """The table whose existence says that a table of the schema has changed since the marts were built."""
    return f"{schema}.marts_to_rebuild"


def bring_tables_to_contracts(
    spark: SparkSession,
    connection: psycopg.Connection,
    in_lake: Sequence[Contract],
    in_warehouse: Sequence[Contract],
    published: Sequence[PublishedTable] = (),
) -> list[str]:
    """Creates missing tables, those that loads note their state in too, and indexes, and adds and relaxes
    columns; where the warehouse gains one, the marts are marked as to be rebuilt. Returns and raises as ``migrate``."""
    lake_asks = [(each, lake.evolution(spark, each)) for each in in_lake]
    warehouse_asks = [warehouse.evolution(connection, each) for each in in_warehouse]
    _refuse(
        [("lake", change) for _, change in lake_asks if change]
        + [("warehouse", change) for change in warehouse_asks if change]
    )
    in_lake_changed = [change for _, change in lake_asks if change and change.asked]
    in_warehouse_changed = [change for change in warehouse_asks if change and change.asked]
    with connection.transaction(force_rollback=True):
        _try(connection, in_warehouse, in_warehouse_changed, published)
    for declared, change in lake_asks:
        if change is None or change.asked:
            _try_in_lake(spark, declared, change)
    done: list[str] = []
    for change in in_lake_changed:
        lake.evolve(spark, change)
        done += _said("lake", change)
    lake.create_missing(spark, in_lake)
    done += [said for change in in_warehouse_changed for said in _said("warehouse", change)]
    for table in published:
        if columns := warehouse.missing_indexes(connection, table):
            done.append(
                f"warehouse: added an index to {table.table} on each of {', '.join(columns)}"
            )
    with connection.transaction():
        _change_warehouse(connection, in_warehouse, in_warehouse_changed, published)
    return done


def _said(where: str, change: Evolution) -> Iterator[str]:
    if names := ", ".join(f"{column.name} {column.type}" for column in change.added):
        yield f"{where}: added {names} to {change.table}"
    if names := ", ".join(column.name for column in change.relaxed):
        yield f"{where}: {names} of {change.table} may be null now"


def _change_warehouse(
    connection: psycopg.Connection,
    declared: Sequence[Contract],
    changed: Sequence[Evolution],
    published: Sequence[PublishedTable],
) -> None:
    for change in changed:
        warehouse.evolve(connection, change)
    warehouse.create_missing(connection, declared)
    for table in published:
        warehouse.create_indexes(connection, table)
        warehouse.create_notes(connection, table)
    for schema in sorted({change.table.partition(".")[0] for change in changed if change.added}):
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {marts_to_rebuild(schema)} (table_name text)"
        )


def _try(
    connection: psycopg.Connection,
    declared: Sequence[Contract],
    changed: Sequence[Evolution],
    published: Sequence[PublishedTable],
) -> None:
    try:
        _change_warehouse(connection, declared, changed, published)
    except psycopg.Error as error:
        raise MigrationError(
            f"The warehouse refuses the migration: {first_line(error)}. Nothing was changed."
        ) from error


def _try_in_lake(spark: SparkSession, declared: Contract, change: Evolution | None) -> None:
    """Makes the missing table, or changes the columns, under the name of a trial that is dropped."""
    lake.create_missing(spark, [])
    spark.sql(f"DROP TABLE IF EXISTS {CATALOG}.{_TRIAL} PURGE")
    try:
        if change is None:
            lake.create_missing(spark, [replace(declared, table=_TRIAL)])
        else:
            empty = spark.table(f"{CATALOG}.{change.table}").limit(0)
            empty.writeTo(f"{CATALOG}.{_TRIAL}").using("iceberg").create()
            lake.evolve(spark, replace(change, table=_TRIAL))
    except PySparkException as error:
        raise MigrationError(
            f"The lake refuses the migration of {declared.table}: {first_line(error)}. "
            "Nothing was changed."
        ) from error
    finally:
        spark.sql(f"DROP TABLE IF EXISTS {CATALOG}.{_TRIAL} PURGE")


def _refuse(asked: list[tuple[str, Evolution]]) -> None:
    refused = [
        f"{change.table} in the {where}: {reason}"
        for where, change in asked
        for reason in change.refused
    ]
    if refused:
        raise MigrationError(
            "The contracts ask for what the tables cannot take; nothing was changed. "
            + ". ".join(refused)
        )
