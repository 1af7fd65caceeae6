"""What publishing a day reads: all that it needs for any keys and dates, and few files where keys cluster."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import hypothesis.strategies as st
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from fact_rows import FACT, arrow_schema, fact_row
from feira.core.contracts import contract
from feira.core.published_table import PublishedTable
from feira.sales.published import PUBLISHED
from feira_spark.core import key_ranges, publish
from feira_spark.core.difference import stage_difference
from feira_spark.core.key_ranges import KeyedDays, KeyRange, days_to_read, merged
from feira_spark.core.publish import publish_day
from feira_spark.core.tables import create_missing

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LINES = contract("sales.order_lines")
FIRST = dt.date(2011, 1, 1)


def between(least: str | int, greatest: str | int, first: int, last: int | None = None) -> KeyRange:
    return KeyRange(least, greatest, first, first if last is None else last)


ranges = st.lists(
    st.builds(
        lambda values, dates: KeyRange(*sorted(values), *sorted(dates)),
        st.tuples(st.text(max_size=3), st.text(max_size=3)),
        st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    ),
    max_size=12,
)


@given(ranges, st.integers(1, 6))
def test_merged_ranges_are_few_and_apart_and_hold_all_that_was_given(
    given_: list[KeyRange], most: int
) -> None:
    found = merged(given_, most)
    assert len(found) <= most
    assert bool(found) == bool(given_)
    assert all(one.least <= one.greatest < next_.least for one, next_ in pairwise(found))
    for each in given_:
        assert any(r.least <= each.least and each.greatest <= r.greatest for r in found)
        assert any(r.first <= each.first and each.last <= r.last for r in found)


def test_ranges_that_are_few_enough_stay_as_small_as_they_are() -> None:
    apart = [between(1, 3, 10), between(5, 5, 11), between(7, 9, 12)]
    assert merged([*reversed(apart), between(8, 8, 30)], 3) == [
        *apart[:2],
        between(7, 9, 12, 30),
    ]


def test_neighbours_that_are_nearest_in_time_are_merged_first() -> None:
    corrected, days = between(100, 140, 40), [between(n * 100, n * 100 + 50, n) for n in (9, 8, 7)]
    assert merged([*days, corrected], 2) == [corrected, between(700, 950, 7, 9)]
    # Where ids fall with time, it is no other.
    assert merged([between(7, 8, 90), between(4, 5, 91), between(1, 2, 99)], 2) == [
        between(1, 2, 99),
        between(4, 8, 90, 91),
    ]


class Version(NamedTuple):
    """A line as an extract shows it; days are counted from the first."""

    order: str
    extract: int
    ordered: int
    quantity: int


def on(day: int) -> dt.date:
    return FIRST + dt.timedelta(days=day)


def put_extract(spark: SparkSession, day: int, versions: list[Version]) -> None:
    """Replaces a day's extract; versions are of noon of the day."""
    rows = [
        fact_row(
            each.order,
            1,
            quantity=each.quantity,
            order_date=on(each.ordered),
            updated_at=dt.datetime.combine(on(day), dt.time(12), tzinfo=dt.UTC),
        )
        | {"landing_version": 1}
        for each in versions
    ]
    schema = arrow_schema(LINES)
    # Of no rows, Spark Connect makes a frame by a schema of its own alone.
    frame = (
        spark.createDataFrame(pa.Table.from_pylist(rows, schema=schema))
        if rows
        else spark.createDataFrame([], from_arrow_schema(schema))
    )
    frame.writeTo("lake.sales.order_lines").overwrite(F.col("extract_day") == F.lit(on(day)))


def fact(spark: SparkSession) -> dict[str, tuple[int, dt.date]]:
    """Order → quantity and extract day; fails on a duplicate key."""
    rows = spark.table("lake.sales.fact").select("order_id", "quantity", "extract_day").collect()
    assert len({row[0] for row in rows}) == len(rows)
    return {order: (quantity, day) for order, quantity, day in rows}


