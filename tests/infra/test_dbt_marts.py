"""The marts' rows, against figures worked out by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

Line = Callable[..., dict[str, Any]]
DEC_31, JAN_1, JAN_2, JAN_3 = (
    dt.date(2010, 12, 31),
    dt.date(2011, 1, 1),
    dt.date(2011, 1, 2),
    dt.date(2011, 1, 3),
)
DECEMBER, JANUARY = dt.date(2010, 12, 1), JAN_1


def at(hour: int) -> dt.datetime:
    return dt.datetime(2011, 1, 5, hour, tzinfo=dt.UTC)


def test_an_order_over_two_months_counts_in_the_month_of_its_earliest_line(
    warehouse, fact_line: Line
) -> None:
    warehouse.put(
        fact_line("A", 1, order_date=JAN_1, amount_usd="10"),
        fact_line("A", 2, order_date=JAN_1, amount_usd="1.5"),
        # The earliest line decides whatever its status.
        fact_line("A", 3, order_date=DEC_31, amount_usd="4", status="failed"),
        fact_line("A", 4, order_date=JAN_2, amount_usd="5", status="shipped"),
        fact_line("B", 1, order_date=JAN_2, amount_usd="7", status="shipped"),
    )
    warehouse.build()
    assert month_rows(warehouse) == [
        (DECEMBER, "completed", 1, 2, "11.5000", "11.5000", "11.5000"),
        (DECEMBER, "failed", 1, 1, "4.0000", "4.0000", "0.0000"),
        (DECEMBER, "shipped", 1, 1, "5.0000", "5.0000", "5.0000"),
        (JANUARY, "shipped", 1, 1, "7.0000", "7.0000", "7.0000"),
    ]


def test_an_average_is_rounded_half_away_from_zero_at_the_fourth_decimal(
    warehouse, fact_line: Line
) -> None:
    warehouse.put(
        fact_line("A", 1, amount_usd="0.0002"),
        fact_line("B", 1, amount_usd="0.0003"),
        fact_line("C", 1, amount_usd="-0.0002", status="cancelled"),
        fact_line("D", 1, amount_usd="-0.0003", status="cancelled"),
    )
    warehouse.build()
    assert month_rows(warehouse) == [
        (JANUARY, "cancelled", 2, 2, "-0.0003", "-0.0002", "0.0000"),
        (JANUARY, "completed", 2, 2, "0.0003", "0.0003", "0.0005"),
    ]


def test_a_month_holds_every_kind_of_line_and_every_guest(warehouse, fact_line: Line) -> None:
    warehouse.put(
        fact_line("A", 1, amount_usd="10", customer_id=None),
        fact_line("A", 2, amount_usd="2", customer_id=None, sku="POST", line_kind="postage"),
        fact_line("B", 1, amount_usd="-3", sku="D", line_kind="adjustment"),
    )
    warehouse.build()
    assert month_rows(warehouse) == [
        (JANUARY, "completed", 2, 3, "4.5000", "12.0000", "9.0000"),
    ]


def test_a_day_has_a_row_also_where_nothing_was_sold(warehouse, fact_line: Line) -> None:
    warehouse.put(
        fact_line("A", 1, order_date=JAN_1, amount_usd="10"),
        fact_line("A", 2, order_date=JAN_1, amount_usd="2", status="shipped"),
        fact_line("A", 3, order_date=JAN_1, amount_usd="-4", status="cancelled", quantity=-2),
        fact_line("A", 4, order_date=JAN_2, amount_usd="5"),
        fact_line("B", 1, order_date=JAN_2, amount_usd="1.2345", line_kind="postage"),
        fact_line("C", 1, order_date=JAN_3, amount_usd="9", status="pending"),
        fact_line("D", 1, order_date=JAN_3, amount_usd="8", status="failed"),
    )
    warehouse.build()
    assert values(warehouse.rows("select * from marts.daily_revenue order by order_date")) == [
        (JAN_1, 1, 2, "12.0000", "-4.0000"),
        (JAN_2, 2, 2, "6.2345", "0.0000"),
        (JAN_3, 0, 0, "0.0000", "0.0000"),
    ]


def test_a_product_counts_what_was_sold_and_what_was_cancelled(warehouse, fact_line: Line) -> None:
    smallest = -(2**31)
    warehouse.put(
        fact_line("A", 1, sku="10002", quantity=3, amount_usd="6"),
        fact_line("A", 2, sku="10002", quantity=2, amount_usd="4", status="shipped"),
        fact_line("B", 1, sku="10002", quantity=2**31 - 1, amount_usd="0"),
        fact_line("C", 1, sku="10002", quantity=-4, amount_usd="-8", status="cancelled"),
        fact_line("C", 2, sku="10002", quantity=5, amount_usd="10", status="cancelled"),
        fact_line("D", 1, sku="10080", quantity=smallest, amount_usd="0", status="cancelled"),
        fact_line("D", 2, sku="10080", quantity=9, amount_usd="9", status="pending"),
        fact_line("E", 1, sku="POST", quantity=1, amount_usd="18", line_kind="postage"),
    )
    warehouse.build()
    rows = warehouse.rows("select * from marts.product_performance order by sku")
    assert values(rows) == [
        ("10002", "REGENCY CAKESTAND", 2, 5 + 2**31 - 1, "10.0000", 9),
        ("10080", "REGENCY CAKESTAND", 0, 0, "0.0000", -smallest),
    ]


def test_a_description_is_that_of_the_newest_line_that_has_one(warehouse, fact_line: Line) -> None:
    def described(order_id: str, number: int, sku: str, text: str | None, hour: int, **more: Any):
        return fact_line(order_id, number, sku=sku, description=text, updated_at=at(hour), **more)

    warehouse.put(
        described("A", 1, "newest", "old", 1),
        described("A", 2, "newest", "new", 2, status="failed"),
        described("A", 3, "newest", None, 3),
        # At the same time the greatest order decides, by bytes ("a" after "B"), then the line.
        described("B", 9, "tied", "B", 1),
        described("a", 9, "tied", "a 9", 1),
        described("a", 10, "tied", "a 10", 1),
        described("A", 4, "never", None, 1),
        described("A", 5, "other kind", "product", 1),
        described("A", 6, "other kind", "sample", 2, line_kind="sample"),
    )
    warehouse.build()
    rows = warehouse.rows("select sku, description from marts.product_performance")
    assert {row["sku"]: row["description"] for row in rows} == {
        "newest": "new",
        "tied": "a 10",
        "never": None,
        "other kind": "product",
    }


def test_lifetime_value_is_of_known_customers_who_bought(warehouse, fact_line: Line) -> None:
    warehouse.put(
        fact_line("A", 1, customer_id=1, order_date=JAN_2, amount_usd="10"),
        fact_line("A", 2, customer_id=1, order_date=JAN_2, amount_usd="2", line_kind="postage"),
        fact_line("B", 1, customer_id=1, order_date=JAN_3, amount_usd="1", status="shipped"),
        fact_line("C", 1, customer_id=1, order_date=DEC_31, amount_usd="9", status="pending"),
        fact_line("D", 1, customer_id=None, amount_usd="5"),
        fact_line("E", 1, customer_id=2, amount_usd="-5", status="cancelled", quantity=-1),
    )
    warehouse.build()
    assert values(warehouse.rows("select * from marts.customer_lifetime_value")) == [
        (1, JAN_2, JAN_3, 2, "13.0000"),
    ]


def test_an_empty_fact_makes_empty_marts(warehouse) -> None:
    assert warehouse.build() == {
        "customer_lifetime_value": 0,
        "daily_revenue": 0,
        "month_summary": 0,
        "product_performance": 0,
    }


def month_rows(warehouse) -> list[tuple[Any, ...]]:
    return values(warehouse.rows("select * from marts.month_summary order by order_month, status"))


def values(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Amounts become text, so that their scale counts too."""
    return [tuple(str(v) if isinstance(v, Decimal) else v for v in row.values()) for row in rows]
