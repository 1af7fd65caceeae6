"""A stack whose warehouse is Redshift: what is started for it, and who gets in by which door."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from feira.core.warehouse.schema import connect
from feira.monitoring.figures import Figures
from feira.monitoring.postgres import Postgres
from feira.monitoring.warehouse import Warehouse
from feira_local.redshift import local
from feira_local.stack import access, airflow
from feira_local.stack.config import StackConfig
from feira_local.stack.lifecycle import Stack
from feira_local.stack.postgres import in_database
from feira_local.stack.service import by_name
from redshift_local.database import install
from redshift_local.wire.server import wire
from temporary_postgres import temporary_server

ROLES = {
    "warehouse_default": "warehouse_loader",
    "warehouse_dbt": "dbt",
    "warehouse_reader": "reader",
}


def stack_of(home: Path, **settings: str) -> Stack:
    return Stack.of(StackConfig.from_env({"FEIRA_HOME": str(home), **settings}))


def test_redshift_is_there_for_who_asks_for_it_and_nothing_else_differs(tmp_path: Path) -> None:
    plain, asked = stack_of(tmp_path), stack_of(tmp_path, FEIRA_WAREHOUSE_ON="redshift")
    assert by_name(asked.services).keys() - by_name(plain.services).keys() == {"redshift"}
    before, after = (airflow.connections(it.config, it.secrets) for it in (plain, asked))
    assert {name for name in after if before[name] != after[name]} == {
        f"AIRFLOW_CONN_{name.upper()}" for name in ROLES
    }
    for conn_id, role in ROLES.items():
        assert json.loads(after[f"AIRFLOW_CONN_{conn_id.upper()}"]) == {
            "conn_type": "redshift",
            "host": "127.0.0.1",
            "port": 15439,
            "login": role,
            "password": getattr(asked.secrets, f"postgres_{role}"),
            "schema": "redshift",
            "extra": {"ssl": False},
        }
    # One link of each name.
    for each in (plain, asked):
        titles = [link.title for service in each.services for link in service.links]
        assert titles.count("warehouse") == 1


def test_copy_reads_with_the_lakes_own_keys_where_the_lake_is(tmp_path: Path) -> None:
    asked = stack_of(tmp_path, FEIRA_WAREHOUSE_ON="redshift", FEIRA_PORT_OFFSET="7")
    service = by_name(asked.services)["redshift"]
    assert service.command[-2:] == ("--s3-endpoint", "http://127.0.0.1:19007")
    assert service.private_env["AWS_SECRET_ACCESS_KEY"] == asked.secrets.s3_secret_key
    own = tmp_path / "connections.yaml"
    own.write_text(
        "lake_default: {conn_type: aws, login: A, password: s, "
        "extra: {aws_session_token: t, service_config: {s3: {bucket_name: lake}}}}"
    )
    own.chmod(0o600)
    service = by_name(stack_of(tmp_path, FEIRA_WAREHOUSE_ON="redshift").services)["redshift"]
    assert "--s3-endpoint" not in service.command
    keys = {name: it for name, it in service.private_env.items() if name.startswith("AWS_")}
    assert keys == {
        "AWS_ACCESS_KEY_ID": "A",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
    }


def test_the_commands_go_to_redshift_unless_the_warehouse_is_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    assert access.warehouse_dialect() == "postgres"
    monkeypatch.setenv("FEIRA_WAREHOUSE_ON", "redshift")
    assert access.warehouse_dialect() == "redshift"
    found = conninfo_to_dict(access.warehouse_dsn("dbt"))
    assert (found["user"], found["port"], found["dbname"]) == ("dbt", "15439", "redshift")
    own = tmp_path / "connections.yaml"
    own.write_text("warehouse_reader: {conn_type: postgres, host: db, login: a, schema: shop}")
    own.chmod(0o600)
    assert access.warehouse_dialect() == "postgres"
    assert conninfo_to_dict(access.warehouse_dsn("reader"))["host"] == "db"


def test_its_roles_have_their_own_passwords_and_rights(tmp_path: Path) -> None:
    asked = stack_of(tmp_path, FEIRA_WAREHOUSE_ON="redshift")
    database = asked.config.warehouse_database
    with temporary_server(tmp_path, warehouse_database=database) as dsns:
        behind = in_database(dsns.superuser, database)
        install(behind)
        with wire(behind, logins=True) as port:

            def login(role: str, password: str | None = None) -> psycopg.Connection:
                own = str(conninfo_to_dict(getattr(dsns, role))["password"])
                config = asked.config
                ports = replace(config.ports, own={**config.ports.own, "redshift": port})
                secrets = replace(
                    asked.secrets, **{f"postgres_{role}": own if password is None else password}
                )
                return connect(local.dsn(replace(config, ports=ports), secrets, role))

            def refused(session: psycopg.Connection, statement: str) -> bool:
                try:
                    session.execute(statement.encode())
                except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction):
                    return True
                return False

            # Of the databases it may enter this one, and sees the statistics of all.
            figures = Figures()
            Postgres(dsns.monitor).collect(figures)
            Warehouse(dsns.monitor).collect(figures)
            size = "feira_postgres_database_size_bytes"
            assert figures.registry.get_sample_value(size, {"database": database})
            with pytest.raises(psycopg.OperationalError, match="authentication failed"):
                login("reader", "wrong")
            with login("warehouse_loader") as loader:
                loader.execute("CREATE TABLE sales.fact (k int, name varchar(3), PRIMARY KEY (k))")
                loader.execute("INSERT INTO sales.fact VALUES (1, 'é')")
                with pytest.raises(errors.StringDataRightTruncation):
                    loader.execute("INSERT INTO sales.fact VALUES (2, 'éé')")
                assert refused(loader, "CREATE SCHEMA mine")
                assert refused(loader, "CREATE TABLE marts.mine (k int)")
            with login("dbt") as dbt:
                dbt.execute(
                    "CREATE MATERIALIZED VIEW marts.daily AS SELECT COUNT(*) AS n FROM sales.fact"
                )
                assert refused(dbt, "DELETE FROM sales.fact")
            with login("reader") as reader:
                assert reader.execute("SELECT n FROM marts.daily").fetchone() == (1,)
                assert reader.execute("SELECT COUNT(*) FROM stl_load_errors").fetchone() == (0,)
                assert refused(reader, "DELETE FROM sales.fact")
                assert refused(reader, "INSERT INTO sales.fact VALUES (3, 'c')")