@pytest.fixture
def tables(empty_lake: SparkSession, monkeypatch: pytest.MonkeyPatch) -> SparkSession:
    """Empty ones, in which a day's keys are looked for however small they are."""
    monkeypatch.setattr(key_ranges, "MOST_READ_WHOLE", 0)
    create_missing(empty_lake, [FACT, LINES])
    return empty_lake


def test_tables_of_few_rows_are_read_whole(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_extract(tables, 1, [Version("1001", 1, 1, 1), Version("1002", 1, 1, 1)])
    put_extract(tables, 30, [Version("1030", 30, 30, 1)])

    def to_read() -> KeyedDays:
        both = [tables.table(f"lake.{name}") for name in ("sales.fact", "sales.order_lines")]
        return days_to_read(tables, both[0], both[1], PUBLISHED, on(30))

    assert to_read() == KeyedDays([on(30)], [on(30)], rows=1)
    monkeypatch.setattr(key_ranges, "MOST_READ_WHOLE", 2)
    assert to_read() == KeyedDays([on(30)], [on(30)], rows=1)
    monkeypatch.setattr(key_ranges, "MOST_READ_WHOLE", 3)
    assert to_read() == KeyedDays(None, None, rows=3)


def lose(spark: SparkSession, table: str, *days: int) -> None:
    """Removes the files of these days behind the table's back."""
    files = spark.sql(f"SELECT partition.extract_day, file_path FROM lake.{table}.files").collect()
    lost = [path for day, path in files if day in map(on, days)]
    assert len(lost) >= len(days)
    for path in lost:
        Path(path.removeprefix("file:")).unlink()


@pytest.mark.slow
def test_files_that_hold_no_key_of_the_day_are_not_read(tables: SparkSession) -> None:
    """A day that updates the day before and corrects a line of two months ago; other days' files are
    gone."""
    days = (1, 30, 59)
    for day in days:
        put_extract(tables, day, [Version(f"{1000 + day}-{n}", day, day, 1) for n in range(3)])
        before = publish_day(tables, PUBLISHED, on(day), f"run_{day}")
    held = fact(tables)
    for table in ("sales.order_lines", "sales.fact"):
        lose(tables, table, 30)
    corrected, updated, new = (
        Version("1001-1", 60, 1, 7),
        Version("1059-0", 60, 59, 8),
        Version("1060-0", 60, 60, 9),
    )
    put_extract(tables, 60, [corrected, updated, new])
    done = publish_day(tables, PUBLISHED, on(60), "run_60")
    assert (done.inserted, done.updated, done.deleted) == (1, 2, 0)
    staged = stage_difference(tables, PUBLISHED, before.snapshot_id)
    assert staged is not None and staged.rows == 5
    rows = tables.table("lake.sales.fact").where(
        F.col("extract_day").isin([on(day) for day in (1, 59, 60)])
    )
    now = {row["order_id"]: (row["quantity"], row["extract_day"]) for row in rows.collect()}
    stayed = {
        order: found
        for order, found in held.items()
        if found[1] in (on(1), on(59)) and order not in (corrected.order, updated.order)
    }
    assert now == stayed | {
        each.order: (each.quantity, on(60)) for each in (corrected, updated, new)
    }


# Any text but half a surrogate pair, which is no text; more of what is compared byte by byte, and longer
# than what Iceberg keeps of a bound.
names = st.one_of(
    st.text(min_size=1, max_size=3),
    st.text("ab'\\$\U0001f600\uffff", min_size=1, max_size=4),
    st.text("ab\U0001f600", min_size=1, max_size=2).map(lambda end: "0123456789abcdef" + end),
)
DAYS = (0, 1, 2, 60)


@st.composite
def extracts_of_days(draw: st.DrawFn) -> list[list[Version]]:
    """Two to four extracts, of some of few days and in any order; a line may change its order date."""
    orders = draw(st.lists(names, unique=True, min_size=6, max_size=12))
    shown = []
    for day in draw(st.lists(st.sampled_from(DAYS), min_size=2, max_size=4)):
        of_day = draw(st.lists(st.sampled_from(orders), unique=True, max_size=len(orders)))
        shown.append(
            [
                Version(order, day, draw(st.integers(-400, 60)), draw(st.integers(1, 3)))
                for order in of_day
            ]
            or [Version("", day, 0, 0)]
        )
    return shown


@pytest.mark.slow
@given(extracts_of_days())
@example(
    [
        [Version(each, 0, n, 1) for n, each in enumerate(["\uffff", "\U0001f600", "é", "z", "A"])],
        # Of one order date: the greatest is the one that only bytes put last.
        [Version(each, 60, 9, 2) for each in ("\U0001f600", "\uffff", "0")],
        [Version("\U0001f600", 60, 9, 3), Version("A", 60, -300, 3)],
    ]
)
@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_fact_is_the_newest_version_of_each_key_whatever_keys_and_dates_are(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch, shown: list[list[Version]]
) -> None:
    monkeypatch.setattr(key_ranges, "MOST_RANGES", 2)
    for table in ("sales.order_lines", "sales.fact"):
        tables.sql(f"DELETE FROM lake.{table}")
    current: dict[int, list[Version]] = {}
    for extract in shown:
        day = extract[0].extract
        current[day] = [each for each in extract if each.order]
        put_extract(tables, day, current[day])
        publish_day(tables, PUBLISHED, on(day), f"run_{uuid4().hex}")
        newest = {each.order: each for at in sorted(current) for each in current[at]}
        assert fact(tables) == {
            order: (each.quantity, on(each.extract)) for order, each in newest.items()
        }


@pytest.mark.slow
def test_a_table_whose_keys_have_no_ranges_is_published_all_the_same(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PublishedTable, "ranged_by", None)
    put_extract(tables, 0, [Version("a", 0, 0, 1), Version("b", 0, 0, 1)])
    publish_day(tables, PUBLISHED, on(0), "run_1")
    put_extract(tables, 60, [Version("b", 60, 9, 2), Version("c", 60, 60, 3)])
    publish_day(tables, PUBLISHED, on(60), "run_2")
    assert fact(tables) == {"a": (1, on(0)), "b": (2, on(60)), "c": (3, on(60))}


@pytest.mark.slow
def test_an_extract_that_is_replaced_meanwhile_is_left_to_the_publish_that_follows(
    tables: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a key that comes with it would be inserted beside its row of a day that was not looked for."""
    put_extract(tables, 0, [Version("a", 0, 0, 1)])
    publish_day(tables, PUBLISHED, on(0), "run_1")
    put_extract(tables, 60, [Version("z", 60, 60, 2)])
    find = publish.days_to_read

    def meanwhile(*of: Any) -> KeyedDays:
        days = find(*of)
        put_extract(tables, 60, [Version("z", 60, 60, 3), Version("a", 60, 60, 3)])
        return days

    with monkeypatch.context() as patch:
        patch.setattr(publish, "days_to_read", meanwhile)
        publish_day(tables, PUBLISHED, on(60), "run_2")
    assert fact(tables) == {"a": (1, on(0)), "z": (2, on(60))}
    publish_day(tables, PUBLISHED, on(60), "run_3")
    assert fact(tables) == {"a": (3, on(60)), "z": (3, on(60))}


@pytest.mark.slow
def test_a_column_that_the_tables_have_gained_since_the_extract_is_null(
    tables: SparkSession,
) -> None:
    put_extract(tables, 0, [Version("a", 0, 0, 1)])
    for table in ("sales.order_lines", "sales.fact"):
        tables.sql(f"ALTER TABLE lake.{table} ADD COLUMNS (gift_note string)")
    publish_day(tables, PUBLISHED, on(0), "run_1")
    found = tables.table("lake.sales.fact").select("order_id", "gift_note").collect()
    assert [tuple(row) for row in found] == [("a", None)]
