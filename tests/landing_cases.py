"""Lines of a landing with the rules that each breaks, whichever engine judges them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from feira.core.contracts import Contract, contract
from sales_lines import DAY, RATES, line, without

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LANDING = contract("sales.landing")

Line = dict[str, Any] | str
# By name, rows of texts, each with the same columns.
Documents = Mapping[str, list[dict[str, str | None]]]
BESIDE: Documents = {"rates": [dict(each) for each in RATES]}
VALID_TEXT = orjson.dumps(line()).decode()


def text(value: str, field: str = "description") -> str:
    """A line as text, with a field's JSON written as given."""
    return VALID_TEXT.replace(
        f'"{field}":{orjson.dumps(line()[field]).decode()}', f'"{field}":{value}'
    )


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


# (what is served, the rules it breaks)
CASES: list[tuple[Line, list[str]]] = [
    (orjson.dumps(line(), option=orjson.OPT_INDENT_2).decode().replace("\n", "\r"), []),
    (orjson.dumps(line(), option=orjson.OPT_SORT_KEYS).decode(), []),
    (f" \t{VALID_TEXT}\r ", []),
    (text(r'"\u0041 \ud83d\ude00 \\ud800 \ufffe \uffff"'), []),
    (text('"\U0001f600\u2028 e\u0301 \\"\\\\N"'), []),
    (VALID_TEXT.replace('"quantity"', r'"quant\u0069ty"'), []),
    (text("-0", "quantity"), ["quantity_zero"]),
    (line(tomorrow={"x": [1, None]}), []),
    (line(country={"country": "Portugal"}), ["country_type"]),
    (line(order_id={"order_id": "NEST-7"}), ["order_id_type"]),
    (line(sku=['","sku":"x']), ["sku_type"]),
    (line(status=True), ["status_type"]),
    (text(nested(300), "country"), ["country_type"]),
    (text(nested(300)), ["description_type"]),
    (text(nested(5000)), ["line_unreadable"]),
    (text(nested(900), "country"), ["country_type"]),
    # As Spark takes them: 999 levels with the line's own, keys of 50,000 characters.
    *((text(nested(998), field), [f"{field}_type"]) for field in ("country", "description")),
    (text(nested(999), "country"), ["line_unreadable"]),
    (VALID_TEXT[:-1] + f',"x":{nested(998)}}}', []),
    (VALID_TEXT[:-1] + f',"x":{nested(999)}}}', ["line_unreadable"]),
    (text('{"a":' * 998 + "1" + "}" * 998, "country"), ["country_type"]),
    (text('{"a":' * 999 + "1" + "}" * 999, "country"), ["line_unreadable"]),
    ('{"sku":1,' + text(nested(998), "country")[1:], ["duplicate_key"]),
    ('{"sku":1,' + text(nested(999), "country")[1:], ["line_unreadable"]),
    *(
        (text(f'[{{"{name}":1}}]', "country"), [rule])
        for name, rule in (
            *(("k" * 50_000, "country_type"), ("k" * 50_001, "line_unreadable")),
            *(("\u00e9" * 50_000, "country_type"), ("\u00e9" * 50_001, "line_unreadable")),
            *(("\U0001f600" * 25_000, "country_type"), ("\U0001f600" * 25_001, "line_unreadable")),
            *((r"\u0041" * 50_000, "country_type"), (r"\u0041" * 50_001, "line_unreadable")),
        )
    ),
    ('{"sku":1,' + VALID_TEXT[1:-1] + f',"{"k" * 50_000}":1}}', ["duplicate_key"]),
    ('{"sku":1,' + VALID_TEXT[1:-1] + f',"{"k" * 50_001}":1}}', ["line_unreadable"]),
    *(
        (text('{"a":' * levels + "1" + "}" * levels, field), [f"{field}_type"])
        for levels, field in ((300, "country"), (900, "sku"))
    ),
    (line(country={"a": [{"b": [None]}]}, description=[]), ["country_type", "description_type"]),
    (text("1" * 1200, "quantity"), ["line_unreadable"]),
    *((text(number, "quantity"), ["quantity_type"]) for number in ("5.0", "5e0", "1e400", "6E2")),
    # Of its digits, and not its characters, a number may have 1,000.
    *(
        (text(number, field), [f"{field}_type"])
        for number in (
            f"-{'1' * 1000}",
            f"1.{'5' * 999}",
            f"-1.5e-{'1' * 998}",
            f"[1e{'0' * 999}]",
        )
        for field in ("quantity", "country")
    ),
    *(
        (text(number, field), ["line_unreadable"])
        for number in (
            f"-{'1' * 1001}",
            f"1.{'5' * 1000}",
            f"-1.5e-{'1' * 999}",
            f"[1e{'0' * 1000}]",
        )
        for field in ("quantity", "country")
    ),
    *(
        (text(number, "quantity"), ["line_unreadable"])
        for number in ("NaN", "+1", "01", "1.", "1_0")
    ),
    ("", ["line_unreadable"]),
    (" ", ["line_unreadable"]),
    ('"oops"', ["line_unreadable"]),
    ("null", ["line_unreadable"]),
    ("[1]", ["line_unreadable"]),
    ("5", ["line_unreadable"]),
    (f"[{VALID_TEXT}]", ["line_unreadable"]),
    (f"{VALID_TEXT},{VALID_TEXT}", ["line_unreadable"]),
    (f"{VALID_TEXT}{VALID_TEXT}", ["line_unreadable"]),
    (f"{VALID_TEXT} x", ["line_unreadable"]),
    (f"{VALID_TEXT}]", ["line_unreadable"]),
    (f'{VALID_TEXT},{{"end":1}}]', ["line_unreadable"]),
    (VALID_TEXT[:-1], ["line_unreadable"]),
    (VALID_TEXT[:-1] + ",}", ["line_unreadable"]),
    (VALID_TEXT.replace('"', "'"), ["line_unreadable"]),
    ("\ufeff" + VALID_TEXT, ["line_unreadable"]),
    (text('"a\tb"'), ["line_unreadable"]),
    (text(r'"\ud800"'), ["line_unreadable"]),
    (text(r'"\\\udc00\ud800"'), ["line_unreadable"]),
    (text(r'"\uD83D\\\uDE00"'), ["line_unreadable"]),
    ("{}", sorted(f"{name}_absent" for name in LANDING.column_names)),
    ('{"quantity":5,' + VALID_TEXT[1:], ["duplicate_key"]),
    (r'{"quant\u0069ty":6,' + VALID_TEXT[1:], ["duplicate_key"]),
    (VALID_TEXT[:-1] + ',"x":1,"x":1}', ["duplicate_key"]),
    (VALID_TEXT[:-1] + ',"x":{"y":[{"a":1,"a":2}]}}', ["duplicate_key"]),
    ('{"sku":1,' + VALID_TEXT[1:] + " x", ["line_unreadable"]),
    ('{"sku":NaN,' + VALID_TEXT[1:], ["line_unreadable"]),
    (r'{"sku":"\ud800",' + VALID_TEXT[1:], ["line_unreadable"]),
    (line(description="x" * 1000), []),
    (line(description="\U0001f600" * 1000), []),
    (line(description="x" * 1001), ["description_too_long"]),
    (line(description="x" * 3_000_000), ["description_too_long"]),
    (line(order_id="7" * 7_700), ["order_id_too_long"]),
    (line(order_id=" " * 65), ["order_id_too_long"]),
    (line(country="x\x00" * 200), ["country_type"]),
    (line(unit_price="1" * 65, status="x" * 33), ["status_too_long", "unit_price_too_long"]),
    (
        line(created_at="1582-10-10T12:00:00Z", currency="USD"),
        ["created_at_out_of_range", "currency_without_rate"],
    ),
    (
        line(created_at="1899-12-31T23:59:59.999999Z", currency="USD"),
        ["created_at_out_of_range", "currency_without_rate"],
    ),
    (
        line(created_at="0001-01-01T00:00:00+01:00", currency="USD"),
        ["created_at_out_of_range", "currency_without_rate"],
    ),
    (line(created_at="1900-01-01T00:00:00Z", currency="USD"), ["currency_without_rate"]),
    (line(created_at="0000-12-31T00:00:00Z"), ["created_at_not_zoned"]),
    (line(created_at="2010-11-30T24:00:00Z"), ["created_at_not_zoned"]),
    (line(created_at="2010-11-30T23:59:60Z"), ["created_at_not_zoned"]),
    (line(updated_at="9999-12-31T23:59:59-01:00"), ["updated_outside_day"]),
    (line(), []),
    (line(customer_id=None), []),
    (line(description=None, country=None), []),
    (line(unit_price="0"), []),
    (line(unit_price="-0.00"), []),
    (line(quantity=-6, status="cancelled"), []),
    (line(status="pending"), []),
    (line(created_at="2010-11-24T08:26:00Z", currency="USD"), ["currency_without_rate"]),
    (line(currency="EUR", created_at="2010-12-01T23:30:00-02:00"), ["updated_before_created"]),
    (line(currency="EUR"), []),
    (line(updated_at="2010-12-01T23:59:59.999999Z"), []),
    (line(updated_at="2010-12-02T01:00:00+02:00"), []),
    (line(created_at="2010-12-01 08:26:00Z"), []),
    (line(description='says "sku":1 and "quantity":null'), []),
    (line(order_id=""), ["order_id_blank"]),
    (line(order_id=" \t\n"), ["order_id_blank"]),
    (line(order_id=None), ["order_id_null"]),
    (without("order_id"), ["order_id_absent"]),
    (line(order_id=536365), ["order_id_type"]),
    (line(sku=" "), ["sku_blank"]),
    (line(sku=None), ["sku_null"]),
    (line(sku=85123), ["sku_type"]),
    (line(sku={"code": "85123A"}), ["sku_type"]),
    (line(description="a\x00b"), ["description_type"]),
    (without("customer_id"), ["customer_id_absent"]),
    (without("country"), ["country_absent"]),
    (line(line_number=0), ["line_number_below_one"]),
    (line(line_number=1.0), ["line_number_type"]),
    (line(line_number=2**31), ["line_number_type"]),
    (line(quantity=0), ["quantity_zero"]),
    (line(quantity=-1), ["quantity_negative"]),
    (line(quantity=True), ["quantity_type"]),
    (line(quantity="6"), ["quantity_type"]),
    (line(quantity=None), ["quantity_null"]),
    (line(unit_price=2.55), ["unit_price_type"]),
    (line(unit_price="2.55001"), ["unit_price_not_decimal"]),
    (line(unit_price="2,55"), ["unit_price_not_decimal"]),
    (line(unit_price="1e3"), ["unit_price_not_decimal"]),
    (line(unit_price="2.55\n"), ["unit_price_not_decimal"]),
    (line(unit_price="123456789012345"), ["unit_price_not_decimal"]),
    (line(unit_price="-2.55"), ["unit_price_negative"]),
    (line(unit_price="99999999999999", quantity=2, currency="EUR"), ["amount_out_of_range"]),
    (line(unit_price="99999999999999", quantity=1), ["amount_usd_out_of_range"]),
    (line(currency="XXX"), ["currency_without_rate"]),
    (line(currency="gbp"), ["currency_without_rate"]),
    (line(currency=None), ["currency_null"]),
    (line(status="Completed"), ["status_unknown"]),
    (line(customer_id=0), ["customer_id_not_positive"]),
    (line(customer_id=-5), ["customer_id_not_positive"]),
    (line(customer_id=True), ["customer_id_type"]),
    (line(customer_id="17850"), ["customer_id_type"]),
    (line(created_at="2010-12-01T08:26:00"), ["created_at_not_zoned"]),
    (line(created_at="2010-13-01T08:26:00Z"), ["created_at_not_zoned"]),
    (
        line(created_at="yesterday", currency="XXX"),
        ["created_at_not_zoned", "currency_without_rate"],
    ),
    (line(updated_at="2010-12-01T08:26Z"), ["updated_at_not_zoned"]),
    (line(updated_at="2010-12-02T00:00:00Z"), ["updated_outside_day"]),
    (
        line(updated_at="2010-11-30T23:59:59Z"),
        ["updated_before_created", "updated_outside_day"],
    ),
    (line(sku="", quantity=0, status="odd"), ["quantity_zero", "sku_blank", "status_unknown"]),
    # As declared and written otherwise than Spark writes it.
    (json.dumps(line(description="\u00e9 / \u2028")), []),
    (orjson.dumps(line()).decode().replace("/", "\\/"), []),
    (text("-0", "line_number"), ["line_number_below_one"]),
    (text("-0", "customer_id"), ["customer_id_not_positive"]),
    (text("-0.0", "quantity"), ["quantity_type"]),
    (text("1e3", "line_number"), ["line_number_type"]),
    (text("1e999999999", "sku"), ["sku_type"]),
    (text("1E400", "customer_id"), ["customer_id_type"]),
    (text(str(2**63), "customer_id"), ["customer_id_type"]),
    (text(str(-(2**63) - 1), "customer_id"), ["customer_id_type"]),
    (text("1" * 40, "customer_id"), ["customer_id_type"]),
    (line(customer_id=2**63 - 1, line_number=2**31 - 1), []),
    (line(quantity=-(2**31), status="cancelled", unit_price="0.0001"), []),
    (
        line(quantity=-(2**31), status="cancelled", unit_price="99999999999999.9999"),
        ["amount_out_of_range"],
    ),
    (without("quantity", Quantity=6), ["quantity_absent"]),
    (line(Quantity=7, SKU="x"), []),
    ('{"":1,' + VALID_TEXT[1:], []),
    ('{"":1,"":2,' + VALID_TEXT[1:], ["duplicate_key"]),
    (VALID_TEXT + "// x", ["line_unreadable"]),
    (VALID_TEXT + "\0", ["line_unreadable"]),
    ("/* x */" + VALID_TEXT, ["line_unreadable"]),
    (VALID_TEXT.replace(",", ",# x\r", 1), ["line_unreadable"]),
    ("true", ["line_unreadable"]),
    ("1E400", ["line_unreadable"]),
    (text(r'"\u0000"', "sku"), ["sku_type"]),
    (text(r'"\u0000"', "order_id"), ["order_id_type"]),
    (text(r'"\\u0000"', "sku"), []),
    (text(r'"\x"', "sku"), ["line_unreadable"]),
    (text(r'"\ude00\ud83d"', "sku"), ["line_unreadable"]),
    (text("undefined", "country"), ["line_unreadable"]),
    (text("Infinity", "quantity"), ["line_unreadable"]),
    (line(description="", country=" "), []),
    (line(description="e\u0301" * 500), []),
    (line(description="e\u0301" * 501), ["description_too_long"]),
    (line(status="", currency=""), ["currency_without_rate", "status_unknown"]),
    *(
        (line(unit_price=price), ["unit_price_not_decimal"])
        for price in ("", " ", " 1", "1 ", "+1", ".5", "1.", "-", "\u0661", "0x1", "0.00001", "NaN")
    ),
    (line(unit_price="00000000000002.5500"), []),
    (line(unit_price="000000000000002.55"), ["unit_price_not_decimal"]),
    *(
        (line(created_at=time), ["created_at_not_zoned"])
        for time in (
            *("", " ", "2010-11-30", "2010-11-30T08:26:00z", "2010-11-30T08:26:00+0100"),
            *("2010-11-30T08:26:00.1234567Z", "2010-11-30T08:26:00.Z", " 2010-11-30T08:26:00Z"),
            *("10000-01-01T00:00:00Z", "-2010-11-30T08:26:00Z", "2010-11-31T08:26:00Z"),
            *("2010-11-30T08:26:00+18:01", "2010-11-30T08:60:00Z", "2010-11-30T08:26:00Z\n"),
            *("2010-11-30T08:26:00 Europe/Paris", "\u0662010-11-30T08:26:00Z"),
        )
    ),
    *(
        (line(created_at=time), [])
        for time in (
            *("2010-11-30T08:26:00-00:00", "2010-11-30T08:26:00.1Z", "2010-12-01T08:26:00+18:00"),
            *("2010-11-30T23:59:59.999999Z", "2010-12-01T10:26:00+02:00"),
        )
    ),
    (
        line(created_at="9999-12-31T23:59:59-01:00"),
        ["currency_without_rate", "updated_before_created"],
    ),
    (
        line(created_at="1900-01-01T00:00:00+00:01"),
        ["created_at_out_of_range", "currency_without_rate"],
    ),
]


def validate(
    spark: SparkSession,
    lines: list[Line],
    landed: list[str] | None = None,
    declared: Contract = LANDING,
    beside: Documents = BESIDE,
) -> DataFrame:
    """Lines as `landed_lines` gives them, validated for 2010-12-01 by Spark."""
    from feira_spark.core.row_rules import read_fields
    from feira_spark.core.validate import validated

    raw = [
        (served if isinstance(served, str) else orjson.dumps(served).decode(), 1, number)
        for number, served in enumerate(lines)
    ]
    texts = spark.createDataFrame(raw, "raw string, page int, row_id bigint")
    documents = {}
    for name, rows in beside.items():
        names = list(rows[0])
        documents[name] = spark.createDataFrame(
            [tuple(row[column] for column in names) for row in rows],
            ", ".join(f"{column} string" for column in names),
        )
    return validated(
        read_fields(texts, declared, landed if landed is not None else declared.column_names),
        declared,
        documents,
        extract_day=DAY,
    )
