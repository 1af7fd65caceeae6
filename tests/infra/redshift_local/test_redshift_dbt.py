"""The dbt project on Redshift: dbt-redshift builds what dbt-postgres builds of the same fact."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from feira.core.contracts import contracts
from feira.core.contracts.ddl import warehouse_type
from feira_airflow.summary.marts import MartsError, build_marts, dbt_env
from feira_local.stack.postgres import Dsns
from redshift_local.wire.server import wire

pytestmark = pytest.mark.slow

Line = Callable[..., dict[str, Any]]
MARTS = ("customer_lifetime_value", "daily_revenue", "month_summary", "product_performance")
STATUSES = ("completed", "completed", "completed", "shipped", "pending", "failed", "cancelled")


@pytest.fixture
def redshift(redshift_dsn: str, tmp_path_factory: pytest.TempPathFactory, server) -> Iterator[Any]:
    """The empty fact in what stands for Redshift, all roles being one; without marts."""
    with wire(redshift_dsn) as port:
        dsn = f"postgresql://any:any@127.0.0.1:{port}/dev?sslmode=disable"
        dsns = Dsns(**{each.name: dsn for each in fields(Dsns)})
        warehouse = type(server)(dsns, tmp_path_factory.mktemp("dbt-redshift"), "redshift")
        warehouse.change("create schema sales")
        try:
            warehouse.empty()
            yield warehouse
        finally:
            for schema in ("sales", "marts", "intermediate"):
                warehouse.change(f"drop schema if exists {schema} cascade")


def drawn_lines(fact_line: Line, seed: int) -> list[dict[str, Any]]:
    """Some hundred lines, in which each case of the marts' tests comes up."""
    draw = random.Random(seed)
    lines = []
    for number in range(120):
        order_id = draw.choice("ABab") + str(number)
        status = draw.choice(STATUSES)
        first = date(2010, 12, 25) + timedelta(days=draw.randrange(40))
        customer = draw.choice((None, *range(12_346, 12_366)))
        for line in range(1, draw.randint(2, 5)):
            sold = -1 if status == "cancelled" else 1
            lines.append(
                fact_line(
                    order_id,
                    line,
                    status=draw.choice((status, status, status, "failed")),
                    sku=draw.choice(("10002", "10080", "22423", "85123A", "POST")),
                    line_kind=draw.choice(("product", "product", "product", "postage")),
                    description=draw.choice((None, "white hanging heart", "WHITE HANGING HEART")),
                    quantity=sold * draw.randint(1, 2_000_000_000),
                    amount_usd=sold * Decimal(draw.randint(1, 99_999)) / 10_000,
                    order_date=first + timedelta(days=draw.choice((0, 0, 0, 1))),
                    updated_at=datetime(2011, 2, 1, draw.randrange(3), tzinfo=UTC),
                    customer_id=customer,
                )
            )
    return lines


