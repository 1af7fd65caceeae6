"""The keys of rows that differ: all that do, and no other, whatever came on which side."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import given, settings

from fact_rows import fact_row, whole
from feira.core.contracts import Column, ContractError
from feira.core.warehouse.fingerprint import Engine, row_token, rows_by_key
from feira.core.warehouse.load import Extract, load
from feira.core.warehouse.reconcile import (
    KeyedRow,
    ReconcileError,
    differing_keys,
    reconcile_day,
    verify_whole,
    warehouse_figures,
)
from feira.sales.published import PUBLISHED

DATE_1, DATE_2, DAY = (dt.date(2011, 1, n) for n in (1, 2, 3))


def row(key: int, content: int = 0) -> KeyedRow:
    return (Decimal(key * 7919 % 101), f"K{key}", key, Decimal(content))


def side(*rows: KeyedRow) -> list[KeyedRow]:
    """In the order of ``rows_by_key``."""
    return sorted(rows, key=lambda each: (each[0], each[-1]))


def test_equal_sides_name_nothing() -> None:
    rows = side(row(1), row(2), row(3, 9))
    assert differing_keys(rows, rows) == ""
    assert differing_keys([], []) == ""


def test_a_key_says_which_side_alone_has_it() -> None:
    both = row(5)
    assert differing_keys([row(1, 1)], [row(1, 2)]) == "key ('K1', 1)"
    assert differing_keys(side(both, row(1)), [both]) == "key ('K1', 1, in the lake only)"
    assert differing_keys([both], side(both, row(1))) == "key ('K1', 1, in the warehouse only)"


def test_a_row_that_one_side_has_twice_differs() -> None:
    assert differing_keys([row(1), row(1)], [row(1)]) == "key ('K1', 1)"
    assert differing_keys([row(1), row(1)], []) == "key ('K1', 1, in the lake only)"


def test_of_many_keys_three_are_named_and_the_others_counted() -> None:
    many = side(*(row(key) for key in range(50)))
    text = differing_keys(many, [])
    assert text.startswith("keys ('K")
    assert text.count("in the lake only") == 3
    assert text.endswith(" and 47 more")
    assert "more" not in differing_keys(many[:3], [])
    assert differing_keys(many[:2], []).startswith("keys (")


def test_a_long_or_odd_key_is_cut_to_a_line() -> None:
    text = differing_keys([(Decimal(1), "x" * 7700 + "\n", 1, Decimal(0))], [])
    assert len(text) < 200
    assert "7,701 characters" in text
    assert "\n" not in text


def test_eighty_characters_of_a_key_are_shown_whole_and_sixty_of_a_longer_one() -> None:
    def named(key: str) -> str:
        return differing_keys([(Decimal(1), key, Decimal(0))], [])

    assert named("x" * 78) == f"key ('{'x' * 78}', in the lake only)"
    assert named("x" * 79) == f"key ('{'x' * 59}… (79 characters), in the lake only)"


SIDES = st.dictionaries(st.integers(0, 30), st.integers(0, 2), max_size=20)


@given(lake=SIDES, warehouse=SIDES)
@settings(deadline=None, derandomize=True)
def test_the_count_is_that_of_the_keys_whose_rows_are_not_equal(
    lake: dict[int, int], warehouse: dict[int, int]
) -> None:
    different = {
        key for key in {*lake, *warehouse} if lake.get(key, "none") != warehouse.get(key, "none")
    }
    text = differing_keys(
        side(*(row(*each) for each in lake.items())),
        side(*(row(*each) for each in warehouse.items())),
    )
    more = int(text.split(" and ")[1].split()[0]) if " more" in text else 0
    assert text.count("('K") + more == len(different)
    assert all(f"('K{key}'" in text for key in different) or len(different) > 3


class LakeRows:
    """The lake's rows, which are the warehouse's before it is tampered with."""

    def __init__(self, connection: psycopg.Connection, *slices: tuple[dt.date, dt.date]) -> None:
        self.rows = {
            each: connection.execute(
                rows_by_key(PUBLISHED, "postgres", "sales.fact", *each)
            ).fetchall()
            for each in slices
        }
        self.asked: Counter[tuple[dt.date, dt.date]] = Counter()

    def __call__(self, snapshot: int, of: tuple[dt.date, dt.date]) -> Iterable[KeyedRow]:
        assert snapshot == 100
        self.asked[of] += 1
        return self.rows.get(of, [])


@pytest.fixture
def lake(connection: psycopg.Connection) -> tuple[Any, LakeRows]:
    rows = [fact_row(f"Ä{n}", n, order_date=DATE_1) for n in range(20)]
    found = whole(100, *rows, fact_row("B", 1, order_date=DATE_2))
    load(connection, PUBLISHED, Extract(DAY, 1, "s3://lake/m", 21, 21), lambda held: found)
    figures = warehouse_figures(connection, PUBLISHED)
    return lambda *asked: figures, LakeRows(connection, (DATE_1, DAY), (DATE_2, DAY))


def test_reconcile_names_the_key_of_the_row_that_differs_and_asks_for_its_slice_alone(
    connection: psycopg.Connection, lake: tuple[Any, LakeRows]
) -> None:
    figures, rows = lake
    assert reconcile_day(connection, PUBLISHED, DAY, 1, figures, rows).rows == 21
    assert not rows.asked, "keys cost nothing where all agrees"
    connection.execute("UPDATE sales.fact SET country = 'X' WHERE line_number = 7")
    for compare in (
        lambda: reconcile_day(connection, PUBLISHED, DAY, 1, figures, rows),
        lambda: verify_whole(connection, PUBLISHED, figures, rows),
    ):
        with pytest.raises(ReconcileError) as failure:
            compare()
        assert f"{DATE_1} (extract day {DAY}): lake 20 rows" in str(failure.value)
        assert r", key ('\xc47', 7). No event" in str(failure.value)
    assert set(rows.asked) == {(DATE_1, DAY)}


def test_a_row_that_moved_is_named_on_both_its_dates(
    connection: psycopg.Connection, lake: tuple[Any, LakeRows]
) -> None:
    connection.execute(f"UPDATE sales.fact SET order_date = '{DATE_1}' WHERE order_id = 'B'")
    with pytest.raises(ReconcileError) as failure:
        reconcile_day(connection, PUBLISHED, DAY, 1, *lake)
    assert "key ('B', 1, in the warehouse only)" in str(failure.value)
    assert "key ('B', 1, in the lake only)" in str(failure.value)


def test_the_difference_is_raised_though_its_keys_cannot_be_asked_for(
    connection: psycopg.Connection, lake: tuple[Any, LakeRows]
) -> None:
    def gone(snapshot: int, of: object) -> Iterator[KeyedRow]:
        raise ConnectionError("Spark is down")

    connection.execute("DELETE FROM sales.fact WHERE order_id = 'B'")
    with pytest.raises(ReconcileError, match=f"{DATE_2} .*warehouse 0 rows"):
        reconcile_day(connection, PUBLISHED, DAY, 1, lake[0], gone)


def test_rows_of_a_date_that_python_has_none_for_are_refused_and_counted_at_the_nearest(
    connection: psycopg.Connection, lake: tuple[Any, LakeRows]
) -> None:
    # Written by hand: a load refuses them.
    connection.execute("UPDATE sales.fact SET order_date = '10000-01-01' WHERE order_id = 'B'")
    assert (dt.date.max, DAY) in warehouse_figures(connection, PUBLISHED)
    with pytest.raises(ReconcileError, match=r"9999-12-31 .*\('B', 1, .*warehouse only\)"):
        verify_whole(connection, PUBLISHED, *lake)


@pytest.mark.parametrize(
    ("type_", "value", "integer"),
    [
        ("decimal(18,4)", "1.5", "15000"),
        ("decimal(18,4)", "-0.0001", "-1"),
        ("decimal(18,0)", "-70", "-70"),
        ("decimal(18,4)", "-0.0000", "0"),
        ("decimal(38,18)", "123456789012345.5", "123456789012345500000000000000000"),
        ("decimal(38,38)", f"-0.{'9' * 38}", f"-{'9' * 38}"),
        ("decimal(38,0)", "9" * 38, "9" * 38),
        ("decimal(9,2)", None, "~"),
    ],
)
def test_a_decimal_is_compared_as_the_integer_of_its_last_place(
    connection: psycopg.Connection, type_: str, value: str | None, integer: str
) -> None:
    tokens = {
        row_token(Column("a", type_, required=False), engine) for engine in ("postgres", "redshift")
    }
    for token in tokens:
        query = f"SELECT {token} FROM (SELECT CAST(%s AS {type_}) AS a) r"
        assert connection.execute(query, [value]).fetchone() == (integer,)


@pytest.mark.parametrize("engine", ["spark", "postgres", "redshift"])
def test_a_value_that_engines_write_otherwise_has_no_token(engine: Engine) -> None:
    with pytest.raises(ContractError, match=r"tags of type array<string>"):
        row_token(Column("tags", "array<string>", required=True), engine)
