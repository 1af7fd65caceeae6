"""`feira show`, `verify` and `status` know every table and pipeline that is declared, and none by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from typer.testing import CliRunner

from feira.core.contracts import contract, contracts
from feira.core.contracts.ddl import iceberg_ddl, warehouse_ddl
from feira.core.contracts.evolution import Stored, compare
from feira.core.lake import landing_store
from feira.core.settings import LakeSettings
from feira_local.cli import app, pipelines, stack, tables
from feira_local.cli.day_report import day_report
from feira_local.stack import access
from feira_local.stack.airflow_api import AirflowApi
from feira_local.stack.errors import StackError
from feira_local.stack.postgres import Dsns
from reported_days import Shop
from reported_days import line as fact_line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

D1, D2 = date(2010, 12, 1), date(2010, 12, 2)


@pytest.fixture
def warehouse(
    empty_warehouse: Dsns, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psycopg.Connection]:
    monkeypatch.setattr(access, "warehouse_dsn", lambda role="reader": empty_warehouse.reader)
    # Marts that dbt's tests have built on the same server.
    with psycopg.connect(empty_warehouse.dbt, autocommit=True) as builder:
        for kind, named in (("TABLE", "tablename"), ("MATERIALIZED VIEW", "matviewname")):
            catalog = f"pg_{named.removesuffix('name')}s"
            query = f"SELECT {named} FROM {catalog} WHERE schemaname = 'marts'"
            for (name,) in builder.execute(query).fetchall():
                builder.execute(f"DROP {kind} marts.{name}")
    with psycopg.connect(empty_warehouse.warehouse_loader, autocommit=True) as loader:
        yield loader


def shown(*words: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["show", *words, "--json"], catch_exceptions=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def report(loader: psycopg.Connection, day: date, version: int) -> None:
    values = {
        "extract_day": day,
        "report_version": version,
        "snapshot_id": 1,
        "prepared_at": datetime(2010, 12, 3, tzinfo=UTC),
        **dict.fromkeys(("report_id", "report_uri", "figures", "sources"), "x"),
    }
    loader.execute(
        f"INSERT INTO sales.report_ledger ({', '.join(values)}) "
        f"VALUES ({', '.join(['%s'] * len(values))})",
        list(values.values()),
    )


@pytest.mark.parametrize(("table", "where"), [("fact", "warehouse"), ("quarantine", "lake")])
def test_show_asks_for_no_more_rows_than_it_shows(
    table: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def rows(server: str, query: str) -> list[dict[str, Any]]:
        asked.append((server, query))
        return []

    monkeypatch.setattr(tables, "spark_session", nullcontext)
    monkeypatch.setattr(tables, "asked_warehouse", lambda query, _: rows("warehouse", query))
    monkeypatch.setattr(tables, "lake_rows", lambda _, query, __: rows("lake", query))
    shown(table, "--limit", "7")
    ((server, query),) = asked
    assert (server, query.endswith(" LIMIT 7")) == (where, True)


def test_show_lists_every_table_of_every_contract() -> None:
    listed = {row["table"]: row for row in shown()}
    assert list(listed) == sorted(contracts())
    assert (listed["sales.fact"]["day"], listed["sales.fact"]["where"]) == (
        "extract_day",
        "lake, warehouse",
    )
    assert listed["sales.load_ledger"]["day"] == "extract_day"
    assert listed["marts.customer_lifetime_value"]["day"] is None


def test_a_table_is_shown_by_its_key_whole_or_of_one_day(warehouse: psycopg.Connection) -> None:
    warehouse.execute(warehouse_ddl(contract("sales.report_ledger")))
    for day, version in ((D2, 1), (D1, 2), (D1, 1)):
        report(warehouse, day, version)
    for name in ("sales.report_ledger", "report_ledger"):
        rows = shown(name)
        assert [(row["extract_day"], row["report_version"]) for row in rows] == [
            ("2010-12-01", 1),
            ("2010-12-01", 2),
            ("2010-12-02", 1),
        ]
    assert [row["report_version"] for row in shown(name, "--day", "2010-12-01")] == [1, 2]
    assert [row["report_version"] for row in shown(name, "-n", "1", "--day", "2010-12-01")] == [1]
    assert shown(name, "--day", "2010-12-03") == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["ledger"], "sales.load_ledger, sales.report_ledger"),
        (["nothing"], "marts.customer_lifetime_value"),
        (["fact; DROP TABLE x"], "'fact; DROP TABLE x' names no one table"),
        (["customer_lifetime_value", "--day", "2010-12-01"], "key is customer_id"),
        (["landing"], "name a day"),
        (["fact", "--day", "2010-12-1"], "is not a day"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(words: list[str], named: str) -> None:
    refused = CliRunner().invoke(app, ["show", *words])
    assert isinstance(refused.exception, StackError)
    assert named in str(refused.exception)


def test_a_name_that_two_schemas_have_needs_its_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {**contracts(), "stock.fact": replace(contract("sales.fact"), table="stock.fact")}
    monkeypatch.setattr(tables, "contracts", lambda: both)
    with pytest.raises(StackError, match=r"there are sales\.fact, stock\.fact\."):
        tables.find_table("fact")
    assert tables.find_table("stock.fact").table == "stock.fact"


@pytest.mark.parametrize(
    ("table", "step"),
    [
        ("sales.fact", "Run it: feira run sales --day 2010-12-01"),
        ("sales.report_ledger", "The pipeline summary makes them"),
    ],
)
def test_where_there_is_no_row_the_pipeline_that_makes_it_is_named(
    warehouse: psycopg.Connection, table: str, step: str
) -> None:
    warehouse.execute(warehouse_ddl(contract(table)))
    done = CliRunner().invoke(app, ["show", table, "--day", "2010-12-01"])
    assert f"{table} has no rows of 2010-12-01." in done.stdout
    assert step in done.stdout


def test_a_table_of_the_lake_alone_is_read_there(
    empty_lake: SparkSession, lake_for_commands: None
) -> None:
    empty_lake.sql("CREATE NAMESPACE IF NOT EXISTS lake.sales")
    empty_lake.sql(iceberg_ddl(contract("sales.quarantine")))
    empty_lake.sql(
        "INSERT INTO lake.sales.quarantine VALUES "
        "(DATE '2010-12-01', 1, 7, '{}', array('sku_blank')), "
        "(DATE '2010-12-01', 1, 3, '[', array('line_unreadable')), "
        "(DATE '2010-12-02', 1, 0, '{}', array('sku_null'))"
    )
    rows = shown("quarantine", "--day", "2010-12-01")
    assert [(row["landing_order"], row["broken_rules"]) for row in rows] == [
        (3, ["line_unreadable"]),
        (7, ["sku_blank"]),
    ]


@pytest.fixture
def lake_for_commands(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands' Spark is the tests' own."""

    @contextmanager
    def opened() -> Iterator[SparkSession]:
        yield spark

    monkeypatch.setattr(tables, "spark_session", opened)


