"""The language of rules in DuckDB, at the edges of its numbers."""

from __future__ import annotations

import functools
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.core.contracts.rule_sql import Dialect, named, translate
from feira.core.contracts.rule_terms import RuleError


def in_duckdb(type_: str, sql_type: str, value: object, *sql: str) -> tuple[Any, ...]:
    """The expressions' values where ``q`` is that value."""
    texts = ", ".join(translate(each, {"q": type_}, "duckdb").text for each in sql)
    (row,) = (
        connection()
        .execute(f"SELECT {texts} FROM (SELECT CAST(? AS {sql_type}) AS q)", [str(value)])
        .fetchall()
    )
    return tuple(row)


@functools.cache
def connection() -> duckdb.DuckDBPyConnection:
    opened = duckdb.connect()
    opened.execute("SET TimeZone = 'UTC'")
    return opened


BIG = [10**38 - 1, 10**37, 2**127 - 1]
INTEGERS = st.integers(-3, 3) | st.sampled_from([sign * n for n in BIG for sign in (1, -1)])


@settings(deadline=None, max_examples=60)
@given(
    INTEGERS, st.sampled_from(["0.5", "-0.000000000000000001", "2.0", "9" * 37, "9" * 19 + ".5"])
)
def test_an_integer_of_any_size_is_compared_with_a_decimal(q: int, other: str) -> None:
    number = Decimal(other)
    expected = {
        f"q < {other}": q < number,
        f"{other} <= q": number <= q,
        f"q = {other}": q == number,
        f"q <=> {other}": q == number,
        f"q in ({other}, 1)": q in (number, 1),
        f"q between -1 and {other}": -1 <= q <= number,
    }
    found = in_duckdb("integer", "HUGEINT", q, *expected)
    assert dict(zip(expected, found, strict=True)) == expected


def test_an_integer_that_is_none_is_less_than_nothing() -> None:
    text = translate("q < 0.5", {"q": "integer"}, "duckdb").text
    found = connection().execute(f"SELECT {text} FROM (SELECT CAST(NULL AS HUGEINT) AS q)")
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
    assert in_duckdb("decimal(37,18)", "DECIMAL(37,18)", q, f"bround(q, {places})") == (expected,)


