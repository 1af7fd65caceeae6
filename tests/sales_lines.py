"""Order lines, a feed and expected texts that tests of several layers share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import orjson

from feira.core.contracts import contract
from feira.core.landing.land import Page

DAY = date(2010, 12, 1)
RATES = [
    {"rate_date": "2010-11-26", "currency": "EUR", "usd_rate": "1.32000000"},
    {"rate_date": "2010-11-30", "currency": "GBP", "usd_rate": "1.55470000"},
    {"rate_date": "2010-12-01", "currency": "USD", "usd_rate": "1.00000000"},
]


def line(**changes: Any) -> dict[str, Any]:
    """A valid line of 2010-12-01, with changes; null in a field that the contract has gained."""
    return (
        dict.fromkeys(contract("sales.landing").column_names)
        | {
            "order_id": "536365",
            "line_number": 1,
            "sku": "85123A",
            "description": "WHITE HANGING HEART T-LIGHT HOLDER",
            "quantity": 6,
            "unit_price": "2.55",
            "currency": "GBP",
            "status": "completed",
            "customer_id": 17850,
            "country": "United Kingdom",
            "created_at": "2010-12-01T08:26:00Z",
            "updated_at": "2010-12-01T08:26:00Z",
        }
        | changes
    )


def without(field: str, **changes: Any) -> dict[str, Any]:
    """A line that lacks a field."""
    return {name: value for name, value in line(**changes).items() if name != field}


class FakeFeed:
    """A feed that serves what it is given and counts how often it is asked."""

    def __init__(
        self,
        pages: list[list[dict[str, Any] | bytes]],
        rates: list[dict[str, str]] | None = None,
        totals: list[int] | None = None,
    ) -> None:
        self._pages = pages
        self._rates = RATES if rates is None else rates
        self._totals = totals or [sum(map(len, pages))] * len(pages)
        self.reads = 0
        self.rate_calls: list[tuple[date, date]] = []

    def pages(self, day: date) -> Iterator[Page]:
        self.reads += 1
        for number, (lines, total) in enumerate(
            zip(self._pages, self._totals, strict=True), start=1
        ):
            texts = [x if isinstance(x, bytes) else orjson.dumps(x) for x in lines]
            yield Page(number, total, texts)

    def rates(self, first: date, last: date) -> list[dict[str, str]]:
        self.rate_calls.append((first, last))
        return [r for r in self._rates if first.isoformat() <= r["rate_date"] <= last.isoformat()]
