"""Rows straight into the warehouse's table: the same as staged and merged, and only where its constraints hold."""

from __future__ import annotations

import datetime as dt
from typing import Any

import hypothesis.strategies as st
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from psycopg.rows import dict_row

from fact_rows import Row, difference, fact_row, whole
from feira.core.warehouse import load as loads
from feira.core.warehouse.apply import Difference
from feira.core.warehouse.load import Extract, Loaded, load
from feira.core.warehouse.schema import require_load_tables
from feira.core.warehouse.side import POSTGRES
from feira.sales.published import PUBLISHED
from watched_columns import watch

FIRST = dt.date(2011, 2, 1)
KEY = PUBLISHED.key
# A row's quantity, by its key; its dates follow from both.
Held = dict[int, int]


def extract(day: dt.date = FIRST) -> Extract:
    return Extract(day, 1, "s3://lake/manifest.json", 10, 9)


def row(key: int, quantity: int) -> Row:
    day = FIRST + dt.timedelta(days=quantity)
    ordered = FIRST + dt.timedelta(days=key % 3)
    return fact_row(f"{key}", 1, quantity=quantity, extract_day=day, order_date=ordered)


def between(snapshot: int, before: Held, after: Held) -> Difference:
    changed = [key for key in {*before, *after} if before.get(key) != after.get(key)]
    rows = [("INSERT", row(key, after[key])) for key in changed if key in after]
    # As it may come: in any order, here with every row that was after those that are.
    return difference(
        snapshot, *rows, *(("DELETE", row(key, before[key])) for key in changed if key in before)
    )


def loaded(connection: psycopg.Connection, found: Difference) -> Loaded:
    return load(connection, PUBLISHED, extract(), lambda held: found)


def emptied(connection: psycopg.Connection) -> None:
    require_load_tables(connection, PUBLISHED)
    connection.execute(
        "TRUNCATE sales.fact, sales.load_ledger, sales.unreconciled_dates, "
        "sales.changed_dates, sales.changed_keys"
    )


def written(connection: psycopg.Connection) -> dict[str, list[dict[str, Any]]]:
    """All that loads have written, but when."""
    cursor = connection.cursor(row_factory=dict_row)
    found = {
        name: cursor.execute(f"SELECT * FROM sales.{name} ORDER BY {order}").fetchall()
        for name, order in (
            ("fact", "order_id"),
            ("load_ledger", "load_sequence"),
            ("unreconciled_dates", "load_sequence, order_date, extract_day"),
            ("changed_dates", "changed_date"),
        )
    }
    for entry in found["load_ledger"]:
        del entry["loaded_at"]
    # A key that a load has changed twice may be noted twice.
    keys = "SELECT DISTINCT load_sequence, order_id, order_date FROM sales.changed_keys ORDER BY 1, 2, 3"
    return found | {"changed_keys": cursor.execute(keys).fetchall()}