COLUMNS = {
    "i": "int",
    "b": "bigint",
    "n": "integer",
    "m": "integer",
    "s": "string",
    "t": "string",
    "d": "decimal(18,4)",
    "e": "decimal(19,4)",
    "k": "decimal(37,0)",
    "v": "decimal(38,0)",
    "w": "decimal(38,4)",
    "x": "double",
    "yes": "boolean",
    "day": "date",
    "at": "timestamp",
    "tags": "array<string>",
    'odd"`': "int",
}
NO_CAST = "is not the same in both engines"
REFUSED = [
    ("s = -'5'", "a minus is only that of a number"),
    ("i = -b", "a minus is only that of a number"),
    ("i is true", "IS needs a boolean"),
    ("yes is yes", "IS is only that of NULL"),
    ("case yes when false then yes end", "CASE is only that of conditions"),
    ("case when s then yes end", "CASE needs a boolean"),
    ("if(i, yes, yes)", "CASE needs a boolean"),
    ("case when yes then i else s end", "types int, string"),
    ("if(yes, s, i)", "types int, string"),
    ("coalesce(i, s)", "types int, string"),
    ("coalesce(null)", "it chooses between"),
    *((f"{each} = s", f"calls {each[:3]}") for each in ("nix(s)", "nix(d, 2)", "nix(s, 1, 0)")),
    *((each, "calls zoned_time") for each in ("zoned_time()", "zoned_time(s, s)")),
    *((each, "calls bround") for each in ("bround(d)", "bround(d, 1, 1)")),
    *((each, "calls decimal_text") for each in ("decimal_text(s, 1)", "decimal_text(s, 1, 0, 1)")),
    ("zoned_time(i)", "zoned_time needs a string"),
    ("decimal_text(i, 5, 0)", "decimal_text needs a string"),
    ("decimal_text(s, 39, 1)", "decimal_text(39, 1)"),
    ("decimal_text(s, 5, 5)", "decimal_text(5, 5)"),
    ("decimal_text(s, 0, 0)", "decimal_text(0, 0)"),
    ("decimal_text(s, 3, 5)", "decimal_text(3, 5)"),
    ("decimal_text(s, i, 0)", "i is no number"),
    ("decimal_text(s, '5', 0)", "'5' is no number"),
    ("decimal_text(s, 5.5, 0)", "5.5 is no number"),
    *((f"bround({each})", "bround is only") for each in ("i, 0", "d, 4", "s, 0", "x, 0", "w, 1")),
    ("bround(d, i)", "i is no number"),
    *((f"{each} = 1", "* is only that of two decimals") for each in ("d * i", "e * e", "d * x")),
    ("s like t", "LIKE takes a pattern"),
    ("s rlike t", "RLIKE takes a pattern"),
    (r"s like r'a\b'", "LIKE has a \\"),
    ("i like 'x'", "needs a string"),
    ("i rlike r'x'", "needs a string"),
    ("s like 'x' escape '!'", "it has escape"),
    ("s rlike r'('", "a group is not closed"),
    *((each, "needs a string") for each in ("contains(i, 'x')", "contains(s, i)", "length(i)")),
    ("trim(i)", "trim needs a string"),
    ("trim(both 'x' from s)", "trim has position"),
    ("tags = tags", "tags is of type array<string>"),
    ("x.s = 'a'", "x.s is not the name of a column alone"),
    ("* = 1", "star"),
    ("q = 1", "it names q; there are i, b, n"),
    *((f"x < {each}", f"{each} is not a number of at most 37") for each in ("9" * 38, "1e5")),
    ("x < 0." + "1" * 19, "18 of them behind the point"),
    ("x < " + "1" * 20 + ".5", "18 of them behind the point"),
    *(
        (each, f"{each.partition('(')[0]} of {type_} as {each.partition(' as ')[2][:-1]} {NO_CAST}")
        for type_, each in (
            ("decimal(18,4)", "cast(d as int)"),
            ("decimal(18,4)", "cast(d as decimal(18,2))"),
            ("decimal(18,4)", "cast(d as decimal(17,4))"),
            ("decimal(18,4)", "try_cast(d as decimal(18,3))"),
            ("int", "cast(i as decimal(9,0))"),
            ("int", "cast(i as decimal(11,2))"),
            ("bigint", "cast(b as decimal(18,0))"),
            ("integer", "cast(n as decimal(38,0))"),
            ("int", "cast(i as bigint)"),
            ("int", "try_cast(i as bigint)"),
            ("double", "cast(x as decimal(18,4))"),
            ("double", "try_cast(x as decimal(18,4))"),
            ("string", "cast(s as date)"),
            ("string", "try_cast(s as date)"),
            ("string", "try_cast('5' as int)"),
            ("timestamp", "try_cast(at as date)"),
            ("date", "cast(day as timestamp)"),
            ("date", "cast(day as date)"),
        )
    ),
    *(
        (f"day = date'{each}'", f"'{each}' is no date")
        for each in ("2010-13-01", "10-1-1", "today")
    ),
    *(
        (f"at = timestamp'{each}'", f"'{each}' is no timestamp")
        for each in (
            *("2010-12-01T08:26:00", "2010-02-30T08:26:00Z", "2010-12-01T08:26:00Zx"),
            *("9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+01:00", "2010-12-01"),
        )
    ),
    ("cast('5' as int) = i", "'5' is no int"),
    ("not i", "NOT needs a boolean"),
    ("i and yes", "AND needs a boolean"),
    ("yes or s", "OR needs a boolean"),
    ("i in (select 1)", "IN is only that of a list"),
    ("i between 1 and 's'", "values of different types"),
    ("i in (1, yes)", "values of different types"),
    *((each, "more than 38 digits") for each in ("w < v", "v < 0.5")),
    *((each, "an integer of any size") for each in ("n = w", "n < v", "n in (m, 0.5)")),
    (r"s = '\x'", "has an escape"),
    ("upper(s) = 'X'", "it has upper"),
    ("count(*) = 1", "it has count"),
    ("i =", "it is no SQL expression"),
    ("s = 'x", "it is no SQL expression"),
]


