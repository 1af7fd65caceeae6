"""`feira show`, `sql`, `verify` and `migrate`: looking at the data, and bringing it to its contracts."""

from __future__ import annotations

import logging
import re
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from feira_local.cli.output import AsJson, print_json, print_line, print_rows, shortened
from feira_local.cli.runs import parse_day
from feira_local.stack.errors import StackError
from feira_local.stack.lake_access import (
    landings,
    no_table,
    spark_session,
    warehouse,
    whole_lake_figures,
)

if TYPE_CHECKING:
    import psycopg
    from pyspark.sql import DataFrame, SparkSession
    from sqlglot.errors import SqlglotError

Rows = list[dict[str, Any]]
Day = Annotated[str, typer.Option("--day", help="The extract day, in UTC.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="Rows at most.")]


# They can end the server, or write: SELECT java_method('java.lang.System', 'exit', 1).
_CALLS_JAVA = ("java_method", "reflect", "try_reflect")


def register(app: typer.Typer) -> None:
    show = typer.Typer(help="Look at the rows of one day.", no_args_is_help=True)
    show.command("fact")(show_fact)
    show.command("quarantine")(show_quarantine)
    show.command("ledger")(show_ledger)
    app.add_typer(show, name="show")
    app.command("sql")(sql)
    app.command("verify")(verify)
    app.command("migrate")(migrate)


def show_fact(day: Day, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Fact rows of one extract day, from the warehouse.

    Example: [bold]feira show fact --day 2010-12-01[/]
    """
    rows = _warehouse_rows(
        "SELECT order_id, line_number, sku, description, quantity, unit_price, currency, status, "
        "customer_id, country, order_date, amount_usd, line_kind FROM sales.fact "
        "WHERE extract_day = %s ORDER BY order_id, line_number LIMIT %s",
        [parse_day(day), limit],
    )
    _print(rows, as_json, empty=f"No fact rows of {day}. Run it: feira run sales --day {day}")


def show_quarantine(day: Day, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Quarantined lines of one day, as they came, with every rule they break.

    Example: [bold]feira show quarantine --day 2010-12-01[/]
    """
    with spark_session() as spark:
        found = spark.sql(
            "SELECT landing_version, landing_order, broken_rules, raw FROM lake.sales.quarantine "
            "WHERE extract_day = :day ORDER BY landing_version, landing_order LIMIT :limit",
            args={"day": parse_day(day), "limit": limit},
        ).collect()
    rows = [{**row.asDict(), "broken_rules": ", ".join(row["broken_rules"])} for row in found]
    _print(rows, as_json, empty=f"Nothing of {day} is in quarantine.")


def show_ledger(day: Day, as_json: AsJson = False) -> None:
    """What landings there are of a day, and what the warehouse has loaded of them.

    Example: [bold]feira show ledger --day 2010-12-01[/]
    """
    loaded = {
        row["landing_version"]: row
        for row in _warehouse_rows(
            "SELECT landing_version, contract_version, landed_lines, valid_lines, day_rows, "
            "day_revenue, inserted_rows, updated_rows, deleted_rows, snapshot_id, loaded_at, "
            "agreed_snapshot_id FROM sales.load_ledger WHERE extract_day = %s "
            "ORDER BY landing_version, load_sequence",
            [parse_day(day)],
        )
    }
    store, rows = landings(), []
    for manifest in store.complete(parse_day(day)):
        validation = store.validation(manifest.extract_day, manifest.version)
        gate = (
            "not validated" if validation is None else "passed" if validation.passed else "failed"
        )
        known = dict(loaded.get(manifest.version, {}))
        rows.append(
            {"landing_version": manifest.version, "lines": manifest.total, "gate": gate} | known
        )
    _print(rows, as_json, empty=f"{day} was never landed. Run it: feira run sales --day {day}")


def sql(
    query: Annotated[str, typer.Argument(help="One reading statement.")],
    on: Annotated[
        Literal["lake", "warehouse"] | None,
        typer.Option("--on", help="Where; the lake if the query names lake., else the warehouse."),
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Ask the lake (Spark SQL, tables lake.sales.…) or the warehouse (sales.…, marts.…).

    Example: [bold]feira sql "SELECT * FROM marts.daily_revenue ORDER BY order_date"[/]
    """
    where = on or ("lake" if "lake." in query.lower() else "warehouse")
    _require_reading(query, "spark" if where == "lake" else "postgres")
    if where == "warehouse":
        rows = _warehouse_rows(query, None, limit)
    else:
        with spark_session() as spark:
            rows = lake_rows(spark, query, limit)
    _print(rows, as_json, empty="No rows.")


_DIALECTS = {"spark": "Spark", "postgres": "PostgreSQL"}


def _require_reading(query: str, dialect: str) -> None:
    """Spark on a laptop has no users, so the command itself refuses to write."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if "\0" in query or any("\ud800" <= character <= "\udfff" for character in query):
        raise StackError("The query holds a NUL or half a character; write it as plain text.")
    # It warns of each statement that it does not look into.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        statements = [each for each in sqlglot.parse(query, read=dialect) if each is not None]
    except SqlglotError as error:
        raise StackError(f"The query is no {_DIALECTS[dialect]} SQL: {_reason(error)}") from error
    except RecursionError as error:
        raise StackError("The query is nested too deeply; write it flatter.") from error
    if len(statements) != 1:
        raise StackError(f"`feira sql` takes one statement; there are {len(statements)}.")
    statement = statements[0]
    for call in statement.find_all(exp.Anonymous):
        if call.name.lower() in _CALLS_JAVA:
            raise StackError(
                f"`feira sql` only reads, and {call.name} runs any method of Spark's own process."
            )
    reads = isinstance(statement, (exp.Query, exp.Values, exp.Describe, exp.Show)) or (
        # What sqlglot does not look into.
        isinstance(statement, exp.Command) and statement.name.upper() in ("SHOW", "EXPLAIN")
    )
    if not reads:
        kind = statement.name if isinstance(statement, exp.Command) else statement.key
        raise StackError(
            f"`feira sql` only reads, and this is {kind.upper()}. Tables are changed by "
            "the pipelines and by `feira migrate`."
        )


def _reason(error: SqlglotError) -> str:
    """Where a query stops being SQL, without the parser's own view of its tokens."""
    for found in getattr(error, "errors", []):
        what = str(found["description"]).partition(" but got <Token")[0].rstrip(".")
        if "<class" in what:
            what = "Something is missing"
        near = f" at {shortened(found['highlight'])!r}" if found.get("highlight") else ""
        return f"{what}{near}, line {found['line']}, column {found['col']}."
    return shortened(str(error).splitlines()[0], 300)


def verify(as_json: AsJson = False) -> None:
    """Compare the whole fact in lake and warehouse: rows, revenue and a hash of each order date.

    Example: [bold]feira verify[/]
    """
    from feira.core.warehouse.reconcile import ReconcileError, verify_whole
    from feira_spark.sales import difference

    with spark_session() as spark, warehouse() as connection:
        try:
            agreed = verify_whole(
                connection,
                partial(whole_lake_figures, spark),
                partial(difference.lake_rows, spark),
            )
        except ReconcileError as error:
            raise StackError(str(error)) from error
    if as_json:
        print_json({"equal": True, **agreed.__dict__})
        return
    print_line(
        f"Lake and warehouse are equal at snapshot {agreed.snapshot_id}: "
        f"{agreed.rows:,} rows on {agreed.dates:,} order dates, {agreed.revenue:,.2f} USD.",
        style="green",
    )


def migrate(as_json: AsJson = False) -> None:
    """Bring lake, warehouse and marts to their contracts: new tables and added columns.

    A change that a table cannot take is refused before anything is changed.

    Example: [bold]feira migrate[/]
    """
    from feira_local.migrate import migrate as run_migration

    done = run_migration()
    if as_json:
        print_json(done)
        return
    for line in done or ["Everything is as the contracts declare it."]:
        print_line(line)


def _warehouse_rows(query: str, values: list[Any] | None, limit: int | None = None) -> Rows:
    with warehouse() as connection:
        return warehouse_rows(connection, query, values, limit)


# Python has no year 10000, no infinite day, no 24:00 and no month of an interval: PostgreSQL's own text.
_AS_TEXT = ("date", "time", "timetz", "timestamp", "timestamptz", "interval", "bytea")


def warehouse_rows(
    connection: psycopg.Connection, query: str, values: list[Any] | None, limit: int | None = None
) -> Rows:
    """The rows of a query, columns of one name numbered; StackError with PostgreSQL's reason."""
    import psycopg
    from psycopg.types.string import TextLoader

    cursor = connection.cursor()
    for name in _AS_TEXT:
        cursor.adapters.register_loader(name, TextLoader)
    try:
        cursor.execute(query.encode(), values)
        found = cursor.fetchmany(limit) if limit else cursor.fetchall()
    except psycopg.errors.UndefinedTable as error:
        raise StackError(no_table(error)) from error
    except (psycopg.Error, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StackError(f"The warehouse refused the query: {reason}") from error
    names = unique_names([column.name for column in cursor.description or ()])
    return [dict(zip(names, row, strict=True)) for row in found]


def lake_rows(spark: SparkSession, query: str, limit: int) -> Rows:
    """As ``warehouse_rows``, from the lake; what Spark itself refuses is raised as it is."""
    from pyspark.errors import PySparkException

    try:
        found = spark.sql(query).limit(limit)
        names = unique_names(found.columns)
        rows = _as_text(found).collect()
    except PySparkException:  # some of them are a ValueError too
        raise
    except (ValueError, OverflowError) as error:
        raise StackError(
            f"The result holds a value that Python cannot hold ({error}); cast it to string."
        ) from error
    return [dict(zip(names, row, strict=True)) for row in rows]


# As _AS_TEXT, for Spark: neither Python nor Arrow has all of their values.
_SPARK_AS_TEXT = re.compile(r"\b(date|time|timestamp|timestamp_ntz|interval|variant)\b")


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


def unique_names(names: list[str]) -> list[str]:
    """Column names, of which the second ``a`` is ``a (2)``: no column hides another."""
    unique: list[str] = []
    for name in names:
        candidate, number = name, 1
        while candidate in unique or (number > 1 and candidate in names):
            number += 1
            candidate = f"{name} ({number})"
        unique.append(candidate)
    return unique


def _print(rows: Rows, as_json: bool, empty: str) -> None:
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
