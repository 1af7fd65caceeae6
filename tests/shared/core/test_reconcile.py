"""Comparing lake and warehouse: what agrees is settled, what differs is named and stays pending.

The lake's side are the figures of the warehouse as it was loaded, before it is tampered with; that
Spark computes the same ones is the matter of tests/spark/sales/test_fingerprint.py.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from fact_rows import Row, difference, fact_row, whole
from feira.core.contracts import Column, ContractError
from feira.core.warehouse.apply import Difference
from feira.core.warehouse.fingerprint import row_hash
from feira.core.warehouse.load import Extract, load
from feira.core.warehouse.outcome import day_outcomes
from feira.core.warehouse.reconcile import (
    Agreement,
    BySlice,
    Figures,
    ReconcileError,
    reconcile_day,
    verify_whole,
    warehouse_figures,
)
from feira.core.warehouse.schema import connect, require_load_tables, table_types
from feira.sales.published import PUBLISHED

DATE_1, DATE_2, DAY = (dt.date(2011, 1, n) for n in (1, 2, 3))
ROWS: list[Row] = [
    fact_row("A", 1, order_date=DATE_1, amount_usd="10", amount=Decimal(20)),
    fact_row("A", 2, order_date=DATE_1, amount_usd="2.5", status="pending"),
    fact_row("B", 1, order_date=DATE_2, amount_usd="4"),
]


NOTHING = Figures(0, Decimal(0), (Decimal(0),))


class Lake:
    """Figures by date at a snapshot, as Spark would give them; remembers what it was asked."""

    def __init__(self, figures: BySlice, *of_day: dt.date) -> None:
        self.figures = figures
        self.of_day = of_day
        self.asked: list[tuple[int, dt.date, list[dt.date], int]] = []

    def __call__(self, snapshot: int, day: dt.date, dates: list[dt.date], rows: int) -> BySlice:
        self.asked.append((snapshot, day, sorted(dates), rows))
        wanted = {*dates, *self.of_day}
        return {key: found for key, found in self.figures.items() if key[0] in wanted}


def put(
    connection: psycopg.Connection, found: Difference | None, day: dt.date = DAY, version: int = 1
) -> None:
    extract = Extract(day, version, f"s3://lake/{day}/v{version:04d}/manifest.json", 3, 3)
    load(connection, PUBLISHED, extract, lambda held: found)


@pytest.fixture
def lake(connection: psycopg.Connection) -> Lake:
    """The lake that the warehouse was just loaded from, whole, at snapshot 100."""
    put(connection, whole(100, *ROWS))
    return Lake(warehouse_figures(connection, PUBLISHED))


def dates_pending(connection: psycopg.Connection) -> list[dt.date]:
    query = "SELECT DISTINCT order_date FROM sales.unreconciled_dates ORDER BY order_date"
    return [row[0] for row in connection.execute(query).fetchall()]


def agreed(connection: psycopg.Connection) -> list[Any]:
    """The agreed snapshot of each ledger row, in load order."""
    query = "SELECT agreed_snapshot_id FROM sales.load_ledger ORDER BY load_sequence"
    return [row[0] for row in connection.execute(query).fetchall()]


def test_figures_are_rows_and_revenue_of_what_was_sold_by_date(
    connection: psycopg.Connection, lake: Lake
) -> None:
    found = warehouse_figures(connection, PUBLISHED)
    assert {key: (f.rows, *f.sums) for key, f in found.items()} == {
        (DATE_1, DAY): (2, Decimal(10)),
        (DATE_2, DAY): (1, Decimal(4)),
    }
    assert warehouse_figures(connection, PUBLISHED, [DATE_2, DAY]) == {
        (DATE_2, DAY): found[DATE_2, DAY]
    }


def test_agreement_settles_the_dates_and_names_the_snapshot_in_the_days_row(
    connection: psycopg.Connection, lake: Lake
) -> None:
    assert dates_pending(connection) == [DATE_1, DATE_2]
    found = reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    assert found == Agreement(100, dates=2, rows=3, sums={"revenue": Decimal(14)})
    assert lake.asked == [(100, DAY, [DATE_1, DATE_2], 3)]
    assert dates_pending(connection) == []
    assert agreed(connection) == [100]


def test_only_the_ledger_row_of_this_day_and_landing_is_marked(
    connection: psycopg.Connection, lake: Lake
) -> None:
    put(connection, None, DATE_1)
    put(connection, None, DAY, version=2)
    reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    assert agreed(connection) == [100, None, None]
    reconcile_day(connection, PUBLISHED, DAY, 2, lake)
    assert agreed(connection) == [100, None, 100]


def test_the_days_own_dates_are_compared_also_when_nothing_is_pending(
    connection: psycopg.Connection, lake: Lake
) -> None:
    reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    again = reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    assert (again.dates, again.rows) == (2, 3)
    assert reconcile_day(connection, PUBLISHED, DATE_1, 1, lake).dates == 0


def test_a_date_that_only_the_lakes_extract_leads_to_is_compared_in_both(
    connection: psycopg.Connection, lake: Lake
) -> None:
    reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    of_another_day = Lake(lake.figures, DATE_2)
    assert reconcile_day(connection, PUBLISHED, DAY, 1, of_another_day).rows == 3
    connection.execute("DELETE FROM sales.fact WHERE order_id = 'B'")
    with pytest.raises(ReconcileError, match=r"2011-01-02 .*: lake 1 .*warehouse 0 "):
        reconcile_day(connection, PUBLISHED, DAY, 1, of_another_day)


def test_dates_that_an_earlier_days_load_has_left_pending_are_compared_too(
    connection: psycopg.Connection, lake: Lake
) -> None:
    """The run that loaded them was killed before its reconcile."""
    later = dt.datetime(2011, 1, 4, 12, tzinfo=dt.UTC)
    new = fact_row("C", 1, order_date=later.date(), updated_at=later)
    put(connection, difference(101, ("INSERT", new)), later.date())
    everything = Lake(warehouse_figures(connection, PUBLISHED))
    assert reconcile_day(connection, PUBLISHED, later.date(), 1, everything).dates == 3
    assert everything.asked == [(101, later.date(), [DATE_1, DATE_2, later.date()], 4)]
    assert dates_pending(connection) == []


TAMPERED = [
    ("a quantity altered", "UPDATE sales.fact SET quantity = 9 WHERE order_id = 'B'", DATE_2),
    ("a text emptied", "UPDATE sales.fact SET country = '' WHERE order_id = 'B'", DATE_2),
    ("a customer forgotten", "UPDATE sales.fact SET customer_id = NULL WHERE line_number = 2", DATE_1),
    ("a microsecond", "UPDATE sales.fact SET updated_at = updated_at + interval '1 us' "
     "WHERE order_id = 'B'", DATE_2),
    ("a row lost", "DELETE FROM sales.fact WHERE order_id = 'B'", DATE_2),
    ("a row added", "INSERT INTO sales.fact SELECT (json_populate_record(f, "
     "'{\"order_id\": \"X\"}')).* FROM sales.fact f WHERE order_id = 'B'", DATE_2),
    ("a row moved to a date that the lake has not",
     "UPDATE sales.fact SET order_date = '2011-01-03' WHERE order_id = 'B'", DAY),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "date"), [case[1:] for case in TAMPERED], ids=[case[0] for case in TAMPERED]
)
def test_a_difference_is_named_with_both_figures_and_stays_pending(
    connection: psycopg.Connection, lake: Lake, change: str, date: dt.date
) -> None:
    connection.execute(change)
    ours = lake.figures.get((date, DAY), NOTHING)
    theirs = warehouse_figures(connection, PUBLISHED).get((date, DAY), NOTHING)
    with pytest.raises(ReconcileError) as failure:
        reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    message = str(failure.value)
    assert message.startswith("sales.fact at snapshot 100: ") and "No event" in message
    sides = (
        f"{side} {of.rows} rows, {of.sums[0]:.2f} USD, hash {of.fingerprint}"
        for side, of in (("lake", ours), ("warehouse", theirs))
    )
    assert f"{date} (extract day {DAY}): {', '.join(sides)}" in message
    assert dates_pending(connection) == [DATE_1, DATE_2]
    assert agreed(connection) == [None]


def test_a_row_that_only_the_lake_has_is_a_difference(
    connection: psycopg.Connection, lake: Lake
) -> None:
    """On a date that nothing in the warehouse leads to: the day's extract in the lake names it."""
    missing = Figures(1, Decimal(123), (Decimal(7),))
    more = Lake({**lake.figures, (DAY, DAY): missing}, DAY)
    with pytest.raises(
        ReconcileError,
        match=r" 1 of 3 .*: 2011-01-03 \(.*2011-01-03\): lake 1 .*7\.00 USD, .*123, "
        r"warehouse 0 .*0\.00 USD, .*0",
    ):
        reconcile_day(connection, PUBLISHED, DAY, 1, more)


