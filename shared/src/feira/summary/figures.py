"""A day's figures, read from the warehouse in one transaction.

From the fact and the ledger, not from the marts: dbt builds each mart in a transaction of its own, so
a load that ends between two of them would put two truths into one report. The tests hold these
figures against the marts that are built from the same fact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Context, Decimal

import psycopg

from feira.core.warehouse.fingerprint import fingerprint
from feira.core.warehouse.outcome import DayOutcome
from feira.core.warehouse.side import among, side_of
from feira.sales.published import PUBLISHED, SOLD
from feira.summary.model import (
    TOP_PRODUCTS,
    DayFigures,
    ProductSales,
    Sources,
)

# The day stands among its past, and with a glimpse of what came after it.
DAYS_BEFORE, DAYS_AFTER = 45, 14
_AMOUNT = Decimal("0.0001")
FACT = PUBLISHED.table
# The widest sum that the warehouse's numeric(38,4) holds.
_EXACT = Context(prec=38)


@dataclass(frozen=True)
class DaySales:
    """What the fact says of one order date."""

    orders: int = 0
    sold_lines: int = 0
    revenue: Decimal = Decimal("0.0000")
    cancelled_amount: Decimal = Decimal("0.0000")
    top_products: tuple[ProductSales, ...] = ()


def dates_around(day: date) -> list[date]:
    """The order dates that a day's report shows the revenue of, oldest first."""
    return [day + timedelta(days=days) for days in range(-DAYS_BEFORE, DAYS_AFTER + 1)]


def sales_by_day(connection: psycopg.Connection, days: Iterable[date]) -> dict[date, DaySales]:
    """What those order dates have sold; a date that no order has is not among them."""
    asked = list(days)
    products = _top_products(connection, asked)
    of_days, values = among("order_date", asked)
    totals = connection.execute(
        "SELECT order_date, "
        f"count(DISTINCT CASE WHEN {SOLD} THEN order_id END), "
        f"count(CASE WHEN {SOLD} THEN 1 END), "
        f"coalesce(sum(CASE WHEN {SOLD} THEN amount_usd END), 0), "
        "coalesce(sum(CASE WHEN status = 'cancelled' THEN amount_usd END), 0) "
        f"FROM {FACT} WHERE {of_days} GROUP BY order_date",
        values,
    )
    return {
        day: DaySales(
            orders=orders,
            sold_lines=lines,
            revenue=_amount(revenue),
            cancelled_amount=_amount(cancelled),
            top_products=tuple(products.get(day, ())),
        )
        for day, orders, lines, revenue, cancelled in totals
    }


def revenue_by_day(connection: psycopg.Connection, days: Iterable[date]) -> dict[date, Decimal]:
    """The revenue of those order dates; a date that no order has is not among them."""
    of_days, values = among("order_date", days)
    rows = connection.execute(
        f"SELECT order_date, coalesce(sum(CASE WHEN {SOLD} THEN amount_usd END), 0) "
        f"FROM {FACT} WHERE {of_days} GROUP BY order_date",
        values,
    )
    return {day: _amount(revenue) for day, revenue in rows}


def _top_products(
    connection: psycopg.Connection, days: list[date]
) -> dict[date, list[ProductSales]]:
    """Products that earned something, by order date: greatest revenue first, then by stock code.

    A product's name is the newest that a line of the date has, by the rule of the marts' ``day_products``.
    """
    of_days, values = among("order_date", days)
    order = f"order_id{side_of(connection).bytewise}"
    rows = connection.execute(
        "SELECT order_date, sku, description, units, revenue FROM ("
        "SELECT *, row_number() OVER (PARTITION BY order_date ORDER BY revenue DESC, sku) AS place "
        "FROM (SELECT order_date, sku, max(CASE WHEN age = 1 THEN description END) AS description, "
        f"sum(CASE WHEN {SOLD} THEN quantity END) AS units, "
        f"sum(CASE WHEN {SOLD} THEN amount_usd END) AS revenue FROM ("
        "SELECT *, row_number() OVER (PARTITION BY order_date, sku "
        "ORDER BY CASE WHEN description IS NULL THEN 1 ELSE 0 END, "
        f"updated_at DESC, {order} DESC, line_number DESC) AS age "
        f"FROM {FACT} WHERE line_kind = 'product' AND {of_days}) AS lines "
        "GROUP BY order_date, sku) AS summed WHERE revenue > 0) AS ranked "
        "WHERE place <= %s ORDER BY order_date, place",
        [*values, TOP_PRODUCTS],
    )
    found: dict[date, list[ProductSales]] = defaultdict(list)
    for day, sku, description, units, revenue in rows:
        found[day].append(
            ProductSales(sku=sku, description=description, units=units, revenue=_amount(revenue))
        )
    return found


def day_figures(outcome: DayOutcome, sales: DaySales, broken_rules: dict[str, int]) -> DayFigures:
    """A day's figures from its ledger row, its sales and its landing's validation."""
    return DayFigures(
        revenue=sales.revenue,
        orders=sales.orders,
        sold_lines=sales.sold_lines,
        cancelled_amount=sales.cancelled_amount,
        landed_lines=outcome.landed_lines,
        valid_lines=outcome.valid_lines,
        quarantined_lines=outcome.quarantined_lines,
        broken_rules=dict(sorted(broken_rules.items())),
        top_products=sales.top_products,
    )


def day_sources(
    connection: psycopg.Connection, outcomes: Iterable[DayOutcome]
) -> dict[date, Sources]:
    """Where the figures of these days come from."""
    known = {outcome.day: outcome for outcome in outcomes}
    of_days, values = among("order_date", known)
    rows_hash = fingerprint(PUBLISHED.contract, side_of(connection).dialect)
    rows = connection.execute(
        f"SELECT order_date, extract_day, {rows_hash} FROM {FACT} "
        f"WHERE {of_days} GROUP BY order_date, extract_day ORDER BY extract_day",
        values,
    )
    extracts: dict[date, dict[date, str]] = defaultdict(dict)
    for order_date, extract_day, found in rows:
        extracts[order_date][extract_day] = str(found)
    return {
        day: Sources(
            landing_version=outcome.landing_version,
            contract_version=outcome.contract_version,
            extracts=extracts.get(day, {}),
        )
        for day, outcome in known.items()
    }


def _amount(value: Decimal) -> Decimal:
    """With four decimals always, so that equal amounts are equal text."""
    return Decimal(value).quantize(_AMOUNT, context=_EXACT)
