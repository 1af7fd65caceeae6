"""A valid order line, its rates and its landing, for the tests to change one thing at a time."""

from __future__ import annotations

from typing import Any

from oracle import Landing

DAY = "2010-12-01"
LATER = "2010-12-02"
GBP = {"rate_date": "2010-12-01", "currency": "GBP", "usd_rate": "1.55470000"}
USD = {"rate_date": "2010-12-01", "currency": "USD", "usd_rate": "1.00000000"}
RATES = [GBP, USD]

Line = dict[str, Any]


def a_line(**changes: Any) -> Line:
    """A line that breaks no rule on 2010-12-01, with these fields changed."""
    return {
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
    } | changes


def a_landing(
    *lines: Line, day: str = DAY, version: int = 1, rates: list[Line] | None = None
) -> Landing:
    """A landing of these lines, in this order."""
    return Landing(day, version, list(lines), RATES if rates is None else rates)


def many(count: int, **changes: Any) -> list[Line]:
    """So many lines of order ``bulk``, numbered from 1."""
    return [a_line(**{"order_id": "bulk", "line_number": n + 1} | changes) for n in range(count)]
