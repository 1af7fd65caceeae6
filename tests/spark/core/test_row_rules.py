"""Every row rule of the landing contract, by lines that break just that rule; and what JSON is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from feira.core.contracts import RowRule, contract
from feira.core.contracts.model import Column as ContractColumn
from feira_spark.core.row_rules import read_fields
from feira_spark.core.session import FOR_FEW_ROWS
from feira_spark.core.validate import landed_lines
from landing_cases import CASES, VALID_TEXT, Line, text, validate
from sales_lines import line, without

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LANDING = contract("sales.landing")

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
        spark.conf.set(f"spark.sql.codegen.{name}", FOR_FEW_ROWS[f"spark.sql.codegen.{name}"])
    return {row["row_id"]: row for row in found}


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
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
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


def test_a_rule_may_be_written_in_what_the_language_adds(spark: SparkSession) -> None:
    """Such as ``zoned_time``, which Spark does not have: a rule is translated for Spark too."""
    early = RowRule("early", "zoned_time(created_at) < timestamp'2010-12-01T09:00:00Z'", "")
    declared = replace(LANDING, row_rules=(early,))
    lines: list[Line] = [
        line(created_at="2010-12-01T09:59:59+01:00", updated_at="2010-12-01T10:00:00Z"),
        line(created_at="2010-12-01T09:00:00Z", updated_at="2010-12-01T10:00:00Z"),
        line(created_at="2010-12-01", updated_at="2010-12-01T10:00:00Z"),
    ]
    rows = validate(spark, lines, declared=declared).orderBy("row_id").collect()
    assert [list(row["broken_rules"]) for row in rows] == [["early"], [], []]