def test_after_the_fix_the_same_dates_are_compared_and_settled(
    connection: psycopg.Connection, lake: Lake
) -> None:
    connection.execute("UPDATE sales.fact SET quantity = 9 WHERE order_id = 'B'")
    with pytest.raises(ReconcileError):
        reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    connection.execute("UPDATE sales.fact SET quantity = 1 WHERE order_id = 'B'")
    assert reconcile_day(connection, PUBLISHED, DAY, 1, lake).dates == 2
    assert dates_pending(connection) == []


def test_of_many_dates_that_differ_five_are_shown(
    connection: psycopg.Connection,
) -> None:
    dates = [dt.date(2011, 2, n) for n in range(1, 9)]
    put(connection, whole(100, *(fact_row(f"{d}", 1, order_date=d) for d in dates)))
    with pytest.raises(ReconcileError, match="8 of 8 order dates") as failure:
        reconcile_day(connection, PUBLISHED, DAY, 1, Lake({}))
    assert str(failure.value).count("lake 0 rows") == 5


def test_what_another_load_has_changed_meanwhile_stays_pending(
    connection: psycopg.Connection, lake: Lake, loader_dsn: str
) -> None:
    """The comparison is of the snapshot that was held when it began."""
    old = ROWS[2]

    def while_another_loads(*asked: Any) -> BySlice:
        new = old | {"quantity": 5}
        with connect(loader_dsn) as other:
            put(other, difference(101, ("DELETE", old), ("INSERT", new)), DATE_1)
        return lake(*asked)

    assert reconcile_day(connection, PUBLISHED, DAY, 1, while_another_loads).snapshot_id == 100
    assert dates_pending(connection) == [DATE_2]
    assert agreed(connection) == [100, None]


