"""Every row rule of the landing contract, by lines that break just that rule; and what JSON is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from feira.core.contracts import contract
from feira.core.contracts.model import Column as ContractColumn
from feira_spark.core.row_rules import read_fields
from feira_spark.sales.validate import landed_lines, validated
from sales_lines import DAY, RATES, line, without
from spark_connect import FEW_ROWS

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LANDING = contract("sales.landing")

Line = dict[str, Any] | str
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
    (text("1" * 1200, "quantity"), ["line_unreadable"]),
    *((text(number, "quantity"), ["quantity_type"]) for number in ("5.0", "5e0", "1e400", "6E2")),
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


# After the cases: what they are worth in dollars, and of which day the rate is.
CONVERTED = [
    # 0.0001 x 1.5547 = 0.00015547; 0.0002 x 1.32 = 0.000264; 0.0125 x 1.32 = 0.0165 exactly.
    line(unit_price="0.0001", quantity=1),
    line(unit_price="0.0002", quantity=1, currency="EUR"),
    line(unit_price="0.0125", quantity=1, currency="EUR"),
    # Halves: 0.5 x 1.5547 = 0.77735; 1.5 x 1.5547 = 2.33205.
    line(unit_price="0.5", quantity=1),
    line(unit_price="1.5", quantity=1),
    # EUR was quoted on 2010-11-26 only.
    line(currency="EUR", created_at="2010-12-01T00:00:00Z"),
    line(currency="EUR", created_at="2010-11-25T23:59:59Z"),
]


@pytest.fixture(scope="module")
def checked(spark: SparkSession) -> dict[int, Any]:
    """All lines through validation at once, by their number: first the cases, then the converted.

    By compiled code as on a laptop, where the other tests leave it to the interpreter.
    """
    for name in ("wholeStage", "factoryMode"):
        spark.conf.unset(f"spark.sql.codegen.{name}")
    frame = validate(spark, [*(served for served, _ in CASES), *CONVERTED])
    found = frame.select("row_id", "broken_rules", "amount_usd", "fx_date", "fx_rate").collect()
    for name in ("wholeStage", "factoryMode"):
        spark.conf.set(f"spark.sql.codegen.{name}", FEW_ROWS[f"spark.sql.codegen.{name}"])
    return {row["row_id"]: row for row in found}


def validate(spark: SparkSession, lines: list[Line], landed: list[str] | None = None) -> DataFrame:
    """Lines as `landed_lines` gives them, validated for 2010-12-01."""
    raw = [
        (served if isinstance(served, str) else orjson.dumps(served).decode(), 1, number)
        for number, served in enumerate(lines)
    ]
    texts = spark.createDataFrame(raw, "raw string, page int, row_id bigint")
    rates = spark.createDataFrame(
        [(r["rate_date"], r["currency"], r["usd_rate"]) for r in RATES],
        "rate_date string, currency string, usd_rate string",
    ).selectExpr(
        "cast(rate_date as date) rate_date", "currency", "cast(usd_rate as decimal(18,8)) usd_rate"
    )
    return validated(
        read_fields(texts, LANDING, landed if landed is not None else LANDING.column_names),
        rates,
        LANDING,
        extract_day=DAY,
    )


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_line_breaks_exactly_these_rules(checked: dict[int, Any], number: int) -> None:
    served, expected = CASES[number]
    assert checked[number]["broken_rules"] == expected, served


def test_every_rule_is_reached_by_a_case() -> None:
    reached = {rule for _, rules in CASES for rule in rules}
    assert {rule.name for rule in LANDING.row_rules} <= reached


@pytest.mark.parametrize(
    ("number", "in_dollars"),
    list(enumerate(["0.0002", "0.0003", "0.0165", "0.7774", "2.3320"], start=len(CASES))),
)
def test_amounts_are_rounded_half_to_even_once(
    checked: dict[int, Any], number: int, in_dollars: str
) -> None:
    assert str(checked[number]["amount_usd"]) == in_dollars


def test_a_rate_of_seven_days_ago_counts_and_one_of_eight_does_not(checked: dict[int, Any]) -> None:
    counts, too_early = checked[len(CASES) + 5], checked[len(CASES) + 6]
    assert (str(counts["fx_date"]), str(counts["fx_rate"])) == ("2010-11-26", "1.32000000")
    assert too_early["broken_rules"] == ["currency_without_rate"]


def test_an_older_landing_is_not_blamed_for_a_column_added_since(spark: SparkSession) -> None:
    landed = [name for name in LANDING.column_names if name != "country"]
    rows = validate(spark, [without("country")], landed).collect()
    assert rows[0]["broken_rules"] == []


def test_a_line_ends_at_a_line_feed_alone_and_none_stops_the_others(
    spark: SparkSession, tmp_path: Path
) -> None:
    lines = [VALID_TEXT, text('"x"').replace(",", ",\r"), '"oops"', VALID_TEXT]
    (tmp_path / "page-00003.ndjson").write_bytes("\n".join([*lines, ""]).encode())
    pages = spark.read.format("text").option("lineSep", "\n").load(f"file://{tmp_path}")
    rows = landed_lines(pages, LANDING, LANDING.column_names).orderBy("row_id").collect()
    assert [row["raw"] for row in rows] == lines
    # Null where the first look has cleared the line.
    assert [row["shape_rules"] for row in rows] == [None, [], ["line_unreadable"], None]
    assert {row["page"] for row in rows} == {3}
    assert [row["description"] for row in rows[1:3]] == ["x", None]


# Any JSON value, and lines in which keys come again.
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXTS, inner, max_size=2),
    max_leaves=4,
)
_PAIRS = st.lists(st.tuples(st.sampled_from([*LANDING.column_names, "x"]), _VALUES), max_size=6)


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(_PAIRS, st.booleans(), st.integers(0, 9)), min_size=60, max_size=60))
def test_shape_rules_are_what_pythons_parser_finds(
    spark: SparkSession, drawn: list[tuple[list[tuple[str, Any]], bool, int]]
) -> None:
    lines = []
    for pairs, ascii_only, cut in drawn:
        written = ", ".join(
            f"{json.dumps(name)} :{json.dumps(value, ensure_ascii=ascii_only)}"
            for name, value in [*(line().items() if cut > 4 else ()), *pairs]
        )
        lines.append(f"{{{written}}}" if cut else f"{{{written}")
    frame = spark.createDataFrame([(n, each) for n, each in enumerate(lines)], "n int, raw string")
    rows = read_fields(frame, LANDING, LANDING.column_names).orderBy("n").collect()
    for served, row in zip(lines, rows, strict=True):
        found = row["shape_rules"] or []
        assert [rule for rule in found if "long" not in rule] == _shape(served), served


def _shape(served: str) -> list[str]:
    try:
        value = json.loads(served, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError:
        return ["line_unreadable"]
    except KeyError:
        return ["duplicate_key"]
    return [rule for column in LANDING.columns for rule in _field_shape(column, value)]


def _field_shape(column: ContractColumn, value: dict[str, Any]) -> list[str]:
    if column.name not in value:
        return [f"{column.name}_absent"]
    given_value = value[column.name]
    if given_value is None:
        return [f"{column.name}_null"] if column.required else []
    if column.type == "string":
        right = isinstance(given_value, str) and "\0" not in given_value
    else:
        limit = 2 ** (31 if column.type == "int" else 63)
        right = type(given_value) is int and -limit <= given_value < limit
    return [] if right else [f"{column.name}_type"]


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise KeyError
    return dict(pairs)
