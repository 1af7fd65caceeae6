"""What the rules of a landing name beside its lines: given, derived, or looked up in a document."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from feira.core.contracts import ContractError, contract
from feira.core.contracts.model import Lookup, RuleInput
from landing_cases import validate
from sales_lines import line

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LANDING = contract("sales.landing")


def test_a_value_lasts_its_days_or_until_the_next(spark: SparkSession) -> None:
    """By the contract: a rate seven days. Of a row without a value the one before goes on."""
    quoted = [("2010-12-01", "1.3"), ("2010-12-03", "1.2"), ("2010-12-05", None)]
    rates = [{"rate_date": day, "currency": "EUR", "usd_rate": rate} for day, rate in quoted]
    lines = [line(currency="EUR", created_at=f"2010-12-{day:02}T00:00:00Z") for day in range(1, 13)]
    lines.append(line(currency="NOK", created_at="2010-12-13T00:00:00Z"))
    found = validate(spark, [*lines], beside={"rates": [*rates]}).select(
        "order_date", "fx_rate", "currency_quoted"
    )
    first, second = "1.30000000", "1.20000000"
    rows = {row["order_date"].day: row for row in found.collect()}
    assert {day: row["fx_rate"] and str(row["fx_rate"]) for day, row in rows.items()} == {
        **dict.fromkeys((1, 2), first),
        **dict.fromkeys(range(3, 11), second),
        **dict.fromkeys((11, 12, 13)),
    }
    assert [day for day, row in sorted(rows.items()) if not row["currency_quoted"]] == [13]
    assert rows[13]["currency_quoted"] is False


@pytest.mark.parametrize(
    ("name", "lookup"),
    [("of_quotes", Lookup("quotes", {"currency": "currency"})), ("contract_version", None)],
)
def test_an_input_that_nothing_gives_is_refused(
    spark: SparkSession, name: str, lookup: Lookup | None
) -> None:
    stated = RuleInput(name, "boolean", None, lookup)
    inputs = (*LANDING.rule_inputs, stated)
    with pytest.raises(ContractError, match=f"input {name} .*extract_day.* rates"):
        validate(spark, [line()], declared=replace(LANDING, rule_inputs=inputs))