def test_what_a_newer_comparison_has_found_different_meanwhile_stays_so(
    connection: psycopg.Connection, lake: Lake, loader_dsn: str
) -> None:
    """Until a comparison that is as new finds it equal."""
    third = dt.date(2011, 1, 7)
    of_third = {(DATE_2, third): lake.figures[DATE_2, DAY]}

    def while_another_is_compared(*asked: Any) -> BySlice:
        with connect(loader_dsn) as other:
            put(other, None, DATE_1)
            reconcile_day(other, PUBLISHED, DATE_1, 1, Lake({**lake.figures, **of_third}))
        return lake(*asked)

    reconcile_day(connection, PUBLISHED, DAY, 1, while_another_is_compared)
    waiting = "SELECT order_date, extract_day FROM sales.unreconciled_dates"
    assert connection.execute(waiting).fetchall() == [(DATE_2, third)]
    reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    assert connection.execute(waiting).fetchall() == []


def test_the_whole_is_compared_on_every_date_and_nothing_changes(
    connection: psycopg.Connection, lake: Lake
) -> None:
    figures = dict(lake.figures)
    assert verify_whole(connection, PUBLISHED, lambda snapshot: figures) == Agreement(
        100, 2, 3, {"revenue": Decimal(14)}
    )
    assert dates_pending(connection) == [DATE_1, DATE_2]
    assert agreed(connection) == [None]


