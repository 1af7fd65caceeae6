"""Loading differences into a real warehouse: all of a load or nothing, and a ledger that says so."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from fact_rows import FACT, Row, batch, difference, fact_row, read_of, whole
from feira.core.contracts import ContractError
from feira.core.contracts.ddl import warehouse_ddl
from feira.core.contracts.evolution import Evolution
from feira.core.errors import Remedy
from feira.core.warehouse import schema
from feira.core.warehouse.apply import Difference
from feira.core.warehouse.by_day import RowRefusedError
from feira.core.warehouse.load import Extract, Loaded, held_snapshot, load
from feira.core.warehouse.merge import LoadError, LoadRefusedError, Merge
from feira.core.warehouse.schema import (
    NOTED_LOADS,
    connect,
    create_indexes,
    evolution,
    evolve,
    missing_indexes,
    require_load_tables,
    table_types,
)
from feira.core.warehouse.side import REDSHIFT
from feira.sales.published import PUBLISHED
from feira_local.stack.postgres import Dsns
from watched_columns import watch

DAY = dt.date(2011, 1, 3)
DATE_1, DATE_2, DATE_3 = dt.date(2011, 1, 1), dt.date(2011, 1, 2), DAY


def extract(day: dt.date = DAY, version: int = 1) -> Extract:
    return Extract(day, version, f"s3://lake/{day}/v{version:04d}/manifest.json", 10, 9)


def loaded(
    connection: psycopg.Connection, found: Difference | None, of: Extract | None = None
) -> Loaded:
    return load(connection, PUBLISHED, of or extract(), lambda held: found)


def rows(connection: psycopg.Connection, table: str, order: str) -> list[dict[str, Any]]:
    cursor = connection.cursor(row_factory=dict_row)
    return cursor.execute(f"SELECT * FROM {table} ORDER BY {order}").fetchall()


def contents(connection: psycopg.Connection) -> dict[str, list[dict[str, Any]]]:
    """Everything that a load writes, times included."""
    return {
        "fact": rows(connection, "sales.fact", "order_id, line_number"),
        "ledger": rows(connection, "sales.load_ledger", "load_sequence"),
        "pending": pending(connection),
    }


def fact(connection: psycopg.Connection) -> list[Row]:
    return rows(connection, "sales.fact", "order_id, line_number")


def pending(connection: psycopg.Connection) -> list[dict[str, Any]]:
    return rows(connection, "sales.unreconciled_dates", "order_date, load_sequence, extract_day")


def test_the_first_load_takes_the_whole_table_and_writes_its_ledger_row(
    connection: psycopg.Connection,
) -> None:
    kept = [fact_row("A", 1, amount_usd="10.5"), fact_row("B", 1, status="pending")]
    asked: list[int | None] = []

    def since(held: int | None) -> Difference:
        asked.append(held)
        return whole(100, *kept)

    assert load(connection, PUBLISHED, extract(), since) == Loaded(100, 2, 0, 0, 2)
    assert asked == [None]
    assert fact(connection) == kept
    (entry,) = contents(connection)["ledger"]
    assert entry.pop("loaded_at").tzinfo is not None
    assert entry == {
        "extract_day": DAY,
        "landing_version": 1,
        "contract_version": FACT.version,
        "landing_uri": "s3://lake/2011-01-03/v0001/manifest.json",
        "landed_lines": 10,
        "valid_lines": 9,
        "quarantined_lines": 1,
        "day_rows": 2,
        "day_revenue": Decimal("10.5000"),
        "inserted_rows": 2,
        "updated_rows": 0,
        "deleted_rows": 0,
        "snapshot_id": 100,
        "load_sequence": 1,
        "agreed_snapshot_id": None,
    }


def test_a_difference_inserts_changes_and_removes(connection: psycopg.Connection) -> None:
    same, old, gone = fact_row("A", 1), fact_row("A", 2), fact_row("B", 1)
    loaded(connection, whole(100, same, old, gone))
    changed, new = old | {"quantity": 7, "customer_id": None}, fact_row("C", 1)
    found = difference(101, ("DELETE", old), ("INSERT", changed), ("DELETE", gone), ("INSERT", new))
    assert loaded(connection, found) == Loaded(101, inserted=1, updated=1, deleted=1, day_rows=3)
    assert fact(connection) == [same, changed, new]


def test_a_load_asks_for_the_difference_since_what_the_warehouse_holds(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(900, fact_row("A", 1)))
    asked: list[int | None] = []
    # Snapshot ids are random: a smaller one may be newer.
    loaded(connection, difference(5, ("INSERT", fact_row("A", 2))), extract(DATE_1))
    load(connection, PUBLISHED, extract(DATE_2), lambda held: asked.append(held))
    assert asked == [5]
    assert held_snapshot(connection, PUBLISHED) == 5


def test_a_warehouse_without_a_load_holds_no_snapshot(connection: psycopg.Connection) -> None:
    require_load_tables(connection, PUBLISHED)
    assert held_snapshot(connection, PUBLISHED) is None


def test_a_lake_without_a_snapshot_cannot_be_loaded(connection: psycopg.Connection) -> None:
    with pytest.raises(LoadError, match=r"no snapshot .*sales\.fact; publish"):
        loaded(connection, None)
    assert contents(connection) == {"fact": [], "ledger": [], "pending": []}


def test_the_same_load_without_a_difference_changes_nothing_at_all(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    before = contents(connection)
    assert loaded(connection, None) == Loaded(100, 0, 0, 0, 1)
    assert contents(connection) == before


def test_another_landing_without_a_difference_has_a_ledger_row_of_its_own(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    loaded(connection, None, extract(version=2))
    loaded(connection, None, extract(version=2))
    loaded(connection, None, extract(DATE_1))
    ledger = contents(connection)["ledger"]
    assert [(e["extract_day"], e["landing_version"], e["snapshot_id"]) for e in ledger] == [
        (DAY, 1, 100),
        (DAY, 2, 100),
        (DATE_1, 1, 100),
    ]
    assert [(e["inserted_rows"], e["day_rows"]) for e in ledger] == [(1, 1), (0, 1), (0, 0)]


def test_when_main_has_moved_the_days_ledger_row_follows_and_its_counts_add_up(
    connection: psycopg.Connection,
) -> None:
    old = fact_row("A", 1, amount_usd="3")
    loaded(connection, whole(100, old))
    loaded(connection, None, extract(DATE_1))
    new = old | {"amount_usd": Decimal(4)}
    loaded(
        connection,
        difference(101, ("DELETE", old), ("INSERT", new), ("INSERT", fact_row("B", 1))),
    )
    ledger = {e["extract_day"]: e for e in contents(connection)["ledger"]}
    assert len(ledger) == 2
    counts = ("inserted_rows", "updated_rows", "deleted_rows", "day_rows", "day_revenue")
    assert [ledger[DAY][name] for name in counts] == [2, 1, 0, 2, Decimal(5)]
    assert (ledger[DAY]["snapshot_id"], ledger[DAY]["load_sequence"]) == (101, 3)
    assert (ledger[DATE_1]["snapshot_id"], ledger[DATE_1]["load_sequence"]) == (100, 2)
    assert held_snapshot(connection, PUBLISHED) == 101


def test_a_snapshot_that_differs_in_no_row_moves_the_ledger_alone(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    before = contents(connection)
    assert loaded(connection, difference(101)) == Loaded(101, 0, 0, 0, 1)
    after = contents(connection)
    assert (after["fact"], after["pending"]) == (before["fact"], before["pending"])
    assert held_snapshot(connection, PUBLISHED) == 101


def test_a_whole_load_removes_what_is_there_no_longer(connection: psycopg.Connection) -> None:
    loaded(connection, whole(100, fact_row("A", 1), fact_row("A", 2), fact_row("B", 1)))
    kept, new = fact_row("A", 2, amount_usd="9"), fact_row("C", 1)
    assert loaded(connection, whole(200, kept, new)) == Loaded(200, 1, 1, 2, 2)
    assert fact(connection) == [kept, new]


def test_a_whole_load_counts_no_row_that_is_equal_already(connection: psycopg.Connection) -> None:
    same, changed = fact_row("A", 1, customer_id=None), fact_row("A", 2, amount_usd="1")
    loaded(connection, whole(100, same, changed))
    now = changed | {"customer_id": None}
    assert loaded(connection, whole(200, same, now)) == Loaded(200, 0, 1, 0, 2)
    assert fact(connection) == [same, now]


def test_the_whole_of_an_empty_lake_empties_the_warehouse(connection: psycopg.Connection) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    assert loaded(connection, whole(200)) == Loaded(200, 0, 0, 1, 0)
    assert fact(connection) == []


def test_the_order_dates_that_a_load_has_changed_wait_for_reconcile(
    connection: psycopg.Connection,
) -> None:
    untouched, old = fact_row("A", 1, order_date=DATE_1), fact_row("B", 1, order_date=DATE_2)
    loaded(connection, whole(100, untouched, old))
    connection.execute("TRUNCATE sales.unreconciled_dates")
    new = fact_row("B", 1, order_date=DATE_3)
    loaded(connection, difference(101, ("DELETE", old), ("INSERT", new)))
    # The date that the row has left is as much in doubt as the one it came to.
    assert pending(connection) == [
        {"order_date": DATE_2, "extract_day": DAY, "load_sequence": 2},
        {"order_date": DATE_3, "extract_day": DAY, "load_sequence": 2},
    ]


def test_after_a_whole_load_every_date_before_and_after_waits(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(100, fact_row("A", 1, order_date=DATE_1)))
    loaded(connection, whole(200, fact_row("B", 1, order_date=DATE_3)))
    assert [(p["order_date"], p["load_sequence"]) for p in pending(connection)] == [
        (DATE_1, 1),
        (DATE_1, 2),
        (DATE_3, 2),
    ]


def changed(connection: psycopg.Connection) -> dict[dt.date, int]:
    """The newest load that has changed each date, of those that nobody has looked at."""
    query = "SELECT changed_date, load_sequence FROM sales.changed_dates"
    return dict(connection.execute(query).fetchall())


def test_who_follows_the_table_finds_the_dates_that_loads_have_changed(
    connection: psycopg.Connection,
) -> None:
    old = fact_row("B", 1, order_date=DATE_1)
    loaded(connection, whole(100, fact_row("A", 1, order_date=DATE_2), old))
    assert changed(connection) == {DATE_1: 1, DATE_2: 1, DAY: 1}, "the day's ledger row is new"
    new = old | {"order_date": DATE_3}
    loaded(connection, difference(101, ("DELETE", old), ("INSERT", new)), extract(DATE_3))
    assert changed(connection) == {DATE_1: 2, DATE_2: 1, DATE_3: 2}
    loaded(connection, None, extract(DATE_3))
    assert changed(connection) == {DATE_1: 2, DATE_2: 1, DATE_3: 2}, "nothing was loaded"
    loaded(connection, None, extract(DATE_2, 2))
    assert changed(connection) == {DATE_1: 2, DATE_2: 3, DATE_3: 2}, "another landing of the day"
    loaded(connection, whole(102, new))
    assert changed(connection) == {DATE_1: 2, DATE_2: 4, DATE_3: 4}, "a date that was left"


def keys(connection: psycopg.Connection) -> set[tuple[str | None, dt.date | None, int]]:
    query = "SELECT order_id, order_date, load_sequence FROM sales.changed_keys"
    return set(connection.execute(query).fetchall())


def since(connection: psycopg.Connection) -> dt.datetime:
    """Since when keys are noted."""
    query = "SELECT noted_at FROM sales.changed_keys WHERE order_id IS NULL"
    ((noted_at,),) = connection.execute(query).fetchall()
    return noted_at


@pytest.mark.parametrize("staged", [False, True])
def test_who_follows_the_table_by_its_orders_finds_those_that_loads_have_changed(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, staged: bool
) -> None:
    if staged:
        monkeypatch.setattr("feira.core.warehouse.load.apply_straight", lambda *of: None)
    old, gone = fact_row("B", 1, order_date=DATE_1), fact_row("C", 1, order_date=DATE_3)
    began = (None, None, 0)
    loaded(connection, whole(100, fact_row("A", 1, order_date=DATE_2), old, gone))
    assert keys(connection) == {began}
    of_first = since(connection)
    moved, new = old | {"order_date": DATE_2}, fact_row("D", 1, order_date=DATE_1)
    changes = (("DELETE", old), ("INSERT", moved), ("DELETE", gone), ("INSERT", new))
    loaded(connection, difference(101, *changes))
    noted = {("B", DATE_1, 2), ("B", DATE_2, 2), ("C", DATE_3, 2), ("D", DATE_1, 2)}
    assert keys(connection) == {began, *noted}
    loaded(connection, None, extract(DATE_2))
    loaded(connection, difference(102, ("DELETE", new)))
    assert keys(connection) == {began, *noted, ("D", DATE_1, 4)}
    assert since(connection) == of_first
    loaded(connection, whole(103, moved))
    assert keys(connection) == {began}
    assert since(connection) > of_first


def test_keys_that_old_loads_have_changed_are_forgotten(connection: psycopg.Connection) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    rows = [fact_row(f"B{number}", 1) for number in range(NOTED_LOADS + 2)]
    for number, row in enumerate(rows):
        loaded(connection, difference(101 + number, ("INSERT", row)))
    sequences = {sequence for key, _, sequence in keys(connection) if key is not None}
    assert sequences == set(range(len(rows) + 2 - NOTED_LOADS, len(rows) + 2))


def test_a_warehouse_that_did_not_note_keys_begins_to(connection: psycopg.Connection) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    of_first = since(connection)
    connection.execute("DROP TABLE sales.changed_keys")
    loaded(connection, difference(101, ("INSERT", fact_row("B", 1))))
    assert since(connection) > of_first
    assert {key for key, _, _ in keys(connection)} == {None, "B"}


def test_a_load_that_breaks_off_notes_no_change(connection: psycopg.Connection) -> None:
    loaded(connection, whole(100, fact_row("A", 1, order_date=DATE_1)))
    with pytest.raises(LoadError):
        loaded(connection, difference(101, ("INSERT", fact_row("B", 1, order_date=DATE_2)), rows=9))
    assert changed(connection) == {DATE_1: 1, DAY: 1}


def test_a_warehouse_that_did_not_note_changes_begins_with_every_date(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(100, fact_row("A", 1, order_date=DATE_1)), extract(DATE_2))
    connection.execute("DROP TABLE sales.changed_dates")
    loaded(connection, difference(101), extract(DATE_3))
    assert changed(connection) == {DATE_1: 0, DATE_2: 0, DATE_3: 2}


def test_the_first_load_makes_an_index_on_the_extract_day_and_one_on_the_event_date(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    assert missing_indexes(connection, PUBLISHED) == []
    assert first_columns(connection) == ["extract_day", "order_date", "order_id"]
    connection.execute("DROP INDEX sales.fact_order_date_idx")
    loaded(connection, difference(101, ("INSERT", fact_row("B", 1))))
    assert missing_indexes(connection, PUBLISHED) == ["order_date"], "that is for a migration"


def test_a_table_that_exists_gets_its_missing_indexes_when_they_are_asked_for(
    connection: psycopg.Connection,
) -> None:
    connection.execute(warehouse_ddl(FACT))
    # One that begins with the column serves, and one of some rows does not.
    connection.execute("CREATE INDEX ON sales.fact (order_date, status)")
    connection.execute("CREATE INDEX ON sales.fact (extract_day) WHERE status = 'pending'")
    assert missing_indexes(connection, PUBLISHED) == ["extract_day"]
    create_indexes(connection, PUBLISHED)
    create_indexes(connection, PUBLISHED)
    assert first_columns(connection) == ["extract_day", "extract_day", "order_date", "order_id"]


def first_columns(connection: psycopg.Connection) -> list[str]:
    """The column that each index of the fact begins with."""
    rows = connection.execute(
        "SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = "
        "indkey[0] WHERE indrelid = 'sales.fact'::regclass ORDER BY attname"
    )
    return [name for (name,) in rows]


REFUSED: list[tuple[str, Difference, str]] = [
    (
        "a row got lost on the way",
        difference(101, ("INSERT", fact_row("B", 1)), rows=2),
        r"staged 1 .*2 rows .*difference .*101",
    ),
    (
        "a row too many",
        difference(101, ("INSERT", fact_row("B", 1)), ("INSERT", fact_row("B", 2)), rows=1),
        r"staged 2 .*1 rows",
    ),
    (
        "a key inserted twice",
        difference(101, ("INSERT", fact_row("B", 1)), ("INSERT", fact_row("B", 1, quantity=2))),
        r"2 rows .*101, 1 keys .*\(order_id, line_number\) .*duplicate .*\b0 .*null",
    ),
    (
        "a key removed twice",
        difference(101, ("DELETE", fact_row("A", 1)), ("DELETE", fact_row("A", 1))),
        r"\b1 keys .*duplicate",
    ),
    (
        "a null where none may be",
        difference(101, ("INSERT", fact_row("B", 1, sku=None)), ("INSERT", fact_row("B", 2))),
        r"101, 0 keys .*duplicate .*\b1 .*null",
    ),
    (
        "the whole table, a row short",
        Difference(101, True, 2, read_of(batch([("INSERT", fact_row("B", 1))]))),
        r"staged 1 .*2 rows",
    ),
]


@pytest.mark.parametrize(
    ("found", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_difference_that_is_not_what_it_must_be_changes_nothing(
    connection: psycopg.Connection, found: Difference, message: str
) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    before = contents(connection)
    with pytest.raises(LoadError, match=message) as refusal:
        loaded(connection, found)
    assert "not changed" in str(refusal.value)
    assert contents(connection) == before


def test_a_load_that_breaks_off_changes_nothing_and_can_be_repeated(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    before = contents(connection)
    changes = [("DELETE", fact_row("A", 1)), ("INSERT", fact_row("B", 1))]

    def batches(columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        yield batch(changes[:1]).select(columns)
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        loaded(connection, Difference(101, False, 2, batches))
    assert contents(connection) == before
    assert loaded(connection, difference(101, *changes)) == Loaded(101, 1, 0, 1, 1)


def test_loads_queue_from_the_first_read_of_the_ledger_on(
    connection: psycopg.Connection, loader_dsn: str
) -> None:
    def since(held: int | None) -> Difference:
        with (
            psycopg.connect(loader_dsn) as other,
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            other.execute("LOCK TABLE sales.load_ledger IN EXCLUSIVE MODE NOWAIT")
        with psycopg.connect(loader_dsn) as reader:
            # Who reads does not wait.
            assert held_snapshot(reader, PUBLISHED) is None
        return whole(100, fact_row("A", 1))

    assert load(connection, PUBLISHED, extract(), since).inserted == 1


NOT_AS_DECLARED = [
    (
        "ALTER TABLE sales.fact ADD COLUMN gift_note text",
        r"gift_note \(string\) .*no longer",
    ),
    ("ALTER TABLE sales.fact ALTER amount TYPE numeric(12,2)", r"amount .*decimal\(12,2\) .*table"),
    ("ALTER TABLE sales.fact DROP COLUMN country", "no column country"),
    ("ALTER TABLE sales.load_ledger DROP COLUMN snapshot_id", r"snapshot_id .*new .*required"),
]


@pytest.mark.parametrize(("change", "message"), NOT_AS_DECLARED)
def test_a_table_that_is_not_as_declared_is_refused_before_any_write(
    connection: psycopg.Connection, change: str, message: str
) -> None:
    loaded(connection, whole(100, fact_row("A", 1)))
    connection.execute(change)
    before = contents(connection)
    with pytest.raises(ContractError, match=message) as refusal:
        load(connection, PUBLISHED, extract(), lambda held: pytest.fail("the lake was asked"))
    assert "Nothing was written" in str(refusal.value)
    assert contents(connection) == before


def test_no_table_is_made_beside_one_that_is_refused(connection: psycopg.Connection) -> None:
    connection.execute("CREATE TABLE sales.fact (order_id integer)")
    with pytest.raises(ContractError, match=r"order_id .*int .*table .*string"):
        loaded(connection, whole(100))
    assert table_types(connection, "sales.load_ledger") is None
    assert table_types(connection, "sales.unreconciled_dates") is None


AWKWARD = [
    "",
    " ",
    "NULL",
    r"\N",
    r"\.",
    "a\n\\.\nb",
    'says "six", no \\" seven',
    '"',
    "a,b;c\td|e",
    "a\nb\r\nc\rd",
    "\x01\x1e\x1f\x7f",
    "ÆØÅ ✓ 漢字 🛒",
    "\ufeffbom",
    "\N{LINE SEPARATOR}",
    "'; DROP TABLE sales.fact; --",
    "x" * 70_000,
]


def test_text_arrives_as_it_was_and_an_empty_one_is_no_null(
    connection: psycopg.Connection,
) -> None:
    sent = [fact_row("A", n, description=text) for n, text in enumerate([*AWKWARD, None])]
    loaded(connection, whole(100, *sent))
    assert [row["description"] for row in fact(connection)] == [*AWKWARD, None]


MONEY = st.decimals(
    min_value=Decimal("-99999999999999.9999"), max_value=Decimal("99999999999999.9999"), places=4
)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TIMES = st.datetimes(
    dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 58), timezones=st.just(dt.UTC)
)
DATES = st.dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))
ROWS = st.lists(
    st.builds(
        dict,
        sku=TEXT,
        description=st.none() | TEXT,
        quantity=st.integers(-(2**31), 2**31 - 1),
        unit_price=MONEY,
        customer_id=st.none() | st.integers(-(2**63), 2**63 - 1),
        country=st.none() | TEXT,
        created_at=TIMES,
        updated_at=TIMES,
        order_date=DATES,
        amount=MONEY,
        fx_rate=st.decimals(
            min_value=Decimal("0.00000001"), max_value=Decimal("9999999999.99999999"), places=8
        ),
        fx_date=DATES,
        amount_usd=MONEY,
        extract_day=DATES,
    ),
    min_size=1,
    max_size=8,
)


@given(values=ROWS)
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_value_arrives_exactly(
    connection: psycopg.Connection, values: list[dict[str, Any]]
) -> None:
    sent = [fact_row("A", n, **known) for n, known in enumerate(values)]
    loaded(connection, whole(100, *sent))
    assert fact(connection) == sent


@pytest.mark.parametrize("zone", ["America/Sao_Paulo", "Asia/Kathmandu"])
def test_a_connection_is_in_utc_whatever_the_dsn_and_the_environment_say(
    loader_dsn: str, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", zone)
    for dsn in (loader_dsn, make_conninfo(loader_dsn, options=f"-c TimeZone={zone}")):
        with connect(dsn) as connection:
            # A text and a date become instants, and instants dates, by the connection's zone.
            row = connection.execute(
                "SELECT '2011-01-03 23:30'::timestamptz, "
                "timestamptz '2011-01-03 23:30+00' :: date, current_setting('TimeZone')"
            ).fetchone()
        assert row == (dt.datetime(2011, 1, 3, 23, 30, tzinfo=dt.UTC), DAY, "UTC")


# A row that the warehouse cannot hold.

D, E = DATE_2, DAY
LONG = "".join(chr(33 + (n * n * 7 + n // 90) % 90) for n in range(7700))


def of_day(day: dt.date, order_id: str, **known: Any) -> Row:
    """A row of that day's extract and order date."""
    noon = dt.datetime.combine(day, dt.time(12), tzinfo=dt.UTC)
    return fact_row(order_id, 1, **({"updated_at": noon, "order_date": day} | known))


