"""Every row rule of the landing contract, by lines that break just that rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from pyspark.sql import functions as F

from feira.contracts import contract
from feira_spark.row_rules import broken_rules, parse_schema, well_typed
from feira_spark.sales.validate import validated
from sales_lines import DAY, RATES, line, without

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LANDING = contract("sales.landing")

# (what is served, the rules it breaks)
CASES: list[tuple[dict[str, Any], list[str]]] = [
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
]


@pytest.fixture(scope="module")
def checked(spark: SparkSession) -> dict[int, list[str]]:
    """All cases through validation at once: the broken rules by the case's number."""
    frame = validate(spark, [served for served, _ in CASES])
    return {row["row_id"]: row["broken_rules"] for row in frame.collect()}


def validate(
    spark: SparkSession, lines: list[dict[str, Any]], landed: list[str] | None = None
) -> DataFrame:
    """Lines as `landed_lines` gives them, validated for 2010-12-01."""
    raw = [(orjson.dumps(served).decode(), 1, number) for number, served in enumerate(lines)]
    texts = spark.createDataFrame(raw, "raw string, page int, row_id bigint")
    parsed = texts.withColumn("line", F.from_json("raw", parse_schema(LANDING)))
    rates = spark.createDataFrame(
        [(r["rate_date"], r["currency"], r["usd_rate"]) for r in RATES],
        "rate_date string, currency string, usd_rate string",
    ).selectExpr(
        "cast(rate_date as date) rate_date", "currency", "cast(usd_rate as decimal(18,8)) usd_rate"
    )
    return validated(
        parsed.select(*well_typed(LANDING, "line"), "raw", "page", "row_id"),
        rates,
        LANDING,
        extract_day=DAY,
        landed_fields=landed if landed is not None else LANDING.column_names,
    )


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_line_breaks_exactly_these_rules(checked: dict[int, list[str]], number: int) -> None:
    served, expected = CASES[number]
    assert checked[number] == expected, served


def test_every_rule_is_reached_by_a_case() -> None:
    reached = {rule for _, rules in CASES for rule in rules}
    assert {rule.name for rule in LANDING.row_rules} <= reached


def test_amounts_are_rounded_half_to_even_once(spark: SparkSession) -> None:
    # 0.0001 x 1.5547 = 0.00015547; 0.0002 x 1.32 = 0.000264; EUR 0.0125 x 1.32 = 0.0165 exactly.
    rows = validate(
        spark,
        [
            line(unit_price="0.0001", quantity=1),
            line(unit_price="0.0002", quantity=1, currency="EUR"),
            line(unit_price="0.0125", quantity=1, currency="EUR"),
        ],
    ).orderBy("row_id")
    assert [str(row["amount_usd"]) for row in rows.collect()] == ["0.0002", "0.0003", "0.0165"]


def test_a_rate_of_seven_days_ago_counts_and_one_of_eight_does_not(spark: SparkSession) -> None:
    # EUR was quoted on 2010-11-26 only.
    rows = validate(
        spark,
        [line(currency="EUR", created_at="2010-12-01T00:00:00Z")],
    ).collect()
    assert (str(rows[0]["fx_date"]), str(rows[0]["fx_rate"])) == ("2010-11-26", "1.32000000")
    too_early = validate(spark, [line(currency="EUR", created_at="2010-11-25T23:59:59Z")])
    assert too_early.collect()[0]["broken_rules"] == ["currency_without_rate"]


def test_an_older_landing_is_not_blamed_for_a_column_added_since(spark: SparkSession) -> None:
    landed = [name for name in LANDING.column_names if name != "country"]
    rows = validate(spark, [without("country")], landed).collect()
    assert rows[0]["broken_rules"] == []


def test_broken_rules_is_one_expression(spark: SparkSession) -> None:
    frame = validate(spark, [line()])
    expression = broken_rules(LANDING, LANDING.column_names)
    assert frame.select(expression.alias("again")).collect()[0]["again"] == []
