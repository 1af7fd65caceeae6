"""The words and numbers that people read, for mail, Slack and chart alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from feira.core.one_line import one_line
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
    """A figure before and after; ``–`` for a product that is not among the first."""

    figure: Figure
    item: str
    label: str
    before: str
    after: str
    unit: str


def cents(value: Decimal) -> Decimal:
    """Rounded to cents, half to even: for reading only."""
    return value.quantize(_CENTS, context=_EXACT)


def number(value: Decimal | int | None) -> str:
    """``93,990.86`` for an amount, ``3,108`` for a count, ``–`` for None."""
    if value is None:
        return "–"
    return f"{cents(value):,}" if isinstance(value, Decimal) else f"{value:,}"


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
    item = one_line(change.item or "")
    return ChangedRow(
        change.figure,
        item,
        f"{label} {item}" if item else label,
        before,
        after,
        _shown(unit),
    )


def _shown(unit: Unit) -> str:
    return unit if unit == "USD" else ""


def outcome_sentence(outcome: DayOutcome) -> str:
    """What came of the day, by the ledger."""
    done = (
        "Closed day: the shop served no lines."
        if outcome.closed
        else f"Landing {outcome.landing_version} is loaded: "
        f"{number(outcome.landed_lines)} lines, {number(outcome.quarantined_lines)} of them in "
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
    orders = report.figures.orders
    return f"{title}: {revenue} USD, {number(orders)} {'order' if orders == 1 else 'orders'}"
