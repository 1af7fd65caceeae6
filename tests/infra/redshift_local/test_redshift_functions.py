"""Redshift's functions, run on PostgreSQL, against results from AWS's documentation or worked by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psutil
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redshift_local.translation.errors import RedshiftError
from redshift_local.translation.translate import translate

Run = Callable[[str], list[tuple[Any, ...]]]

RESULTS = [
    # Dates: boundaries and not elapsed time.
    ("DATEDIFF(week, '2009-01-01', '2009-12-31')", 52),
    ("DATEDIFF(qtr, '1998-07-01', '2009-08-02')", 44),
    ("DATEDIFF('year', '2008-12-31 23:59:59', '2009-01-01 00:00:00')", 1),
    ("DATEDIFF(month, '2009-01-31', '2009-02-01')", 1),
    ("DATEDIFF(day, '2009-02-01 00:00:01'::timestamp, '2009-01-31'::date)", -1),
    ("DATEDIFF(hour, '2009-01-01 01:59:59', '2009-01-01 02:00:00')", 1),
    ("DATEDIFF(minute, '2009-01-01 01:00:59', '2009-01-01 01:01:00')", 1),
    ("DATEDIFF(second, '2009-01-01 00:00:00.9', '2009-01-01 00:00:01.1')", 1),
    ("DATEDIFF(ms, '2009-01-01 00:00:00', '2009-01-01 00:00:01.5')", 1500),
    ("DATEDIFF(century, '1999-12-31', '2001-01-01')", 1),
    ("DATEDIFF(decade, '1999-12-31', '2000-01-01')", 1),
    ("DATEDIFF(hours, '05:10:00'::time, '07:00:00'::time)", 2),
    ("DATEADD(month, 18, '2008-02-28')", datetime(2009, 8, 28)),
    ("DATEADD(month, 1, '2008-04-30'::date)", datetime(2008, 5, 30)),
    ("DATEADD('day', -1, '2008-03-01'::date)", datetime(2008, 2, 29)),
    ("DATEADD(qtr, 1, '2008-01-31')", datetime(2008, 4, 30)),
    ("DATEADD(ms, 1500, '2008-01-31')", datetime(2008, 1, 31, 0, 0, 1, 500000)),
    ("DATEADD(week, 2, '2008-01-31')", datetime(2008, 2, 14)),
    (
        "DATEADD(hour, 1, '2008-01-31 00:00:00+00'::timestamptz)",
        datetime(2008, 1, 31, 1, tzinfo=UTC),
    ),
    ("ADD_MONTHS('2008-04-30', 1)", datetime(2008, 5, 31)),
    ("ADD_MONTHS('2008-03-31', 1)", datetime(2008, 4, 30)),
    ("ADD_MONTHS('2008-03-15 10:00:00', -1)", datetime(2008, 2, 15, 10)),
    ("LAST_DAY('2008-02-10')", date(2008, 2, 29)),
    ("LAST_DAY('2007-02-28 23:00:00'::timestamp)", date(2007, 2, 28)),
    ("MONTHS_BETWEEN('1969-01-18', '1969-03-18')", -2.0),
    ("NEXT_DAY('2014-08-20', 'Tues')", date(2014, 8, 26)),
    ("NEXT_DAY('2014-08-26', 'tuesday')", date(2014, 9, 2)),
    (
        "CONVERT_TIMEZONE('UTC', 'Europe/Berlin', '2013-02-01 08:00:00'::timestamp)",
        datetime(2013, 2, 1, 9),
    ),
    ("CONVERT_TIMEZONE('Europe/Berlin', '2013-07-01 08:00:00')", datetime(2013, 7, 1, 10)),
    ("DATE_TRUNC('week', '2013-02-03'::date)", datetime(2013, 1, 28)),
    ("DATE_TRUNC(month, '2013-02-03 01:02:03')", datetime(2013, 2, 1)),
    ("EXTRACT(sec FROM '2009-09-21 11:10:03.189717'::timestamp)", 3),
    ("EXTRACT(ms FROM '2009-09-21 11:10:03.189717'::timestamp)", 189),
    ("DATE_PART(sec, '2009-09-21 11:10:03.189717'::timestamp)", 3.189717),
    ("DATE_PART(dow, '2013-02-03')", 0.0),
    ("DATE_PART('w', '2008-06-17'::date)", 25.0),
    ("DATE_PART_YEAR('2008-06-17'::date)", 2008),
    ("TRUNC('2013-02-03 01:02:03'::timestamp)", date(2013, 2, 3)),
    ("TO_CHAR('2013-02-03'::date, 'YYYY/MM')", "2013/02"),
    ("TO_DATE('02 Oct 2001', 'DD Mon YYYY')", date(2001, 10, 2)),
    ("TO_DATE('20010631', 'YYYYMMDD')", date(2001, 7, 1)),
    ("TO_DATE('20010631', 'YYYYMMDD', FALSE)", date(2001, 7, 1)),
    ("TO_DATE('29.02.2023', 'DD.MM.YYYY')", date(2023, 3, 1)),
    (
        "TO_TIMESTAMP('2011-12-18 24:38:15', 'YYYY-MM-DD HH24:MI:SS')",
        datetime(2011, 12, 19, 0, 38, 15, tzinfo=UTC),
    ),
    ("TO_TIMESTAMP('', 'YYYY-MM-DD')", datetime(1, 1, 1, tzinfo=UTC)),
    (
        "TO_TIMESTAMP('2020-01-02 03:04', 'YYYY-MM-DD HH24:MI')",
        datetime(2020, 1, 2, 3, 4, tzinfo=UTC),
    ),
    ("GETDATE() - 7 = DATEADD(day, -7, GETDATE())", True),
    ("SYSDATE + 1 - SYSDATE = interval '1 day'", True),
    ("LEFT('abc', 2) || RIGHT('abc', 0)", "ab"),
    ("date '2013-02-03' + interval '1 day'", datetime(2013, 2, 4)),
    # Conditions.
    ("NVL(NULL, 2)", 2),
    ("NVL(NULL, NULL, 'x')", "x"),
    ("NVL2(NULL, 'known', 'unknown')", "unknown"),
    ("NVL2('', 'known', 'unknown')", "known"),
    ("DECODE(2, 1, 'one', 2, 'two', 'more')", "two"),
    ("DECODE(3, 1, 'one', 2, 'two')", None),
    ("DECODE(NULL, NULL, 'null is null', 'no')", "null is null"),
    # Text.
    ("LEN('français')", 8),
    ("LEN('cat   ')", 6),
    ("LEN('cat   '::char(6))", 3),
    ("OCTET_LENGTH('français')", 9),
    ("CHARINDEX('fish', 'dogfish')", 4),
    ("CHARINDEX('bird', 'dogfish')", 0),
    ("CONCAT('a', NULL)", None),
    ("CONCAT('a', 'b')", "ab"),
    ("'français'::varchar(5)", "fran"),
    ("'français'::varchar(6)", "franç"),
    ("'caterpillar'::varchar(3)", "cat"),
    ("STRTOL('abcd1234', 16)", 2882343476),
    ("STRTOL('1234567', 10)", 1234567),
    ("STRTOL('-110101', 2)", -53),
    ("STRTOL('0xFF', 16)", 255),
    ("REGEXP_REPLACE('a1b2c3', '[0-9]', '#')", "a#b#c#"),
    ("REGEXP_REPLACE('a1b2c3', '[0-9]')", "abc"),
    ("REGEXP_REPLACE('a1b2c3', '([a-z])([0-9])', '$2$1')", "1a2b3c"),
    ("REGEXP_REPLACE('the FOX and the fox', 'fox', 'cat', 1, 'i')", "the cat and the cat"),
    ("REGEXP_REPLACE('a1b2c3', '[0-9]', '#', 3)", "a1b#c#"),
    ("REGEXP_SUBSTR('a1b22', '[0-9]+', 1, 2)", "22"),
    ("REGEXP_SUBSTR('abc', '[0-9]+')", ""),
    ("REGEXP_COUNT('abcabc', 'b')", 2),
    ("REGEXP_INSTR('abcabc', 'c')", 3),
    ("SPLIT_PART('a,b,c', ',', 2)", "b"),
    ("REPLICATE('ab', 2)", "abab"),
    (r"'it\'s a \\ here'", r"it's a \ here"),
    ("'it''s'", "it's"),
    # Hashes.
    ("FNV_HASH(1)", -5968735742475085980),
    ("FNV_HASH('Amazon Redshift')", 7783490368944507294),
    ("FNV_HASH('Amazon Redshift', FNV_HASH(1))", -2202602717770968555),
    ("FNV_HASH(1::smallint)", 589727492704079044),
    ("FNV_HASH('cd', FNV_HASH('ab')) = FNV_HASH('abcd')", True),
    ("SHA2('Amazon Redshift', 256)", hashlib.sha256(b"Amazon Redshift").hexdigest()),
    # Numbers.
    ("7 / 2", 3),
    ("ROUND(2.5::double precision)", 3.0),
    ("ROUND(28.05::float8, 1)", 28.1),
    ("TRUNC(110.9)", Decimal(110)),
    ("TRUNC(110.987, 1)", Decimal("110.9")),
    ("'12.6'::numeric", Decimal(13)),
    ("'12.3456'::numeric(6,2)", Decimal("12.35")),
    ("CONVERT(integer, '12')", 12),
    # JSON.
    (
        'JSON_EXTRACT_PATH_TEXT(\'{"f2":{"f3":1},"f4":{"f5":99,"f6":"star"}}\', \'f4\', \'f6\')',
        "star",
    ),
    ("JSON_EXTRACT_PATH_TEXT('{\"a\":{\"b\":[1, 2]}}', 'a')", '{"b":[1,2]}'),
    ("JSON_EXTRACT_PATH_TEXT('{\"a\":1}', 'b')", ""),
    ("JSON_EXTRACT_PATH_TEXT('no', 'b', true)", None),
    ("JSON_EXTRACT_ARRAY_ELEMENT_TEXT('[111,112,113]', 2)", "113"),
    ('JSON_ARRAY_LENGTH(\'[11,12,13,{"f1":21,"f2":[25,26]},14]\')', 5),
    ("JSON_ARRAY_LENGTH('no', true)", None),
    ("IS_VALID_JSON('{\"a\":1}')", True),
    ("IS_VALID_JSON('[1]')", False),
    ("IS_VALID_JSON_ARRAY('[1]')", True),
    ('JSON_SERIALIZE(JSON_PARSE(\'{"a": [1, null, "x, y: z"]}\'))', '{"a":[1,null,"x, y: z"]}'),
]


@pytest.mark.parametrize(("expression", "expected"), RESULTS)
def test_a_function_returns_what_the_documentation_says(
    run: Run, expression: str, expected: object
) -> None:
    ((result,),) = run(f"SELECT {expression}")
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("TO_DATE('20010631', 'YYYYMMDD', TRUE)", "out of range"),
        ("TO_DATE('20011301', 'YYYYMMDD')", "does not imitate TO_DATE"),
        ("TO_DATE('31 Jun 2001', 'DD Mon YYYY')", "does not imitate TO_DATE"),
        ("TO_DATE(' ', 'YYYYMMDD')", "does not imitate TO_DATE"),
        ("TO_DATE('2001-2', 'YYYY-Q')", "does not support the format"),
        ("TO_TIMESTAMP('2011-12-18 24:38:15', 'YYYY-MM-DD HH24:MI:SS', TRUE)", "out of range"),
        ("TO_TIMESTAMP('2011-12-18 UTC', 'YYYY-MM-DD TZ')", "does not support the format"),
        ("SPLIT_PART('a,b', ',', -1)", "field position must be greater than zero"),
        ("SPLIT_PART('a,b', ',', 0)", "field position must be greater than zero"),
        ("LEFT('abc', -1)", "does not imitate LEFT of -1 characters"),
        ("RIGHT('abc', -1)", "does not imitate RIGHT of -1 characters"),
    ],
)
def test_a_value_that_redshift_refuses_or_does_not_say_is_an_error(
    run: Run, expression: str, message: str
) -> None:
    with pytest.raises(psycopg.Error, match=message):
        run(f"SELECT {expression}")


def test_getdate_is_now_in_utc_without_a_zone_or_a_fraction(run: Run) -> None:
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    ((now, same),) = run("SELECT GETDATE(), SYSDATE::date = TRUNC(GETDATE())")
    assert before <= now <= datetime.now(UTC).replace(tzinfo=None)
    # Outside of a transaction both are the statement's time.
    assert now.microsecond == 0 and same is True


def test_sysdate_is_the_transactions_start(run: Run) -> None:
    run("BEGIN")
    first = run("SELECT SYSDATE")
    assert run("SELECT SYSDATE") == first
    run("COMMIT")
    assert run("SELECT SYSDATE") != first


@pytest.fixture
def sales(run: Run) -> Run:
    run(
        "CREATE TABLE sales (seller int, buyer int, price numeric(8,2), at date);"
        "INSERT INTO sales VALUES (1, 10, 5.00, '2020-01-01'), (1, 2, 7.50, '2020-01-02'),"
        "(2, 10, 1.00, '2020-01-03'), (2, NULL, 4.00, '2020-01-04')"
    )
    return run


def test_listagg_orders_by_value_and_leaves_null_out(sales: Run) -> None:
    assert sales("SELECT LISTAGG(buyer, '; ') WITHIN GROUP (ORDER BY buyer) FROM sales") == [
        ("2; 10; 10",)
    ]
    assert sales(
        "SELECT LISTAGG(DISTINCT buyer, ',') WITHIN GROUP (ORDER BY buyer DESC) FROM sales"
    ) == [("10,2",)]
    assert sales("SELECT LISTAGG(buyer) WITHIN GROUP (ORDER BY price) FROM sales") == [("10102",)]
    assert sales("SELECT LISTAGG(buyer, ',') FROM sales WHERE false") == [(None,)]


def test_listagg_as_a_window_function_is_the_whole_partition_in_order(sales: Run) -> None:
    assert sales(
        "SELECT seller, LISTAGG(price, '|') WITHIN GROUP (ORDER BY price DESC) OVER (PARTITION BY seller)"
        " FROM sales ORDER BY 1, price"
    ) == [(1, "7.50|5.00"), (1, "7.50|5.00"), (2, "4.00|1.00"), (2, "4.00|1.00")]


def test_listagg_has_a_limit_of_bytes(run: Run) -> None:
    with pytest.raises(psycopg.Error, match="Result size exceeds LISTAGG limit"):
        run("SELECT LISTAGG(REPEAT('é', 20000), ',') FROM (SELECT 1 UNION ALL SELECT 2) AS two")
    run("SELECT LISTAGG(REPEAT('é', 16000), ',') FROM (SELECT 1 UNION ALL SELECT 2) AS two")


def test_averages_of_whole_numbers_are_cut_and_others_are_not(sales: Run) -> None:
    ((whole, exact, median, even),) = sales(
        "SELECT AVG(buyer), AVG(price), MEDIAN(buyer), MEDIAN(price) FROM sales"
    )
    assert (whole, exact, median, even) == (7, Decimal("4.375"), Decimal(10), Decimal("4.5"))
    assert sales("SELECT AVG(-buyer) FROM sales WHERE buyer = 2 OR price = 5.00") == [(-6,)]
    assert sales("SELECT AVG(x) FROM (SELECT -1 AS x UNION ALL SELECT -2) AS two") == [(-1,)]
    assert sales("SELECT AVG(buyer), MEDIAN(buyer) FROM sales WHERE false") == [(None, None)]


def test_median_and_ratio_to_report_take_partitions(sales: Run) -> None:
    assert sales(
        "SELECT at, MEDIAN(price) OVER (PARTITION BY seller), RATIO_TO_REPORT(price) OVER (PARTITION BY seller)"
        " FROM sales ORDER BY at"
    ) == [
        (date(2020, 1, 1), Decimal("6.25"), 0.4),
        (date(2020, 1, 2), Decimal("6.25"), 0.6),
        (date(2020, 1, 3), Decimal("2.5"), 0.2),
        (date(2020, 1, 4), Decimal("2.5"), 0.8),
    ]


def test_approximate_count_counts(sales: Run) -> None:
    assert sales("SELECT APPROXIMATE COUNT(DISTINCT buyer) FROM sales") == [(2,)]


def test_a_date_part_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(RedshiftError, match="fortnight") as refused:
        translate("SELECT DATEDIFF(fortnight, a, b) FROM t")
    assert "week" in refused.value.hint
    with pytest.raises(RedshiftError):
        translate("SELECT DATEADD(dow, 1, a) FROM t")


_PARTS = {
    "year": lambda t: t.year,
    "quarter": lambda t: t.year * 4 + (t.month - 1) // 3,
    "month": lambda t: t.year * 12 + t.month,
    "week": lambda t: (t.toordinal() - 1) // 7,
    "day": lambda t: t.toordinal(),
    "hour": lambda t: t.toordinal() * 24 + t.hour,
    "minute": lambda t: (t.toordinal() * 24 + t.hour) * 60 + t.minute,
    "second": lambda t: ((t.toordinal() * 24 + t.hour) * 60 + t.minute) * 60 + t.second,
}
_TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))
_MANY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_MANY
@given(first=_TIMES, last=_TIMES, part=st.sampled_from(sorted(_PARTS)))
def test_datediff_counts_the_boundaries_between(
    run: Run, first: datetime, last: datetime, part: str
) -> None:
    ((found,),) = run(f"SELECT DATEDIFF({part}, '{first}', '{last}')")
    assert found == _PARTS[part](last) - _PARTS[part](first)


@_MANY
@given(
    start=_TIMES,
    part=st.sampled_from(["week", "day", "hour", "minute", "second"]),
    number=st.integers(-500, 500),
)
def test_dateadd_and_datediff_undo_each_other(
    run: Run, start: datetime, part: str, number: int
) -> None:
    ((added, back),) = run(
        f"SELECT added, DATEDIFF({part}, '{start}', added) "
        f"FROM (SELECT DATEADD({part}, {number}, '{start}') AS added) AS x"
    )
    assert back == number
    assert added - start == number * timedelta(**{part + "s": 1})


@_MANY
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30),
    size=st.integers(1, 20),
)
def test_a_cast_keeps_as_many_whole_characters_as_fit_in_the_bytes(
    run: Run, text: str, size: int
) -> None:
    literal = text.replace("\\", "\\\\").replace("'", "''")
    ((cut,),) = run(f"SELECT '{literal}'::varchar({size})")
    kept = ""
    for character in text:
        if len((kept + character).encode()) > size:
            break
        kept += character
    assert cut == kept


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("MEDIAN(a)", Decimal("2.5")),
        ("MEDIAN(a::smallint)", Decimal("2.5")),
        ("MEDIAN(a::bigint)", Decimal("2.5")),
        ("MEDIAN(a::numeric(5,1))", Decimal("2.5")),
        ("MEDIAN(a::float8)", 2.5),
        ("MEDIAN(CASE WHEN a < 4 THEN a END)", Decimal(2)),
        ("MEDIAN(CASE WHEN a > 4 THEN a END)", None),
    ],
)
def test_the_median_is_of_what_is_not_null(run: Run, sql: str, expected: object) -> None:
    run("CREATE TABLE n (a int); INSERT INTO n VALUES (4), (NULL), (1), (3), (2), (NULL)")
    assert run(f"SELECT {sql} FROM n") == [(expected,)]
    assert run(f"SELECT DISTINCT {sql} OVER (PARTITION BY 1) FROM n") == [(expected,)]
    assert run(f"SELECT {sql} FROM n WHERE a < 0") == [(None,)]


def cost(run: Run, sql: str, times: int) -> float:
    """Seconds that the server's process of this session is on a processor for it, however busy they are."""
    ((pid,),) = run("SELECT pg_backend_pid()")
    of_session = psutil.Process(pid)
    before = of_session.cpu_times()
    for _ in range(times):
        run(sql)
    after = of_session.cpu_times()
    return after.user + after.system - before.user - before.system


