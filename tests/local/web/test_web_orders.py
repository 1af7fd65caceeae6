"""Purchases from the shop's orders: real customers, real times, one event a line."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feira.core.contracts import contract
from feira.user_events import incoming
from feira.user_events.codec import decode
from feira_local.shop.dirty import KIND_NAMES, spoiled
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.shop.replay import ReplaySource
from feira_local.web.orders import order_messages
from feira_local.web.valid_lines import valid_lines
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


def numbered(*changes: dict[str, Any], first: int = 1) -> list[dict[str, Any]]:
    """Lines of one order with these changes, of which no two are one line."""
    return [LINE | {"line_number": number} | each for number, each in enumerate(changes, first)]


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
    at = "2010-12-01T09:00:00Z"
    later = LINE | {"line_number": 2, "created_at": at, "updated_at": at}
    earlier = LINE | {"line_number": 3, "created_at": "2010-12-01T08:00:00+01:00"}
    times = order_messages(Lines(later, LINE, earlier), DAY).timestamps.tolist()
    assert times == [1291186800000, 1291191960000, 1291194000000]


def test_what_nobody_known_bought_on_the_day_is_no_purchase() -> None:
    lines = numbered(
        {"customer_id": None},
        {"status": "cancelled", "quantity": -6},
        {"status": "cancelled"},
        {"status": "failed"},
        {"created_at": "2010-11-30T23:59:59Z"},
        {"created_at": "2010-12-01T00:30:00+01:00"},
    )
    found = order_messages(Lines(*lines), DAY)
    assert (found.keys, found.values, found.refused) == ([], [], 0)


BROKEN: list[dict[str, Any]] = [
    *({"customer_id": it} for it in ("17850", 0, True, 2**63, 2**70)),
    *({"quantity": it} for it in (-6, 0, 2**31, True, 6.0)),
    *({"unit_price": it} for it in (2.55, "abc", "-2.55", "2.551234", "1e2", "9" * 15, None)),
    *({"currency": it} for it in ("XXX", "gbp", None)),
    *({"order_id": it} for it in (" ", "o" * 65, {"order_id": "536365"}, 536365)),
    *({"sku": it} for it in (" ", None, "x" * 65, "a\0b", "\ud800")),
    *({"line_number": it} for it in (0, 2**31, "1")),
    *({"created_at": it} for it in ("2010-12-01T08:26:00", "20101201T082600Z", "soon", None)),
    {"created_at": "2010-12-01T08:26:01Z"},
    *({"updated_at": it} for it in ("2010-12-02T00:00:00Z", "2010-12-01", None)),
    {"status": "refunded"},
    {"description": "x" * 1001},
    {"country": 44},
    {"quantity": 2**31 - 1, "unit_price": "99999999999999.9999"},
]


def test_no_line_that_sales_refuses_is_a_purchase() -> None:
    absent = [
        {name: value for name, value in LINE.items() if name != field}
        for field in (
            "order_id",
            "line_number",
            "sku",
            "quantity",
            "status",
            "customer_id",
            "country",
        )
    ]
    lines = [*absent, *numbered(*BROKEN), *numbered({}, first=1000)]
    found = order_messages(Lines(*lines), DAY)
    assert [decode(value)["event_id"] for value in found.values] == [
        decode(order_messages(Lines(lines[-1]), DAY).values[0])["event_id"]
    ]
    assert found.refused == len(lines) - 1


def test_no_kind_of_dirty_line_is_a_purchase() -> None:
    lines = numbered(*({} for _ in KIND_NAMES))
    dirty = [spoiled(each, kind, DAY) for each, kind in zip(lines, KIND_NAMES, strict=True)]
    found = order_messages(Lines(*dirty, *numbered({}, first=1000)), DAY)
    assert (len(found.values), found.refused) == (1, len(KIND_NAMES))


def test_of_a_lines_versions_the_newest_valid_one_is_the_purchase() -> None:
    at = "2010-12-01T{}Z".format
    new, old = {"updated_at": at("12:00:00")}, {"updated_at": at("09:00:00.5")}
    versions = [
        ({"quantity": 1}, {"quantity": 2} | new, 2),
        ({"quantity": 1} | new, {"quantity": 2} | old, 1),
        ({"quantity": 1} | new, {"quantity": 2, "updated_at": "2010-12-01T13:00:00+01:00"}, 2),
        ({"quantity": 1} | old, {"status": "cancelled", "quantity": -1} | new, None),
        ({"status": "failed"}, {"quantity": 2} | new, 2),
        ({"quantity": 1} | old, {"quantity": 2, "unit_price": "abc"} | new, 1),
        ({"quantity": 1} | old, {"quantity": 2, "created_at": "2010-11-30T09:00:00Z"} | new, None),
        ({"quantity": 1} | old, {"quantity": 2, "created_at": "2010-08-01T09:00:00Z"} | new, None),
    ]
    lines = [numbered(*(each[turn] for each in versions)) for turn in (0, 1)]
    found = order_messages(Lines(*lines[0], *lines[1]), DAY)
    assert [decode(value)["quantity"] for value in found.values] == [
        quantity for *_, quantity in versions if quantity
    ]
    assert found.refused == 1


def test_the_lines_of_a_generated_day_are_what_sales_takes_of_it() -> None:
    source = GeneratedSource(GeneratorSettings(lines_per_day=600, dirty_share=0.1))
    day = source.first_day + dt.timedelta(days=30)
    lines = source.lines(day, 0, source.total(day))
    clean = GeneratedSource(GeneratorSettings(lines_per_day=600, dirty_share=0))
    assert clean.total(day) == source.total(day)
    changed = [
        now != was for now, was in zip(lines, clean.lines(day, 0, source.total(day)), strict=True)
    ]
    found, refused = valid_lines(source, day, FxRates(7))
    valid = [line for line, dirty in zip(lines, changed, strict=True) if not dirty]
    assert refused == sum(changed) > 50
    newest = {
        (line["order_id"], line["line_number"]): line
        for line in sorted(valid, key=lambda it: it["updated_at"])
    }
    key = lambda line: (line["order_id"], line["line_number"])  # noqa: E731
    assert sorted(found, key=key) == sorted(newest.values(), key=key)
    assert len(newest) < len(valid)


def test_a_purchase_has_its_time_to_the_millisecond() -> None:
    lines = numbered(
        {"created_at": "2010-12-01T08:26:00.750Z", "updated_at": "2010-12-01T09:00:00Z"},
        {"created_at": "2010-12-01T08:26:00.999999Z", "updated_at": "2010-12-01T09:00:00Z"},
    )
    found = order_messages(Lines(*lines), DAY)
    assert found.timestamps.tolist() == [1291191960750, 1291191960999]
    assert [decode(value)["occurred_at"].microsecond for value in found.values] == [750000, 999999]


def test_a_long_orders_lines_have_one_session_that_fits() -> None:
    orders = ["o" * 58, "o" * 59, "o" * 59, "o" * 63 + "p"]
    lines = numbered(*({"order_id": order} for order in orders))
    found = [decode(value)["session_id"] for value in order_messages(Lines(*lines), DAY).values]
    assert found[0] == f"order-{orders[0]}" and found[1] == found[2]
    assert len({*found}) == 3 and max(map(len, found)) == 64


def test_a_purchase_that_the_events_contract_does_not_take_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = replace(contract("web.user_events").column("sku"), max_length=5)
    narrower = tuple(short if it.name == "sku" else it for it in incoming.columns())
    monkeypatch.setattr(incoming, "columns", lambda: narrower)
    found = order_messages(Lines(*numbered({"sku": "22423"}, {"sku": "85123A"})), DAY)
    assert ([decode(it)["sku"] for it in found.values], found.refused) == (["22423"], 1)


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
