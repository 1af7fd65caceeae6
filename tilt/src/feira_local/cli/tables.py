"""`feira show` and `feira verify`: every table that a contract declares, its rows and whether they agree."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from feira.core.contracts import Contract, contracts
from feira.core.contracts.evolution import Evolution
from feira.core.contracts.registry import BUILT_SCHEMA, stored_in
from feira.core.published_table import published_tables
from feira_local.cli import pipelines
from feira_local.cli.data import Limit, Rows, asked_warehouse, lake_rows, print_found, row_count
from feira_local.cli.output import AsJson, print_json, print_line, print_rows, shortened
from feira_local.cli.runs import parse_day
from feira_local.stack.access import landings, spark_session, warehouse
from feira_local.stack.errors import StackError

if TYPE_CHECKING:
    import psycopg
    from pyspark.sql import SparkSession


DECLARED, MISSING = "as declared", "not made yet"
LOST = "missing, although its pipeline has run; where it is new, `feira migrate` or the next run makes it"


def register(app: typer.Typer) -> None:
    app.command()(show)
    app.command()(verify)


def show(
    table: Annotated[
        str | None, typer.Argument(help="A table of a contract, as sales.fact, or fact alone.")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--day", help="Only the rows of this day, in UTC.")
    ] = None,
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Look at the rows of any table, by its key; without a table, at what tables there are.

    Example: [bold]feira show fact --day 2010-12-01[/]   [bold]feira show quarantine --day 2010-12-01[/]
    """
    if table is None:
        print_found([_about(each) for each in contracts().values()], as_json, empty="")
        return
    declared = find_table(table)
    wanted = parse_day(day) if day is not None else None
    column = day_column(declared)
    if declared.servers == ("landing",):
        if wanted is None:
            raise StackError(f"{declared.table} is a file of each landing; name a day with --day.")
        rows = _beside(declared, wanted)
        rows = _landings(declared, wanted) if rows is None else rows[:limit]
    elif wanted is not None and column is None:
        raise StackError(
            f"{declared.table} has no day: its key is {', '.join(declared.primary_key)}. Leave --day out."
        )
    else:
        # The date is one that was read as such, and names are a contract's.
        where = f" WHERE {column} = DATE '{wanted}'" if wanted else ""
        query = f"{where} ORDER BY {', '.join(declared.primary_key)} LIMIT {limit}"
        if "warehouse" in declared.servers:
            rows = asked_warehouse(f"SELECT * FROM {declared.table}{query}", limit)
        else:
            with spark_session() as spark:
                rows = lake_rows(spark, f"SELECT * FROM lake.{declared.table}{query}", limit)
    of = f" of {wanted}" if wanted else ""
    print_found(
        rows, as_json, empty=f"{declared.table} has no rows{of}.{_who_makes(declared, wanted)}"
    )


def _about(declared: Contract) -> dict[str, Any]:
    return {
        "table": declared.table,
        "where": ", ".join(declared.servers),
        "day": day_column(declared),
        "key": ", ".join(declared.primary_key),
    }


def find_table(name: str) -> Contract:
    """The contract of a table by its name, which may lack the schema where one table alone has it."""
    known = contracts()
    found = [table for table in known if name in (table, table.partition(".")[2])]
    if len(found) != 1:
        near = found or [table for table in known if name and name in table] or sorted(known)
        raise StackError(f"{shortened(name)!r} names no one table; there are {', '.join(near)}.")
    return known[found[0]]


def day_column(declared: Contract) -> str | None:
    """The column by which a table's rows are of a day: that of its partitions, or a date of its key."""
    names = (*declared.partition_by, *declared.primary_key)
    return next((name for name in names if declared.column(name).type == "date"), None)


def _beside(declared: Contract, day: date) -> Rows | None:
    """The rows of a day's landing, the current one or else the newest, in the document that is landed
    beside its lines and has the table's columns; None where there is no such document."""
    with landings(declared.schema) as store:
        current = store.current(day)
        complete = [current[0]] if current else store.complete(day)[-1:]
        for manifest in complete:
            folder = store.folder(day, manifest.version)
            for file in manifest.companions.values():
                text = gzip.decompress(store.files.cat_file(f"{folder}/{file.name}"))
                rows = [json.loads(line) for line in text.splitlines()]
                if rows and rows[0].keys() == set(declared.column_names):
                    return rows
    return None