UNHOLDABLE = {
    "a key too long for the index": of_day(D, LONG),
    "U+0000 in a text": of_day(D, "bad", description="a\0b"),
    "U+0000 in the key": of_day(D, "b\0d"),
}


def held(connection: psycopg.Connection) -> list[tuple[dt.date, str]]:
    query = "SELECT extract_day, row_key FROM sales.held_days ORDER BY 1"
    return connection.execute(query).fetchall()


def lake_of(
    snapshot: int, before: list[Row], *rows: Row
) -> Callable[[int | None], Difference | None]:
    """The lake at a snapshot, whole for who holds nothing, else as what came after ``before``."""

    def since(at: int | None) -> Difference:
        added = [("INSERT", row) for row in rows if row not in before]
        return whole(snapshot, *rows) if at is None else difference(snapshot, *added)

    return since


@pytest.mark.parametrize("bad", UNHOLDABLE.values(), ids=UNHOLDABLE.keys())
def test_a_row_that_the_warehouse_refuses_holds_up_its_own_day_alone(
    connection: psycopg.Connection, bad: Row
) -> None:
    old, good = of_day(DATE_1, "old"), of_day(D, "good")
    load(connection, PUBLISHED, extract(DATE_1), lake_of(1, [], old))
    with pytest.raises(RowRefusedError, match=f"sales {D}: .*refused .*key") as refusal:
        load(connection, PUBLISHED, extract(D), lake_of(2, [old], old, good, bad))
    assert ascii(bad["order_id"])[1:40] in str(refusal.value)
    assert (refusal.value.remedy, refusal.value.of) == (Remedy.REFETCH, ("sales", str(D)))
    assert len(str(refusal.value)) < 1000
    assert (refusal.value.__cause__, refusal.value.__context__) == (None, None), (
        "the first refusal has the value, and a log shows the whole chain"
    )
    assert (fact(connection), held(connection), held_snapshot(connection, PUBLISHED)) == (
        [old],
        [],
        1,
    )

    new = of_day(E, "new")
    done = load(connection, PUBLISHED, extract(E), lake_of(3, [old], old, good, bad, new))
    assert (done.inserted, done.updated, done.deleted) == (1, 0, 0)
    assert fact(connection) == [new, old]
    waiting = {(p["order_date"], p["load_sequence"]) for p in pending(connection)}
    assert waiting >= {(E, 2), (DATE_1, 2)}, (
        "what a load by day has changed waits for reconcile too"
    )
    assert [day for day, _ in held(connection)] == [D]
    assert held_snapshot(connection, PUBLISHED) == 3

    # What was in the warehouse when the day was held may have left the lake, or changed, since.
    changed = old | {"quantity": 9}
    load(connection, PUBLISHED, extract(E, 2), lake_of(4, [], changed, good, bad))
    assert fact(connection) == [changed]
    assert (E, 3) in {(p["order_date"], p["load_sequence"]) for p in pending(connection)}, (
        "a date that a row has left waits too"
    )
    with pytest.raises(RowRefusedError, match=f"sales {D}"):
        load(connection, PUBLISHED, extract(D), lake_of(4, [], changed, good, bad))

    load(connection, PUBLISHED, extract(D, 2), lake_of(5, [], changed, good))
    assert fact(connection) == [good, changed]
    assert held(connection) == []


