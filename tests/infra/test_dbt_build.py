"""Building the marts again, after a change, and when something is wrong."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from feira.core.contracts import Column, Contract, contracts
from feira.core.contracts.dbt import write_declared
from feira.core.contracts.ddl import warehouse_type
from feira.core.settings import repository_root
from feira_airflow.summary.marts import MartsError, build_marts, dbt_env
from feira_local.cli.tables import DECLARED, in_warehouse

Line = Callable[..., dict[str, Any]]
PROJECT = repository_root() / "infra" / "dbt"
TOTALS = """
    select 'month_summary' as mart, sum(revenue) as revenue from marts.month_summary
    union all select 'daily_revenue', sum(revenue) from marts.daily_revenue
    union all select 'product_performance', sum(revenue) from marts.product_performance
    union all select 'customer_lifetime_value', sum(revenue) from marts.customer_lifetime_value
"""


def test_every_mart_has_the_columns_and_types_of_its_contract(warehouse) -> None:
    warehouse.build()
    found = warehouse.rows(
        """
        select c.relname as mart, c.relkind::text as kind,
               array_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod) order by a.attnum)
               as columns
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'marts'::regnamespace and c.relkind in ('r', 'm') and a.attnum > 0
        group by c.relname, c.relkind
        """
    )
    declared = {
        table.removeprefix("marts."): (
            "m" if contract.physical_type == "materialized_view" else "r",
            [f"{column.name} {warehouse_type(column)}" for column in contract.columns],
        )
        for table, contract in contracts().items()
        if table.startswith("marts.")
    }
    assert {row["mart"]: (row["kind"], row["columns"]) for row in found} == declared


def test_every_mart_follows_rows_that_change_and_leave(warehouse, fact_line: Line) -> None:
    warehouse.put(fact_line("A", 1, amount_usd="10"), fact_line("B", 1, amount_usd="5"))
    warehouse.build()
    assert {row["revenue"] for row in warehouse.rows(TOTALS)} == {15}

    warehouse.change("update sales.fact set amount_usd = 7 where order_id = 'A'")
    warehouse.change("delete from sales.fact where order_id = 'B'")
    warehouse.build()
    assert {row["mart"]: row["revenue"] for row in warehouse.rows(TOTALS)} == {
        "month_summary": 7,
        "daily_revenue": 7,
        "product_performance": 7,
        "customer_lifetime_value": 7,
    }


def test_the_marts_are_built_as_verify_holds_them_to_be(warehouse, fact_line: Line) -> None:
    warehouse.put(fact_line("A", 1, amount_usd="10"))
    warehouse.build()
    with psycopg.connect(warehouse.dsns.reader) as reader:
        found = {each["table"]: each for each in in_warehouse(reader)}
    marts = [table for table in found if table.startswith("marts.")]
    assert len(marts) == 4
    assert {(found[table]["rows"], found[table]["state"]) for table in marts} == {(1, DECLARED)}


def test_a_build_ends_although_loads_come_all_the_while(
    warehouse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    warehouse.build()
    wholes: list[bool] = []

    def run(*_: Any, whole: bool, **of: Any) -> list[Any]:
        wholes.append(whole)
        return []

    monkeypatch.setattr("feira_airflow.summary.marts._run", run)
    monkeypatch.setattr("feira_airflow.summary.marts.finish", lambda *_: False)
    assert warehouse.build() == {}
    assert wholes[0] and 1 < len(wholes) < 10
    assert "loads came" in caplog.text


@pytest.mark.slow
def test_a_materialised_view_is_kept_while_its_sql_is_the_same(warehouse) -> None:
    def identity() -> int:
        return warehouse.rows("select 'marts.month_summary'::regclass::oid as oid")[0]["oid"]

    warehouse.build()
    before = identity()
    warehouse.build()
    assert identity() == before


@pytest.mark.slow
def test_a_materialised_view_is_rebuilt_when_its_sql_changes(
    warehouse, project: Path, tmp_path: Path, fact_line: Line
) -> None:
    warehouse.put(fact_line("A", 1, amount_usd="10"))
    warehouse.build()
    edit(project, "month_summary", "sum(line_count)", "sum(line_count) + 100")
    for _ in range(2):  # rebuilt, then refreshed
        warehouse.build(project, tmp_path / "target")
        assert warehouse.rows("select line_count from marts.month_summary") == [{"line_count": 101}]
    warehouse.build()
    assert warehouse.rows("select line_count from marts.month_summary") == [{"line_count": 1}]


@pytest.mark.slow
def test_an_added_column_reaches_marts_that_exist(
    warehouse, project: Path, tmp_path: Path, fact_line: Line
) -> None:
    warehouse.put(fact_line("A", 1, amount_usd="10"))
    warehouse.build()
    wider = declaring(
        month_summary="total_value", daily_revenue="highest", product_performance="lowest"
    )
    edit(
        project, "month_summary", "    line_count,\n    {{", "    line_count, total_value,\n    {{"
    )
    for mart, added in (
        ("daily_revenue", "max(amount_usd) as highest"),
        ("product_performance", "min(revenue) as lowest"),
    ):
        edit(project, mart, "with summed as (\n  select", f"with summed as (\n  select {added},")
    warehouse.build(project, tmp_path / "target", wider, whole=False)
    for mart, column in (
        ("month_summary", "total_value"),
        ("daily_revenue", "highest"),
        ("product_performance", "lowest"),
    ):
        assert warehouse.rows(f"select {column}::text as it from marts.{mart}") == [
            {"it": "10.0000"}
        ]


@pytest.mark.slow
def test_a_declared_column_that_the_model_does_not_select_is_named(
    warehouse, project: Path, tmp_path: Path, fact_line: Line
) -> None:
    warehouse.put(fact_line("A", 1, amount_usd="10"))
    warehouse.build()
    with pytest.raises(MartsError, match=r'^marts\.daily_revenue .*not built: .*"refunds"'):
        warehouse.build(project, tmp_path / "target", declaring(daily_revenue="refunds"))
    assert warehouse.rows("select revenue::int from marts.daily_revenue") == [{"revenue": 10}]


def test_a_mart_that_breaks_its_contract_is_named_with_rule_and_rows(
    warehouse, project: Path, tmp_path: Path, fact_line: Line
) -> None:
    warehouse.put(
        fact_line("A", 1, sku="1"),
        fact_line("A", 2, sku="2"),
        fact_line("A", 3, sku="2", status="lost"),
    )
    edit(
        project,
        "product_performance",
        "from summed\n",
        "from summed cross join (values (1), (2)) as twice\n",
    )
    edit(project, "daily_revenue", "count(case", "nullif(1, 1) + count(case")
    with pytest.raises(MartsError) as raised:
        warehouse.build(project, tmp_path / "target")
    *failures, next_step = str(raised.value).splitlines()
    assert {
        re.sub(r" breaks .*: (\d+) where", r" \1", text.split(". ")[0]) for text in failures
    } == {
        "marts.daily_revenue 1 line_count is null",
        "marts.month_summary 1 status is not one of pending, completed, shipped, failed, cancelled",
        "marts.product_performance 4 the key (sku) is repeated",
    }
    assert all(
        "infra/dbt/models/marts/" in text and "shared/contracts/marts." in text for text in failures
    )
    assert "clear the task" in next_step


@pytest.mark.slow
def test_what_editors_keep_beside_an_open_file_is_of_no_build(
    warehouse, project: Path, tmp_path: Path
) -> None:
    marts = project / "models" / "marts"
    (marts / ".daily_revenue.sql.swp").write_bytes(b"b0VIM \x8c\xff")
    (marts / ".#daily_revenue.sql").symlink_to("me@host.123:456")
    (project / "picture.bin").write_bytes(b"\xff\xfe")
    assert warehouse.build(project, tmp_path / "target")


def test_a_warehouse_that_does_not_answer_is_named(warehouse, tmp_path: Path) -> None:
    nowhere = make_conninfo(warehouse.dsns.dbt, port=1)
    with pytest.raises(MartsError, match=r"not built: .*port 1 ") as raised:
        build_marts(nowhere, project_dir=PROJECT, target_dir=tmp_path)
    assert "\n" not in str(raised.value)


def test_dbt_connects_with_the_options_of_the_connection(warehouse, tmp_path: Path) -> None:
    """The test's server speaks no TLS: with sslmode dropped this would be built."""
    strict = make_conninfo(warehouse.dsns.dbt, sslmode="require")
    with pytest.raises(MartsError, match=r"not built: .*SSL"):
        build_marts(strict, project_dir=PROJECT, target_dir=tmp_path)


