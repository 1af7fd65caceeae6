"""The check for secrets of a running stack finds one that is planted in each place that it looks into."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from feira_local.stack.config import StackConfig
from feira_local.stack.lifecycle import Stack
from feira_local.stack.postgres import Dsns, in_database
from leaks import CommandLines, in_databases, in_pages, open_holders, pages_of
from secret_search import SecretSearch

SECRET = "6b1f0a9c7d3e2b58"
SEARCH = SecretSearch({"planted": SECRET})


def test_a_secret_on_a_command_line_is_found_after_the_process_is_gone() -> None:
    commands = CommandLines()
    waits = [sys.executable, "-c", "input(1)", f"--password={SECRET}"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.read(1) == b"1"
        commands.look()
        process.communicate(b"\n")
    count, found = commands.leaks(SEARCH)
    assert count > 1
    assert [str(leak) for leak in found] == [
        f"the command line of process {process.pid}, line 1: planted as it is"
    ]


def test_a_secret_in_any_database_is_found_by_its_table(postgres: Dsns) -> None:
    try:
        with psycopg.connect(postgres.warehouse_loader) as loader:
            loader.execute("CREATE TABLE sales.planted (of text, fields jsonb, packed bytea)")
            loader.execute(
                "INSERT INTO sales.planted VALUES ('a', '{}', ''), ('b', %s, %s)",
                [f'{{"password": "{SECRET}"}}', f"x{SECRET}".encode()],
            )
        tables, found = in_databases(SEARCH, postgres.superuser)
    finally:
        with psycopg.connect(postgres.warehouse_loader) as loader:
            loader.execute("DROP TABLE sales.planted")
    assert tables > 200
    assert [str(leak) for leak in found] == [
        "database warehouse, sales.planted, line 2: planted as it is",
        "database warehouse, sales.planted, line 2: planted in hexadecimal",
    ]


def test_a_secret_in_a_statement_that_runs_is_found(postgres: Dsns) -> None:
    with psycopg.connect(in_database(postgres.superuser, "warehouse")) as session:
        session.execute(f"SELECT '{SECRET}'")
        _, found = in_databases(SEARCH, postgres.superuser)
        # Other tests of this server may have made more.
        databases = session.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
    names = {name for (name,) in databases}
    assert names >= {"airflow", "iceberg", "postgres", "template1", "warehouse"}
    assert {leak.place.partition(", line")[0] for leak in found} == {
        f"database {name}, pg_catalog.pg_stat_activity" for name in names
    }


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Login", SECRET if self.path == "/health" else "none")
        self.end_headers()
        self.wfile.write(SECRET.encode() if self.path == "/figures" else b"nothing")

    def log_message(self, *_: object) -> None: ...


def test_a_secret_on_a_page_or_in_its_headers_is_found() -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        url = f"http://127.0.0.1:{server.server_port}"
        pages = [f"{url}/{name}" for name in ("health", "figures", "other")]
        count, found = in_pages(SEARCH, pages)
        server.shutdown()
    assert count == 3
    assert {leak.place.partition(",")[0] for leak in found} == {
        f"page {url}/figures",
        f"page {url}/health",
    }


def test_the_pages_are_those_that_the_services_link_to_and_those_of_their_settings(
    tmp_path: Path,
) -> None:
    config = StackConfig.from_env({"FEIRA_HOME": str(tmp_path), "FEIRA_MONITORING": "on"})
    pages = pages_of(Stack.of(config))
    ui = config.ports.own["spark_ui"]
    assert {
        f"http://127.0.0.1:{ui}/environment/",
        f"http://127.0.0.1:{config.ports.own['exporter']}/metrics",
        f"{config.inbox_url}/health",
        f"{config.airflow_url}/assets",
    } <= pages


@pytest.mark.parametrize(("mode", "open_to_others"), [(0o600, False), (0o640, True), (0o604, True)])
def test_a_file_that_secrets_belong_in_is_its_owners_alone(
    tmp_path: Path, mode: int, open_to_others: bool
) -> None:
    path = tmp_path / "secrets.env"
    path.touch()
    path.chmod(mode)
    assert open_holders(tmp_path) == ([path] if open_to_others else [])