@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
@pytest.mark.parametrize(("sql", "problem"), REFUSED)
def test_what_is_not_of_the_language_is_refused_by_name(
    sql: str, problem: str, dialect: Dialect
) -> None:
    with pytest.raises(RuleError) as refusal:
        translate(sql, COLUMNS, dialect)
    assert problem in str(refusal.value)


def test_what_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(RuleError, match="nested too deep"):
        translate("(" * 3000 + "i" + ")" * 3000, COLUMNS, "duckdb")


@pytest.mark.parametrize(
    ("sql", "type_"),
    [
        ("999999999", "int"),
        ("1000000000", "decimal(10,0)"),
        ("9" * 37, "decimal(37,0)"),
        ("0.5", "decimal(1,1)"),
        ("0.0", "decimal(1,1)"),
        ("0.05", "decimal(2,2)"),
        ("00.50", "decimal(2,2)"),
        ("10.25", "decimal(4,2)"),
        ("1" * 19 + "." + "1" * 18, "decimal(37,18)"),
        ("-1.5", "decimal(2,1)"),
        ("'a'", "string"),
        ("r'a'", "string"),
        ("null", "null"),
        ("true", "boolean"),
        ("(d)", "decimal(18,4)"),
        ("length(s)", "int"),
        ("day", "date"),
        ("x", "double"),
        ("d * d", "decimal(37,8)"),
        ("d * e", "decimal(38,8)"),
        ("cast(i as decimal(10,0))", "decimal(10,0)"),
        ("cast(i as decimal(14,2))", "decimal(14,2)"),
        ("cast(b as decimal(19,0))", "decimal(19,0)"),
        ("cast(d as decimal(20,6))", "decimal(20,6)"),
        ("try_cast(d as decimal(6,4))", "decimal(6,4)"),
        ("try_cast(n as decimal(5, 0))", "decimal(5,0)"),
        ("bround(d, 0)", "decimal(15,0)"),
        ("bround(d, 2)", "decimal(17,2)"),
        ("decimal_text(s, 38, 37)", "decimal(38,37)"),
        ("decimal_text(s, 1, 0)", "decimal(1,0)"),
        ("zoned_time(s)", "timestamp"),
        ("cast(at as date)", "date"),
        ("case when yes then i end", "int"),
        ("case when yes then null else s end", "string"),
        ("if(yes, null, d)", "decimal(18,4)"),
        ("coalesce(null, s, 'x')", "string"),
        ("k < 0.5", "boolean"),
        ("w < " + "9" * 34, "boolean"),
        ("n < k", "boolean"),
        ("x < n and x < d and n = m", "boolean"),
        ("i = null", "boolean"),
        ("not null", "boolean"),
        ("length(null)", "int"),
    ],
)
def test_a_terms_type_is_that_of_its_parts(sql: str, type_: str) -> None:
    assert {translate(sql, COLUMNS, each).type for each in ("duckdb", "spark")} == {type_}


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ('`odd"``` = 7', True),
        ("i <=> null", False),
        ("null <=> null", True),
        ("i = null", None),
        ('s = "it\'s"', True),
        (r"s = r'\'", False),
        ("i in (1, 2)", True),
        ("i in (1, 3)", False),
        ("i not in (2, 3)", False),
        ("i between 2 and 2", True),
        ("yes is not true", False),
        ("s is null", False),
        ("case when i < 0 then 'less' when i > 1 then 'more' end", "more"),
        ("case when i < 0 then 'less' end", None),
        ("if(i < 0, 1, 2)", 2),
        ("coalesce(null, s)", "it's"),
        ("d * d", Decimal("6.25")),
        ("bround(d, 0)", Decimal(2)),
        ("cast(d as decimal(20,6))", Decimal("2.500000")),
        ("try_cast(d as decimal(4,4))", None),
        ("cast(timestamp'2010-12-01T23:30:00-01:00' as date) = date'2010-12-02'", True),
        ("timestamp'2010-12-01T23:30:00-01:00' = timestamp'2010-12-02 00:30:00Z'", True),
        ("timestamp_ltz'2010-12-01T08:26:00Z' = timestamp'2010-12-01T08:26:00Z'", True),
        ("s rlike r'^it.s\\z'", True),
        ("s like '_t%'", True),
        ("contains(s, 't') and startswith(s, 'i') and endswith(s, 's')", True),
        ("startswith(s, 't') or endswith(s, 't')", False),
        ("length(trim('  a\t '))", 2),
        ("zoned_time('2010-12-01T23:30:00.5-01:00') = timestamp'2010-12-02T00:30:00.5Z'", True),
        ("zoned_time('0000-12-01T23:30:00Z') is null", True),
        ("zoned_time('2010-12-01T23:30:00') is null", True),
        ("decimal_text('-12.5', 3, 1)", Decimal("-12.5")),
        ("decimal_text('123.5', 3, 1)", None),
        ("decimal_text('12.55', 3, 1)", None),
        ("decimal_text('5', 1, 0)", Decimal(5)),
        ("decimal_text('5.0', 1, 0)", None),
    ],
)
def test_an_expression_has_its_value(sql: str, value: object) -> None:
    text = translate(sql, COLUMNS, "duckdb").text
    found = connection().execute(
        f"""SELECT {text} FROM (SELECT 2 AS i, CAST('2.5' AS DECIMAL(18,4)) AS d, true AS yes,
        'it''s' AS s, 7 AS "odd""`")"""
    )
    assert found.fetchall() == [(value,)]