def test_the_tests_of_the_sources_pass_on_a_valid_fact(
    warehouse, project: Path, fact_line: Line, tmp_path: Path
) -> None:
    """They are left out of a build and are there to be run by hand."""
    from dbt.cli.main import dbtRunner

    warehouse.put(fact_line("A", 1), fact_line("A", 2))
    write_declared(project)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in dbt_env(warehouse.dsns.dbt, tmp_path).items():
            patch.setenv(name, value)
        folders = ["--project-dir", str(project), "--profiles-dir", str(project)]
        outcome = dbtRunner().invoke(
            [
                *("--log-path", str(warehouse.scratch / "logs"), "test", *folders),
                *("--target-path", str(warehouse.scratch)),
                *("--select", "source:sales.fact"),
            ]
        )
    assert outcome.success
    assert [str(result.status) for result in outcome.result.results] == ["pass"]


def test_nothing_is_left_but_in_the_scratch_folder_and_no_password_at_all(
    warehouse, project: Path, tmp_path: Path
) -> None:
    files = sorted(path for path in project.rglob("*"))
    environment = dict(os.environ)
    warehouse.build(project, tmp_path / "target")
    assert sorted(path for path in project.rglob("*")) == files
    assert dict(os.environ) == environment
    password = str(conninfo_to_dict(warehouse.dsns.dbt)["password"]).encode()
    written = [path for path in (tmp_path / "target").rglob("*") if path.is_file()]
    assert tmp_path / "target/partial_parse.msgpack" in written
    assert [path for path in written if password in path.read_bytes()] == []