def test_the_whole_finds_what_lies_outside_the_day(
    connection: psycopg.Connection, lake: Lake
) -> None:
    later = dt.datetime(2011, 1, 4, 12, tzinfo=dt.UTC)
    reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    put(
        connection,
        difference(101, ("INSERT", fact_row("C", 1, order_date=later.date(), updated_at=later))),
        later.date(),
    )
    figures = warehouse_figures(connection, PUBLISHED)
    connection.execute("DELETE FROM sales.fact WHERE order_id = 'A' AND line_number = 2")
    assert reconcile_day(connection, PUBLISHED, later.date(), 1, Lake(figures)).dates == 1
    with pytest.raises(ReconcileError, match=r" 1 of 3 .*: 2011-01-01 .*: lake 2"):
        verify_whole(connection, PUBLISHED, lambda snapshot: figures)


def test_an_empty_warehouse_has_nothing_to_compare(connection: psycopg.Connection) -> None:
    require_load_tables(connection, PUBLISHED)
    with pytest.raises(ReconcileError, match="nothing yet; load"):
        reconcile_day(connection, PUBLISHED, DAY, 1, Lake({}))
    with pytest.raises(ReconcileError, match="nothing yet; load"):
        verify_whole(connection, PUBLISHED, lambda snapshot: {})


DAYS = [dt.date(2011, 2, n) for n in range(1, 5)]
CHANGES = {
    "changed": "UPDATE sales.fact SET quantity = quantity + 1 WHERE order_id = %s",
    "lost": "DELETE FROM sales.fact WHERE order_id = %s",
    "added": "INSERT INTO sales.fact SELECT (json_populate_record(f, "
    "'{\"line_number\": 2}')).* FROM sales.fact f WHERE order_id = %s",
}


@given(planted=st.dictionaries(st.integers(0, 3), st.sampled_from(sorted(CHANGES))))
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_days_verdict_depends_on_its_own_rows_alone(
    connection: psycopg.Connection, planted: dict[int, str]
) -> None:
    """All rows are of one order date, so that each day's comparison meets every other's."""
    require_load_tables(connection, PUBLISHED)
    connection.execute(
        "TRUNCATE sales.fact, sales.load_ledger, sales.unreconciled_dates, sales.held_days"
    )
    for n, day in enumerate(DAYS):
        noon = dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC)
        row = fact_row(f"{n}", 1, order_date=DATE_1, updated_at=noon)
        put(connection, difference(n + 1, ("INSERT", row)), day)
    figures = warehouse_figures(connection, PUBLISHED)
    for n, change in planted.items():
        connection.execute(CHANGES[change], [f"{n}"])
    for n, day in enumerate(DAYS):
        if n in planted:
            with pytest.raises(ReconcileError, match=f"extract day {day}"):
                reconcile_day(connection, PUBLISHED, day, 1, Lake(figures, DATE_1))
        else:
            reconcile_day(connection, PUBLISHED, day, 1, Lake(figures, DATE_1))
    if len(planted) < len(DAYS):
        query = "SELECT DISTINCT extract_day FROM sales.unreconciled_dates ORDER BY 1"
        waiting = [row[0] for row in connection.execute(query)]
        assert waiting == [DAYS[n] for n in sorted(planted)]

    # The lake as the warehouse has it now: each day is fixed, and nothing waits.
    fixed = Lake(warehouse_figures(connection, PUBLISHED), DATE_1)
    for day in DAYS:
        reconcile_day(connection, PUBLISHED, day, 1, fixed)
    assert dates_pending(connection) == []
    assert set(agreed(connection)) == {4}


@pytest.mark.parametrize("held", [False, True])
def test_a_difference_of_another_day_that_the_days_load_carried_over_fails_that_day_alone(
    connection: psycopg.Connection, lake: Lake, held: bool
) -> None:
    """A line of DAY's extract fell back to an older version when DATE_1 was published."""
    new = ROWS[2] | {"quantity": 5}
    put(connection, difference(101, ("DELETE", ROWS[2]), ("INSERT", new)), DATE_1, version=2)
    figures = warehouse_figures(connection, PUBLISHED)
    connection.execute("UPDATE sales.fact SET quantity = 6 WHERE order_id = 'B'")
    if held:
        connection.execute("INSERT INTO sales.held_days VALUES (%s, 'B, 1', 'too long')", [DAY])
    assert reconcile_day(connection, PUBLISHED, DATE_1, 2, Lake(figures)).dates == 2
    agreed = {
        day: each.agreed for day, each in day_outcomes(connection, PUBLISHED, [DAY, DATE_1]).items()
    }
    assert agreed == {DAY: False, DATE_1: True}
    assert DATE_2 in dates_pending(connection)
    with pytest.raises(ReconcileError, match=f"{DAY} is held|{DATE_2} .extract day {DAY}|{DAY}: "):
        reconcile_day(connection, PUBLISHED, DAY, 1, Lake(figures))
    with pytest.raises(ReconcileError, match=f"{DATE_2} .extract day {DAY}"):
        verify_whole(connection, PUBLISHED, lambda snapshot: figures)


