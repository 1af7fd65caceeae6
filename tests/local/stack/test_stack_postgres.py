"""Who may do what in PostgreSQL, asked of a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from feira_local.stack.postgres import SETTINGS, Dsns
from temporary_postgres import temporary_server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("postgres")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Dsns]:
    with temporary_server(folder, log_statement="all") as dsns:
        with psycopg.connect(dsns.warehouse_loader) as loader:
            loader.execute("create table sales.fact (k int)")
            loader.execute("insert into sales.fact values (1), (2)")
        with psycopg.connect(dsns.dbt) as dbt:
            dbt.execute("create table marts.daily as select count(*) n from sales.fact")
            dbt.execute("create materialized view marts.summary as select 1 as one")
        yield dsns


def _may(dsn: str, statement: str) -> bool:
    with psycopg.connect(dsn) as connection:
        try:
            connection.execute(statement)
        except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction):
            return False
        finally:
            connection.rollback()
    return True


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (
            "warehouse_loader",
            [
                "insert into sales.fact values (3)",
                "create table sales.another (k int)",
                "create temporary table staged (k int)",
            ],
            ["select * from marts.daily", "create schema mine", "create table public.t (k int)"],
        ),
        (
            "dbt",
            [
                "select * from sales.fact",
                "create table marts.another (k int)",
                "refresh materialized view marts.summary",
            ],
            [
                "insert into sales.fact values (3)",
                "delete from sales.fact",
                "truncate sales.fact",
                "create table sales.mine (k int)",
                "create schema mine",
            ],
        ),
        (
            "reader",
            [
                "select * from sales.fact",
                "select * from marts.daily",
                "select * from marts.summary",
            ],
            [
                "set transaction read write; insert into sales.fact values (3)",
                "set transaction read write; delete from marts.daily",
                "create temporary table t (k int)",
                "set transaction read write; create table sales.mine (k int)",
                "set transaction read write; create table public.t (k int)",
            ],
        ),
    ],
)
def test_a_role_may_do_its_own_work_and_nothing_else(
    server: Dsns, role: str, may: list[str], may_not: list[str]
) -> None:
    dsn = getattr(server, role)
    assert [statement for statement in may if not _may(dsn, statement)] == []
    assert [statement for statement in may_not if _may(dsn, statement)] == []


def test_each_role_connects_to_its_own_database_only(server: Dsns) -> None:
    databases = {"airflow", "iceberg", "warehouse", "postgres", "template1"}
    for item in fields(server):
        if item.name == "superuser":
            continue
        base, own = getattr(server, item.name).rsplit("/", 1)
        psycopg.connect(f"{base}/{own}").close()
        # Monitoring sees which of the catalog's metadata is a table's current one.
        more = {"iceberg"} if item.name == "monitor" else set()
        for other in databases - {own} - more:
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                psycopg.connect(f"{base}/{other}")


def test_a_wrong_password_is_refused(server: Dsns) -> None:
    wrong = server.reader.replace("reader:", "reader:wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_the_session_is_utc_and_the_server_listens_on_loopback_only(server: Dsns) -> None:
    with psycopg.connect(server.superuser) as connection:

        def setting(name: str) -> str:
            row = connection.execute("select current_setting(%s)", [name]).fetchone()
            assert row is not None
            return str(row[0])

        assert setting("TimeZone") == "UTC"
        assert setting("listen_addresses") == "127.0.0.1"
        assert setting("unix_socket_directories") == ""
        assert setting("jit") == "off"
        assert setting("password_encryption") == "scram-sha-256"
    assert "fsync" not in SETTINGS  # the stack's own server keeps PostgreSQL's default: on


def test_airflow_and_iceberg_may_make_tables_in_their_databases(server: Dsns) -> None:
    for role in ("airflow", "iceberg"):
        assert _may(getattr(server, role), "create table public.t (k int)")


def test_a_second_server_lives_beside_the_first(server: Dsns, tmp_path: Path) -> None:
    with temporary_server(tmp_path) as second, psycopg.connect(second.reader) as connection:
        assert connection.execute("select count(*) from pg_class").fetchone()
        assert second.reader != server.reader


def test_a_run_of_pytest_beside_it_does_not_close_the_servers_folder(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Each run of pytest closes the root of all runs' temporary folders to other users."""
    folder = tmp_path_factory.mktemp("closed")
    with temporary_server(folder):
        tmp_path_factory.getbasetemp().chmod(0o700)
    # Where it cannot write a checkpoint as it ends, its shutdown is abnormal.
    log = (folder / "postgres.log").read_text()
    assert ("database system is shut down" in log, "PANIC" in log) == (True, False)


def test_no_password_is_in_a_statement_that_the_server_may_log(server: Dsns, folder: Path) -> None:
    log = (folder / "postgres.log").read_text()
    passwords = [
        str(conninfo_to_dict(getattr(server, item.name))["password"]) for item in fields(Dsns)
    ]
    assert log.count("alter role") > 5
    assert not [password for password in passwords if password in log]
