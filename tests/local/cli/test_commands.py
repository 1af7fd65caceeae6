"""What the commands take and refuse, without a stack."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from feira_local.cli import app, data, output, runs
from feira_local.cli.day_report import DayReport, report_tables
from feira_local.cli.runs import parse_range
from feira_local.stack import access
from feira_local.stack.errors import StackError

COMMANDS = [
    ["run", "sales"],
    ["backfill", "sales"],
    ["show"],
    ["sql"],
    ["verify"],
    ["migrate"],
    ["demo"],
    ["contracts", "list"],
    ["up"],
    ["down"],
    ["status"],
    ["logs"],
    ["doctor"],
]


@pytest.fixture(autouse=True)
def _no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEIRA_HOME", str(tmp_path / "home"))


def test_a_range_holds_both_ends() -> None:
    days = parse_range("2010-12-30..2011-01-02")
    assert (days[0], days[-1], len(days)) == (date(2010, 12, 30), date(2011, 1, 2), 4)
    assert parse_range("2010-12-01") == [date(2010, 12, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yesterday", "'yesterday' is not a day; write it as 2010-12-01"),
        ("2010-12-05..2010-12-01", "has -3 days; a range has 1 to 400"),
        ("2000-01-01..2010-01-01", "has 3,654 days"),
        ("0001-01-01..9999-12-31", "has 3,652,059 days"),
        ("2010-12-01..", "not a range; write both ends, as 2010-12-01..2010-12-23"),
        ("..2010-12-01", "not a range; write both ends, as 2010-12-01..2010-12-23"),
        ("..", "not a range"),
        ("2010-12-01..2010-12-02..2010-12-03", "not a range"),
        ("2010-12-01...2010-12-02", "'.2010-12-02' is not a day"),
        ("2010-12-01 .. 2010-12-02", "'2010-12-01 ' is not a day"),
        ("20101201", "is not a day"),
        ("2010-W48-3", "is not a day"),
        ("２０１０-12-01", "is not a day"),
        ("", "not a range"),
        ("9" * 5000, "5,000 characters"),
        ("2010-02-30", "is not a day"),
    ],
)
def test_what_is_no_range_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(StackError, match=message):
        parse_range(text)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("DELETE FROM lake.sales.fact", "only reads, and this is DELETE"),
        ("WITH a AS (SELECT 1) INSERT INTO lake.sales.fact TABLE a", "this is INSERT"),
        ("CALL lake.system.fast_forward('sales.fact', 'main', 'b')", "this is CALL"),
        ("DROP TABLE sales.fact", "this is DROP"),
        ("SELECT 1; SELECT 2", "takes one statement; there are 2"),
        ("", "takes one statement; there are 0"),
        ("SELECT FROM WHERE", "no PostgreSQL SQL: Expected table name at 'WHERE', line 1"),
    ],
)
def test_sql_refuses_what_is_no_question(query: str, message: str) -> None:
    refused = CliRunner().invoke(app, ["sql", query])
    assert isinstance(refused.exception, StackError)
    assert message in str(refused.exception)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES (1)",
        "SHOW TABLES IN lake.sales",
        "DESCRIBE lake.sales.fact",
        "EXPLAIN SELECT * FROM lake.sales.fact",
        "SELECT * FROM lake.sales.fact VERSION AS OF 3",
    ],
)
def test_sql_asks_what_is_a_question(query: str) -> None:
    # It gets as far as the stack, which does not run.
    refused = CliRunner().invoke(app, ["sql", query, "--on", "lake"])
    assert "`feira up`" in str(refused.exception)


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("SELECT * FROM lake.sales.fact", "lake"),
        ("WITH day AS (SELECT * FROM `lake`.sales.fact.snapshots) SELECT * FROM day", "lake"),
        ("SHOW TABLES IN lake.sales", "lake"),
        ("SHOW NAMESPACES IN lake", "lake"),
        ("EXPLAIN SELECT * FROM lake.sales.fact", "lake"),
        ("DESCRIBE lake.sales.fact", "lake"),
        ("SELECT flake.sku FROM sales.fact AS flake", "warehouse"),
        ("SELECT lake.sku FROM sales.fact AS lake", "warehouse"),
        ("SELECT * FROM sales.fact WHERE country LIKE '%lake.%'", "warehouse"),
        ("SELECT 1 -- not lake.sales.fact", "warehouse"),
        ("SHOW flake.setting", "warehouse"),
    ],
)
def test_a_query_is_asked_where_its_tables_are(
    query: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def session() -> AbstractContextManager[None]:
        asked.append("lake")
        return nullcontext()

    def warehouse(*_: object) -> list[dict[str, object]]:
        asked.append("warehouse")
        return []

    monkeypatch.setattr(access, "warehouse_dialect", lambda: "postgres")
    monkeypatch.setattr(data, "spark_session", session)
    monkeypatch.setattr(data, "lake_rows", lambda *_: [])
    monkeypatch.setattr(data, "asked_warehouse", warehouse)
    data.sql(query)
    assert asked == [where]


def test_rows_that_do_not_fit_the_terminal_are_shown_one_below_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shown(row: dict[str, object], *, terminal: bool) -> str:
        console = Console(width=40, force_terminal=terminal, color_system=None, file=StringIO())
        monkeypatch.setattr(output, "console", console)
        monkeypatch.setattr(sys, "stdout", console.file)
        output.print_rows([row, row])
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    wide: dict[str, object] = {f"column_{n}": f"value_{n}" for n in range(9)}
    assert "row 2 of 2" in shown(wide, terminal=True)
    piped = shown(wide, terminal=False)
    assert "row 2 of 2" not in piped
    assert all(f"value_{n}" in piped.splitlines()[3] for n in range(9))
    assert "row" not in shown({"a": 1, "b": None}, terminal=True)


def test_a_command_without_a_stack_says_how_to_start_it() -> None:
    refused = CliRunner().invoke(app, ["run", "sales", "--day", "2010-12-01"])
    assert isinstance(refused.exception, StackError)
    assert "`feira up`" in str(refused.exception)


@pytest.mark.parametrize("words", [["show"], ["show", "--json"]])
def test_output_that_a_full_disk_does_not_take_is_one_sentence(words: list[str]) -> None:
    command = [sys.executable, "-c", "from feira_local.cli import main; main()", *words]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120
        )
    assert ended.returncode == 1
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("feira: No space left on device: the disk that the output")


def test_the_demo_names_a_folder_that_is_none() -> None:
    refused = CliRunner().invoke(app, ["demo", "--data", "/nowhere"])
    assert isinstance(refused.exception, StackError)
    assert "/nowhere " in str(refused.exception)


def report(**changes: object) -> DayReport:
    values: dict[str, object] = {
        "day": date(2010, 12, 1),
        "landed": 3108,
        "valid": 3100,
        "quarantined": {"quantity_negative": 8},
        "passed": True,
        "table": "sales.fact",
        "rows": 3100,
        "sums": {"revenue USD": Decimal("1234.5")},
        "snapshot_id": 1,
        "agreed": True,
        "marts": {"daily_revenue": 1},
    }
    return DayReport(**(values | changes))  # type: ignore[arg-type]


def shown(reports: list[DayReport]) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in report_tables(reports):
        console.print(table)
    return console.export_text()


def test_a_pipeline_without_landing_and_ledger_names_its_tables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs._print_figures("user_events", [report(table=None, landed=None, sums={})])
    assert capsys.readouterr().out.split() == [
        *("web.user_events:", "feira", "show", "user_events", "--day", "2010-12-01")
    ]
    runs._print_figures("sales", [report()])
    assert "fact rows" in capsys.readouterr().out


def test_the_table_shows_what_came_of_a_day() -> None:
    text = shown([report()])
    for figure in (
        "fact rows",
        "revenue USD",
        "3,108",
        "3,100",
        "quantity_negative",
        "1,234.50",
        "agrees",
        "daily_revenue 1",
    ):
        assert figure in text


def test_the_table_never_claims_an_agreement_that_was_not_found() -> None:
    assert "agrees" not in shown([report(agreed=False)])
    assert "not loaded" in shown([report(agreed=None, rows=None, sums={"revenue USD": None})])
    assert "gate failed" in shown([report(passed=False)])
