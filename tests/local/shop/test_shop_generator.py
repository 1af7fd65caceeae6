"""The seeded source: any page alone, totals that hold, versions of a line on later days."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import orjson
import pytest

from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.shop.source import Line, SourceError
from feira_local.shop.taste import Taste

DAY = dt.date(2011, 3, 2)
CODES = {
    "POST", "DOT", "C2", "AMAZONFEE", "BANK CHARGES", "CRUK", "S", "SAMPLES", "M", "m", "D", "B",
    "gift_0001_20",
}  # fmt: skip


def source(**settings: object) -> GeneratedSource:
    return GeneratedSource(GeneratorSettings(**{"dirty_share": 0.0, **settings}))  # type: ignore[arg-type]


def whole_day(days: GeneratedSource, day: dt.date) -> list[Line]:
    return days.lines(day, 0, days.total(day))


def key(line: Line) -> tuple[str, int]:
    return line["order_id"], line["line_number"]


@pytest.mark.parametrize("lines_per_day", [1, 40, 200, 5_000])
def test_the_total_is_the_number_of_lines_of_every_day(lines_per_day: int) -> None:
    days = source(lines_per_day=lines_per_day)
    for day in (dt.date(2010, 12, 1) + dt.timedelta(days=n) for n in range(9)):
        lines = days.lines(day, 0, 10 * lines_per_day + 100)
        assert len(lines) == days.total(day) > 0
        assert {line["updated_at"][:10] for line in lines} == {str(day)}


def test_any_page_is_the_same_alone_as_within_its_day() -> None:
    day = whole_day(source(dirty_share=0.05), DAY)
    for offset, limit in ((0, 1), (1999, 3), (2345, 5000), (len(day) - 7, 50), (len(day), 10)):
        assert source(dirty_share=0.05).lines(DAY, offset, limit) == day[offset : offset + limit]


def test_the_same_seed_makes_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (
        orjson.dumps(whole_day(source(taste=Taste(seed)), DAY)) for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_a_later_version_of_a_line_keeps_its_key_and_creation_and_changes_its_status() -> None:
    days = source(lines_per_day=4000)
    created = {
        key(line): line for line in whole_day(days, DAY) if line["created_at"][:10] == str(DAY)
    }
    seen: Counter[tuple[str, str]] = Counter()
    for back in range(1, 6):
        day = DAY + dt.timedelta(days=back)
        for line in whole_day(days, day):
            if line["created_at"][:10] != str(DAY):
                continue
            before = created[key(line)]
            same = ("created_at", "sku", "customer_id", "currency", "country", "description")
            assert [line[name] for name in same] == [before[name] for name in same]
            assert line["updated_at"] > before["updated_at"]
            seen[before["status"], line["status"]] += 1
            created[key(line)] = line
    starts, ends = ({pair[side] for pair in seen} for side in (0, 1))
    assert starts == {"pending", "completed"}
    assert ends == {"completed", "shipped", "failed", "cancelled"}
    assert seen["pending", "completed"] > 50


def test_the_lines_of_an_order_move_together() -> None:
    days, later = source(lines_per_day=4000), DAY + dt.timedelta(days=1)
    lines = {key(line) for line in whole_day(days, DAY) if line["created_at"][:10] == str(DAY)}
    moved = {key(line) for line in whole_day(days, later) if line["created_at"][:10] == str(DAY)}
    assert len(moved) > 200
    orders = {order for order, _ in moved}
    assert moved == {each for each in lines if each[0] in orders}


def test_movement_adjusts_some_quantities_and_some_prices_and_returns_are_negative() -> None:
    days = source(lines_per_day=8000)
    created = {key(line): line for line in whole_day(days, DAY)}
    pairs = [
        (created[key(line)], line)
        for line in whole_day(days, DAY + dt.timedelta(days=1))
        if key(line) in created
    ]
    assert any(new["unit_price"] != old["unit_price"] for old, new in pairs)
    assert any(new["quantity"] == old["quantity"] + 1 for old, new in pairs)
    cancelled = [new["quantity"] for _, new in pairs if new["status"] == "cancelled"]
    assert min(cancelled) < 0 < max(cancelled)


def test_a_day_holds_what_a_real_shop_holds() -> None:
    lines = whole_day(source(), DAY)
    new = [line for line in lines if line["created_at"][:10] == str(DAY)]
    assert {line["currency"] for line in lines} == {"GBP", "EUR", "USD", "BRL", "JPY"}
    assert {line["status"] for line in lines} == {
        "pending", "completed", "shipped", "failed", "cancelled",
    }  # fmt: skip
    assert {line["sku"] for line in lines} >= CODES
    assert 0 < sum(line["sku"] in CODES for line in lines) < 0.05 * len(lines)
    assert any(line["sku"].startswith("DCGS0") for line in lines)
    assert any(line["unit_price"] in ("0.00", "0") for line in lines)
    assert any(line["description"] is None for line in lines)
    assert any(line["country"] is None for line in lines)
    guests = {line["order_id"]: line["customer_id"] is None for line in new}
    assert 0.2 < sum(guests.values()) / len(guests) < 0.3
    sizes = Counter(order for order, _ in {key(line) for line in new})
    assert (min(sizes.values()), max(sizes.values())) == (1, 15)


def test_a_day_holds_exact_duplicates_and_keys_that_were_updated_within_the_day() -> None:
    lines = whole_day(source(), DAY)
    versions: dict[tuple[str, int], list[Line]] = {}
    for line in lines:
        versions.setdefault(key(line), []).append(line)
    twice = [found for found in versions.values() if len(found) > 1]
    assert any(found[0] == found[1] for found in twice)
    assert any(found[0]["updated_at"] < found[-1]["updated_at"] for found in twice)
    assert len(twice) < 0.02 * len(lines)


def test_line_numbers_of_an_order_run_from_one() -> None:
    numbers: dict[str, set[int]] = {}
    for line in whole_day(source(lines_per_day=3000), DAY):
        if line["created_at"][:10] == str(DAY):
            numbers.setdefault(line["order_id"], set()).add(line["line_number"])
    assert all(found == set(range(1, len(found) + 1)) for found in numbers.values())


def test_the_shop_is_closed_on_christmas_day_and_new_year() -> None:
    days = source()
    for day in (dt.date(2010, 12, 25), dt.date(2011, 1, 1)):
        assert (days.total(day), days.lines(day, 0, 100)) == (0, [])
    assert days.total(dt.date(2010, 12, 26)) > 0


def test_the_last_day_moves_on_with_the_clock_and_never_reaches_today() -> None:
    clock = [dt.date(2026, 5, 4)]
    days = GeneratedSource(GeneratorSettings(), today=lambda: clock[0])
    assert days.last_day == dt.date(2026, 5, 3)
    clock[0] = dt.date(2026, 5, 5)
    assert days.last_day == dt.date(2026, 5, 4)
    assert source(last_day=dt.date(2011, 1, 31)).last_day == dt.date(2011, 1, 31)


def test_a_day_of_five_million_lines_serves_its_first_middle_and_last_page() -> None:
    days = source(lines_per_day=5_000_000)
    total = days.total(DAY)
    assert 4_500_000 < total < 5_500_000
    keys = set()
    for offset in (0, 2_500_000, total - 5000):
        page = days.lines(DAY, offset, 5000)
        assert len(page) == 5000
        keys |= {(*key(line), line["updated_at"]) for line in page}
    assert len(keys) > 14_900


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"lines_per_day": 0}, "lines_per_day"),
        ({"dirty_share": 1.5}, "dirty_share"),
        ({"last_day": dt.date(2010, 1, 1)}, "last_day"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, object], name: str) -> None:
    with pytest.raises(SourceError, match=name):
        source(**settings)
