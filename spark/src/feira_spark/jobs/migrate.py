"""Brings every contract's table, in lake and warehouse, to what is declared."""

from __future__ import annotations

from typing import Annotated

import typer

from feira.core.warehouse.schema import connect
from feira_spark.core.migrate import MigrationError
from feira_spark.core.migrate import migrate as run_migration
from feira_spark.jobs.session import job_session

MARTS = "marts: their tables have changed; the next run of a DAG that builds them, or dbt, rebuilds them"


def main(
    warehouse: Annotated[
        str,
        typer.Option(
            envvar="FEIRA_WAREHOUSE",
            show_default=False,
            help="libpq's connection string, for the role that owns the tables; leave the password to "
            "PGPASSWORD or ~/.pgpass.",
        ),
    ],
) -> None:
    """Create missing tables and add declared optional columns; prints what was done, or exits with 1 and
    the changes that a table cannot take, with nothing changed.

    Example: python -m feira_spark.jobs.migrate --warehouse "host=db.example.com user=warehouse_loader"
    """
    with job_session("migrate") as spark, connect(warehouse) as connection:
        try:
            done = run_migration(spark, connection, lambda: MARTS)
        except MigrationError as error:
            typer.echo(error, err=True)
            raise typer.Exit(1) from None
    for line in done or ["Everything is as the contracts declare it."]:
        typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
