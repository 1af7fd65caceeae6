"""The warehouse's figures, on a real PostgreSQL: what they say, and that their role sees nothing else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from feira.core.warehouse.schema import connect, create_notes, require_tables
from feira.monitoring.figures import Figures
from feira.monitoring.warehouse import Warehouse
from feira.sales.published import PUBLISHED
from feira_local.stack.postgres import Dsns

LEDGER = (
    "INSERT INTO sales.load_ledger (extract_day, landing_version, contract_version, landing_uri, "
    "landed_lines, valid_lines, quarantined_lines, day_rows, day_revenue, inserted_rows, updated_rows, "
    "deleted_rows, snapshot_id, load_sequence, loaded_at, agreed_snapshot_id) "
    "VALUES (%s, 1, '1', 'u', 3, 2, 1, 2, 1, 2, 0, 0, 7, %s, now(), %s)"
)
REPORT = (
    "INSERT INTO sales.report_ledger (extract_day, report_version, report_id, report_uri, figures, "
    "sources, snapshot_id, prepared_at, mail_delivered_at, slack_delivered_at) "
    "VALUES ('2010-12-01', %s, 'r', 'u', '{}', '{}', 7, '2010-12-02 04:00+00', %s, NULL)"
)


def _value(figures: Figures, name: str, **labels: str) -> float | None:
    return figures.registry.get_sample_value(name, labels)


def test_a_warehouse_without_tables_has_no_figures_and_no_error(empty_warehouse: Dsns) -> None:
    figures = Figures()
    Warehouse(empty_warehouse.monitor).collect(figures)
    # A day is due all the same.
    assert _value(figures, "feira_table_promised_latency_seconds", table="sales.fact") == 10800
    assert (
        _value(figures, "feira_table_newest_partition_timestamp_seconds", table="sales.fact")
        is None
    )


def test_the_newest_day_that_agrees_and_what_waits_are_counted_as_they_change(
    empty_warehouse: Dsns,
) -> None:
    figures, source = Figures(), Warehouse(empty_warehouse.monitor)
    source.collect(figures)
    with connect(empty_warehouse.warehouse_loader) as loader:
        require_tables(loader, ["sales.load_ledger", "sales.report_ledger"])
        create_notes(loader, PUBLISHED)
        loader.execute(LEDGER, ["2010-12-01", 1, 7])
        loader.execute(LEDGER, ["2010-12-02", 2, None])  # loaded, and not found equal
        loader.execute(REPORT, [1, "2010-12-02 05:00+00"])
        loader.execute(REPORT, [2, None])
        loader.execute("INSERT INTO sales.held_days VALUES ('2010-11-30', 'k', 'why', now())")
        loader.execute("SELECT pg_stat_force_next_flush()")
    source.collect(figures)
    newest = "feira_table_newest_partition_timestamp_seconds"
    assert _value(figures, newest, table="sales.fact") == 1291161600.0  # 2010-12-01 00:00 UTC
    assert _value(figures, "feira_reports_due", channel="mail") == 1
    assert _value(figures, "feira_reports_due", channel="slack") == 2
    assert (
        _value(figures, "feira_report_last_prepared_timestamp_seconds", dataset="sales")
        == 1291262400.0
    )
    assert _value(figures, "feira_held_days") == 1
    assert _value(figures, "feira_unreconciled_dates") == 0
    with connect(empty_warehouse.warehouse_loader) as loader:
        loader.execute("UPDATE sales.load_ledger SET agreed_snapshot_id = 8")
        loader.execute("SELECT pg_stat_force_next_flush()")
    source.collect(figures)
    assert _value(figures, newest, table="sales.fact") == 1291248000.0
    # Each of the ledgers is looked at when it alone was written to.
    for statement, name, expected in (
        ("INSERT INTO sales.unreconciled_dates VALUES ('2010-12-02', NULL, 2)", "dates", 1),
        ("DELETE FROM sales.unreconciled_dates", "dates", 0),
        ("DELETE FROM sales.held_days", "held", 0),
    ):
        with connect(empty_warehouse.warehouse_loader) as loader:
            loader.execute(statement)
            loader.execute("SELECT pg_stat_force_next_flush()")
        source.collect(figures)
        figure = {"dates": "feira_unreconciled_dates", "held": "feira_held_days"}[name]
        assert _value(figures, figure) == expected, statement


def test_ledgers_that_nobody_has_written_to_are_not_read_again(empty_warehouse: Dsns) -> None:
    with connect(empty_warehouse.warehouse_loader) as loader:
        require_tables(loader, ["sales.load_ledger"])
        loader.execute(LEDGER, ["2010-12-01", 1, 7])
        loader.execute("SELECT pg_stat_force_next_flush()")
    source = Warehouse(empty_warehouse.monitor)
    source.collect(Figures())
    again = Figures()
    source.collect(again)
    newest = "feira_table_newest_partition_timestamp_seconds"
    assert _value(again, newest, table="sales.fact") is None


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM sales.load_ledger",
        "SELECT * FROM marts.daily_revenue",
        "CREATE TEMPORARY TABLE t (a int)",
        "CREATE TABLE monitoring.t (a int)",
        "CREATE OR REPLACE FUNCTION monitoring.figures() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_the_role_of_monitoring_reads_no_table_and_changes_nothing(
    empty_warehouse: Dsns, statement: str
) -> None:
    with connect(empty_warehouse.warehouse_loader) as loader:
        require_tables(loader, ["sales.load_ledger"])
    with psycopg.connect(empty_warehouse.monitor) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.parametrize("role", ["dbt", "reader", "warehouse_loader"])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM monitoring.figures()",
        "ALTER FUNCTION monitoring.figures() SECURITY INVOKER",
        "DROP FUNCTION monitoring.figures()",
        "CREATE OR REPLACE FUNCTION monitoring.figures() RETURNS TABLE (figure text, value double precision) "
        "LANGUAGE sql AS 'SELECT NULL, 1'",
        "SET ROLE monitoring_owner",
    ],
)
def test_other_roles_may_neither_ask_for_the_figures_nor_change_them(
    empty_warehouse: Dsns, role: str, statement: str
) -> None:
    with psycopg.connect(getattr(empty_warehouse, role)) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.commit()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


def test_nobody_logs_in_as_whose_function_it_is(postgres: Dsns) -> None:
    warehouse = conninfo_to_dict(postgres.monitor)["dbname"]
    with psycopg.connect(postgres.superuser, dbname=warehouse) as connection:
        assert connection.execute(
            "SELECT rolname, rolcanlogin FROM pg_proc JOIN pg_roles ON pg_roles.oid = proowner "
            "WHERE pg_proc.oid = 'monitoring.figures()'::regprocedure"
        ).fetchall() == [("monitoring_owner", False)]
