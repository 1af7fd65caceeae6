"""Dirty lines: the stated share of them, every kind reached, and nothing else broken."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from decimal import Decimal, InvalidOperation

import pytest

from feira_local.shop.dirty import ABSENT_FIELDS, DIRTY_KINDS, spoiled
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.shop.source import Line

DAY = dt.date(2011, 3, 2)
STATUSES = {"pending", "completed", "shipped", "failed", "cancelled"}
FIELDS = {
    "order_id", "line_number", "sku", "description", "quantity", "unit_price", "currency", "status",
    "customer_id", "country", "created_at", "updated_at",
}  # fmt: skip


def is_valid(line: Line, day: dt.date) -> bool:
    """The row rules of the sales contract, written down a second time."""
    if set(line) != FIELDS:
        return False
    try:
        price = Decimal(line["unit_price"]) if isinstance(line["unit_price"], str) else None
        created, updated = (
            dt.datetime.fromisoformat(line[name]) for name in ("created_at", "updated_at")
        )
    except InvalidOperation:
        return False
    quantity, customer = line["quantity"], line["customer_id"]
    return bool(
        isinstance(line["order_id"], str)
        and line["order_id"].strip()
        and isinstance(line["sku"], str)
        and line["sku"].strip()
        and line["line_number"] >= 1
        and type(quantity) is int
        and (quantity > 0 or (quantity < 0 and line["status"] == "cancelled"))
        and price is not None
        and 0 <= price < Decimal(10) ** 14
        and -int(price.as_tuple().exponent) <= 4
        and line["currency"] in {"GBP", "EUR", "USD", "BRL", "JPY"}
        and line["status"] in STATUSES
        and (customer is None or (type(customer) is int and customer > 0))
        and created.tzinfo
        and updated.tzinfo
        and created <= updated
        and updated.date() == day
    )


def invalid_share(settings: GeneratorSettings, days: list[dt.date]) -> float:
    source = GeneratedSource(settings)
    lines = [(line, day) for day in days for line in source.lines(day, 0, source.total(day))]
    return sum(not is_valid(line, day) for line, day in lines) / len(lines)


@pytest.mark.parametrize(
    ("share", "lines_per_day", "days"), [(0.01, 10_000, 1), (0.2, 3000, 2), (0.01, 200, 60)]
)
def test_the_stated_share_of_lines_is_dirty(share: float, lines_per_day: int, days: int) -> None:
    settings = GeneratorSettings(dirty_share=share, lines_per_day=lines_per_day)
    found = invalid_share(settings, [DAY + dt.timedelta(days=n) for n in range(days)])
    assert found == pytest.approx(share, rel=0.05)


def test_without_a_dirty_share_every_line_keeps_every_rule() -> None:
    settings = GeneratorSettings(dirty_share=0, lines_per_day=5000)
    assert invalid_share(settings, [DAY, DAY + dt.timedelta(days=1)]) == 0


def test_every_kind_of_dirt_is_reached_on_a_day() -> None:
    clean = GeneratedSource(GeneratorSettings(dirty_share=0))
    dirty = GeneratedSource(GeneratorSettings(dirty_share=0.01))
    total = clean.total(DAY)
    reached: Counter[str] = Counter()
    for was, now in zip(clean.lines(DAY, 0, total), dirty.lines(DAY, 0, total), strict=True):
        if was != now:
            reached.update(kind for kind in DIRTY_KINDS if spoiled(was, kind, DAY) == now)
    assert set(reached) == set(DIRTY_KINDS)


def test_every_kind_of_dirt_breaks_a_valid_line() -> None:
    line = GeneratedSource(GeneratorSettings(dirty_share=0)).lines(DAY, 0, 1)[0]
    assert is_valid(line, DAY)
    for kind in DIRTY_KINDS:
        assert not is_valid(spoiled(line, kind, DAY), DAY), kind.name


def test_a_field_is_absent_from_some_lines_but_never_from_a_whole_page() -> None:
    source = GeneratedSource(GeneratorSettings(dirty_share=0.3, lines_per_day=3000))
    lines = source.lines(DAY, 0, source.total(DAY))
    assert any(set(line) < FIELDS for line in lines)
    for start in range(0, len(lines), 2):
        pair = lines[start : start + 2]
        assert all(any(name in line for line in pair) for name in ABSENT_FIELDS)