def test_a_load_by_day_counts_the_rows_of_all_days(connection: psycopg.Connection) -> None:
    days = (DATE_1, E, dt.date(2011, 1, 7))
    old = [of_day(day, f"{day}") for day in days]
    loaded(connection, whole(1, *old), extract(E))
    changed = [row | {"quantity": 9} for row in old]
    new = [of_day(day, f"new {day}") for day in days]
    bad = UNHOLDABLE["a key too long for the index"]
    assert loaded(connection, whole(2, *changed, *new, bad), extract(E)) == Loaded(2, 3, 3, 0, 2)
    assert held(connection)[0][0] == D


def test_a_load_by_day_writes_no_key_that_is_there_again(connection: psycopg.Connection) -> None:
    """Who watches it, or may not write it, would take that for another key."""
    old = of_day(E, "old")
    loaded(connection, whole(1, old), extract(E))
    watch(connection, PUBLISHED.table, *PUBLISHED.key)
    changed, bad = old | {"quantity": 9}, UNHOLDABLE["a key too long for the index"]
    assert loaded(connection, whole(2, changed, bad), extract(E)) == Loaded(2, 0, 1, 0, 1)
    assert [day for day, _ in held(connection)] == [D]
    assert fact(connection) == [changed]


def test_a_refused_row_is_looked_for_in_the_whole_table_alone(
    connection: psycopg.Connection,
) -> None:
    old, bad = of_day(DATE_1, "old"), UNHOLDABLE["U+0000 in a text"]
    loaded(connection, whole(1, old), extract(DATE_1))
    with pytest.raises(LoadError, match="no whole table"):
        loaded(connection, difference(2, ("INSERT", bad)), extract(D))
    with pytest.raises(LoadError, match=r"staged 2 .*5 rows"):
        loaded(connection, difference(2, ("INSERT", old), ("INSERT", bad), whole=True, rows=5))
    assert (fact(connection), held(connection), held_snapshot(connection, PUBLISHED)) == (
        [old],
        [],
        1,
    )


