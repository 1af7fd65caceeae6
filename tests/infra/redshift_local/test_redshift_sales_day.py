"""Days of the sales chain from the load on, in what stands for Redshift: loaded, compared and reported as in
PostgreSQL, table by table, and as a loop over the rows says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from fact_rows import Row, whole
from feira.core.lake import lake_files, landing_store
from feira.core.settings import LakeSettings, repository_root
from feira.core.warehouse.by_day import RowRefusedError
from feira.core.warehouse.load import Extract, load
from feira.core.warehouse.outcome import day_outcomes
from feira.core.warehouse.reconcile import (
    ReconcileError,
    reconcile_day,
    verify_whole,
    warehouse_figures,
)
from feira.core.warehouse.schema import connect, missing_indexes
from feira.core.warehouse.side import Staging, StagingError, side_of
from feira.sales.published import PUBLISHED
from feira.summary.ledger import deliver, due
from feira_airflow.summary.marts import build_marts
from feira_local.cli import demo
from feira_local.cli.data import row_count, warehouse_rows
from feira_local.stack.postgres import Dsns
from reported_days import D1, D2, D3, Shop, line, sold_plainly

pytestmark = pytest.mark.slow

TABLES = {
    "sales.fact": "order_id, line_number",
    "sales.load_ledger": "load_sequence",
    "sales.unreconciled_dates": "order_date, load_sequence, extract_day",
    "sales.changed_dates": "changed_date",
    "sales.held_days": "extract_day",
    "sales.report_ledger": "extract_day, report_version",
}
# Server's times, and what names the lake's folder.
OF_THE_SIDE = ("loaded_at", "held_at", "prepared_at", "report_uri", "landing_uri")


@dataclass(frozen=True)
class Sides:
    """The same shop on both warehouses."""

    postgres: Shop
    redshift: Shop

    def both(self, step: Callable[[Shop], Any]) -> Any:
        """Does it on both sides; what it answered, the same on both."""
        first, second = step(self.postgres), step(self.redshift)
        assert first == second
        return second

    def run(self, day: dt.date, fact: list[Row], **known: Any) -> None:
        """sales_etl of a day and the report on it; afterwards both sides hold that fact."""
        self.both(lambda shop: shop.run(day, fact, **known))
        self.both(lambda shop: [_told(each.report) for each in shop.report(day)])
        held = self.both(contents)
        assert held["sales.fact"] == sorted(
            fact, key=lambda row: (row["order_id"], row["line_number"])
        )
        figures = self.both(lambda shop: warehouse_figures(shop.connection, PUBLISHED))
        for shop in (self.postgres, self.redshift):
            agreed = verify_whole(shop.connection, PUBLISHED, lambda snapshot: figures)
            assert agreed.rows == len(fact)
        self.both(lambda shop: day_outcomes(shop.connection, PUBLISHED, [D1, D2, D3]))


def _told(report: Any) -> Any:
    """A report without what is made of the server's time."""
    return (report.day, report.version, report.figures, report.sources, report.correction)


