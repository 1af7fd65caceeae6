"""The words and numbers that people read, for mail, Slack and chart alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from feira.core.one_line import isolated, one_line
from feira.core.warehouse.outcome import DayOutcome
from feira.summary.model import Change, DayReport, Figure, ProductSales, Unit

_CENTS = Decimal("0.01")
_EXACT = Context(prec=38, rounding=ROUND_HALF_EVEN)

LABELS: dict[Figure, tuple[str, Unit]] = {
    "revenue": ("Revenue", "USD"),
    "orders": ("Orders", "orders"),
    "sold_lines": ("Lines sold", "lines"),
    "cancelled_amount": ("Cancelled", "USD"),
    "landed_lines": ("Lines landed", "lines"),
    "valid_lines": ("Lines valid", "lines"),
    "quarantined_lines": ("Lines in quarantine", "lines"),
    "rule": ("Quarantined by", "lines"),
    "product_revenue": ("Revenue of", "USD"),
    "product_units": ("Units of", "units"),
}
SALES: tuple[Figure, ...] = ("revenue", "orders", "sold_lines", "cancelled_amount")
LINES: tuple[Figure, ...] = ("landed_lines", "valid_lines", "quarantined_lines")


@dataclass(frozen=True)
class Row:
    """One figure as people read it. ``unit`` is empty where the label says what is counted."""

    figure: Figure
    label: str
    text: str
    unit: str


@dataclass(frozen=True)
class ChangedRow:
    """A figure before and after; ``–`` for a product that is not among the first. ``item`` is the rule
    or the stock code, where the figure is one of several."""

    figure: Figure
    label: str
    item: str
    before: str
    after: str
    unit: str

    @property
    def name(self) -> str:
        """Label and item in plain text."""
        return f"{self.label} {isolated(self.item)}".rstrip()


def cents(value: Decimal) -> Decimal:
    """Rounded to cents, half to even, and never ``-0.00``: for reading only."""
    return _EXACT.add(value.quantize(_CENTS, context=_EXACT), 0)


def number(value: Decimal | int | None) -> str:
    """``93,990.86`` for an amount, ``3,108`` for a count, ``–`` for None."""
    if value is None:
        return "–"
    return f"{cents(value):,}" if isinstance(value, Decimal) else f"{value:,}"


def counted(count: int, noun: str) -> str:
    """``1 line``, ``3,108 lines``."""
    return f"{number(count)} {noun}" if count == 1 else f"{number(count)} {noun}s"


def rows(report: DayReport, figures: tuple[Figure, ...]) -> Iterator[Row]:
    """The day's figures of these names."""
    for figure in figures:
        label, unit = LABELS[figure]
        yield Row(figure, label, number(getattr(report.figures, figure)), _shown(unit))


def rules(report: DayReport) -> list[tuple[str, int]]:
    """Broken rules and their lines, most lines first."""
    found = sorted(report.figures.broken_rules.items(), key=lambda item: (-item[1], item[0]))
    return [(one_line(rule), lines) for rule, lines in found]


def top_products(report: DayReport) -> list[ProductSales]:
    """The first products, with names that keep to their line."""
    return [
        product.model_copy(
            update={
                "sku": one_line(product.sku),
                "description": one_line(product.description or "") or None,
            }
        )
        for product in report.figures.top_products
    ]


def changed_rows(report: DayReport) -> list[ChangedRow]:
    """What a correction changes; nothing for a first report."""
    if report.correction is None:
        return []
    return [_changed(change) for change in report.correction.changes]


def _changed(change: Change) -> ChangedRow:
    label, unit = LABELS[change.figure]
    before, after = number(change.before), number(change.after)
    if before == after:
        # They differ by less than a cent: then all four decimals are of interest.
        before, after = f"{change.before:,}", f"{change.after:,}"
    return ChangedRow(
        change.figure, label, one_line(change.item or ""), before, after, _shown(unit)
    )


def _shown(unit: Unit) -> str:
    return unit if unit == "USD" else ""


def outcome_sentence(outcome: DayOutcome) -> str:
    """What came of the day, by the ledger."""
    of_them = " of them" if outcome.landed_lines > 1 else ""
    done = (
        "Closed day: the shop served no lines."
        if outcome.closed
        else f"Landing {outcome.landing_version} is loaded: "
        f"{counted(outcome.landed_lines, 'line')}, {number(outcome.quarantined_lines)}{of_them} in "
        "quarantine."
    )
    agreed = (
        "Lake and warehouse agree."
        if outcome.agreed
        else "Lake and warehouse have not been found equal yet."
    )
    return f"{done} {agreed}"


def headline(report: DayReport) -> str:
    """One line for a subject or a notification: the title and the day's revenue."""
    title, revenue = report.title, number(report.figures.revenue)
    if report.outcome.closed:
        return f"{title}: closed, {revenue} USD"
    return f"{title}: {revenue} USD, {counted(report.figures.orders, 'order')}"
