"""What the lake, the warehouse or Airflow refuses reaches a person as one sentence."""

from __future__ import annotations

import errno
import http.server
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from pyspark.errors.exceptions.connect import AnalysisException

from feira.core.landing.store import LandingStore
from feira.core.settings import LakeSettings
from feira_local.cli import data, runs, tables
from feira_local.cli import stack as stack_commands
from feira_local.cli.day_report import DayReport, report_tables
from feira_local.stack import access, config
from feira_local.stack.airflow_api import AssetGraph, DagRun
from feira_local.stack.chains import Chain
from feira_local.stack.config import StackConfig
from feira_local.stack.errors import StackError


class Session:
    """A Spark session that refuses each query as Spark Connect does."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.stopped = False

    def sql(self, *_: object, **__: object) -> Any:
        raise AnalysisException(self.message)

    def __getattr__(self, _: str) -> Any:
        raise AnalysisException(self.message)

    def stop(self) -> None:
        self.stopped = True


@pytest.mark.parametrize(
    "message",
    [
        "[TABLE_OR_VIEW_NOT_FOUND] no `nix`. SQLSTATE: 42P01; line 1 pos 14;\n'Project [*]\n+- x",
        "\n[TABLE_OR_VIEW_NOT_FOUND] no `nix`\n== SQL (line 1, position 8) ==\nSELECT",
        " \r\n\n [TABLE_OR_VIEW_NOT_FOUND] no `nix`",
    ],
)
@pytest.mark.parametrize("command", ["sql", "quarantine", "verify"])
def test_what_spark_refuses_is_one_line_with_its_reason(
    message: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(message)
    monkeypatch.setattr(access, "require_running", lambda: None)
    monkeypatch.setattr(access, "spark_url", lambda: "sc://nowhere")
    monkeypatch.setattr("feira_spark.core.session.connect", lambda _: session)
    monkeypatch.setattr(tables, "warehouse", _no_warehouse)
    asked = {
        "sql": lambda: data.sql("SELECT * FROM lake.sales.nix"),
        "quarantine": lambda: tables.show("quarantine", "2010-12-01"),
        "verify": tables.verify,
    }
    with pytest.raises(StackError, match="TABLE_OR_VIEW_NOT_FOUND") as refused:
        asked[command]()
    assert len(str(refused.value).splitlines()) == 1
    assert "Project" not in str(refused.value)
    assert session.stopped
    assert not logging.getLogger("SQLQueryContextLogger").isEnabledFor(logging.CRITICAL)


@contextmanager
def _no_warehouse() -> Iterator[None]:
    yield


def test_a_warehouse_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = "host=127.0.0.1 port=1 dbname=warehouse user=reader password=secret"
    monkeypatch.setattr(access, "warehouse_dsn", lambda _: dsn)
    with (
        pytest.raises(StackError, match=r"warehouse .*answer .*`feira status`") as refused,
        access.warehouse(),
    ):
        pass
    assert "secret" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1/x"), "Could not connect"),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:1/x"), "Read timeout"),
        # What s3fs makes of a 403.
        (PermissionError(errno.EACCES, "Access Denied"), "Access Denied"),
    ],
)
def test_a_lake_that_does_not_answer_or_refuses_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    lake = LakeSettings(
        "s3://feira-lake", endpoint="http://127.0.0.1:1", access_key="a", secret_key="secret"
    )

    def complete(*_: object) -> None:
        raise error

    monkeypatch.setattr(access, "lake_settings", lambda: lake)
    monkeypatch.setattr(LandingStore, "complete", complete)
    with pytest.raises(StackError, match=rf"http://127\.0\.0\.1:1 .*{reason}") as refused:
        tables.show("landing", "2010-12-01")
    assert "feira status" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_table_that_no_run_has_made_yet_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Connection:
        def close(self) -> None: ...

    monkeypatch.setattr(access, "warehouse_dsn", lambda _: "")
    monkeypatch.setattr("feira.core.warehouse.schema.connect", lambda _: Connection())
    with (
        pytest.raises(StackError, match=r'"sales\.fact" .*`feira run sales'),
        access.warehouse(),
    ):
        raise psycopg.errors.UndefinedTable('relation "sales.fact" does not exist\nLINE 1: SELECT')


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"other": 1}'])
def test_an_answer_without_a_token_is_one_sentence(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    monkeypatch.setattr(access, "airflow_login", lambda: ("admin", "secret"))
    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        with pytest.raises(StackError, match="gives no token") as refused:
            access._new_token(f"http://127.0.0.1:{server.server_port}")
    assert "secret" not in str(refused.value)


def test_an_answer_that_does_not_come_in_time_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def late(*_: object, **__: object) -> None:
        raise requests.ReadTimeout("timed out")

    monkeypatch.setattr(access, "airflow_login", lambda: ("admin", "secret"))
    monkeypatch.setattr("requests.Session.post", late)
    with pytest.raises(StackError, match=r"no token \(timed out\)"):
        access._new_token("http://127.0.0.1:1")


@pytest.mark.parametrize("name", ["a ;b", "a #b", "a\nb"])
def test_a_state_folder_that_the_supervisor_cannot_read_is_refused_first(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(StackError, match="FEIRA_HOME is in"):
        StackConfig.from_env({"FEIRA_HOME": str(tmp_path / name)})


@pytest.mark.parametrize("name", ["a:b", "a ;b", "a #b"])
def test_a_clone_that_java_cannot_read_is_refused_first(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "repository_root", lambda: tmp_path / name)
    with pytest.raises(StackError, match=rf"checkout .*{name}"):
        StackConfig.from_env({"FEIRA_HOME": str(tmp_path)})


def test_a_failures_text_gives_the_terminal_no_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chain = Chain(
        date(2010, 12, 1), [DagRun("sales_etl", "one", "failed", "2010-12-01")], AssetGraph({})
    )
    chain.failure = ("land", "name \x1b[31mred\u202e [bold]")
    monkeypatch.setattr(runs.AirflowApi, "local", lambda: runs.AirflowApi("http://airflow", str))
    monkeypatch.setattr(runs, "_run", lambda *_: [chain])
    nothing = DayReport(chain.day, None, None, {}, None, None, None, {}, None, None, {})
    monkeypatch.setattr(runs, "day_report", lambda *_: nothing)
    with pytest.raises(runs.typer.Exit):
        runs.run_days("sales", [chain.day], refetch=False, as_json=True)
    said = capsys.readouterr().err
    assert r"\x1b[31mred\u202e [bold]" in said
    assert "\x1b[31mred" not in said


def test_a_demo_that_stops_its_stack_does_not_say_that_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "refresh_all", interrupted)
    monkeypatch.setattr(
        runs,
        "join",
        lambda _, dag_id, day, **__: Chain(
            day, [DagRun("d", "r", "queued", str(day))], AssetGraph({})
        ),
    )
    for stays, expected in ((True, True), (False, False)):
        wanted = runs.Wanted("sales", "d", refetch=False, stays=stays)
        with pytest.raises(KeyboardInterrupt):
            runs._watched(
                runs.AirflowApi("http://airflow", str), [date(2010, 12, 1)], wanted, as_json=True
            )
        assert ("goes on" in capsys.readouterr().err) is expected


def test_a_rules_name_and_a_log_line_give_the_terminal_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b[31mred\u202e[bold]"
    report = DayReport(date(2010, 12, 1), 1, 0, {hostile: 1}, True, None, None, {}, None, None, {})
    for table in report_tables([report]):
        runs.console.print(table)
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "s3.log").write_text(hostile + "\n", encoding="utf-8")
    stack_commands.logs("s3")
    shown = capsys.readouterr().out
    assert shown.count(r"\x1b[31mred\u202e[bold]") == 2
    assert "\x1b[31mred" not in shown