def test_what_a_median_costs_does_not_grow_with_the_square_of_its_rows(run: Run) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 160000)"
    run(f"CREATE TABLE m AS {numbers} SELECT i FROM n")
    few, many = (
        cost(run, f"SELECT MEDIAN(i) FROM m WHERE i <= {n}", times)
        for n, times in ((10_000, 16), (160_000, 1))
    )
    assert many < 5 * few, "of as many rows in all, whose square is 16 times"


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("aé", 3, "aé"),
        ("aé", 2, "a"),
        ("é", 1, ""),
        ("€€", 5, "€"),
        ("😀x", 3, ""),
        ("😀x", 4, "😀"),
        ("ab", 1, "a"),
        ("", 1, ""),
    ],
)
def test_a_text_is_cut_between_characters(run: Run, text: str, size: int, expected: str) -> None:
    assert run(f"SELECT CAST('{text}' AS VARCHAR({size}))") == [(expected,)]


def test_what_a_cut_costs_does_not_grow_with_the_square_of_the_text(run: Run) -> None:
    few, many = (
        cost(run, f"SELECT LEN(CAST(REPEAT('é', {n}) AS VARCHAR({n})))", times)
        for n, times in ((4_000, 150), (60_000, 10))
    )
    assert many < 5 * few, "of as many characters in all, whose square is 15 times"
    assert run("SELECT LEN(CAST(REPEAT('é', 60000) AS VARCHAR(60001)))") == [(30_000,)]