def of_marts(warehouse: Any) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every mart; amounts as texts, so that their scale counts too."""
    return {
        mart: sorted(
            (
                tuple(str(value) if isinstance(value, Decimal) else value for value in row.values())
                for row in warehouse.rows(f"select * from marts.{mart}")
            ),
            key=repr,
        )
        for mart in MARTS
    }


# An average of theirs lies half way between two amounts, or is as large as amounts are.
def halves(fact_line: Line) -> list[dict[str, Any]]:
    def of_month(order_id: str, **known: Any) -> dict[str, Any]:
        return fact_line(order_id, 1, order_date=date(2012, 5, 1), **known)

    return [
        of_month("A", amount_usd="0.0002"),
        of_month("B", amount_usd="0.0003"),
        of_month("C", amount_usd="-0.0002", status="cancelled"),
        of_month("D", amount_usd="-0.0003", status="cancelled"),
        of_month("E", amount_usd="99999999.9999", status="shipped"),
    ]


def test_the_marts_equal_those_that_postgresql_has_of_the_same_fact(
    redshift, warehouse, fact_line: Line
) -> None:
    for seed in (1, 2):
        lines = drawn_lines(fact_line, seed) + halves(fact_line)
        for side in (redshift, warehouse):
            side.empty()
            side.put(*lines)
        # The first build creates, the second replaces and refreshes.
        assert redshift.build() == warehouse.build()
        found = of_marts(redshift)
        assert found == of_marts(warehouse)
        assert min(len(rows) for rows in found.values()) >= 4
    rows = redshift.rows(
        "select status, average_order_value as average from marts.month_summary "
        "where order_month = '2012-05-01'"
    )
    assert {row["status"]: str(row["average"]) for row in rows} == {
        "completed": "0.0003",
        "cancelled": "-0.0003",
        "shipped": "99999999.9999",
    }
    assert columns_of_marts(redshift) == {
        table.removeprefix("marts."): [
            f"{column.name} {warehouse_type(column, 'redshift')}".replace(
                "varchar", "character varying"
            )
            for column in contract.columns
        ]
        for table, contract in contracts().items()
        if table.startswith("marts.")
    }


def columns_of_marts(warehouse: Any) -> dict[str, list[str]]:
    """The columns of each mart in order, with their types."""
    found = warehouse.rows(
        "select c.relname as mart, a.attname || ' ' || format_type(a.atttypid, a.atttypmod) as column_type "
        "from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "join pg_attribute a on a.attrelid = c.oid "
        "where n.nspname = 'marts' and c.relkind in ('r', 'm') and a.attnum > 0 order by a.attnum"
    )
    columns: dict[str, list[str]] = {}
    for row in found:
        columns.setdefault(row["mart"], []).append(row["column_type"])
    return columns


@pytest.mark.slow
def test_a_materialised_view_is_refreshed_and_rebuilt_when_its_sql_changes(
    redshift, project: Path, tmp_path: Path, fact_line: Line
) -> None:
    def identity() -> int:
        (row,) = redshift.rows("select cast('marts.month_summary'::regclass as bigint) as oid")
        return int(row["oid"])

    redshift.put(fact_line("A", 1, amount_usd="10"))
    redshift.build()
    first = identity()
    redshift.put(fact_line("A", 2, amount_usd="5"))
    redshift.build()
    assert identity() == first
    assert redshift.rows("select line_count from marts.month_summary") == [{"line_count": 2}]

    model = project / "models/marts/month_summary.sql"
    model.write_text(model.read_text().replace("sum(line_count)", "sum(line_count) + 100"))
    for _ in range(2):  # rebuilt, then refreshed
        redshift.build(project, tmp_path / "target-redshift")
        assert redshift.rows("select line_count from marts.month_summary") == [{"line_count": 102}]


def test_a_mart_that_breaks_its_contract_or_fails_is_named(
    redshift, project: Path, tmp_path: Path, fact_line: Line
) -> None:
    redshift.put(fact_line("A", 1), fact_line("A", 2, status="lost"))
    model = project / "models/marts/daily_revenue.sql"
    written = model.read_text().replace(
        "count(distinct case when {{ is_sold() }} then order_id end)", "string_agg(order_id, ',')"
    )
    assert written != model.read_text()
    model.write_text(written)
    with pytest.raises(MartsError) as raised:
        redshift.build(project, tmp_path / "target-redshift")
    *failures, next_step = str(raised.value).splitlines()
    assert len(failures) == 2 and "clear the task" in next_step
    assert any(
        text.startswith("marts.daily_revenue was not built: ") and "function string_agg" in text
        for text in failures
    )
    assert any(
        "marts.month_summary breaks" in text and ": 1 where status" in text for text in failures
    )


def test_an_option_that_redshifts_driver_does_not_know_is_refused(tmp_path: Path) -> None:
    dsn = "host=h dbname=d sslmode=verify-ca"
    env = dbt_env(dsn, tmp_path, "redshift")
    assert (env["FEIRA_DBT_TARGET"], env["FEIRA_DBT_SSLMODE"]) == ("redshift", "verify-ca")
    assert dbt_env("host=h dbname=d", tmp_path, "redshift")["FEIRA_DBT_SSLMODE"] == "verify-full"
    with pytest.raises(MartsError, match=" has keepalives_idle "):
        dbt_env(f"{dsn} keepalives_idle=7", tmp_path, "redshift")


def test_a_redshift_that_does_not_answer_is_named(tmp_path: Path) -> None:
    from feira.core.settings import repository_root

    with pytest.raises(MartsError, match="not built: ") as raised:
        build_marts(
            "postgresql://any:any@127.0.0.1:1/dev?sslmode=disable",
            project_dir=repository_root() / "infra" / "dbt",
            target_dir=tmp_path,
            dialect="redshift",
        )
    assert "\n" not in str(raised.value)