@pytest.mark.slow
def test_a_build_clears_away_what_a_killed_one_left(warehouse) -> None:
    with psycopg.connect(warehouse.dsns.dbt) as dbt:
        dbt.execute("create table marts.daily_revenue__dbt_tmp (x integer)")
        dbt.execute("create table marts.daily_revenue__dbt_backup (x integer)")
    warehouse.scratch.mkdir(exist_ok=True)
    (warehouse.scratch / "partial_parse.msgpack").write_bytes(b"half a fi")
    warehouse.build()
    with psycopg.connect(warehouse.dsns.dbt) as dbt:
        names = dbt.execute(
            "select relname from pg_class where relnamespace = 'marts'::regnamespace and relkind <> 'i'"
        ).fetchall()
    marts = {table.split(".")[1] for table in contracts() if table.startswith("marts.")}
    assert {name for (name,) in names} == marts


def declaring(**added: str) -> dict[str, Contract]:
    """The contracts with an optional amount more in that of each mart."""
    tables = dict(contracts())
    for mart, column in added.items():
        declared = tables[f"marts.{mart}"]
        gained = (*declared.columns, Column(column, "decimal(38,4)", required=False))
        tables[declared.table] = dataclasses.replace(declared, columns=gained)
    return tables


def edit(project: Path, mart: str, old: str, new: str) -> None:
    """Replaces one piece of a mart's SQL."""
    model = project / f"models/marts/{mart}.sql"
    before, after = model.read_text().split(old)
    model.write_text(before + new + after)


@pytest.mark.slow
def test_a_release_builds_them_by_the_connection_of_dbt(
    warehouse,
    fact_line: Line,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from feira_airflow.summary.__main__ import build

    warehouse.put(fact_line("A", 1, amount_usd="10"))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DBT", warehouse.dsns.dbt)
    build(warehouse.scratch)
    assert "daily_revenue: 1 rows" in capsys.readouterr().out
    assert {row["revenue"] for row in warehouse.rows(TOTALS)} == {10}
