"""Landings, the gate, the winners and the quarantine, worked out by hand; and real days."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracle import Expected, Landing, difference, expected, read_landing
from oracle_example import DAY, LATER, a_landing, a_line, many

REAL_DAYS = "FEIRA_REAL_DATA"  # a folder of <day>.csv.gz, the UCI Online Retail file by day

BAD = {"quantity": 0}
NEXT_DAY = {"updated_at": "2010-12-02T09:00:00Z"}
FRAMES = {
    "fact": ["order_id", "line_number"],
    "quarantine": ["extract_day", "landing_version", "landing_order"],
    "month_summary": ["order_month", "status"],
    "daily_revenue": ["order_date"],
    "product_performance": ["sku"],
    "customer_lifetime_value": ["customer_id"],
}


def held(found: Expected) -> list[tuple[str, int, int, list[str]]]:
    quarantine = found.quarantine.drop(columns="raw")
    return [(str(day), *rest) for day, *rest in quarantine.to_numpy().tolist()]


def statuses(found: Expected) -> dict[str, str]:
    return dict(zip(found.fact["order_id"], found.fact["status"], strict=True))


def test_nothing_landed_leaves_every_table_empty_with_its_columns() -> None:
    for nothing in (expected([]), expected([a_landing()])):
        assert all(getattr(nothing, name).empty for name in FRAMES)
        assert all(set(key) < set(getattr(nothing, name)) for name, key in FRAMES.items())
    assert expected([a_landing()]).gates == {(DAY, 1): True}


def test_the_fact_has_typed_columns() -> None:
    fact = expected([a_landing(a_line(), a_line(line_number=2, customer_id=None))]).fact
    assert list(fact.columns) == [
        "order_id", "line_number", "sku", "description", "quantity", "unit_price", "currency",
        "status", "customer_id", "country", "created_at", "updated_at", "order_date", "amount",
        "fx_rate", "fx_date", "amount_usd", "line_kind", "extract_day",
    ]  # fmt: skip
    assert fact["updated_at"][0] == pd.Timestamp("2010-12-01T08:26:00Z")
    assert fact["customer_id"].tolist() == [17850, pd.NA]
    assert fact["extract_day"].tolist() == [dt.date(2010, 12, 1)] * 2


@pytest.mark.parametrize(
    ("valid", "bad", "passes"),
    [
        (95, 5, True),
        (94, 5, False),
        (19, 1, True),
        (18, 1, False),
        (0, 1, False),
        (1, 0, True),
    ],
)
def test_the_gate_asks_for_ninety_five_per_cent(valid: int, bad: int, passes: bool) -> None:
    found = expected([a_landing(*many(valid), *many(bad, **BAD))])
    assert found.gates == {(DAY, 1): passes}
    assert len(found.fact) == (valid if passes else 0)
    assert len(found.quarantine) == bad  # shown whether or not the gate was passed


def test_within_a_day_the_newest_version_of_a_line_wins() -> None:
    newest = a_line(updated_at="2010-12-01T10:00:00Z", status="shipped")
    assert statuses(expected([a_landing(newest, a_line())])) == {"536365": "shipped"}


def test_on_a_tie_the_last_in_landing_order_wins() -> None:
    same_instant = a_line(updated_at="2010-12-01T09:26:00+01:00", status="shipped")
    assert statuses(expected([a_landing(a_line(), same_instant)])) == {"536365": "shipped"}
    assert statuses(expected([a_landing(same_instant, a_line())])) == {"536365": "completed"}


def test_an_invalid_line_never_wins() -> None:
    invalid = a_line(updated_at="2010-12-01T23:00:00Z", status="lost")
    found = expected([a_landing(a_line(), *many(30), invalid)])
    assert statuses(found)["536365"] == "completed"
    assert held(found) == [(DAY, 1, 31, ["status_unknown"])]


def test_across_days_the_newest_version_wins_in_whatever_order_they_are_processed() -> None:
    first = a_landing(a_line(), a_line(order_id="other"))
    second = a_landing(a_line(status="cancelled", **NEXT_DAY), day=LATER)
    for days in ([first, second], [second, first]):
        found = expected(days)
        assert statuses(found) == {"536365": "cancelled", "other": "completed"}
        assert [str(day) for day in found.fact["extract_day"]] == [LATER, DAY]


def test_a_refetch_that_passes_replaces_its_day_whole() -> None:
    first = a_landing(a_line(), a_line(order_id="withdrawn"), *many(30), a_line(**BAD))
    second = a_landing(a_line(quantity=1), a_line(order_id="new"), version=2)
    found = expected([second, first])
    assert found.gates == {(DAY, 1): True, (DAY, 2): True}
    assert sorted(found.fact["order_id"]) == ["536365", "new"]
    assert found.fact["quantity"].tolist() == [1, 6]
    assert found.quarantine.empty  # replaced with its landing


def test_a_withdrawn_line_falls_back_to_the_version_of_another_day() -> None:
    first = a_landing(a_line())
    second = a_landing(a_line(status="cancelled", **NEXT_DAY), day=LATER)
    withdrawn = a_landing(day=LATER, version=2)
    assert statuses(expected([first, second])) == {"536365": "cancelled"}
    assert statuses(expected([first, second, withdrawn])) == {"536365": "completed"}
    assert expected([second, withdrawn]).fact.empty


def test_a_refetch_that_fails_the_gate_leaves_the_fact_and_shows_its_rows() -> None:
    passed = a_landing(*many(30), a_line(**BAD))
    failed = a_landing(a_line(order_id="new"), a_line(sku=""), version=2)
    found = expected([passed, failed])
    assert found.gates == {(DAY, 1): True, (DAY, 2): False}
    assert set(found.fact["order_id"]) == {"bulk"}
    assert held(found) == [(DAY, 1, 30, ["quantity_zero"]), (DAY, 2, 1, ["sku_blank"])]


def test_a_pass_clears_the_rows_of_every_earlier_landing() -> None:
    failed = a_landing(a_line(**BAD))
    again = a_landing(a_line(sku=""), version=2)
    assert [row[1] for row in held(expected([failed, again]))] == [1, 2]
    passed = a_landing(*many(30), a_line(status=""), version=3)
    found = expected([failed, again, passed, a_landing(a_line(country=1), version=4)])
    assert held(found) == [(DAY, 3, 30, ["status_unknown"]), (DAY, 4, 0, ["country_type"])]


def test_the_quarantine_holds_the_line_as_it_was_landed() -> None:
    text = (
        b'{"order_id":"a\\u00e9","extra":{"x":[1,null]},"quantity":1.0,"sku":18446744073709551615}'
    )
    quarantine = expected([a_landing(*read_landing([[text]]))]).quarantine
    assert quarantine["raw"][0] == (
        '{"order_id":"aé","extra":{"x":[1,null]},"quantity":1.0,"sku":18446744073709551615}'
    )
    assert quarantine["broken_rules"][0] == [
        "country_absent", "created_at_absent", "currency_absent", "customer_id_absent",
        "description_absent", "line_number_absent", "quantity_type", "sku_type", "status_absent",
        "unit_price_absent", "updated_at_absent",
    ]  # fmt: skip
    assert expected([a_landing({"sku": 2**70})]).quarantine["raw"][0] == f'{{"sku":{2**70}}}'


def test_a_version_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2010-12-01 v1 .*twice"):
        expected([a_landing(), a_landing()])


def test_a_landing_is_read_from_pages_plain_compressed_or_in_lines() -> None:
    lines = [b'{"n":1}', b'{"n":2,"s":"\\u2028"}', b'{"n":3}\n']
    page = b"\n".join(lines)
    numbers = [line["n"] for line in read_landing([page, gzip.compress(page), lines, b""])]
    assert numbers == [1, 2, 3] * 3


LINES = st.fixed_dictionaries(
    {
        "order_id": st.sampled_from(["1", "2", " "]),
        "line_number": st.integers(1, 2),
        "quantity": st.sampled_from([1, 2, 3]),
        "status": st.sampled_from(["completed", "shipped", "cancelled"]),
        "hour": st.integers(8, 11),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([DAY, LATER]), st.lists(LINES, max_size=6)), max_size=5))
def test_every_line_is_in_the_fact_outdone_or_held(drawn: list[tuple[str, list[dict]]]) -> None:
    landings, versions = [], Counter()
    for day, lines in drawn:
        versions[day] += 1
        made = [a_line(**x, updated_at=f"{day}T{x['hour']:02}:30:00Z") for x in lines]
        landings.append(a_landing(*made, day=day, version=versions[day]))
    found = expected(landings)
    for name, key in FRAMES.items():
        frame = getattr(found, name)
        again = getattr(expected(reversed(landings)), name)
        assert difference(frame, again, key) == []
        assert not frame[key].duplicated().any()
    # By brute force: no line of a current landing is newer than the row of its key.
    current = {
        day: max((v for (d, v), ok in found.gates.items() if ok and d == day), default=None)
        for day in versions
    }
    alive = [x for x in landings if x.version == current[x.day]]
    valid = [line for x in alive for line in x.lines if line["order_id"] != " "]
    newest: dict[tuple, str] = {}
    for line in valid:
        key = (line["order_id"], line["line_number"])
        newest[key] = max(newest.get(key, ""), line["updated_at"])
    rows = zip(*(found.fact[c] for c in ("order_id", "line_number", "updated_at")), strict=True)
    assert {(o, n): f"{t:%Y-%m-%dT%H:%M:%SZ}" for o, n, t in rows} == newest
    sold = found.fact[found.fact["status"] != "cancelled"]["amount_usd"].sum()
    assert sold == found.month_summary["revenue"].sum() == found.daily_revenue["revenue"].sum()


def replayed(path: Path, rates: list[dict]) -> Landing:
    """The day as the shop replays it: numbered within the invoice, London time, GBP."""
    numbers: Counter[str] = Counter()
    lines = []
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            invoice, local = row["InvoiceNo"], dt.datetime.fromisoformat(row["InvoiceDate"])
            time = local.replace(tzinfo=ZoneInfo("Europe/London")).astimezone(dt.UTC)
            numbers[invoice] += 1
            lines.append(
                {
                    "order_id": invoice,
                    "line_number": numbers[invoice],
                    "sku": row["StockCode"],
                    "description": row["Description"] or None,
                    "quantity": int(row["Quantity"]),
                    "unit_price": row["UnitPrice"],
                    "currency": "GBP",
                    "status": "cancelled" if invoice.startswith("C") else "completed",
                    "customer_id": int(row["CustomerID"][:-2]) if row["CustomerID"] else None,
                    "country": row["Country"] or None,
                    "created_at": f"{time:%Y-%m-%dT%H:%M:%SZ}",
                    "updated_at": f"{time:%Y-%m-%dT%H:%M:%SZ}",
                }
            )
    # As they come out of a landing, not as they were built here.
    read = read_landing([[orjson.dumps(line) for line in lines]])
    return Landing(path.name[:10], 1, read, rates)


@pytest.mark.skipif(REAL_DAYS not in os.environ, reason=f"{REAL_DAYS} names no folder of real days")
def test_the_real_days_are_within_what_is_known_of_them() -> None:
    paths = sorted(Path(os.environ[REAL_DAYS]).glob("20*.csv.gz"))
    assert paths, f"no <day>.csv.gz in {os.environ[REAL_DAYS]}"
    weekdays = pd.bdate_range(paths[0].name[:10], paths[-1].name[:10]).strftime("%Y-%m-%d")
    rates = [{"rate_date": d, "currency": "GBP", "usd_rate": "1.55470000"} for d in weekdays]
    landings = [replayed(path, rates) for path in paths]
    found = expected(landings)

    assert all(found.gates.values())
    total = sum(len(landing.lines) for landing in landings)
    assert len(found.fact) + len(found.quarantine) == total
    bad = found.quarantine.groupby("extract_day").size()
    shares = [bad.get(dt.date.fromisoformat(x.day), 0) * 100 / len(x.lines) for x in landings]
    assert max(shares) == pytest.approx(3.9, abs=0.05)
    rules = Counter(rule for rules in found.quarantine["broken_rules"] for rule in rules)
    assert set(rules) <= {"quantity_negative", "unit_price_negative"}

    # Revenue in thousandths, counted from the lines without anything of the check.
    thousandths = sum(
        line["quantity"] * int(Decimal(line["unit_price"]) * 1000)
        for landing in landings
        for line in landing.lines
        if line["status"] == "completed" and line["quantity"] > 0 <= Decimal(line["unit_price"])
    )
    sold = found.fact[found.fact["status"] == "completed"]
    assert sum(sold["amount"]) == Decimal(thousandths) / 1000
    assert found.daily_revenue["revenue"].sum() == sum(sold["amount_usd"])
    assert found.month_summary["revenue"].sum() == sum(sold["amount_usd"])
