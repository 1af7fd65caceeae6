"""What has changed since the last report, and why."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

from feira.summary.model import Change, DayFigures, Figure, Sources

_SINGLE: tuple[Figure, ...] = (
    "revenue",
    "orders",
    "sold_lines",
    "cancelled_amount",
    "landed_lines",
    "valid_lines",
    "quarantined_lines",
)


def changes(before: DayFigures, after: DayFigures) -> tuple[Change, ...]:
    """Every figure that differs, in the order of the report; empty when all are equal.

    A rule that no line breaks counts 0. What a product is called is no figure.
    """
    return tuple(_changes(before, after))


def _changes(before: DayFigures, after: DayFigures) -> Iterator[Change]:
    for figure in _SINGLE:
        old, new = getattr(before, figure), getattr(after, figure)
        if old != new:
            yield Change(figure=figure, item=None, before=old, after=new)
    for rule in sorted({*before.broken_rules, *after.broken_rules}):
        broke, breaks = before.broken_rules.get(rule, 0), after.broken_rules.get(rule, 0)
        if broke != breaks:
            yield Change(figure="rule", item=rule, before=broke, after=breaks)
    sold = {product.sku: product for product in before.top_products}
    sells = {product.sku: product for product in after.top_products}
    for sku in dict.fromkeys([*sells, *sold]):
        old_product, new_product = sold.get(sku), sells.get(sku)
        revenues: tuple[Decimal | None, Decimal | None] = (
            old_product.revenue if old_product else None,
            new_product.revenue if new_product else None,
        )
        if revenues[0] != revenues[1]:
            yield Change(figure="product_revenue", item=sku, before=revenues[0], after=revenues[1])
        units: tuple[int | None, int | None] = (
            old_product.units if old_product else None,
            new_product.units if new_product else None,
        )
        if units[0] != units[1]:
            yield Change(figure="product_units", item=sku, before=units[0], after=units[1])


def cause(day: date, before: Sources, after: Sources) -> str:
    """What changed a day's figures, as a sentence: a landing of its own, other days' extracts, or
    both."""
    reasons = []
    if after.landing_version != before.landing_version:
        reasons.append(
            f"landing {after.landing_version} of the day has replaced "
            f"landing {before.landing_version}"
        )
    elif after.contract_version != before.contract_version:
        reasons.append(
            f"the day was loaded under contract {after.contract_version} instead of "
            f"{before.contract_version}"
        )
    others = sorted(
        other
        for other in {*before.extracts, *after.extracts}
        if other != day and before.extracts.get(other) != after.extracts.get(other)
    )
    if others:
        reasons.append(f"lines of the day came in or left with the extract of {_list(others)}")
    if not reasons:
        reasons.append("the day's own extract was published again")
    sentence = ", and ".join(reasons)
    return sentence[0].upper() + sentence[1:] + "."


def _list(days: list[date], shown: int = 5) -> str:
    names = [str(day) for day in days[:shown]]
    if len(days) > shown:
        names.append(f"{len(days) - shown} more days")
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