def _landings(declared: Contract, day: date) -> Rows:
    """The complete landings of a day."""
    rows = []
    with landings(declared.schema) as store:
        for manifest in store.complete(day):
            validation = store.validation(day, manifest.version)
            gate = "not validated" if validation is None else "passed"
            rows.append(
                {
                    "landing_version": manifest.version,
                    "lines": manifest.total,
                    "valid": validation.valid if validation else None,
                    "gate": gate if validation is None or validation.passed else "failed",
                    "folder": store.folder(day, manifest.version),
                }
            )
    return rows


def _who_makes(declared: Contract, day: date | None) -> str:
    owner = next((each for each in pipelines.declared() if declared.table in each.tables), None)
    if owner is None:
        return ""
    if owner.producer is None:
        return f" The pipeline {owner.name} makes them when an event sets it off."
    return f" Run it: feira run {owner.name} --day {day or 'D'}"


def verify(as_json: AsJson = False) -> None:
    """Hold every table against its contract, and what pipelines publish in the lake against the
    warehouse: rows, sums and a hash of each date. A table that is not made yet is wrong once its
    pipeline's ledger has a row.

    Example: [bold]feira verify[/]
    """
    with spark_session() as spark, warehouse() as connection:
        tables = require_made([*in_lake(spark), *in_warehouse(connection)])
        wrong = [
            f"{each['table']} in the {each['where']}: {each['state']}"
            for each in tables
            if each["state"] not in (DECLARED, MISSING)
        ]
        if wrong:
            if as_json:
                print_json({"equal": False, "tables": tables, "published": {}})
            raise StackError(f"Not as the contracts declare it: {'; '.join(wrong)}.")
        agreed = published(spark, connection)
    if as_json:
        print_json({"equal": True, "tables": tables, "published": agreed})
        return
    print_rows(tables)
    for table, figures in agreed.items():
        equal = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
        print_line(f"{table} is equal in lake and warehouse: {equal}.", style="green")


def require_made(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tables, in which those are lost that are missing although their pipeline has run to its end: a
    ledger of its own, what is loaded in one transaction with one, or a mart has rows in the warehouse."""
    loaded = {each.table for each in published_tables()}
    loaded |= {table for table, each in contracts().items() if each.schema == BUILT_SCHEMA}
    written = {
        each["table"]
        for each in found
        if each["where"] == "warehouse" and each["rows"]
        if each["table"] in loaded or each["table"].endswith("ledger")
    }
    if not written or all(each["state"] != MISSING for each in found):
        return found
    made = {
        table
        for each in pipelines.declared()
        if written.intersection(each.tables)
        for table in each.tables
    }
    return [
        each | {"state": LOST} if each["state"] == MISSING and each["table"] in made else each
        for each in found
    ]


def in_lake(spark: SparkSession) -> Iterator[dict[str, Any]]:
    from feira_spark.core import tables

    for declared in stored_in("lake"):
        change = tables.evolution(spark, declared)
        rows = spark.table(f"lake.{declared.table}").count() if change else None
        yield _row(declared, "lake", rows, change)


def in_warehouse(connection: psycopg.Connection) -> Iterator[dict[str, Any]]:
    from feira.core.warehouse.schema import evolution

    for declared in contracts().values():
        if "warehouse" not in declared.servers:
            continue
        change = evolution(connection, declared)
        yield _row(declared, "warehouse", row_count(connection, declared.table), change)


def _row(
    declared: Contract, where: str, rows: int | None, change: Evolution | None
) -> dict[str, Any]:
    """A table with its rows, None where no run has made it, and what its contract asks of it."""
    asked = [*change.refused, *change.asked] if change else []
    state = "; ".join(asked) or (DECLARED if change else MISSING)
    return {"table": declared.table, "where": where, "rows": rows, "state": state}


def published(spark: SparkSession, connection: psycopg.Connection) -> dict[str, dict[str, Any]]:
    """What each published table was found equal in, by table."""
    from feira.core.warehouse.reconcile import verify_whole
    from feira_spark.core.difference import lake_figures, lake_rows

    found = {}
    for table in published_tables():
        figures, rows = partial(lake_figures, spark, table), partial(lake_rows, spark, table)
        agreed = verify_whole(connection, table, figures, rows)
        found[table.table] = {
            "snapshot_id": agreed.snapshot_id,
            "dates": agreed.dates,
            "rows": agreed.rows,
            **agreed.sums,
        }
    return found