def test_what_is_held_and_why_is_what_the_last_load_found(connection: psycopg.Connection) -> None:
    first = of_day(D, "first", description="a\0b")
    second, other = of_day(D, LONG), of_day(DATE_1, "other", description="a\0b")
    loaded(connection, whole(1, first), extract(E))
    reasons = "SELECT extract_day, row_key, reason FROM sales.held_days ORDER BY 1"
    ((day, key, reason),) = connection.execute(reasons).fetchall()
    assert (day, key) == (D, "'first', 1")
    assert reason.startswith("description: ") and "U+0000" in reason
    loaded(connection, whole(2, second, *(of_day(D, f"good {n}") for n in range(3))), extract(E))
    ((day, key, reason),) = connection.execute(reasons).fetchall()
    assert (day, key.startswith(ascii(LONG)[:40])) == (D, True)
    assert "index row" in reason
    assert "\n" not in reason, "what PostgreSQL adds may show the row"
    loaded(connection, whole(3, other, of_day(D, "good")), extract(E))
    assert held(connection) == [(DATE_1, "'other', 1")]


@pytest.fixture(params=["warehouse_loader", "superuser"])
def somebodys(request: pytest.FixtureRequest, postgres: Dsns) -> Iterator[psycopg.Connection]:
    """Somebody's table that has the name of the staged rows: the loader's own, or not."""
    with psycopg.connect(postgres.superuser, dbname="warehouse", autocommit=True) as owner:
        owner.execute("CREATE TABLE public.staged_rows AS SELECT 'mine' AS it")
        if request.param != "superuser":
            owner.execute(f"ALTER TABLE public.staged_rows OWNER TO {request.param}")
        yield owner
        owner.execute("DROP TABLE IF EXISTS public.staged_rows")