def test_a_day_whose_row_a_held_day_has_taken_over_is_equal_all_the_same(
    connection: psycopg.Connection, lake: Lake
) -> None:
    """And so is every day, once the held one's source is fixed."""
    noon = dt.datetime.combine(DATE_1, dt.time(12), tzinfo=dt.UTC)
    taken = ROWS[2] | {"quantity": 5, "extract_day": DATE_1, "updated_at": noon}
    odd = fact_row("odd", 1, order_date=DATE_1, updated_at=noon, description="a\0b")
    last = dt.date(2011, 3, 1)
    put(connection, whole(101, *ROWS[:2], taken, odd), last)
    assert contents_of_fact(connection) == [("A", 1), ("A", 2), ("B", 1)]
    without = {key: each for key, each in lake.figures.items() if key != (DATE_2, DAY)}
    of_held = {(DATE_1, DATE_1): lake.figures[DATE_2, DAY]}
    assert reconcile_day(connection, PUBLISHED, DAY, 1, Lake({**without, **of_held})).rows == 2
    assert day_outcomes(connection, PUBLISHED, [DAY])[DAY].agreed
    with pytest.raises(ReconcileError, match=f"{DATE_1} is held"):
        verify_whole(connection, PUBLISHED, lambda snapshot: {**without, **of_held})

    put(connection, whole(102, *ROWS[:2], taken), DATE_1)
    fixed = warehouse_figures(connection, PUBLISHED)
    assert {day for _, day in fixed} == {DAY, DATE_1}
    assert verify_whole(connection, PUBLISHED, lambda snapshot: fixed).rows == 3


def test_a_warehouse_of_a_release_that_noted_no_such_rows_is_compared(
    connection: psycopg.Connection, lake: Lake
) -> None:
    connection.execute("DROP TABLE sales.held_rows")
    assert reconcile_day(connection, PUBLISHED, DAY, 1, lake).rows == 3
    assert verify_whole(connection, PUBLISHED, lambda snapshot: lake.figures).rows == 3


def contents_of_fact(connection: psycopg.Connection) -> list[tuple[str, int]]:
    """Its keys."""
    return connection.execute(
        "SELECT order_id, line_number FROM sales.fact ORDER BY 1, 2"
    ).fetchall()


def test_a_held_day_is_equal_nowhere(connection: psycopg.Connection, lake: Lake) -> None:
    connection.execute(
        "INSERT INTO sales.held_days (extract_day, row_key, reason) VALUES (%s, 'X, 1', 'too long')",
        [DAY],
    )
    with pytest.raises(ReconcileError, match=r"2011-01-03: .*X, 1: too long"):
        reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    with pytest.raises(ReconcileError, match=r"2011-01-03 .*held, .*X, 1: too long"):
        verify_whole(connection, PUBLISHED, lambda snapshot: lake.figures)
    assert not day_outcomes(connection, PUBLISHED, [DAY])[DAY].agreed


def test_dates_that_an_older_release_left_pending_wait_for_every_extract_day(
    connection: psycopg.Connection, lake: Lake
) -> None:
    connection.execute("DROP TABLE sales.unreconciled_dates")
    connection.execute(
        "CREATE TABLE sales.unreconciled_dates (order_date date NOT NULL, "
        "load_sequence bigint NOT NULL, PRIMARY KEY (order_date, load_sequence))"
    )
    connection.execute("INSERT INTO sales.unreconciled_dates VALUES (%s, 1)", [DATE_2])
    require_load_tables(connection, PUBLISHED)
    types = table_types(connection, "sales.unreconciled_dates")
    assert types is not None and types["extract_day"] == "date"
    assert dates_pending(connection) == [DATE_2]
    assert reconcile_day(connection, PUBLISHED, DAY, 1, lake).dates == 2
    assert dates_pending(connection) == []