def contents(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    """Everything that is in the warehouse."""
    cursor = shop.connection.cursor(row_factory=dict_row)
    return {
        table: [
            {name: value for name, value in row.items() if name not in OF_THE_SIDE}
            for row in cursor.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()
        ]
        for table, order in TABLES.items()
    }


@pytest.fixture
def staging(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Staging:
    """A folder of moto's S3. The keys of this process stand for the cluster's role."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    lake = LakeSettings(
        root="s3://lake",
        endpoint=s3_endpoint,
        access_key="test",
        secret_key="test",
        catalog="hadoop",
    )
    return Staging(lake_files(lake), "s3://lake/staging/warehouse")


@pytest.fixture
def sides(
    wire_port: int, connection: object, empty_warehouse: Dsns, staging: Staging, tmp_path: Path
) -> Iterator[Sides]:
    """Both warehouses, without tables."""
    dsn = f"postgresql://any:any@127.0.0.1:{wire_port}/dev?sslmode=disable"
    with connect(empty_warehouse.warehouse_loader) as postgres, connect(dsn) as redshift:
        redshift.execute("DROP SCHEMA IF EXISTS sales CASCADE")
        redshift.execute("CREATE SCHEMA sales")
        try:
            yield Sides(
                *(
                    Shop(
                        each,
                        landing_store(
                            LakeSettings(root=f"file://{tmp_path}/{name}", catalog="hadoop"),
                            "sales",
                        ),
                        staging=staging,
                    )
                    for name, each in (("postgres", postgres), ("redshift", redshift))
                )
            )
        finally:
            redshift.execute("DROP SCHEMA sales CASCADE")


A, B = line("A", D1, "10.5", description="café"), line("B", D1, "5", status="pending")
GUEST = line("C", D1, "2.25", customer_id=None, line_number=2, sku="10002", quantity=3)


def test_what_a_connection_leads_to_is_what_its_server_says(sides: Sides) -> None:
    assert side_of(sides.postgres.connection).dialect == "postgres"
    assert side_of(sides.redshift.connection).dialect == "redshift"
    assert missing_indexes(sides.redshift.connection, PUBLISHED) == []


@pytest.mark.slow
def test_days_are_loaded_compared_and_reported_as_in_postgresql(
    sides: Sides, staging: Staging
) -> None:
    sides.run(D1, [A, B, GUEST], broken={"sku_missing": 2})
    # An update of an earlier day's order, a row that is gone, and one that has moved to another date.
    paid = line("B", D1, "5", seen=D2, status="shipped")
    moved = {**GUEST, "order_date": D2}
    sides.run(D2, [paid, moved, line("D", D2, "-1", status="cancelled")], by_difference=True)
    fact = [paid, moved, A, line("E", D3, "7", description="it's \\ | 1:~")]
    sides.run(D3, fact, by_difference=True)
    sides.run(D1, fact, refetch=True, by_difference=True)
    sides.run(D3, [A, line("F", D3, "0.0001")])
    sides.run(D3, [])
    sides.run(D2, fact)
    for day in (D1, D2, D3):
        reports = sides.both(
            lambda shop, day=day: [
                (each.report_uri.rpartition("/")[2], shop.files.read(each.report_uri).figures)
                for each in due(shop.connection, "mail")
                if each.day == day
            ]
        )
        figures, plainly = reports[-1][1], sold_plainly(fact, day)
        assert {
            "revenue": figures.revenue,
            "orders": figures.orders,
            "sold_lines": figures.sold_lines,
            "cancelled_amount": figures.cancelled_amount,
            "top": [(each.sku, each.revenue, each.units) for each in figures.top_products],
        } == plainly
    sent = sides.both(
        lambda shop: len(deliver(shop.connection, shop.files, "mail", lambda report: None))
    )
    assert sent and sides.both(lambda shop: due(shop.connection, "mail")) == []
    assert not staging.files.exists(staging.folder), "what was staged is gone"


MARTS = ("customer_lifetime_value", "daily_revenue", "month_summary", "product_performance")


def marts_of(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        mart: sorted(connection.execute(f"SELECT * FROM marts.{mart}").fetchall(), key=repr)
        for mart in MARTS
    }


def test_marts_take_up_what_loads_have_changed_as_in_postgresql(
    sides: Sides, wire_port: int, empty_warehouse: Dsns, tmp_path: Path
) -> None:
    on_redshift = f"postgresql://any:any@127.0.0.1:{wire_port}/dev?sslmode=disable"
    reader = psycopg.connect(empty_warehouse.reader, autocommit=True)

    def built(whole: bool = False) -> None:
        for dsn, dialect in ((on_redshift, "redshift"), (empty_warehouse.dbt, "postgres")):
            build_marts(
                dsn,
                project_dir=repository_root() / "infra" / "dbt",
                target_dir=tmp_path / dialect,
                dialect=dialect,
                whole=whole,
            )
        assert marts_of(sides.redshift.connection) == marts_of(reader)

    try:
        sides.run(D1, [line("A", D3, "10.5", seen=D1), B, GUEST])
        built()
        paid = line("B", D1, "5", seen=D2, status="shipped")
        moved = {**GUEST, "order_date": D2}
        sides.run(D2, [paid, moved, line("D", D2, "-1", status="cancelled")], by_difference=True)
        # What is in no note is not taken up.
        for shop in (sides.postgres, sides.redshift):
            shop.connection.execute(
                "UPDATE sales.changed_keys SET load_sequence = 0 WHERE order_id = 'A'"
            )
        built()
        assert (17850, D1, D3, 2, Decimal("15.5000")) in marts_of(reader)["customer_lifetime_value"]
        built(whole=True)
        assert (17850, D1, D1, 1, Decimal("5.0000")) in marts_of(reader)["customer_lifetime_value"]
    finally:
        reader.close()
        sides.redshift.connection.execute("DROP SCHEMA IF EXISTS marts CASCADE")
        sides.redshift.connection.execute("DROP SCHEMA IF EXISTS intermediate CASCADE")


def test_a_row_that_redshift_cannot_hold_keeps_its_own_day_back_until_it_is_right(
    sides: Sides, staging: Staging
) -> None:
    """80,000 bytes of 40,000 characters: a text of PostgreSQL's, and none of Redshift's."""
    shop = sides.redshift
    shop.run(D1, [A])
    huge, fine = line("H", D2, "1", description="é" * 40_000), line("I", D2, "2")
    with pytest.raises(
        RowRefusedError, match=r"sales 2010-12-02: .*'H', 1: description: .*65535 bytes"
    ):
        shop.run(D2, [A, fine, huge])
    assert [row["order_id"] for row in contents_of(shop, "fact", "1")] == ["A"]
    # The day that can be loaded is; the other's rows stay as they are.
    later = line("J", D3, "3")
    shop.run(D3, [A, fine, huge, later])
    assert [row["order_id"] for row in contents_of(shop, "fact", "1")] == ["A", "J"]
    (held,) = contents_of(shop, "held_days", "1")
    assert (held["extract_day"], held["row_key"]) == (D2, "'H', 1")
    corrected = {**huge, "description": "é" * 32_767}
    shop.run(D2, [A, fine, corrected, later])
    assert contents_of(shop, "fact", "order_id") == [A, corrected, fine, later]
    assert contents_of(shop, "held_days", "1") == []
    assert not staging.files.exists(staging.folder)


def contents_of(shop: Shop, table: str, order: str) -> list[dict[str, Any]]:
    cursor = shop.connection.cursor(row_factory=dict_row)
    return cursor.execute(f"SELECT * FROM sales.{table} ORDER BY {order}").fetchall()


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sales.fact SET quantity = 9 WHERE order_id = 'A'",
        "UPDATE sales.fact SET amount_usd = amount_usd + 0.0001 WHERE order_id = 'A'",
        "UPDATE sales.fact SET description = 'cafe' WHERE order_id = 'A'",
        "DELETE FROM sales.fact WHERE order_id = 'A'",
    ],
)
def test_a_row_that_was_changed_by_hand_is_named(sides: Sides, change: str) -> None:
    shop = sides.redshift
    shop.run(D1, [A, B])
    lake = warehouse_figures(shop.connection, PUBLISHED)
    shop.connection.execute(change)
    with pytest.raises(ReconcileError, match=r"differ on 1 of 1 order dates .*2010-12-01"):
        reconcile_day(shop.connection, PUBLISHED, D1, 1, lambda *asked: lake)
    with pytest.raises(ReconcileError):
        verify_whole(shop.connection, PUBLISHED, lambda snapshot: lake)


def test_a_load_that_fails_changes_nothing(sides: Sides, staging: Staging) -> None:
    shop = sides.redshift
    shop.run(D1, [A, B])
    before = [contents_of(shop, table, "1") for table in ("fact", "load_ledger", "changed_dates")]
    extract = Extract(D2, 1, "s3://lake/2", 1, 1)
    found = whole(9, A, line("I", D2, "2"))
    with pytest.raises(StagingError, match=r"no folder was named"):
        load(shop.connection, PUBLISHED, extract, lambda held: found)
    elsewhere = Staging(staging.files, staging.folder, "arn:aws:iam::1:role/it's")
    with pytest.raises(psycopg.errors.SyntaxError):
        load(shop.connection, PUBLISHED, extract, lambda held: found, elsewhere)
    assert before == [
        contents_of(shop, table, "1") for table in ("fact", "load_ledger", "changed_dates")
    ]
    assert not staging.files.exists(staging.folder), "what was staged is gone"


def test_sums_are_those_of_every_digit(sides: Sides) -> None:
    wide = line("W", D1, "99999999999999.9999")
    sides.run(D1, [wide, line("X", D1, "0.0001", line_number=2)])
    (figures,) = warehouse_figures(sides.redshift.connection, PUBLISHED).values()
    assert figures.sums == (Decimal("100000000000000.0000"),)


def test_what_commands_ask_of_a_warehouse_both_answer(sides: Sides) -> None:
    bought = [
        line("A", D1, "1", customer_id=2, sku="10002"),
        line("B", D2, "1", customer_id=2, sku="10080", description="late"),
        line("C", D1, "1", customer_id=3, sku="10080", description="early"),
    ]
    sides.run(D1, bought)
    asked: list[tuple[str, list[Any]]] = [(demo._CUSTOMERS, [3, 9]), (demo._NAMES, [])]
    for query, values in asked:
        rows = sides.both(
            lambda shop, query=query, values=values: sorted(
                shop.connection.execute(query, values).fetchall()
            )
        )
        assert rows
    assert sides.both(lambda shop: row_count(shop.connection, "sales.fact")) == 3
    assert sides.both(lambda shop: row_count(shop.connection, "marts.nowhere")) is None
    query = "SELECT order_date, description FROM sales.fact WHERE order_id = 'B'"
    (row,) = sides.both(lambda shop: warehouse_rows(shop.connection, query, 9))
    assert row == {"order_date": "2010-12-02", "description": "late"}
