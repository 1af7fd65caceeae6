"""What a report calls a product: what its newest line of the day calls it, by the marts' rule."""

from __future__ import annotations

import psycopg
import pytest

from feira.core.landing.store import LandingStore
from feira.summary.figures import sales_by_day
from reported_days import D1, D2, D3, Shop, line


@pytest.fixture
def shop(connection: psycopg.Connection, folder_store: LandingStore) -> Shop:
    return Shop(connection, folder_store)


def test_a_product_is_called_as_its_newest_line_of_the_day_that_has_a_name(shop: Shop) -> None:
    shop.run(
        D1,
        [
            line("A", D1, "40", sku="newest", description="zz older"),
            line("B", D1, "1", sku="newest", description="newer", seen=D2, status="pending"),
            line("C", D1, "1", sku="newest", description=None, seen=D3),
            line("D", D2, "1", sku="newest", description="of another day", seen=D3),
            # At the same time the greatest order decides, by bytes, then the line.
            line("B", D1, "30", sku="tied", description="zz", line_number=20),
            line("a", D1, "1", sku="tied", description="zy", line_number=9),
            line("a", D1, "1", sku="tied", description="a 10", line_number=10),
            line("E", D1, "20", sku="never", description=None),
            line("F", D1, "10", sku="other kind", description="product"),
            line("G", D1, "1", sku="other kind", description="zz", line_kind="postage", seen=D3),
            line("H", D1, "1", sku="unsold", description="zz", status="failed"),
        ],
    )
    first = sales_by_day(shop.connection, [D1, D2])[D1].top_products
    assert [(it.sku, it.description, it.units, str(it.revenue)) for it in first] == [
        ("newest", "newer", 2, "41.0000"),
        ("tied", "a 10", 3, "32.0000"),
        ("never", None, 1, "20.0000"),
        ("other kind", "product", 1, "10.0000"),
    ]
