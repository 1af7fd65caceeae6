"""Brings lake, warehouse and marts to their contracts; refuses the whole before it changes a part."""

from __future__ import annotations

from feira.contracts import contract
from feira.contracts.evolution import Evolution
from feira.warehouse import schema as warehouse_schema
from feira_local.lake_access import spark_session, warehouse
from feira_local.stack.errors import StackError


def migrate() -> list[str]:
    """Creates missing tables, adds declared optional columns, rebuilds the marts if a table changed.

    Returns a sentence for each thing done. Raises StackError naming every change that a table
    cannot take; then nothing was changed.
    """
    from feira_spark.sales import tables as lake

    done: list[str] = []
    with spark_session() as spark, warehouse("warehouse_loader") as connection:
        in_lake = [contract(name) for name in lake.LAKE_TABLES]
        in_warehouse = [contract(name) for name in warehouse_schema.WAREHOUSE_TABLES]
        asked = [("lake", lake.evolution(spark, each)) for each in in_lake]
        asked += [
            ("warehouse", warehouse_schema.evolution(connection, each)) for each in in_warehouse
        ]
        _refuse([(where, change) for where, change in asked if change is not None])
        for where, change in asked:
            if change is None or not change.added:
                continue
            names = ", ".join(f"{column.name} {column.type}" for column in change.added)
            if where == "lake":
                lake.add_columns(spark, change)
            else:
                warehouse_schema.add_columns(connection, change)
            done.append(f"{where}: added {names} to {change.table}")
        lake.create_missing(spark, in_lake)
        warehouse_schema.create_missing(connection, in_warehouse)
    if done:
        done.append(_rebuild_marts())
    return done


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