@pytest.mark.parametrize("path", ['"$user", public', "public, pg_temp", ""])
def test_a_table_of_the_staged_rows_name_is_left_as_it_is(
    connection: psycopg.Connection, somebodys: psycopg.Connection, path: str
) -> None:
    connection.execute("SELECT set_config('search_path', %s, FALSE)", [path])
    old, new = of_day(DATE_1, "old"), of_day(E, "new")
    loaded(connection, whole(1, old), extract(DATE_1))
    loaded(connection, whole(2, old, of_day(D, "bad", description="a\0b"), new), extract(E))
    assert (fact(connection), [day for day, _ in held(connection)]) == ([new, old], [D])
    loaded(connection, whole(3, new), extract(E))
    loaded(connection, difference(4, ("DELETE", new), ("INSERT", old)), extract(E))
    assert (fact(connection), held(connection)) == ([old], [])
    assert somebodys.execute("SELECT it FROM public.staged_rows").fetchall() == [("mine",)]
    assert connection.execute("SHOW search_path").fetchone() == (path,)


def test_a_row_of_another_contract_version_in_the_ledger_is_left_as_it_is(
    connection: psycopg.Connection,
) -> None:
    loaded(connection, whole(1, fact_row("A", 1)))
    connection.execute("UPDATE sales.load_ledger SET contract_version = '9.0.0'")
    loaded(connection, None)
    versions = [entry["contract_version"] for entry in contents(connection)["ledger"]]
    assert versions == ["9.0.0", FACT.version]


