"""Each rule of a line, on lines worked out by hand."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import landing_cases
from oracle_example import DAY, GBP, RATES, USD, a_line
from oracle_rules import EPOCH, FIELDS, FactRow, Rates, instant, line_kind, read_line, to_scale

TODAY = dt.date.fromisoformat(DAY)


def broken(line: dict, rates: list[dict] = RATES) -> list[str]:
    return read_line(line, TODAY, Rates(rates))[0]


def row(line: dict, rates: list[dict] = RATES) -> FactRow:
    rules, found = read_line(line, TODAY, Rates(rates))
    assert found is not None, rules
    return found


def test_a_valid_line_becomes_its_row_of_the_fact() -> None:
    found = row(a_line())
    assert found.unit_price == Decimal("2.5500")
    assert found.amount == Decimal("15.3000")
    assert found.fx_rate == Decimal("1.55470000")
    assert found.fx_date == dt.date(2010, 12, 1)
    assert found.amount_usd == Decimal("23.7869")  # 15.30 x 1.5547 = 23.78691
    assert found.order_date == found.extract_day == dt.date(2010, 12, 1)
    assert str(found.unit_price) == "2.5500"


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_is_not_there_is_absent_and_nothing_else(field: str) -> None:
    line = a_line()
    del line[field]
    assert broken(line) == [f"{field}_absent"]


@pytest.mark.parametrize("field", FIELDS)
def test_null_breaks_a_rule_unless_the_field_is_optional(field: str) -> None:
    optional = field in ("description", "customer_id", "country")
    assert broken(a_line(**{field: None})) == ([] if optional else [f"{field}_null"])


@pytest.mark.parametrize("field", ["line_number", "quantity", "customer_id"])
@pytest.mark.parametrize("value", [True, False, 1.0, "1", [1], {"n": 1}])
def test_only_a_json_integer_is_an_integer(field: str, value: object) -> None:
    assert broken(a_line(**{field: value})) == [f"{field}_type"]


@pytest.mark.parametrize(
    ("field", "value", "rules"),
    [
        ("line_number", 2**31 - 1, []),
        ("line_number", 2**31, ["line_number_type"]),
        ("quantity", 2**31, ["quantity_type"]),
        ("quantity", -(2**31) - 1, ["quantity_type"]),
        ("customer_id", 2**63 - 1, []),
        ("customer_id", 2**63, ["customer_id_type"]),
        ("customer_id", -(2**63), ["customer_id_not_positive"]),
        ("customer_id", -(2**63) - 1, ["customer_id_type"]),
    ],
)
def test_an_integer_fits_its_column(field: str, value: int, rules: list[str]) -> None:
    assert broken(a_line(**{field: value})) == rules


@pytest.mark.parametrize("field", [f for f in FIELDS if isinstance(a_line()[f], str)])
@pytest.mark.parametrize("value", [1, 1.5, True, ["x"], {}, "a\0b"])
def test_only_a_string_without_nul_is_a_string(field: str, value: object) -> None:
    assert broken(a_line(**{field: value})) == [f"{field}_type"]


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"order_id": ""}, ["order_id_blank"]),
        ({"order_id": " \t\r\n"}, ["order_id_blank"]),
        ({"sku": " "}, ["sku_blank"]),
        ({"sku": " x "}, []),
        ({"description": "", "country": ""}, []),
        ({"line_number": 0}, ["line_number_below_one"]),
        ({"line_number": -1}, ["line_number_below_one"]),
        ({"quantity": 0}, ["quantity_zero"]),
        ({"quantity": -1}, ["quantity_negative"]),
        ({"quantity": -1, "status": "cancelled"}, []),
        ({"quantity": -1, "status": "Cancelled"}, ["quantity_negative", "status_unknown"]),
        ({"quantity": -1, "status": None}, ["status_null"]),
        ({"quantity": -1, "status": 7}, ["status_type"]),
        ({"status": "cancelled"}, []),
        ({"status": "COMPLETED"}, ["status_unknown"]),
        ({"status": "completed "}, ["status_unknown"]),
        ({"status": ""}, ["status_unknown"]),
        ({"customer_id": 0}, ["customer_id_not_positive"]),
        ({"customer_id": -5}, ["customer_id_not_positive"]),
        ({"customer_id": True}, ["customer_id_type"]),
        ({"a_field_of_tomorrow": 1}, []),
        ({"sku": "", "quantity": 0, "unit_price": None},
         ["quantity_zero", "sku_blank", "unit_price_null"]),
    ],
)  # fmt: skip
def test_values(changes: dict, rules: list[str]) -> None:
    assert broken(a_line(**changes)) == rules


@pytest.mark.parametrize("status", ["pending", "completed", "shipped", "failed", "cancelled"])
def test_the_five_statuses_are_known(status: str) -> None:
    assert broken(a_line(status=status)) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0", None),
        ("0.0001", None),
        ("007.50", None),
        ("-0", None),
        ("-0.00", None),
        ("-0.01", "unit_price_negative"),
        ("-3", "unit_price_negative"),
        *((text, "unit_price_not_decimal") for text in (
            "", " ", "+1", "1.", ".5", "1,50", "1e3", "2.55001", "123456789012345", "NaN", "--1",
            " 1", "1 ", "1\n", "\u0661", "£1",
        )),
    ],
)  # fmt: skip
def test_prices(text: str, rule: str | None) -> None:
    assert broken(a_line(unit_price=text)) == ([rule] if rule else [])


def test_minus_nothing_is_nothing() -> None:
    assert str(row(a_line(unit_price="-0.00")).amount_usd) == "0.0000"
    assert str(row(a_line(unit_price="0", quantity=-2, status="cancelled")).amount) == "0.0000"


def test_amounts_stay_below_ten_to_the_fourteenth() -> None:
    highest = {"unit_price": "99999999999999.9999", "quantity": 1, "currency": "USD"}
    assert row(a_line(**highest)).amount_usd == Decimal("99999999999999.9999")
    half = {"unit_price": "50000000000000", "quantity": 2}
    # An amount that is refused is not converted: its dollars are not judged too.
    refused = ["amount_out_of_range"]
    assert broken(a_line(**half)) == refused
    assert broken(a_line(**half | {"quantity": -2, "status": "cancelled"})) == refused
    # Without a rate nothing is known about the dollars.
    without_rate = ["amount_out_of_range", "currency_without_rate"]
    assert broken(a_line(**half, currency="XXX")) == without_rate


def test_dollars_are_judged_after_rounding() -> None:
    rates = [USD | {"usd_rate": "1.00000001"}]
    # x 1.00000001 = 99999999999999.999900000099
    line = a_line(unit_price="99999999000000.0099", quantity=1, currency="USD")
    assert row(line, rates).amount_usd == Decimal("99999999999999.9999")
    # x 1.00000001 = 100000000000000.0000000001
    line = a_line(unit_price="99999999000000.0100", quantity=1, currency="USD")
    assert broken(line, rates) == ["amount_usd_out_of_range"]


@pytest.mark.parametrize(
    ("rate", "price", "dollars"),
    [
        ("0.50000000", "0.0001", "0.0000"),  # 0.00005: to the even neighbour, down
        ("0.50000000", "0.0003", "0.0002"),  # 0.00015: to the even neighbour, up
        ("0.50000000", "0.0005", "0.0002"),  # 0.00025: down
        ("0.50000001", "0.0001", "0.0001"),  # just above the half
        ("0.49999999", "0.0003", "0.0001"),  # just below the half
    ],
)
def test_dollars_are_rounded_half_even_once(rate: str, price: str, dollars: str) -> None:
    rates = [GBP | {"usd_rate": rate}]
    assert str(row(a_line(unit_price=price, quantity=1), rates).amount_usd) == dollars
    cancelled = a_line(unit_price=price, quantity=-1, status="cancelled")
    assert row(cancelled, rates).amount_usd == -Decimal(dollars)


@given(st.integers(-(10**30), 10**30), st.integers(0, 14))
def test_rounding_agrees_with_fractions(units: int, scale: int) -> None:
    value = Decimal(f"{units}e-{scale}")  # exact, unlike arithmetic in the default context
    wanted = round(Fraction(units, 10**scale), 4)  # Fraction rounds halves to even
    assert Fraction(to_scale(value, 4)) == wanted


@pytest.mark.parametrize(
    ("quoted", "rules"),
    [
        ("2010-12-01", []),
        ("2010-11-24", []),  # seven days older
        ("2010-11-23", ["currency_without_rate"]),  # eight
        ("2010-12-02", ["currency_without_rate"]),  # of tomorrow
    ],
)
def test_a_rate_is_of_the_order_date_or_at_most_seven_days_older(quoted: str, rules: list) -> None:
    assert broken(a_line(), [GBP | {"rate_date": quoted}]) == rules


def test_the_newest_rate_of_the_order_date_counts_not_of_the_extract_day() -> None:
    rates = [
        GBP | {"rate_date": f"2010-11-{day}", "usd_rate": rate}
        for day, rate in (("24", "1.1"), ("26", "1.2"), ("29", "1.3"))
    ]
    found = row(a_line(created_at="2010-11-28T23:59:59Z"), [*rates, GBP])
    assert (found.fx_date, found.fx_rate) == (dt.date(2010, 11, 26), Decimal("1.2"))
    assert str(found.fx_rate) == "1.20000000"


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"currency": "gbp"}, ["currency_without_rate"]),
        ({"currency": ""}, ["currency_without_rate"]),
        ({"currency": "EUR", "created_at": None}, ["created_at_null", "currency_without_rate"]),
        ({"currency": "EUR", "created_at": "x"}, ["created_at_not_zoned", "currency_without_rate"]),
        ({"currency": "GBP", "created_at": "x"}, ["created_at_not_zoned"]),
        ({"currency": "GBP", "created_at": "2010-11-01T00:00:00Z"}, ["currency_without_rate"]),
    ],
)
def test_currencies(changes: dict, rules: list[str]) -> None:
    assert broken(a_line(**changes)) == rules


def test_the_oracle_finds_what_spark_and_duckdb_find_in_every_case() -> None:
    rates = Rates(landing_cases.BESIDE["rates"])
    day = landing_cases.DAY
    for served, rules in landing_cases.CASES:
        text = served if isinstance(served, str) else json.dumps(served)
        assert read_line(text.encode(), day, rates)[0] == rules, text[:500]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('{"order_id":{"order_id":"NEST-7"}', ["line_unreadable"]),
        ('"oops"', ["line_unreadable"]),
        ("[1]", ["line_unreadable"]),
        ("null", ["line_unreadable"]),
        ("", ["line_unreadable"]),
        ("{} {}", ["line_unreadable"]),
        ('{"quantity":NaN}', ["line_unreadable"]),
        (f'{{"quantity":{"1" * 1001}}}', ["line_unreadable"]),
        (r'{"sku":"\ud800"}', ["line_unreadable"]),
        (r'{"x":{"sku":"\ud800","sku":1}}', ["line_unreadable"]),
        ('{"quantity":5,"quantity":7}', ["duplicate_key"]),
        (r'{"quantity":5,"quant\u0069ty":5}', ["duplicate_key"]),
        ('{"x":[{"a":1,"a":1}]}', ["duplicate_key"]),
        ('{"x":1,"x":1} x', ["line_unreadable"]),
        ('[{"x":1,"x":1}]', ["line_unreadable"]),
        ("{}", sorted(f"{field}_absent" for field in FIELDS)),
        (f'{{"x":1.{"5" * 1000}}}', ["line_unreadable"]),
        (f'{{"x":[1e{"0" * 1000}]}}', ["line_unreadable"]),
        (f'{{"x":-1.5E-{"0" * 999}}}', ["line_unreadable"]),
        (f'{{"x":-1.{"5" * 999}}}', sorted(f"{field}_absent" for field in FIELDS)),
        (f'{{"x":-{"5" * 1000}}}', sorted(f"{field}_absent" for field in FIELDS)),
    ],
)
def test_a_line_that_is_not_one_object_breaks_one_rule(text: str, rules: list[str]) -> None:
    assert read_line(text.encode(), TODAY, Rates(RATES))[0] == rules


@pytest.mark.parametrize(
    ("field", "most"),
    [("order_id", 64), ("sku", 64), ("description", 1000), ("country", 100)],
)
def test_a_text_has_a_most_number_of_characters(field: str, most: int) -> None:
    assert broken(a_line(**{field: "\U0001f600" * most})) == []
    assert broken(a_line(**{field: "\U0001f600" * (most + 1)})) == [f"{field}_too_long"]


def test_an_order_is_of_1900_or_later() -> None:
    early = ["created_at_out_of_range", "currency_without_rate"]
    assert broken(a_line(created_at="1899-12-31T23:59:59.999999Z")) == early
    assert broken(a_line(created_at="1582-10-10T12:00:00Z")) == early
    assert broken(a_line(created_at="1900-01-01T00:00:00Z")) == ["currency_without_rate"]


def test_two_rates_for_one_day_are_refused() -> None:
    with pytest.raises(ValueError, match=r"GBP .*2010-12-01 .*1\.55\d+ .*1\.6"):
        Rates([GBP, GBP | {"usd_rate": "1.6"}])
    Rates([GBP, GBP])


@pytest.mark.parametrize(
    "text",
    [
        "", "2010-12-01", "2010-12-01T08:26:00", "2010-12-01T08:26Z", "2010-12-01T08:26:00z",
        "2010-12-01t08:26:00Z", "2010-12-01T08:26:00.Z", "2010-12-01T08:26:00.1234567Z",
        "2010-12-01T08:26:00+0000", "2010-12-01T08:26:00+00", "2010-12-01T08:26:00 Z",
        "2010-12-01T08:26:00Z\n", " 2010-12-01T08:26:00Z", "2010-02-29T08:26:00Z",
        "2010-13-01T08:26:00Z", "0000-12-01T08:26:00Z", "2010-12-01T24:00:00Z",
        "2010-12-01T08:60:00Z", "2010-12-01T08:26:60Z", "2010-12-01T08:26:00+18:01",
        "2010-12-01T08:26:00+19:00", "2010-12-01T08:26:00+05:60", "2010-12-01T08:26:00 UTC",
        "2010-12-01T08:26:00[Europe/London]", "\u0662010-12-01T08:26:00Z",
    ],
)  # fmt: skip
def test_what_is_no_zoned_time(text: str) -> None:
    assert broken(a_line(updated_at=text)) == ["updated_at_not_zoned"]
    assert broken(a_line(created_at=text)) == ["created_at_not_zoned"]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2010-12-01T08:26:00Z", "2010-12-01T08:26:00+00:00"),
        ("2010-12-01 08:26:00Z", "2010-12-01T08:26:00+00:00"),
        ("2010-12-01T08:26:00.1Z", "2010-12-01T08:26:00.100000+00:00"),
        ("2010-12-01T08:26:00.000001-00:00", "2010-12-01T08:26:00.000001+00:00"),
        ("2010-12-01T08:26:00+18:00", "2010-11-30T14:26:00+00:00"),
        ("2010-11-30T23:30:00-05:45", "2010-12-01T05:15:00+00:00"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999+00:00"),
    ],
)
def test_a_zoned_time_is_read_in_utc(text: str, utc: str) -> None:
    read = instant(text)
    assert read is not None
    assert EPOCH.replace(tzinfo=dt.UTC) + dt.timedelta(microseconds=read) == (
        dt.datetime.fromisoformat(utc)
    )


def test_a_time_whose_utc_side_leaves_the_calendar_is_still_a_time() -> None:
    early = a_line(created_at="0001-01-01T00:00:00+01:00")
    assert broken(early) == ["created_at_out_of_range", "currency_without_rate"]
    late = a_line(updated_at="9999-12-31T23:59:59-01:00")
    assert broken(late) == ["updated_outside_day"]


@pytest.mark.parametrize(
    ("created", "updated", "rules"),
    [
        ("2010-12-01T08:26:00Z", "2010-12-01T08:25:59.999999Z", ["updated_before_created"]),
        ("2010-12-01T08:26:00Z", "2010-12-01T09:26:00+01:00", []),
        ("2010-12-01T08:26:00Z", "2010-12-02T00:00:00Z", ["updated_outside_day"]),
        ("2010-12-01T08:26:00Z", "2010-12-01T23:59:59.999999Z", []),
        ("2010-11-30T12:00:00Z", "2010-12-01T00:00:00Z", ["currency_without_rate"]),
        ("2010-12-01T08:26:00Z", "2010-12-01T23:30:00-01:00", ["updated_outside_day"]),
        ("2010-12-01T08:26:00Z", "2010-12-02T00:30:00+01:00", []),
        ("2010-12-01T08:26:00Z", "2010-11-30T08:26:00Z",
         ["updated_before_created", "updated_outside_day"]),
        ("no", "2010-11-30T08:26:00Z", ["created_at_not_zoned", "updated_outside_day"]),
    ],
)  # fmt: skip
def test_an_update_follows_the_creation_and_lies_in_the_extract_day(
    created: str, updated: str, rules: list[str]
) -> None:
    assert broken(a_line(created_at=created, updated_at=updated)) == rules


@pytest.mark.parametrize(
    ("kind", "skus"),
    [
        ("postage", ["POST", "DOT", "C2"]),
        ("fee", ["AMAZONFEE", "BANK CHARGES", "CRUK"]),
        ("sample", ["S", "SAMPLES"]),
        ("adjustment", ["M", "m", "D", "B"]),
        ("voucher", ["gift_0001_20", "gift_", "gift_\n", "gift_\u2028x"]),
        ("product", ["85123", "85123A", "15056bl", "DCGS0003", "DCGS", "DCGSSGIRL", "DCGS\x85x"]),
        ("other", ["post", "dot", "c2", "s", "d", "b", "Gift_1", "dcgs1", "8512", "851234",
                   "85123A1", "85123\n", " 85123", "85123É", "PADS", "POST ", "bank charges"]),
    ],
)  # fmt: skip
def test_line_kinds(kind: str, skus: list[str]) -> None:
    assert {sku: line_kind(sku) for sku in skus} == dict.fromkeys(skus, kind)
