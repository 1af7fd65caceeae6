"""`feira sql` and `migrate`: asking the data anything, and bringing it to its contracts."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from feira.core.settings import repository_root
from feira_local.cli.output import AsJson, print_json, print_line, print_rows, unique_names
from feira_local.cli.reading import names_the_lake, reading
from feira_local.stack import access
from feira_local.stack.access import no_table, spark_session, warehouse
from feira_local.stack.errors import StackError
from feira_local.stack.state import running_config

if TYPE_CHECKING:
    import psycopg
    from pyspark.sql import DataFrame, SparkSession

    from feira.core.contracts.ddl import Dialect

Rows = list[dict[str, Any]]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="Rows at most.")]


def register(app: typer.Typer) -> None:
    app.command("sql")(sql)
    app.command("migrate")(migrate)


def sql(
    query: Annotated[str, typer.Argument(help="One reading statement.")],
    on: Annotated[
        Literal["lake", "warehouse"] | None,
        typer.Option(
            "--on", help="Where; the lake if the query names a table of it, else the warehouse."
        ),
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Ask the lake (Spark SQL, tables lake.sales.…) or the warehouse (sales.…, marts.…).

    Example: [bold]feira sql "SELECT * FROM marts.daily_revenue ORDER BY order_date"[/]
    """
    where = on or ("lake" if names_the_lake(query) else "warehouse")
    asked = reading(query, "spark" if where == "lake" else access.warehouse_dialect())
    if where == "warehouse":
        rows = asked_warehouse(asked, limit)
    else:
        with spark_session() as spark:
            rows = lake_rows(spark, asked, limit)
    print_found(rows, as_json, empty="No rows.")


def migrate(as_json: AsJson = False) -> None:
    """Bring lake, warehouse and marts to their contracts: new tables and indexes, and added columns.

    A change that a table cannot take is refused before anything is changed.

    Example: [bold]feira migrate[/]
    """
    from feira.core.warehouse.side import side_of
    from feira_spark.core.migrate import migrate as run_migration

    with spark_session() as spark, warehouse("warehouse_loader") as connection:
        dialect = side_of(connection).dialect
        done = run_migration(spark, connection, partial(_rebuilt_marts, dialect))
    if as_json:
        print_json(done)
        return
    for line in done or ["Everything is as the contracts declare it."]:
        print_line(line)


def _rebuilt_marts(dialect: Dialect) -> str:
    from feira_airflow.summary.marts import MartsError, build_marts

    try:
        built = build_marts(
            access.warehouse_dsn("dbt"),
            project_dir=repository_root() / "infra" / "dbt",
            target_dir=running_config().home / "dbt",
            whole=True,
            quiet=True,
            dialect=dialect,
        )
    except MartsError as error:
        raise StackError(str(error)) from error
    return "marts: rebuilt " + ", ".join(f"{name} ({rows} rows)" for name, rows in built.items())


def asked_warehouse(query: str, limit: int) -> Rows:
    with warehouse() as connection:
        return warehouse_rows(connection, query, limit)


def row_count(connection: psycopg.Connection, table: str) -> int | None:
    """The rows of a table of the warehouse; None where it does not exist."""
    from feira.core.warehouse.schema import table_types

    there = table_types(connection, table) is not None
    found = connection.execute(f"SELECT count(*) FROM {table}").fetchone() if there else None
    return int(found[0]) if found else None


# Python has no year 10000, no infinite day, no 24:00 and no month of an interval, and of JSON neither long numbers nor
# a key that is repeated: PostgreSQL's own text.
_AS_TEXT = (
    *("date", "time", "timetz", "timestamp", "timestamptz", "interval"),
    *("bytea", "json", "jsonb"),
)


def warehouse_rows(connection: psycopg.Connection, query: str, limit: int) -> Rows:
    """The first rows of a query, columns of one name numbered; StackError with the warehouse's reason.

    The warehouse sends no more than these: what it would go on with is cancelled.
    """
    import psycopg
    from psycopg.types.string import TextLoader

    cursor = connection.cursor()
    for name in _AS_TEXT:
        cursor.adapters.register_loader(name, TextLoader)
    sent = cast(Generator[tuple[Any, ...]], cursor.stream(query.encode()))
    try:
        with closing(sent):
            found = list(islice(sent, limit))
    except psycopg.errors.UndefinedTable as error:
        raise StackError(no_table(error)) from error
    except (psycopg.Error, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StackError(f"The warehouse refused the query: {reason}") from error
    names = unique_names([column.name for column in cursor.description or ()])
    return [dict(zip(names, row, strict=True)) for row in found]


# Files as tables (text.`/etc/passwd`), and ${…} for settings and variables of the server.
_LETS_OUT = ("spark.sql.runSQLOnFiles", "spark.sql.variable.substitute")


def lake_rows(spark: SparkSession, query: str, limit: int) -> Rows:
    """As ``warehouse_rows``, from the lake; what Spark itself refuses is raised as it is."""
    from pyspark.errors import PySparkException

    for name in _LETS_OUT:
        spark.conf.set(name, "false")
    try:
        found = spark.sql(query).limit(limit)
        names = unique_names(found.columns)
        rows = _as_text(found).collect()
    except PySparkException:  # some of them are a ValueError too
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        raise StackError(
            f"The result holds a value that Python cannot hold ({error}); cast it to string."
        ) from error
    return [dict(zip(names, row, strict=True)) for row in rows]


# As _AS_TEXT, for Spark: neither Python nor Arrow has all of their values, and Python no list as a key.
_SPARK_AS_TEXT = re.compile(
    r"\b(date|time|timestamp|timestamp_ntz|interval|variant)\b|\bmap<(array|map|struct)<"
)


def _as_text(found: DataFrame) -> DataFrame:
    """The same rows with such columns, and lists and structs of such, as Spark's own text."""
    from pyspark.sql.functions import col

    types = [field.dataType.simpleString() for field in found.schema]
    if not any(map(_SPARK_AS_TEXT.search, types)):
        return found
    names = [f"c{index}" for index in range(len(types))]  # two columns may have one name
    return found.toDF(*names).select(
        *(
            col(name).cast("string") if _SPARK_AS_TEXT.search(kind) else col(name)
            for name, kind in zip(names, types, strict=True)
        )
    )


def print_found(rows: Rows, as_json: bool, empty: str) -> None:
    """Rows for people or for programs; where there are none, the sentence for people."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        print_line(empty)
        return
    if not rows[0]:
        print_line(f"{len(rows):,} rows without columns.")
        return
    print_rows(rows)
