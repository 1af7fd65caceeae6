"""Brings every contract's table, and the marts, to what is declared; refuses the whole before a part changes.

Every statement is tried first, the warehouse's in a transaction that is rolled back and the lake's on an
empty table of the same columns. Then each table changes by one statement, the warehouse's all in one
transaction that also notes that the marts are to be rebuilt: a migration that was killed anywhere is
finished by running it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg

from feira.core.contracts import Contract
from feira.core.contracts.evolution import Evolution
from feira.core.contracts.registry import stored_in
from feira.core.warehouse import schema as warehouse_schema
from feira_local.stack.errors import StackError
from feira_local.stack.lake_access import spark_session, warehouse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MARTS_TO_REBUILD = "sales.marts_to_rebuild"
TRIAL = "staging.migration_trial"


def migrate() -> list[str]:
    """Creates missing tables, adds declared optional columns, rebuilds the marts if a table changed.

    Returns a sentence for each thing done. Raises StackError naming every change that a table
    cannot take; then nothing was changed.
    """
    with spark_session() as spark, warehouse("warehouse_loader") as connection:
        done = bring_tables_to_contracts(
            spark,
            connection,
            stored_in("lake"),
            stored_in("warehouse"),
        )
        if warehouse_schema.table_types(connection, MARTS_TO_REBUILD) is not None:
            done.append(_rebuild_marts())
            connection.execute(f"DROP TABLE {MARTS_TO_REBUILD}")
    return done


def bring_tables_to_contracts(
    spark: SparkSession,
    connection: psycopg.Connection,
    in_lake: Sequence[Contract],
    in_warehouse: Sequence[Contract],
) -> list[str]:
    """Creates missing tables and adds columns; where the warehouse gains one, the marts are marked as
    to be rebuilt. Returns and raises as ``migrate``."""
    from feira_spark.sales import tables as lake

    lake_asks = [(each, lake.evolution(spark, each)) for each in in_lake]
    warehouse_asks = [warehouse_schema.evolution(connection, each) for each in in_warehouse]
    _refuse(
        [("lake", change) for _, change in lake_asks if change]
        + [("warehouse", change) for change in warehouse_asks if change]
    )
    in_lake_added = [change for _, change in lake_asks if change and change.added]
    in_warehouse_added = [change for change in warehouse_asks if change and change.added]
    with connection.transaction(force_rollback=True):
        _try(connection, in_warehouse, in_warehouse_added)
    for declared, change in lake_asks:
        if change is None or change.added:
            _try_in_lake(spark, declared, change)
    done = []
    for change in in_lake_added:
        lake.add_columns(spark, change)
        done.append(_added("lake", change))
    lake.create_missing(spark, in_lake)
    with connection.transaction():
        _change_warehouse(connection, in_warehouse, in_warehouse_added)
    return done + [_added("warehouse", change) for change in in_warehouse_added]


def _added(where: str, change: Evolution) -> str:
    names = ", ".join(f"{column.name} {column.type}" for column in change.added)
    return f"{where}: added {names} to {change.table}"


def _change_warehouse(
    connection: psycopg.Connection, declared: Sequence[Contract], added: Sequence[Evolution]
) -> None:
    for change in added:
        warehouse_schema.add_columns(connection, change)
    warehouse_schema.create_missing(connection, declared)
    if added:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {MARTS_TO_REBUILD} (table_name text)")


def _try(
    connection: psycopg.Connection, declared: Sequence[Contract], added: Sequence[Evolution]
) -> None:
    try:
        _change_warehouse(connection, declared, added)
    except psycopg.Error as error:
        raise StackError(
            f"The warehouse refuses the migration: {str(error).splitlines()[0]}. Nothing was changed."
        ) from error


def _try_in_lake(spark: SparkSession, declared: Contract, change: Evolution | None) -> None:
    """Makes the missing table, or adds the columns, under the name of a trial that is dropped."""
    from pyspark.errors import PySparkException

    from feira_spark.core.session import CATALOG
    from feira_spark.sales import tables as lake

    lake.create_missing(spark, [])
    spark.sql(f"DROP TABLE IF EXISTS {CATALOG}.{TRIAL} PURGE")
    try:
        if change is None:
            lake.create_missing(spark, [replace(declared, table=TRIAL)])
        else:
            empty = spark.table(f"{CATALOG}.{change.table}").limit(0)
            empty.writeTo(f"{CATALOG}.{TRIAL}").using("iceberg").create()
            lake.add_columns(spark, replace(change, table=TRIAL))
    except PySparkException as error:
        raise StackError(
            f"The lake refuses the migration of {declared.table}: {str(error).splitlines()[0]}. "
            "Nothing was changed."
        ) from error
    finally:
        spark.sql(f"DROP TABLE IF EXISTS {CATALOG}.{TRIAL} PURGE")


def _refuse(asked: list[tuple[str, Evolution]]) -> None:
    refused = [
        f"{change.table} in the {where}: {reason}"
        for where, change in asked
        for reason in change.refused
    ]
    if refused:
        raise StackError(
            "The contracts ask for what the tables cannot take; nothing was changed. "
            + ". ".join(refused)
        )


def _rebuild_marts() -> str:
    from feira_airflow.summary.marts import MartsError
    from feira_local.marts import build_local_marts

    try:
        rows = build_local_marts()
    except MartsError as error:
        raise StackError(str(error)) from error
    return "marts: rebuilt " + ", ".join(f"{name} ({count} rows)" for name, count in rows.items())