SECOND, LAST = 1_000_000, 253_402_300_799_999_999  # the last is 9999-12-31T23:59:59.999999Z


@pytest.mark.parametrize(
    ("column", "value", "refused"),
    [
        ("order_date", 2_932_897, True),  # 10000-01-01, as days since 1970
        ("order_date", -719_163, True),  # the day before 0001-01-01
        ("order_date", 2_932_896, False),
        ("order_date", -719_162, False),
        ("fx_date", 2_932_897, True),
        ("created_at", LAST + 1, True),
        ("created_at", LAST, False),
        ("created_at", -719_162 * 86_400 * SECOND - 1, True),
        ("created_at", -719_162 * 86_400 * SECOND, False),
    ],
)
def test_a_date_that_no_python_reads_holds_up_its_day(
    connection: psycopg.Connection, column: str, value: int, refused: bool
) -> None:
    made = batch([("INSERT", of_day(D, "odd"))])
    at = made.schema.get_field_index(column)
    width = pa.int32() if column.endswith("date") else pa.int64()
    odd = made.set_column(
        at, made.schema.field(at), pa.array([value], width).cast(made.schema.field(at).type)
    )
    good = batch([("INSERT", of_day(E, "good"))])
    with contextlib.ExitStack() as expected:
        if refused:
            named = rf"sales {D}: .*key 'odd', 1: {column}: years are 1 to 9999"
            expected.enter_context(pytest.raises(RowRefusedError, match=named))
        load(connection, PUBLISHED, extract(D), lambda at: Difference(1, True, 1, read_of(odd)))
    load(connection, PUBLISHED, extract(E), lambda at: Difference(2, True, 2, read_of(odd, good)))
    assert [day for day, _ in held(connection)] == [D] * refused
    count = connection.execute("SELECT count(*) FROM sales.fact").fetchone()
    assert count == (1 if refused else 2,)


