"""Brings every contract's table, in lake and warehouse, to what is declared."""

from __future__ import annotations

from typing import Annotated

import typer

from feira.core.connections import dsn_of
from feira.core.warehouse.schema import connect
from feira_spark.core.migrate import migrate as run_migration
from feira_spark.jobs.run import run
from feira_spark.jobs.session import job_session


def main(
    warehouse: Annotated[
        str,
        typer.Option(
            envvar="FEIRA_WAREHOUSE",
            show_default=False,
            help="libpq's connection string, for the role that owns the tables; leave the password to "
            "PGPASSWORD or ~/.pgpass. Or, in the variable, the connection's JSON.",
        ),
    ],
) -> None:
    """Create missing tables and indexes and add declared optional columns; prints what was done, or exits
    with 1 and the changes that a table cannot take, with nothing changed. The marts are left to dbt.

    Example: python -m feira_spark.jobs.migrate --warehouse "host=db.example.com user=warehouse_loader"
    """
    dsn = dsn_of(warehouse, "FEIRA_WAREHOUSE")
    with job_session("migrate") as spark, connect(dsn) as connection:
        done = run_migration(spark, connection)
    for line in done or ["Everything is as the contracts declare it."]:
        typer.echo(line)


if __name__ == "__main__":
    run(main)
