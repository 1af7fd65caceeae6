"""What came of a day: the figures of its landing, its ledger row and the marts, from where they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
from rich import box
from rich.table import Table
from rich.text import Text

from feira.core.landing.manifest import Validation
from feira.core.warehouse.outcome import DayOutcome, day_outcomes
from feira.core.warehouse.schema import table_types
from feira.sales.published import PUBLISHED
from feira_local.stack.lake_access import landings, warehouse

_RULE_COLUMNS = 2
MARTS = ("month_summary", "daily_revenue", "product_performance", "customer_lifetime_value")


@dataclass(frozen=True)
class DayReport:
    """A day's figures. None stands for what has not happened (yet)."""

    day: date
    landed: int | None
    valid: int | None
    quarantined: dict[str, int]
    passed: bool | None
    fact_rows: int | None
    revenue_usd: Decimal | None
    snapshot_id: int | None
    agreed: bool | None
    marts: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def day_report(day: date) -> DayReport:
    """Reads the newest landing's validation, the newest ledger row of the day, and the marts."""
    store = landings("sales")
    complete = store.complete(day)
    newest = complete[-1] if complete else None
    validation: Validation | None = (
        store.validation(day, newest.version) if newest is not None else None
    )
    with warehouse() as connection:
        ledger = _ledger(connection, day)
        marts = {name: _rows(connection, name) for name in MARTS}
    return DayReport(
        day=day,
        landed=newest.total if newest else None,
        valid=validation.valid if validation else None,
        quarantined=validation.broken if validation else {},
        passed=validation.passed if validation else None,
        fact_rows=ledger.fact_rows if ledger else None,
        revenue_usd=ledger.sums["revenue"] if ledger else None,
        snapshot_id=ledger.snapshot_id if ledger else None,
        agreed=ledger.agreed if ledger else None,
        marts={name: rows for name, rows in marts.items() if rows is not None},
    )


def _ledger(connection: psycopg.Connection, day: date) -> DayOutcome | None:
    noted = (PUBLISHED.ledger, PUBLISHED.held_days)
    if any(table_types(connection, table) is None for table in noted):
        return None
    return day_outcomes(connection, PUBLISHED, [day]).get(day)


def _rows(connection: psycopg.Connection, mart: str) -> int | None:
    found = connection.execute("SELECT to_regclass(%s)", [f"marts.{mart}"]).fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute(f"SELECT count(*) FROM marts.{mart}").fetchone()
    return int(row[0]) if row else None


def report_tables(reports: list[DayReport]) -> list[Table]:
    """The figures for people: one line a day, and the rules that lines have broken."""
    # The package of the commands imports this module.
    from feira_local.cli.output import printable

    # Without frames it fits a terminal of 80 columns.
    days = Table(
        title="What came of it", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in ("day", "landed", "valid", "quarantined", "fact rows", "revenue USD"):
        days.add_column(heading, justify="left" if heading == "day" else "right")
    days.add_column("warehouse")
    for report in reports:
        days.add_row(
            str(report.day),
            _number(report.landed),
            _number(report.valid),
            _quarantined(report),
            _number(report.fact_rows),
            f"{report.revenue_usd:,.2f}" if report.revenue_usd is not None else "–",
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
    rules = Table(
        title="Quarantined by rule (a line may break several)",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for _ in range(_RULE_COLUMNS):
        rules.add_column("rule")
        rules.add_column("lines", justify="right")
    cells = [
        cell
        for rule, count in sorted(broken.items(), key=lambda item: (-item[1], item[0]))
        for cell in (Text(printable(rule)), f"{count:,}")
    ]
    for start in range(0, len(cells), 2 * _RULE_COLUMNS):
        rules.add_row(*cells[start : start + 2 * _RULE_COLUMNS])
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