DAY_OF_KEY = st.dictionaries(st.integers(0, 20), st.integers(0, 5), max_size=15)


@given(
    bad=st.dictionaries(st.integers(0, 5), st.sampled_from(["too long", "U+0000"])),
    before=DAY_OF_KEY,
    after=DAY_OF_KEY,
    at=st.integers(0, 15),
)
@example(bad={1: "too long"}, before={7: 0}, after={7: 1}, at=0)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_day_with_a_refused_row_stays_as_it_was_and_every_other_follows(
    connection: psycopg.Connection,
    bad: dict[int, str],
    before: dict[int, int],
    after: dict[int, int],
    at: int,
) -> None:
    """Keys move from day to day too, and one that moves to such a day stays where it was; ``at`` is where among
    the rows the refused ones come."""
    require_load_tables(connection, PUBLISHED)
    connection.execute("TRUNCATE sales.fact, sales.load_ledger, sales.held_days")
    days = [dt.date(2011, 2, 1 + n) for n in range(6)]
    last = extract(dt.date(2011, 3, 1))
    first = {key: of_day(days[n], f"{key:02}", quantity=1) for key, n in sorted(before.items())}
    second = {key: of_day(days[n], f"{key:02}", quantity=2) for key, n in sorted(after.items())}
    spoilt = [
        of_day(days[n], LONG[n:])
        if kind == "too long"
        else of_day(days[n], f"bad {n}", description="a\0b")
        for n, kind in bad.items()
    ]
    rows = list(second.values())
    load(connection, PUBLISHED, last, lake_of(1, [], *first.values()))
    load(connection, PUBLISHED, last, lambda held: whole(2, *rows[:at], *spoilt, *rows[at:]))
    assert [day for day, _ in held(connection)] == [days[n] for n in sorted(bad)]
    stayed = {key: row for key, row in first.items() if {before[key], after.get(key)} & {*bad}}
    followed = {key: row for key, row in second.items() if after[key] not in bad}
    assert fact(connection) == [row for _, row in sorted((stayed | followed).items())]
    taken_over = [key for key in stayed if before[key] not in bad]
    noted = connection.execute("SELECT order_id FROM sales.held_rows ORDER BY 1").fetchall()
    assert noted == [(f"{key:02}",) for key in sorted(taken_over)]
    # The source is fixed, and nothing was forgotten.
    load(connection, PUBLISHED, last, lake_of(3, rows, *rows))
    assert (fact(connection), held(connection)) == (rows, [])