SPACE = r"\t\n\x0B\f\r "


@pytest.mark.parametrize(
    ("sql", "spark", "in_duckdb"),
    [
        ("i <=> b", "(`i` <=> `b`)", '("i" IS NOT DISTINCT FROM "b")'),
        (
            "at < timestamp'2010-12-01T23:30:00-01:00'",
            "(`at` < TIMESTAMP'2010-12-02 00:30:00Z')",
            """("at" < TIMESTAMP'2010-12-02 00:30:00')""",
        ),
        (
            "d * e",
            "(`d` * `e`)",
            'CAST(CAST("d" AS DECIMAL(38,4)) * CAST("e" AS DECIMAL(38,4)) AS decimal(38,8))',
        ),
        ("trim(s)", "trim(`s`)", """trim("s", ' ')"""),
        ("startswith(s, t)", "startswith(`s`, `t`)", 'starts_with("s", "t")'),
        ("endswith(s, t)", "endswith(`s`, `t`)", 'ends_with("s", "t")'),
        (r"s rlike r'\s'", r"(`s` RLIKE '\\s')", rf"""regexp_matches("s", '[{SPACE}]')"""),
        (
            r"s rlike r'^\s*\z'",
            r"(`s` < '!' AND `s` RLIKE '^\\s*\\z')",
            rf"""regexp_matches("s", '^[{SPACE}]*\z')""",
        ),
        (r"s = r'\d'", r"(`s` = '\\d')", r"""("s" = '\d')"""),
        ("bround(d, 0)", "bround(`d`, 0)", None),
    ],
)
def test_each_engine_has_its_own_words(sql: str, spark: str, in_duckdb: str | None) -> None:
    assert translate(sql, COLUMNS, "spark").text == spark
    assert in_duckdb in (None, translate(sql, COLUMNS, "duckdb").text)


def test_a_zoned_time_is_cast_as_each_engine_casts_it() -> None:
    spark, other = (translate("zoned_time(s)", COLUMNS, each).text for each in ("spark", "duckdb"))
    assert "try_cast(`s` AS timestamp)" in spark and "TIMESTAMPTZ" not in spark
    assert 'CAST(TRY_CAST("s" AS TIMESTAMPTZ) AS TIMESTAMP)' in other


def test_the_columns_that_an_expression_names_are_those_of_its_sql() -> None:
    assert named(r"`odd` = 1 and s rlike r'\d' and coalesce(i, i) > bround(d, 2)") == {
        *("odd", "s", "i", "d")
    }
