"""The report's figures are the marts': both say what they say from one fact."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from decimal import Decimal
from typing import Any

from feira.core.warehouse.schema import connect
from feira.core.warehouse.side import side_of
from feira.summary.figures import sales_by_day
from reported_days import D1, D2, D3, line

FACT = [
    line("A", D1, "100.1234", sku="S1", quantity=2),
    line("A", D1, "50", line_number=2, sku="S2", status="shipped"),
    line("B", D1, "7.5", seen=D3, sku="S2", quantity=4),
    line("C", D1, "-30", sku="S1", status="cancelled", quantity=-1),
    line("D", D2, "999", sku="S3", status="pending"),
    line("E", D2, "4.95", sku="POST", line_kind="postage"),
    line("F", D2, "0", sku="S4"),
    line("G", D3, "12.25", sku="S1", status="failed"),
    line("A", D3, "8.0001", line_number=3, sku="S5"),
    line("N", D1, "3", sku="N1", description="zz older"),
    line("O", D1, "1", sku="N1", description="newer", seen=D2, status="pending"),
    line("P", D1, "1", sku="N1", description=None, seen=D3),
    line("O", D1, "2", line_number=20, sku="N2", description="zz"),
    line("o", D1, "1", line_number=9, sku="N2", description="zy"),
    line("o", D1, "1", line_number=10, sku="N2", description="greatest order and line"),
    line("Q", D1, "2", sku="N3", description=None),
]


def test_a_days_figures_are_those_of_the_marts(warehouse: Any) -> None:
    warehouse.put(*FACT)
    warehouse.build()
    with (
        connect(warehouse.dsns.warehouse_loader) as connection,
        side_of(connection).one_moment(connection),
    ):
        sales = sales_by_day(connection, [D1, D2, D3])
    by_day: dict[dt.date, tuple[Any, ...]] = {
        row["order_date"]: (
            row["order_count"],
            row["line_count"],
            row["revenue"],
            row["cancelled_amount"],
        )
        for row in warehouse.rows("select * from marts.daily_revenue")
    }
    assert {
        day: (each.orders, each.sold_lines, each.revenue, each.cancelled_amount)
        for day, each in sales.items()
    } == by_day

    products: dict[str, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    names: dict[str, str | None] = {}
    for each in sales.values():
        for product in each.top_products:
            names[product.sku] = product.description
            units, revenue = products[product.sku]
            products[product.sku] = units + product.units, revenue + product.revenue
    assert products == {
        row["sku"]: (row["units_sold"], row["revenue"])
        for row in warehouse.rows("select * from marts.product_performance where revenue > 0")
    }
    assert names == {
        row["sku"]: row["description"]
        for row in warehouse.rows("select * from marts.product_performance where revenue > 0")
    }
