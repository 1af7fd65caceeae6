"""The marts of small facts, worked out by hand. All rates are 1, so amounts are dollars."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pandas as pd

from oracle import Expected, expected
from oracle_example import Line, a_landing, a_line

DAYS = [dt.date(2010, 11, 29) + dt.timedelta(days=n) for n in range(5)]


def usd(order_id: str, line_number: int, day: str, price: str, **changes: object) -> Line:
    """A line in dollars, created and updated at noon of the day."""
    noon = {"created_at": f"{day}T12:00:00Z", "updated_at": f"{day}T12:00:00Z"}
    given = {"order_id": order_id, "line_number": line_number, "unit_price": price}
    return a_line(**{"quantity": 1, "currency": "USD"} | noon | given | changes)


def after(*lines: Line) -> Expected:
    """What is expected once every line has landed on the day of its update."""
    rates = [{"rate_date": f"{day}", "currency": "USD", "usd_rate": "1"} for day in DAYS]
    return expected(
        a_landing(
            *(line for line in lines if line["updated_at"].startswith(str(day))),
            day=str(day),
            rates=rates,
        )
        for day in DAYS
    )


def rows(mart: pd.DataFrame) -> list[tuple]:
    """The rows as text, so that the scale of a decimal shows."""
    return [tuple(None if v is None else str(v) for v in row) for row in mart.to_numpy().tolist()]


def test_an_order_belongs_to_the_month_of_its_earliest_order_date_of_any_status() -> None:
    after_all = after(
        usd("a", 1, "2010-11-30", "1", status="failed"),
        usd("a", 2, "2010-12-01", "10"),
        usd("b", 1, "2010-12-01", "5"),
    )
    assert rows(after_all.month_summary) == [
        ("2010-11-01", "completed", "1", "1", "10.0000", "10.0000", "10.0000"),
        ("2010-11-01", "failed", "1", "1", "1.0000", "1.0000", "0.0000"),
        ("2010-12-01", "completed", "1", "1", "5.0000", "5.0000", "5.0000"),
    ]
    assert list(after_all.month_summary.columns) == [
        "order_month", "status", "order_count", "line_count",
        "average_order_value", "max_order_value", "revenue",
    ]  # fmt: skip


def test_an_orders_value_is_the_sum_of_its_lines_of_one_status_of_every_kind() -> None:
    after_all = after(
        usd("a", 1, "2010-12-01", "10"),
        usd("a", 2, "2010-12-01", "2.5", sku="POST"),
        usd("a", 3, "2010-12-01", "100", status="shipped"),
        usd("b", 1, "2010-12-01", "1"),
        usd("c", 1, "2010-12-01", "4", status="cancelled", quantity=-2),
        usd("d", 1, "2010-12-01", "3", status="cancelled"),
        usd("e", 1, "2010-12-01", "3", status="pending"),
    )
    assert rows(after_all.month_summary) == [
        ("2010-12-01", "cancelled", "2", "2", "-2.5000", "3.0000", "0.0000"),
        ("2010-12-01", "completed", "2", "3", "6.7500", "12.5000", "13.5000"),
        ("2010-12-01", "pending", "1", "1", "3.0000", "3.0000", "0.0000"),
        ("2010-12-01", "shipped", "1", "1", "100.0000", "100.0000", "100.0000"),
    ]


def test_an_average_is_rounded_half_away_from_zero() -> None:
    sold = after(usd("a", 1, "2010-12-01", "0.0001"), usd("b", 1, "2010-12-01", "0.0002"))
    assert sold.month_summary["average_order_value"][0] == Decimal("0.0002")  # of 0.00015
    sold = after(usd("a", 1, "2010-12-01", "0.0001"), usd("b", 1, "2010-12-01", "0"))
    assert sold.month_summary["average_order_value"][0] == Decimal("0.0001")  # of 0.00005
    given_back = after(
        usd("a", 1, "2010-12-01", "0.0001", quantity=-1, status="cancelled"),
        usd("b", 1, "2010-12-01", "0", status="cancelled"),
    )
    assert given_back.month_summary["average_order_value"][0] == Decimal("-0.0001")


def test_daily_revenue_counts_sold_lines_and_has_every_order_date() -> None:
    after_all = after(
        usd("a", 1, "2010-11-30", "7", status="pending"),
        usd("b", 1, "2010-12-01", "10"),
        usd("b", 2, "2010-12-01", "1", status="shipped", sku="POST"),
        usd("c", 1, "2010-12-01", "5", status="shipped"),
        usd("c", 2, "2010-12-01", "5", status="failed"),
        usd("c", 3, "2010-12-01", "3", status="cancelled", quantity=-2),
        # Ordered on the first, updated on the third: it counts on the first.
        usd("d", 1, "2010-12-01", "2", updated_at="2010-12-03T01:00:00Z"),
    )
    assert rows(after_all.daily_revenue) == [
        ("2010-11-30", "0", "0", "0.0000", "0.0000"),
        ("2010-12-01", "3", "4", "18.0000", "-6.0000"),
    ]
    assert list(after_all.daily_revenue.columns) == [
        "order_date", "order_count", "line_count", "revenue", "cancelled_amount",
    ]  # fmt: skip


def test_product_performance_has_each_product_and_no_other_kind() -> None:
    after_all = after(
        usd("a", 1, "2010-12-01", "2", sku="10002", quantity=3),
        usd("a", 2, "2010-12-01", "2", sku="10002", quantity=4, status="shipped"),
        usd("b", 1, "2010-12-01", "2", sku="10002", quantity=5, status="cancelled"),
        usd("c", 1, "2010-12-01", "2", sku="10002", quantity=-6, status="cancelled"),
        usd("d", 1, "2010-12-01", "9", sku="10002", quantity=7, status="pending"),
        usd("e", 1, "2010-12-01", "1", sku="10001", status="failed", description=None),
        usd("e", 2, "2010-12-01", "1", sku="POST"),
        usd("e", 3, "2010-12-01", "1", sku="gift_0001_10"),
        usd("e", 4, "2010-12-01", "1", sku="DCGS0001", description="DOLL"),
        usd("e", 5, "2010-12-01", "1", sku="10002a", description=""),
    )
    assert rows(after_all.product_performance) == [
        ("10001", None, "0", "0.0000", "0", "0"),
        ("10002", "WHITE HANGING HEART T-LIGHT HOLDER", "7", "14.0000", "1", "11"),
        ("10002a", "", "1", "1.0000", "1", "0"),
        ("DCGS0001", "DOLL", "1", "1.0000", "1", "0"),
    ]
    assert list(after_all.product_performance.columns) == [
        "sku", "description", "units_sold", "revenue", "order_count", "units_cancelled",
    ]  # fmt: skip


def test_products_of_which_none_was_sold_have_no_revenue() -> None:
    after_all = after(usd("a", 1, "2010-12-01", "2", sku="10002", status="pending"))
    assert rows(after_all.product_performance)[0][2:] == ("0", "0.0000", "0", "0")
    assert after_all.customer_lifetime_value.empty


def test_a_product_is_described_by_its_newest_line_that_has_a_description() -> None:
    def description(*lines: tuple[str, int, str, str | None]) -> str | None:
        made = (usd(o, n, d, "1", description=text, status="failed") for o, n, d, text in lines)
        return after(*made).product_performance["description"][0]

    newest = [("9", 9, "2010-11-30", "old"), ("1", 1, "2010-12-01", "new")]
    assert description(*newest) == "new"
    assert description(*newest, ("2", 1, "2010-12-02", None)) == "new"
    # At the same time: the greatest order, as text, then the greatest line.
    assert description(("9", 1, "2010-12-01", "nine"), ("10", 2, "2010-12-01", "ten")) == "nine"
    assert description(("a", 1, "2010-12-01", "low"), ("B", 2, "2010-12-01", "up")) == "low"
    assert description(("9", 9, "2010-12-01", "9"), ("9", 10, "2010-12-01", "10")) == "10"


def test_lifetime_value_is_of_known_customers_who_bought() -> None:
    after_all = after(
        usd("a", 1, "2010-12-01", "5", customer_id=2),
        usd("a", 2, "2010-12-01", "5", customer_id=2, sku="POST"),
        usd("b", 1, "2010-11-30", "1", customer_id=2, status="shipped"),
        usd("c", 1, "2010-12-02", "9", customer_id=2, status="cancelled"),
        usd("d", 1, "2010-12-01", "5", customer_id=None),
        usd("e", 1, "2010-12-01", "5", customer_id=3, status="pending"),
        usd("f", 1, "2010-12-01", "0", customer_id=1),
    )
    assert rows(after_all.customer_lifetime_value) == [
        ("1", "2010-12-01", "2010-12-01", "1", "0.0000"),
        ("2", "2010-11-30", "2010-12-01", "2", "11.0000"),
    ]
    assert list(after_all.customer_lifetime_value.columns) == [
        "customer_id", "first_order_date", "last_order_date", "order_count", "revenue",
    ]  # fmt: skip


def test_sums_are_exact_beyond_twenty_eight_digits() -> None:
    # 20,000 lines of almost 10^14 have a sum of 23 digits, each of which must be right.
    price = "99999999999999.9999"
    sold = after(*(usd("a", n + 1, "2010-12-01", price, customer_id=1) for n in range(20_000)))
    total = Decimal("1999999999999999998.0000")
    assert sold.daily_revenue["revenue"][0] == total
    assert sold.month_summary["revenue"][0] == total
    assert sold.product_performance["revenue"][0] == total
    assert sold.customer_lifetime_value["revenue"][0] == total
