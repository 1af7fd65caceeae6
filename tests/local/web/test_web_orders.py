"""Purchases from the shop's orders: real customers, real times, one event a line."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest

from feira.user_events.codec import decode
from feira_local.shop.replay import ReplaySource
from feira_local.web.orders import order_messages, purchase
from sales_lines import line

DAY = dt.date(2010, 12, 1)
# Beside the checkout, never in it.
REAL = Path(
    os.environ.get(
        "FEIRA_REAL_DATA", Path(__file__).parents[4] / "shared" / "data" / "online_retail"
    )
)
LINE = line()


class Lines:
    """A day source of these lines, whatever the day."""

    first_day = last_day = DAY

    def __init__(self, *lines: dict[str, Any]) -> None:
        self.held = lines

    def total(self, day: dt.date) -> int:
        return len(self.held)

    def lines(self, day: dt.date, offset: int, limit: int) -> list[dict[str, Any]]:
        return list(self.held[offset : offset + limit])


def test_a_line_is_one_purchase_by_its_customer_at_its_time() -> None:
    found = order_messages(Lines(LINE), DAY)
    assert found.keys == [b"17850"]
    assert found.timestamps.tolist() == [1291191960000]
    event = decode(found.values[0])
    assert {name: value for name, value in event.items() if value is not None} == {
        "event_id": event["event_id"],
        "occurred_at": dt.datetime(2010, 12, 1, 8, 26, tzinfo=dt.UTC),
        "user_id": "17850",
        "session_id": "order-536365",
        "event_type": "purchase",
        "sku": "85123A",
        "quantity": 6,
    }


def test_lines_have_identifiers_of_their_own_that_stay() -> None:
    lines = [LINE, LINE | {"line_number": 2}, LINE | {"order_id": "536366"}]
    ids = [decode(value)["event_id"] for value in order_messages(Lines(*lines), DAY).values]
    assert len(set(ids)) == 3
    again = order_messages(Lines(*lines, LINE, LINE | {"status": "shipped"}), DAY)
    assert [decode(value)["event_id"] for value in again.values] == ids


def test_purchases_come_in_the_order_of_their_times() -> None:
    later = LINE | {"line_number": 2, "created_at": "2010-12-01T09:00:00Z"}
    earlier = LINE | {"line_number": 3, "created_at": "2010-12-01T08:00:00+01:00"}
    times = order_messages(Lines(later, LINE, earlier), DAY).timestamps.tolist()
    assert times == [1291186800000, 1291191960000, 1291194000000]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("customer_id", None),
        ("customer_id", "17850"),
        ("quantity", -6),
        ("quantity", 0),
        ("quantity", 2**31),
        ("quantity", True),
        ("status", "cancelled"),
        ("status", "failed"),
        ("sku", " "),
        ("sku", None),
        ("order_id", {"order_id": "536365"}),
        ("created_at", "2010-12-01T08:26:00"),
        ("created_at", "2010-11-30T23:59:59Z"),
        ("created_at", "soon"),
        ("created_at", None),
    ],
)
def test_what_nobody_known_bought_on_the_day_is_no_purchase(field: str, value: object) -> None:
    assert order_messages(Lines(LINE | {field: value}), DAY).values == []


def test_a_line_without_a_field_is_no_purchase() -> None:
    for field in ("order_id", "line_number", "sku", "quantity", "status", "customer_id"):
        assert purchase({name: value for name, value in LINE.items() if name != field}) is None


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real orders are not in {REAL}")
def test_the_real_orders_of_a_day_are_its_purchases() -> None:
    source = ReplaySource(REAL)
    bought = [
        (line["order_id"], line["line_number"], str(line["customer_id"]), line["quantity"])
        for line in source.lines(DAY, 0, 100_000)
        if line["customer_id"] and line["quantity"] > 0 and line["status"] == "completed"
    ]
    found = [decode(value) for value in order_messages(source, DAY).values]
    assert len(found) == len(bought) == 1942
    assert sorted((f"order-{o}", c, q) for o, _, c, q in bought) == sorted(
        (event["session_id"], event["user_id"], event["quantity"]) for event in found
    )
