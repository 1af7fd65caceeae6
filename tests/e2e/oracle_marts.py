"""What the four marts must hold, as functions of the whole fact. Amounts are US dollars.

Part of the independent check: nothing here comes from the platform.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import pandas as pd

from oracle_rules import EXACT

REVENUE_STATUSES = ("completed", "shipped")
NOTHING = Decimal("0.0000")


def month_summary(fact: pd.DataFrame) -> pd.DataFrame:
    """One row for each ``order_month`` (its first day) and line ``status``.

    An order belongs to the month of its earliest ``order_date`` over all its lines, and its value
    is the sum of its lines of the row's status, of every line kind. ``average_order_value`` is
    rounded to four places, halves away from zero, as a database rounds ``numeric``.
    """
    earliest = fact.sort_values("order_date", kind="stable").drop_duplicates("order_id")
    month = earliest.set_index("order_id")["order_date"].map(lambda day: day.replace(day=1))
    by_order = fact.groupby(["order_id", "status"], as_index=False)
    with localcontext(EXACT):
        orders = by_order.agg(line_count=("sku", "size"), value=("amount_usd", "sum"))
    orders["order_month"] = orders["order_id"].map(month)

    rows = []
    for (order_month, status), group in _groups(orders, ["order_month", "status"]):
        total = _sum(group["value"])
        rows.append(
            (
                order_month,
                status,
                len(group),
                int(group["line_count"].sum()),
                _average(total, len(group)),
                max(group["value"]),
                total if status in REVENUE_STATUSES else NOTHING,
            )
        )
    columns = ["order_month", "status", "order_count", "line_count"]
    return _frame(rows, [*columns, "average_order_value", "max_order_value", "revenue"])


def daily_revenue(fact: pd.DataFrame) -> pd.DataFrame:
    """One row for each ``order_date`` of the fact, also where nothing was sold on it."""
    rows = []
    for (order_date,), lines in _groups(fact, ["order_date"]):
        sold, cancelled = _sold(lines), _cancelled(lines)
        rows.append(
            (
                order_date,
                sold["order_id"].nunique(),
                len(sold),
                _sum(sold["amount_usd"]),
                _sum(cancelled["amount_usd"]),
            )
        )
    columns = ["order_date", "order_count", "line_count", "revenue", "cancelled_amount"]
    return _frame(rows, columns)


def product_performance(fact: pd.DataFrame) -> pd.DataFrame:
    """One row for each ``sku`` among the product lines, with its newest description."""
    products = fact[fact["line_kind"] == "product"]
    described = products.dropna(subset="description")
    newest = described.sort_values(["updated_at", "order_id", "line_number"])
    description = dict(zip(newest["sku"], newest["description"], strict=True))  # the last one stays
    skus = sorted(set(products["sku"]))
    sold = _sold(products).groupby("sku")
    cancelled = _cancelled(products).assign(units=lambda c: c["quantity"].abs()).groupby("sku")
    with localcontext(EXACT):
        revenue = dict(sold["amount_usd"].sum())
    units_cancelled = cancelled["units"].sum()
    return pd.DataFrame(
        {
            "sku": pd.Series(skus, dtype=object),
            "description": pd.Series(map(description.get, skus), dtype=object),
            "units_sold": sold["quantity"].sum().reindex(skus, fill_value=0).array,
            "revenue": pd.Series([revenue.get(sku, NOTHING) for sku in skus], dtype=object),
            "order_count": sold["order_id"].nunique().reindex(skus, fill_value=0).array,
            "units_cancelled": units_cancelled.reindex(skus, fill_value=0).array,
        }
    )


def customer_lifetime_value(fact: pd.DataFrame) -> pd.DataFrame:
    """One row for each known customer who has a completed or shipped line."""
    by_customer = _sold(fact).sort_values("order_date").groupby("customer_id", as_index=False)
    with localcontext(EXACT):
        return by_customer.agg(
            first_order_date=("order_date", "first"),
            last_order_date=("order_date", "last"),
            order_count=("order_id", "nunique"),
            revenue=("amount_usd", "sum"),
        )


def _sold(lines: pd.DataFrame) -> pd.DataFrame:
    return lines[lines["status"].isin(REVENUE_STATUSES)]


def _cancelled(lines: pd.DataFrame) -> pd.DataFrame:
    return lines[lines["status"] == "cancelled"]


def _groups(frame: pd.DataFrame, by: list[str]) -> Iterable[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Groups in the order of their keys; rows with a null key are left out."""
    return frame.groupby(by, sort=True) if len(frame) else []


def _frame(rows: list[tuple[Any, ...]], columns: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=columns)
    counts = [column for column in columns if column.endswith("_count")]
    return frame.astype(dict.fromkeys(counts, "int64"))


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    with localcontext(EXACT):
        return sum(amounts, start=NOTHING)


def _average(total: Decimal, count: int) -> Decimal:
    return EXACT.divide(total, Decimal(count)).quantize(NOTHING, ROUND_HALF_UP, EXACT)
