"""What came of a day: the figures of its landing, its ledger row and the marts, from where they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg
from rich import box
from rich.text import Text

from feira.core.contracts import contracts
from feira.core.contracts.registry import BUILT_SCHEMA
from feira.core.published_table import PublishedTable, published_tables
from feira.core.warehouse.outcome import DayOutcome, day_outcomes
from feira.core.warehouse.schema import table_types
from feira_local.cli.data import row_count
from feira_local.cli.output import PlainTable
from feira_local.stack.access import landings, warehouse


@dataclass(frozen=True)
class DayReport:
    """A pipeline's figures of a day. None stands for what has not happened (yet).

    ``table`` is the one that it publishes, ``rows`` are the day's in it, and ``sums`` what is summed over
    them, by name and unit, as in ``revenue USD``.
    """

    day: date
    landed: int | None
    valid: int | None
    quarantined: dict[str, int]
    passed: bool | None
    table: str | None
    rows: int | None
    sums: dict[str, Decimal | None]
    snapshot_id: int | None
    agreed: bool | None
    marts: dict[str, int]


def day_report(pipeline: str, day: date) -> DayReport:
    """Reads the newest landing's validation, the day's newest row of the ledger, and the marts."""
    with landings(pipeline) as store:
        newest = max(store.complete(day), key=lambda each: each.version, default=None)
        validation = store.validation(day, newest.version) if newest else None
    table = next((each for each in published_tables() if each.name == pipeline), None)
    with warehouse() as connection:
        loaded = _loaded(connection, table, day) if table else None
        marts = {
            each.table.removeprefix(f"{BUILT_SCHEMA}."): rows
            for each in contracts().values()
            if each.schema == BUILT_SCHEMA
            and (rows := row_count(connection, each.table)) is not None
        }
    return DayReport(
        day=day,
        landed=newest.total if newest else None,
        valid=validation.valid if validation else None,
        quarantined=validation.broken if validation else {},
        passed=validation.passed if validation else None,
        table=table.table if table else None,
        rows=loaded.fact_rows if loaded else None,
        sums={
            f"{each.name} {each.unit}".strip(): loaded.sums[each.name] if loaded else None
            for each in (table.measures if table else ())
        },
        snapshot_id=loaded.snapshot_id if loaded else None,
        agreed=loaded.agreed if loaded else None,
        marts=marts,
    )


def _loaded(connection: psycopg.Connection, table: PublishedTable, day: date) -> DayOutcome | None:
    noted = (table.ledger, table.held_days)
    if any(table_types(connection, each) is None for each in noted):
        return None
    return day_outcomes(connection, table, [day]).get(day)


def report_tables(reports: list[DayReport]) -> list[PlainTable]:
    """The figures for people: one line a day, and the rules that lines have broken."""
    sums = list(reports[0].sums) if reports else []
    table = (reports[0].table or "").rpartition(".")[2] if reports else ""
    # Without frames it mostly fits a terminal of 80 columns.
    days = PlainTable(
        *("day", "landed", "valid", "quarantined", f"{table} rows".strip(), *sums, "warehouse"),
        title="What came of it",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in days.columns[1:-1]:
        column.justify = "right"
    for report in reports:
        days.add_row(
            str(report.day),
            _number(report.landed),
            _number(report.valid),
            _quarantined(report),
            _number(report.rows),
            *(f"{each:,.2f}" if each is not None else "–" for each in report.sums.values()),
            _agreement(report),
        )
    marts = reports[-1].marts if reports else {}
    days.caption = "rows in the marts: " + (
        ", ".join(f"{name} {rows:,}" for name, rows in marts.items()) or "not built yet"
    )
    days.caption_justify = "left"
    broken: dict[str, int] = {}
    for report in reports:
        for rule, count in report.quarantined.items():
            broken[rule] = broken.get(rule, 0) + count
    if not broken:
        return [days]
    rules = PlainTable(
        *("rule", "lines"),
        title="Quarantined by rule (a line may break several)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    rules.columns[1].justify = "right"
    for rule, count in sorted(broken.items(), key=lambda item: (-item[1], item[0])):
        rules.add_row(rule, f"{count:,}")
    return [days, rules]


def _number(value: int | None) -> str:
    return f"{value:,}" if value is not None else "–"


def _quarantined(report: DayReport) -> Text:
    if report.landed is None or report.valid is None:
        return Text("–")
    text = Text(f"{report.landed - report.valid:,}")
    if report.passed is False:
        text.append(" gate failed", style="red")
    return text


def _agreement(report: DayReport) -> Text:
    if report.agreed is None:
        return Text("not loaded", style="dim")
    return Text("agrees", style="green") if report.agreed else Text("not compared", style="yellow")