def test_a_day_of_refused_rows_alone_costs_no_savepoint_for_each(
    connection: psycopg.Connection,
) -> None:
    require_load_tables(connection, PUBLISHED)
    spoilt = [of_day(D, f"bad {n}", description="a\0b") for n in range(500)]
    statements: list[str] = []
    copy = connection.cursor_factory.copy

    class Counted(psycopg.Cursor[Any]):
        def copy(self, statement: Any, *args: Any, **known: Any) -> Any:
            statements.append(statement)
            return copy(self, statement, *args, **known)

    connection.cursor_factory = Counted
    load(connection, PUBLISHED, extract(E), lambda at: whole(1, of_day(E, "new"), *spoilt))
    assert [row["order_id"] for row in fact(connection)] == ["new"]
    assert held(connection) == [(D, "'bad 0', 1")]
    assert len(statements) < 30


def test_a_connection_has_a_name_of_its_own_unless_the_dsn_gives_one(loader_dsn: str) -> None:
    named = make_conninfo(loader_dsn, application_name="other")
    for dsn, name in ((loader_dsn, "feira"), (named, "other")):
        with connect(dsn) as connection:
            assert connection.execute("SHOW application_name").fetchone() == (name,)


def test_a_connection_that_does_not_take_the_zone_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Connection:
        closed = False

        def execute(self, query: str) -> None:
            raise KeyboardInterrupt

        def close(self) -> None:
            self.closed = True

    opened = Connection()
    monkeypatch.setattr(psycopg, "connect", lambda *of, **known: opened)
    with pytest.raises(KeyboardInterrupt):
        connect("")
    assert opened.closed


def test_what_a_contract_asks_of_a_table_is_done_by_its_evolution(
    connection: psycopg.Connection,
) -> None:
    assert evolution(connection, FACT) is None
    require_load_tables(connection, PUBLISHED)
    declared = table_types(connection, "sales.fact")
    assert evolution(connection, FACT) == Evolution("sales.fact")
    connection.execute(
        "ALTER TABLE sales.fact DROP COLUMN country, DROP COLUMN customer_id, "
        "ALTER COLUMN description SET NOT NULL"
    )
    change = evolution(connection, FACT)
    assert change is not None and change.refused == ()
    assert [column.name for column in change.added] == ["customer_id", "country"]
    assert [column.name for column in change.relaxed] == ["description"]
    evolve(connection, change)
    assert table_types(connection, "sales.fact") == declared
    assert evolution(connection, FACT) == Evolution("sales.fact")


@pytest.mark.parametrize("key", ["order_id", "order_id, line_number, sku"])
def test_a_table_of_another_key_is_refused_before_a_write(
    connection: psycopg.Connection, key: str
) -> None:
    require_load_tables(connection, PUBLISHED)
    connection.execute(f"ALTER TABLE sales.fact DROP CONSTRAINT fact_pkey, ADD PRIMARY KEY ({key})")
    with pytest.raises(
        ContractError, match=r"its key is \(.*order_id.* in the table and \(order_id, line_number\)"
    ):
        require_load_tables(connection, PUBLISHED)


def test_redshift_cannot_make_a_column_optional(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_load_tables(connection, PUBLISHED)
    connection.execute("ALTER TABLE sales.fact ALTER COLUMN description SET NOT NULL")
    monkeypatch.setattr(schema, "side_of", lambda _: REDSHIFT)
    change = evolution(connection, FACT)
    assert change is not None and change.asked == []
    assert re.match("column description takes no null .* new column", *change.refused)


def test_dates_that_an_earlier_release_noted_wait_for_every_extract_day(
    connection: psycopg.Connection,
) -> None:
    connection.execute(
        "CREATE TABLE sales.unreconciled_dates (order_date date PRIMARY KEY, load_sequence bigint)"
    )
    connection.execute("INSERT INTO sales.unreconciled_dates VALUES ('2011-01-01', 7)")
    loaded(connection, whole(100, of_day(DATE_1, "A"), fact_row("B", 1, order_date=DATE_1)))
    assert [
        (p["order_date"], p["extract_day"], p["load_sequence"]) for p in pending(connection)
    ] == [
        (DATE_1, DATE_1, 1),
        (DATE_1, DAY, 1),
        (DATE_1, None, 7),
    ]


def test_no_statement_is_made_of_a_merge_that_is_not_usable() -> None:
    for key, columns in (((), ("a",)), (("a",), ("b",)), (("a; --",), ("a; --",))):
        with pytest.raises(LoadRefusedError):
            Merge("sales.fact", key, columns).create_staged()


@pytest.mark.parametrize("refused", [False, True])
def test_a_table_without_its_key_that_has_a_row_twice_is_refused(
    connection: psycopg.Connection, refused: bool
) -> None:
    """Also where it is loaded day by day, since the warehouse cannot hold a row of another day."""
    loaded(connection, whole(100, fact_row("A", 1), fact_row("B", 1)))
    connection.execute("ALTER TABLE sales.fact DROP CONSTRAINT fact_pkey")
    connection.execute("INSERT INTO sales.fact SELECT * FROM sales.fact WHERE order_id = 'A'")
    before = contents(connection)
    spoilt = [of_day(DATE_1, "bad", description="a\0b")] if refused else []
    new = whole(101, fact_row("A", 1, quantity=7), fact_row("B", 1), *spoilt)
    with pytest.raises(LoadRefusedError, match=r"sales\.fact has several rows of 1 .*\('A', 1\)"):
        loaded(connection, new)
    assert contents(connection) == before
