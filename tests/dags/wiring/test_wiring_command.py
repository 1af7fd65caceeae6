"""The linter's command line, which `feira lint-assets` hands on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feira_local.cli import app
from feira_wiring.command import main
from feira_wiring.rules import FILE_RULES, RULES

REPOSITORY = Path(__file__).resolve().parents[3]
WIRING = Path(__file__).parent / "folders"
BROKEN = str(WIRING / "no-listener" / "broken")

feira = CliRunner()


def test_feira_lints_its_own_folder_when_none_is_named() -> None:
    done = feira.invoke(app, ["lint-assets"])
    assert (done.exit_code, "No findings: " in done.stdout) == (0, True), done.output


def test_a_finding_is_exit_code_1_and_says_what_where_and_what_next() -> None:
    done = feira.invoke(app, ["lint-assets", BROKEN, "--fail-on", "warning"])
    assert done.exit_code == 1
    assert done.stdout == (
        "warning  no-listener  orders\n"
        "         load_orders.emit emits orders, which no DAG of the folder listens to.\n"
        "         In Airflow: Its events are registered, and no run follows from them.\n"
        '         Next: Schedule a DAG on it, or mark it extra={"terminal": True} if that is meant.\n'
        f"         {BROKEN}/dags.py:12\n"
        "\n"
        f"0 errors and 1 warning: 1 DAG and 1 asset in {BROKEN}.\n"
    )


def test_json_has_these_fields() -> None:
    done = feira.invoke(app, ["lint-assets", BROKEN, "--json"])
    assert done.exit_code == 0  # a warning: the default is to fail on errors
    assert json.loads(done.stdout) == {
        "version": 2,
        "folders": [BROKEN],
        "dags": 1,
        "assets": 1,
        "ignored": [],
        "suppressed": [],
        "stale_baseline": [],
        "findings": [
            {
                "rule": "no-listener",
                "level": "warning",
                "asset": "orders",
                "dags": ["load_orders"],
                "tasks": ["load_orders.emit"],
                "places": [{"file": f"{BROKEN}/dags.py", "line": 12}],
                "problem": "load_orders.emit emits orders, which no DAG of the folder listens to.",
                "consequence": "Its events are registered, and no run follows from them.",
                "next_step": (
                    'Schedule a DAG on it, or mark it extra={"terminal": True} if that is meant.'
                ),
            }
        ],
    }


def test_an_ignored_rule_is_named() -> None:
    done = feira.invoke(app, ["lint-assets", BROKEN, "--disable", "no-listener"])
    assert done.exit_code == 0
    assert done.stdout == f"No findings: 1 DAG and 1 asset in {BROKEN}; ignored: no-listener.\n"


@pytest.mark.parametrize("wrong", [["no/such/folder"], [BROKEN, "--disable", "no-such-rule"]])
def test_what_cannot_be_looked_at_is_exit_code_2(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(wrong) == 2
    assert "no such" in capsys.readouterr().err.replace("/", " ").replace("-", " ")


def test_a_baseline_is_written_and_then_hides_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the configuration too, which is relative to its file and says what fails."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "dags.py").write_text(Path(BROKEN, "dags.py").read_text())
    (tmp_path / "pyproject.toml").write_text('[tool.feira-lint]\nfail-on = "warning"\n')
    assert main([str(dags)]) == 1
    assert main([str(dags), "--write-baseline", str(tmp_path / "known.json")]) == 0
    (tmp_path / "pyproject.toml").write_text(
        '[tool.feira-lint]\nfail-on = "warning"\nbaseline = "known.json"\n'
    )
    capsys.readouterr()
    assert main([str(dags)]) == 0
    assert "No findings: 1 DAG and 1 asset in" in capsys.readouterr().out
    (tmp_path / "pyproject.toml").write_text("[tool.feira-lint]\nfail_on = 'note'\n")
    assert main([str(dags)]) == 2
    assert "fail_on" in capsys.readouterr().err


def test_help_holds_an_example() -> None:
    done = feira.invoke(app, ["lint-assets", "--help"])
    assert "feira lint-assets dags --format sarif" in done.stdout
    assert "exit codes:" in done.stdout


@pytest.mark.slow
def test_the_module_prints_the_same_as_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [BROKEN, "--fail-on", "note"]
    code = main(arguments)
    done = feira.invoke(app, ["lint-assets", *arguments])
    assert (code, capsys.readouterr().out) == (done.exit_code, done.stdout) == (1, done.stdout)


def test_the_page_shows_what_the_command_prints_and_every_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (REPOSITORY / "docs" / "wiring-linter.md").read_text()
    shown = re.search(r"^\$ feira (lint-assets \S+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert shown is not None
    monkeypatch.chdir(REPOSITORY)
    assert feira.invoke(app, shown[1].split()).stdout == shown[2]
    rules = re.findall(r"^\| `([a-z-]+)` \|.*(?:error|warning)", page, re.MULTILINE)
    assert rules == [rule.id for rule in (*RULES, *FILE_RULES)]
