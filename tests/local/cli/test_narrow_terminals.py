"""However narrow a terminal is, no figure, day or name of a table is cut off; a row of figures that does not fit is a
list."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from feira.recommendations.bootstrap import Figure
from feira.recommendations.evaluation import Row, SlotTable
from feira_local import cli
from feira_local.cli import output
from feira_local.cli.day_report import DayReport, report_tables
from feira_local.cli.output import PlainTable
from feira_local.cli.recommendations import _slot_table
from feira_local.cli.runs import chain_table
from feira_local.stack.airflow_api import AssetGraph, DagRun, TaskState
from feira_local.stack.chains import Chain

DAY = date(2010, 12, 1)
FIGURE = Figure(0.12345, 0.10987, 0.23456)


def days() -> list[PlainTable]:
    """Two days of millions of lines, of which one failed its gate."""
    report = DayReport(
        DAY,
        landed=12_345_678,
        valid=12_345_099,
        quarantined={"quantity_is_not_negative": 1_234_567, "sku_missing": 579},
        passed=False,
        table="sales.fact",
        rows=12_345_099,
        sums={"revenue USD": Decimal("98765432.10")},
        snapshot_id=1,
        agreed=False,
        marts={"customer_lifetime_value": 7_654_321},
    )
    return report_tables([report, report])


def slots() -> list[PlainTable]:
    row = Row("again-buy-popular-of-country", *(FIGURE,) * 4, 0.98765, FIGURE, FIGURE)
    return [_slot_table(SlotTable("recommended", 1000, (row, row)))]


def tasks() -> list[PlainTable]:
    chain = Chain(DAY, [DagRun("d", "r", "running", str(DAY))], AssetGraph({}), seconds=123456.0)
    names = ("wait_for_api", "evaluate_the_candidates_of_all_slots_and_customers")
    chain.states = {"d": [TaskState(name, "success", 12, 98765.4, None) for name in names]}
    return [chain_table([chain], 40)]


def on(width: int, monkeypatch: pytest.MonkeyPatch, show: Callable[[Console], None]) -> str:
    console = Console(
        width=width, force_terminal=True, color_system=None, markup=False, file=StringIO()
    )
    monkeypatch.setattr(output, "console", console)
    show(console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("tables", [days, slots, tasks])
def test_nothing_is_cut_off_where_a_table_is_folded(
    tables: Callable[[], list[PlainTable]], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table in tables():
        folded, whole = (
            on(each, monkeypatch, lambda console, table=table: console.print(table))
            for each in (width, 300)
        )
        assert max(map(len, folded.splitlines())) <= width
        # The lines of a cell stand beside those of the others: what is there is compared, and not where.
        letters, expected = (
            Counter(each for each in text if each.isalnum() or each == "…")
            for text in (folded, whole)
        )
        assert letters == expected


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_figure_is_never_folded(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def show(_: Console) -> None:
        for table in (*days(), *slots()):
            output.print_figures(table)

    text = on(width, monkeypatch, show)
    figures = ["12,345,678", "1,158", "12,345,099", "98,765,432.10", "2,469,134", "0.123", "0.988"]
    names = ["2010-12-01", "quantity_is_not_negative", "customer_lifetime_value", "revenue USD"]
    missing = [each for each in (*figures, *names) if each not in text]
    assert missing == []
    assert text.count(".110–.235") == 2 * 4
    assert "row 2 of 2" in text and "What came of it" in text


def test_no_command_has_a_table_that_cuts() -> None:
    (folder,) = map(Path, cli.__path__)
    made = {
        f"{path.name}: {node.lineno}"
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Table"
    }
    assert made == set()
