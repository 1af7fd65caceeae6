"""Valid lines to a day's extract: one row a key, the contract's types, what kind a line is."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from pyspark.sql import functions as F

from feira.core.contracts import contract
from feira.sales.line_kinds import line_kinds
from feira_spark.sales.transform import extract_lines, line_kind

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

ORDER_LINES = contract("sales.order_lines")
VALID = (
    "order_id string, line_number int, sku string, description string, quantity int, "
    "currency string, status string, customer_id bigint, country string, "
    "created_time timestamp, updated_time timestamp, unit_price_decimal decimal(18,4), "
    "amount decimal(18,4), order_date date, fx_rate decimal(18,8), fx_date date, "
    "amount_usd decimal(18,4), extract_day date, landing_version int, page int, row_id bigint"
)
KNOWN = {part.split()[0] for part in VALID.split(", ")} | {"unit_price", "created_at", "updated_at"}
# Columns that the contract has gained since.
VALID += "".join(
    f", {each.name} {each.type}"
    for each in contract("sales.landing").columns
    if each.name not in KNOWN
)


def valid_line(**changes: Any) -> dict[str, Any]:
    """A line as validation types it, with its texts for times and decimals."""
    return {
        "order_id": "536365",
        "line_number": 1,
        "sku": "85123A",
        "description": None,
        "quantity": 2,
        "currency": "GBP",
        "status": "completed",
        "customer_id": None,
        "country": None,
        "created_time": "2010-12-01 08:00:00",
        "updated_time": "2010-12-01 08:00:00",
        "unit_price_decimal": Decimal("2.5500"),
        "amount": Decimal("5.1000"),
        "order_date": date(2010, 12, 1),
        "fx_rate": Decimal("1.55470000"),
        "fx_date": date(2010, 11, 30),
        "amount_usd": Decimal("7.9290"),
        "extract_day": date(2010, 12, 1),
        "landing_version": 3,
        "page": 1,
        "row_id": 0,
    } | changes


def valid_lines(spark: SparkSession, lines: list[dict[str, Any]]) -> DataFrame:
    texts = VALID.replace("timestamp", "string")
    names = [part.split()[0] for part in texts.split(", ")]
    rows = [tuple(line.get(name) for name in names) for line in lines]
    return spark.createDataFrame(rows, texts).withColumns(
        {name: F.col(name).cast("timestamp") for name in ("created_time", "updated_time")}
    )


def extract(spark: SparkSession, lines: list[dict[str, Any]]) -> DataFrame:
    return extract_lines(valid_lines(spark, lines), ORDER_LINES, line_kinds())


def test_an_extract_has_the_contracts_columns_and_types(spark: SparkSession) -> None:
    found = extract(spark, [valid_line()])
    assert [(field.name, field.dataType.simpleString()) for field in found.schema.fields] == [
        (column.name, column.type) for column in ORDER_LINES.columns
    ]
    row = found.collect()[0]
    assert (str(row["unit_price"]), row["landing_version"], row["line_kind"]) == (
        "2.5500",
        3,
        "product",
    )
    assert found.select(F.date_format("updated_at", "yyyy-MM-dd HH:mm")).first()[0] == (
        "2010-12-01 08:00"
    )


# (minute of the update, page, row): few values, so that ties are common. A row's id is its alone.
VERSION = st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(0, 400))


@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(st.integers(1, 20), VERSION),
        min_size=40,
        max_size=80,
        unique_by=lambda each: each[1][2],
    )
)
def test_of_each_key_the_newest_version_stays_and_on_a_tie_the_last_landed(
    spark: SparkSession, versions: list[tuple[int, tuple[int, int, int]]]
) -> None:
    lines = [
        valid_line(
            line_number=key,
            updated_time=f"2010-12-01 08:0{minute}:00",
            page=page,
            row_id=row,
            quantity=position + 1,
        )
        for position, (key, (minute, page, row)) in enumerate(versions)
    ]
    newest: dict[int, tuple[tuple[int, int, int], int]] = {}
    for position, (key, order) in enumerate(versions):
        if key not in newest or order > newest[key][0]:
            newest[key] = (order, position + 1)
    kept = {row["line_number"]: row["quantity"] for row in extract(spark, lines).collect()}
    assert kept == {key: quantity for key, (_, quantity) in newest.items()}


@pytest.mark.parametrize(
    ("sku", "kind"),
    [
        ("85123A", "product"),
        ("22423", "product"),
        ("15056bl", "product"),
        ("DCGS0076", "product"),
        ("85123A ", "other"),
        ("851234", "other"),
        ("POST", "postage"),
        ("post", "other"),
        ("DOT", "postage"),
        ("C2", "postage"),
        ("AMAZONFEE", "fee"),
        ("BANK CHARGES", "fee"),
        ("CRUK", "fee"),
        ("S", "sample"),
        ("SAMPLES", "sample"),
        ("M", "adjustment"),
        ("m", "adjustment"),
        ("D", "adjustment"),
        ("B", "adjustment"),
        ("gift_0001_20", "voucher"),
        ("PADS", "other"),
    ],
)
def test_a_stock_code_is_of_this_kind(spark: SparkSession, sku: str, kind: str) -> None:
    frame = spark.createDataFrame([(sku,)], "sku string")
    assert frame.select(line_kind(line_kinds())).first()[0] == kind


def test_the_end_of_a_line_in_a_stock_code_is_a_character_as_any(spark: SparkSession) -> None:
    kinds = {
        f"{code}{end}{rest}": kind
        for end in ("\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\x0b", "\U0001f600")
        for rest in ("", "x")
        for code, kind in (("gift_", "voucher"), ("DCGS", "product"), ("85123", "other"))
    }
    frame = spark.createDataFrame([(sku,) for sku in kinds], "sku string")
    found = frame.select("sku", line_kind(line_kinds()).alias("kind")).collect()
    assert {row["sku"]: row["kind"] for row in found} == kinds