def test_a_day_is_agreed_while_nothing_of_it_or_of_its_load_waits(
    connection: psycopg.Connection, lake: Lake
) -> None:
    def is_agreed(day: dt.date) -> bool:
        return day_outcomes(connection, PUBLISHED, [day])[day].agreed

    reconcile_day(connection, PUBLISHED, DAY, 1, lake)
    assert is_agreed(DAY)
    put(connection, None, DATE_1)
    assert not is_agreed(DATE_1), "nothing waits, and it was never compared"
    reconcile_day(connection, PUBLISHED, DATE_1, 1, lake)
    assert is_agreed(DATE_1)
    # The load of DATE_1 changes a line of DAY's extract, on an order date of neither.
    new = ROWS[2] | {"quantity": 5}
    put(connection, difference(101, ("DELETE", ROWS[2]), ("INSERT", new)), DATE_1)
    assert not is_agreed(DAY), "a line of its extract waits"
    assert not is_agreed(DATE_1), "what its load changed waits"


def test_a_day_is_closed_where_its_landing_has_no_lines(
    connection: psycopg.Connection, lake: Lake
) -> None:
    load(connection, PUBLISHED, Extract(DATE_1, 1, "s3://lake/m", 0, 0), lambda held: None)
    closed = {day: each.closed for day, each in _outcomes(connection).items()}
    assert closed == {DAY: False, DATE_1: True}


def _outcomes(connection: psycopg.Connection) -> dict[dt.date, Any]:
    return day_outcomes(connection, PUBLISHED, [DATE_1, DAY])


def test_the_whole_and_the_day_are_compared_at_one_moment_of_the_warehouse(
    connection: psycopg.Connection, lake: Lake, loader_dsn: str
) -> None:
    """A load commits between any two queries of the comparison: none of it may be seen."""
    executed = psycopg.Cursor.execute
    for compare in (
        lambda: verify_whole(connection, PUBLISHED, lambda snapshot: lake.figures),
        lambda: reconcile_day(connection, PUBLISHED, DAY, 1, lake),
    ):
        queries: list[str] = []

        class Interrupted(psycopg.Cursor[Any]):
            def execute(self, query: Any, *rest: Any, **known: Any) -> Any:
                found = executed(self, query, *rest, **known)
                if str(query).startswith("SELECT"):
                    queries.append(query)  # noqa: B023
                    with connect(loader_dsn) as other:
                        other.execute("UPDATE sales.fact SET quantity = quantity + 1")
                        other.execute("UPDATE sales.load_ledger SET snapshot_id = snapshot_id + 1")
                return found

        connection.cursor_factory = Interrupted
        agreed = compare()
        connection.cursor_factory = psycopg.Cursor
        assert (agreed.rows, agreed.snapshot_id) == (3, 100)
        assert len(queries) > 2
        connection.execute("UPDATE sales.load_ledger SET snapshot_id = 100")
        connection.execute("UPDATE sales.fact SET quantity = 1")


def test_numbers_beside_each_other_do_not_read_as_other_numbers(
    connection: psycopg.Connection,
) -> None:
    """1 unit at 23.0000 and 12 at 3.0000 are the same digits."""
    columns = [PUBLISHED.contract.column(name) for name in ("quantity", "unit_price")]
    hashes = {
        connection.execute(
            f"SELECT {row_hash(columns, 'postgres')} FROM (SELECT {quantity} AS quantity, "
            f"CAST({price} AS numeric(18,4)) AS unit_price) r"
        ).fetchone()
        for quantity, price in ((1, 23), (12, 3))
    }
    assert len(hashes) == 2


def test_a_column_that_engines_write_otherwise_cannot_be_compared() -> None:
    with pytest.raises(ContractError, match=r"tags .*array<string> .*compared"):
        row_hash([Column("tags", "array<string>", required=False)], "postgres")