@pytest.fixture
def straight_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is staged and merged."""

    def refused(*of: Any) -> None:
        raise AssertionError("its rows were staged")

    monkeypatch.setattr(loads, "apply", refused)


ROWS = st.dictionaries(st.integers(0, 12), st.integers(1, 3), max_size=8)


@given(
    days=st.lists(ROWS, min_size=1, max_size=4),
    drift=st.dictionaries(st.integers(0, 12), st.one_of(st.none(), st.integers(1, 3)), max_size=2),
)
@example(days=[{1: 1}, {1: 2}], drift={1: None})
@example(days=[{1: 1}, {1: 1, 2: 1}], drift={2: 3})
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_loads_leave_and_count_is_the_same_as_by_staging_and_merging(
    connection: psycopg.Connection, days: list[Held], drift: dict[int, int | None]
) -> None:
    """``drift`` is what somebody then changes by hand, before the last day is loaded: None removes a row."""
    found = []
    for staged in (False, True):
        emptied(connection)
        done, before = [], {}
        with pytest.MonkeyPatch.context() as patch:
            if staged:
                patch.setattr(loads, "apply_straight", lambda *of: None)
            for number, after in enumerate(days, start=1):
                if number == len(days) > 1:
                    drifted(connection, drift)
                of = (
                    between(number, before, after)
                    if number > 1
                    else whole(1, *(row(*each) for each in after.items()))
                )
                done.append(loaded(connection, of))
                before = after
        found.append((done, written(connection)))
    assert found[0] == found[1]


def drifted(connection: psycopg.Connection, drift: dict[int, int | None]) -> None:
    for key, quantity in drift.items():
        connection.execute("DELETE FROM sales.fact WHERE order_id = %s", [f"{key}"])
        if quantity is not None:
            values = row(key, quantity)
            connection.execute(
                f"INSERT INTO sales.fact ({', '.join(values)}) VALUES "
                f"({', '.join(['%s'] * len(values))})",
                [*values.values()],
            )


@pytest.mark.usefixtures("straight_alone")
def test_a_first_load_and_a_difference_are_not_staged(connection: psycopg.Connection) -> None:
    first = {1: 1, 2: 1, 3: 1}
    assert loaded(connection, whole(1, *(row(*each) for each in first.items()))).inserted == 3
    done = loaded(connection, between(2, first, {1: 1, 2: 2, 4: 1, 5: 1}))
    assert (done.inserted, done.updated, done.deleted) == (2, 1, 1)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE sales.fact DROP CONSTRAINT fact_pkey",
        "ALTER TABLE sales.fact DROP CONSTRAINT fact_pkey, "
        "ADD PRIMARY KEY (order_id, line_number) DEFERRABLE",
        "ALTER TABLE sales.fact ALTER COLUMN sku DROP NOT NULL",
    ],
)
def test_a_table_without_a_constraint_is_loaded_by_staged_rows(
    connection: psycopg.Connection, change: str
) -> None:
    require_load_tables(connection, PUBLISHED)
    others = [name for name in PUBLISHED.contract.required_columns if name not in KEY]
    assert POSTGRES.refuses_breaches(connection, PUBLISHED.table, KEY, others)
    connection.execute(change)
    assert not POSTGRES.refuses_breaches(connection, PUBLISHED.table, KEY, others)
    assert loaded(connection, whole(1, row(1, 1))).inserted == 1


@pytest.mark.parametrize(
    ("action", "left"),
    [("CASCADE", []), ("SET NULL", [None]), ("SET DEFAULT", ["none"]), ("NO ACTION", ["none"])],
)
def test_who_refers_to_a_row_is_not_touched_where_it_is_updated(
    connection: psycopg.Connection, action: str, left: list[str | None]
) -> None:
    loaded(connection, whole(1, row(1, 1), row(2, 1), fact_row("none", 1, extract_day=FIRST)))
    connection.execute(
        "CREATE TABLE sales.remarks (of text DEFAULT 'none', line int DEFAULT 1, FOREIGN KEY (of, line) "
        f"REFERENCES sales.fact ON DELETE {action})"
    )
    connection.execute("INSERT INTO sales.remarks (of) VALUES ('1')")
    query = "SELECT of FROM sales.remarks"
    assert loaded(connection, between(2, {1: 1, 2: 1}, {1: 2, 2: 2})).updated == 2
    assert connection.execute(query).fetchall() == [("1",)]
    if action == "NO ACTION":
        connection.execute("UPDATE sales.remarks SET of = 'none'")
    assert loaded(connection, between(3, {1: 2}, {})).deleted == 1
    assert connection.execute(query).fetchall() == [(each,) for each in left]


@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "DELETE"])
def test_a_trigger_runs_for_what_has_become_of_a_row(
    connection: psycopg.Connection, event: str
) -> None:
    loaded(connection, whole(1, row(1, 1), row(2, 1)))
    connection.execute("CREATE TABLE sales.log (event text, order_id text)")
    connection.execute(
        "CREATE OR REPLACE FUNCTION sales.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO sales.log VALUES (TG_OP, coalesce(NEW.order_id, OLD.order_id)); RETURN NULL; END $$"
    )
    connection.execute(
        f"CREATE TRIGGER notes AFTER {event} ON sales.fact FOR EACH ROW EXECUTE FUNCTION sales.note()"
    )
    loaded(connection, between(2, {1: 1, 2: 1}, {1: 2, 3: 1}))
    of = {"INSERT": "3", "UPDATE": "1", "DELETE": "2"}[event]
    assert connection.execute("SELECT * FROM sales.log").fetchall() == [(event, of)]


@pytest.mark.usefixtures("straight_alone")
@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE sales.remarks (of text, line int, FOREIGN KEY (of, line) REFERENCES sales.fact)",
        "CREATE TRIGGER watches BEFORE UPDATE ON sales.fact EXECUTE FUNCTION sales.refuse(); "
        "ALTER TABLE sales.fact DISABLE TRIGGER watches",
    ],
)
def test_what_nothing_comes_of_has_no_row_staged(
    connection: psycopg.Connection, change: str
) -> None:
    loaded(connection, whole(1, row(1, 1)))
    watch(connection, "sales.load_ledger", "landing_uri")
    connection.execute(change)
    assert loaded(connection, between(2, {1: 1}, {1: 2})).updated == 1