def test_the_landings_of_a_day_are_listed_with_their_verdict(
    lake: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feira.core.landing.land import land_day
    from feira.sales.landing import LANDED
    from sales_lines import FakeFeed, line

    monkeypatch.setattr(access, "lake_settings", lambda: lake)
    day = date(2010, 11, 30)
    store = landing_store(lake, LANDED.name)
    land_day(LANDED, FakeFeed([[line()]]), store, day, requested_by="run-1")
    (row,) = shown("landing", "--day", str(day))
    assert (row["landing_version"], row["lines"], row["gate"]) == (1, 1, "not validated")
    assert row["folder"].endswith("landing/sales/2010-11-30/v0001")
    rates = shown("fx_rates", "--day", str(day))
    assert [tuple(rate.values()) for rate in rates] == [
        ("2010-11-26", "EUR", "1.32000000"),
        ("2010-11-30", "GBP", "1.55470000"),
        ("2010-12-01", "USD", "1.00000000"),
    ]
    assert shown("fx_rates", "--day", str(day), "-n", "1") == rates[:1]
    assert shown("fx_rates", "--day", "2010-11-29") == []


def test_verify_holds_every_table_against_its_contract(
    empty_lake: SparkSession,
    lake_for_commands: None,
    warehouse: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "published", lambda *_: {"sales.fact": {"rows": 0}})
    empty_lake.sql("CREATE NAMESPACE IF NOT EXISTS lake.sales")
    for table in ("sales.fact", "sales.order_lines"):
        empty_lake.sql(iceberg_ddl(contract(table)))
    warehouse.execute(warehouse_ddl(contract("sales.report_ledger")))

    def verified() -> dict[tuple[str, str], tuple[int | None, str]]:
        done = CliRunner().invoke(app, ["verify", "--json"], catch_exceptions=False)
        found = json.loads(done.stdout)["tables"]
        return {(row["table"], row["where"]): (row["rows"], row["state"]) for row in found}

    states = verified()
    declared = {
        (each.table, where)
        for each in contracts().values()
        for where in each.servers
        if where in ("lake", "warehouse")
    }
    assert states.keys() == declared
    assert states["sales.fact", "lake"] == (0, "as declared")
    assert states["sales.quarantine", "lake"] == (None, "not made yet")
    assert states["sales.report_ledger", "warehouse"] == (0, "as declared")

    warehouse.execute("ALTER TABLE sales.report_ledger DROP COLUMN cause, ADD COLUMN other text")
    with pytest.raises(StackError) as refusal:
        verified()
    assert "sales.report_ledger in the warehouse" in str(refusal.value)
    assert "no column cause" in str(refusal.value) and "other" in str(refusal.value)


@contextmanager
def no_spark() -> Iterator[None]:
    yield


def verified_without(monkeypatch: pytest.MonkeyPatch, *lost: str) -> tuple[set[str], bool, str]:
    """The tables that `feira verify --json` finds lost, what it says of all, and its error, where the lake
    has all tables but the lost ones."""
    lake = [
        tables._row(
            each, "lake", *((None, None) if each.table in lost else (1, compare(each, Stored(of))))
        )
        for each in contracts().values()
        if "lake" in each.servers
        for of in [{column.name: column.type for column in each.columns}]
    ]
    monkeypatch.setattr(tables, "spark_session", no_spark)
    monkeypatch.setattr(tables, "in_lake", lambda _: iter(lake))
    monkeypatch.setattr(tables, "published", lambda *_: {})
    done = CliRunner().invoke(app, ["verify", "--json"])
    found = json.loads(done.stdout)
    named = {each["table"] for each in found["tables"] if each["state"] == tables.LOST}
    assert isinstance(done.exception, StackError) is bool(named)
    return named, found["equal"], str(done.exception or "")


def load(loader: psycopg.Connection) -> None:
    """A row in the ledger of sales, whatever it says."""
    ledger = contract("sales.load_ledger")
    words = {"date": "2010-12-01", "timestamp": "2010-12-03T00:00:00Z", "string": "x"}
    values = [words.get(column.type, "1") for column in ledger.columns]
    loader.execute(
        f"INSERT INTO sales.load_ledger ({', '.join(column.name for column in ledger.columns)}) "
        f"VALUES ({', '.join(['%s'] * len(values))})",
        values,
    )


def test_a_table_that_is_missing_after_its_pipeline_has_run_is_wrong(
    warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sales.fact", "sales.load_ledger"):
        warehouse.execute(warehouse_ddl(contract(name)))
    # Made by a migration, or by a first run that has not come to its end.
    assert verified_without(monkeypatch, "sales.quarantine") == (set(), True, "")
    load(warehouse)
    # The summary has not run yet.
    assert verified_without(monkeypatch) == (set(), True, "")
    named, equal, error = verified_without(monkeypatch, "sales.quarantine", "sales.order_lines")
    assert (named, equal) == ({"sales.quarantine", "sales.order_lines"}, False)
    assert "sales.quarantine in the lake: missing" in error
    warehouse.execute("DROP TABLE sales.fact")
    assert verified_without(monkeypatch)[:2] == ({"sales.fact"}, False)


def test_a_mart_that_is_missing_after_a_day_was_reported_is_wrong(
    warehouse: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.execute(warehouse_ddl(contract("sales.report_ledger")))
    assert verified_without(monkeypatch) == (set(), True, "")
    report(warehouse, D1, 1)
    marts = {each for each in contracts() if each.startswith("marts.")}
    assert verified_without(monkeypatch)[:2] == (marts, False)


def test_the_ledger_of_reports_is_wrong_where_it_is_missing_and_marts_have_rows(
    warehouse: psycopg.Connection, empty_warehouse: Dsns, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(empty_warehouse.dbt, autocommit=True) as dbt:
        for name in ("customer_lifetime_value", "daily_revenue", "month_summary"):
            dbt.execute(warehouse_ddl(contract(f"marts.{name}")))
        dbt.execute(warehouse_ddl(contract("marts.product_performance")))
        # Made by a migration.
        assert verified_without(monkeypatch) == (set(), True, "")
        dbt.execute("INSERT INTO marts.daily_revenue VALUES ('2010-12-01', 1, 1, 1, 0)")
        assert verified_without(monkeypatch)[:2] == ({"sales.report_ledger"}, False)


def test_a_days_figures_are_those_of_the_pipeline_that_ran(
    warehouse: psycopg.Connection, lake: LakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(lake, root=f"{lake.root}/figures")
    monkeypatch.setattr(access, "lake_settings", lambda: own)
    nothing = day_report("sales", D1)
    assert (nothing.table, nothing.rows, nothing.agreed) == ("sales.fact", None, None)
    assert nothing.sums == {"revenue USD": None}

    shop = Shop(warehouse, landing_store(own, "sales"))
    shop.run(D1, [fact_line("1", D1, "10.2500"), fact_line("2", D1, "5.0000", status="pending")])
    found = day_report("sales", D1)
    assert (found.rows, found.sums, found.agreed) == (2, {"revenue USD": Decimal("10.2500")}, True)
    # Another pipeline publishes nothing, and says so rather than the figures of sales.
    other = day_report("countries", D1)
    assert (other.table, other.rows, other.sums, other.landed) == (None, None, {}, None)


def test_status_has_each_pipelines_last_events_and_its_tables() -> None:
    class Airflow(AirflowApi):
        def _call(self, method: str, path: str, **arguments: Any) -> Any:
            asked = arguments["params"]
            if path == "/ui/partitioned_dag_runs":
                assert asked == {"has_created_dag_run_id": "false"}
                keys = ("2010-12-03", "2010-12-02")
                half = [{"dag_id": "sales_watch", "partition_key": key} for key in keys]
                return {"partitioned_dag_runs": half, "total": 2}
            if path == "assets":
                names = (
                    ("x_sales_fact", "sales_fact") if asked["name_pattern"] == "sales_fact" else ()
                )
                return {"assets": [{"name": name, "id": n} for n, name in enumerate(names, 1)]}
            assert (path, asked["asset_id"], asked["order_by"]) == (
                "assets/events",
                2,
                "-timestamp",
            )
            return {
                "asset_events": [
                    {"partition_key": "2010-12-02", "timestamp": "2026-11-01T10:00:00Z"}
                ]
            }

    found = {each["pipeline"]: each for each in pipelines.states(Airflow("http://airflow", str))}
    assert found.keys() >= {"sales", "summary"}
    assert found["sales"]["assets"] == [
        {"asset": "sales_fact", "partition": "2010-12-02", "at": "2026-11-01T10:00:00Z"}
    ]
    assert "sales.fact" in found["sales"]["tables"]
    assert found["sales"]["dags"] == ["sales_etl", "sales_watch"]
    assert (found["sales"]["waiting"], found["summary"]["waiting"]) == (2, 0)
    assert found["summary"]["assets"] == [{"asset": "sales_summary", "partition": None, "at": None}]


def test_status_prints_an_assets_last_event_beside_its_pipelines_tables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = {"partition": "2010-12-02", "at": "2026-11-01T10:00:07.5Z"}
    assets = [{"asset": "fact", **at}, {"asset": "other", "partition": None, "at": None}]
    two = {
        "pipeline": "sales",
        "dags": ["etl"],
        "tables": ["sales.fact", "sales.raw"],
        "assets": assets,
        "waiting": 3,
    }
    stack._print_pipelines([two, {**two, "pipeline": "quiet", "assets": [], "waiting": 0}])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[1:] == [
        [
            "sales",
            "fact[2010-12-02]",
            "2026-11-01",
            "10:00",
            "UTC",
            "3",
            "sales.fact,",
            "sales.raw",
        ],
        ["other", "none", "yet"],
        ["quiet", "none", "none", "yet", "sales.fact,", "sales.raw"],
    ]
    stack._print_pipelines([])
    assert capsys.readouterr().out == ""
