"""The language of rules in DuckDB, at the edges of its numbers."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.core.contracts.rule_sql import RuleError, translate


def in_duckdb(sql: str, type_: str, sql_type: str, value: object) -> Any:
    """The expression's value where ``q`` is that value."""
    text = translate(sql, {"q": type_}, "duckdb").text
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE rows AS SELECT CAST(? AS {sql_type}) AS q", [str(value)])
        (row,) = connection.execute(f"SELECT {text} FROM rows").fetchall()
    return row[0]


BIG = [10**38 - 1, 10**37, 2**127 - 1]
INTEGERS = st.integers(-3, 3) | st.sampled_from([sign * n for n in BIG for sign in (1, -1)])


@settings(deadline=None, max_examples=60)
@given(
    INTEGERS, st.sampled_from(["0.5", "-0.000000000000000001", "2.0", "9" * 37, "9" * 19 + ".5"])
)
def test_an_integer_of_any_size_is_compared_with_a_decimal(q: int, other: str) -> None:
    number = Decimal(other)
    for sql, expected in (
        (f"q < {other}", q < number),
        (f"{other} <= q", number <= q),
        (f"q = {other}", q == number),
        (f"q <=> {other}", q == number),
        (f"q in ({other}, 1)", q in (number, 1)),
        (f"q between -1 and {other}", -1 <= q <= number),
    ):
        assert in_duckdb(sql, "integer", "HUGEINT", q) == expected, sql


def test_an_integer_that_is_none_is_less_than_nothing() -> None:
    with duckdb.connect() as connection:
        text = translate("q < 0.5", {"q": "integer"}, "duckdb").text
        found = connection.execute(f"SELECT {text} FROM (SELECT CAST(NULL AS HUGEINT) AS q)")
        assert found.fetchall() == [(None,)]


@pytest.mark.parametrize(
    "sql",
    [
        "q < decimal_text('1', 38, 1)",
        "q in (q, 0.5)",
        "q between -0.5 and 9999999999999999999999999999999999999",
        "cast(q as decimal(38,0)) > decimal_text('1', 38, 0)",
    ],
)
def test_what_an_integer_of_any_size_may_not_fit_is_refused_where_it_is_read(sql: str) -> None:
    with pytest.raises(RuleError):
        translate(sql, {"q": "integer"}, "duckdb")


@st.composite
def to_round(draw: st.DrawFn) -> tuple[Decimal, int]:
    """A decimal(37,18) and places to round it to; often it is the half of the last one."""
    places = draw(st.integers(0, 17))
    most = 10 ** (19 + places) - 1
    whole = draw(st.integers(-most, most) | st.sampled_from([most, most - 1, -most, 0, 1]))
    behind = draw(st.just(5 * 10 ** (17 - places)) | st.integers(0, 10 ** (18 - places) - 1))
    wide = Context(prec=60)
    tail = Decimal(behind).scaleb(-18, wide).copy_sign(Decimal(whole))
    return wide.add(Decimal(whole).scaleb(-places, wide), tail), places


@settings(deadline=None, max_examples=100)
@given(to_round())
def test_bround_rounds_half_to_even_with_all_37_digits(drawn: tuple[Decimal, int]) -> None:
    q, places = drawn
    expected = q.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN, Context(prec=60))
    assert in_duckdb(f"bround(q, {places})", "decimal(37,18)", "DECIMAL(37,18)", q) == expected
