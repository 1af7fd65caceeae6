"""Compares lake and warehouse at one snapshot: rows, revenue and a hash of the rows.

By order date and extract day, so that a difference fails the day whose extract it belongs to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg

from feira.core.contracts import contract
from feira.core.errors import PermanentError
from feira.core.warehouse.differing_keys import KeyedRow, differing_keys
from feira.core.warehouse.fingerprint import figures_by_date, rows_by_key
from feira.core.warehouse.load import FACT, LEDGER, held_snapshot
from feira.core.warehouse.schema import HELD_DAYS, UNRECONCILED

log = logging.getLogger(__name__)


class ReconcileError(PermanentError):
    """Lake and warehouse differ; the message holds both figures. No event may be emitted. Both are read at
    one snapshot, so another look finds the same."""


@dataclass(frozen=True)
class Figures:
    """Rows, revenue in US dollars, and the rows' fingerprint of one order date and extract day."""

    rows: int
    revenue: Decimal
    fingerprint: Decimal


NOTHING = Figures(0, Decimal(0), Decimal(0))
Slice = tuple[date, date]
"""Order date and extract day."""
BySlice = Mapping[Slice, Figures]
LakeRows = Callable[[int, Slice], Iterable[KeyedRow]]
_NAMED = 5


@dataclass(frozen=True)
class Agreement:
    """What was found equal: the order dates compared, their rows and revenue, and the snapshot."""

    snapshot_id: int
    dates: int
    rows: int
    revenue: Decimal


def reconcile_day(
    connection: psycopg.Connection,
    day: date,
    landing_version: int,
    lake_figures: Callable[[int, date, list[date]], BySlice],
    lake_rows: LakeRows | None = None,
) -> Agreement:
    """Compares every order date that loads have changed since they last agreed, and the day's own.

    ``lake_figures(snapshot, day, dates)`` answers the lake's figures at a snapshot for those dates
    and for the order dates of the day's extract; ``lake_rows(snapshot, slice)``, asked only where those
    differ, the rows of ``rows_by_key``. A difference in rows of the day's own extract raises
    ReconcileError and leaves all as it is. One that belongs to another day, the day's own load having
    carried its rows over or not, is logged and stays pending: that day does not agree any more, and
    fails when it is run. The rest is settled, and the day's ledger row says so.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot = _held(connection)
        sequence = connection.execute(f"SELECT max(load_sequence) FROM {LEDGER}").fetchone()
        pending = connection.execute(
            f"SELECT order_date FROM {UNRECONCILED} UNION "
            f"SELECT order_date FROM {FACT} WHERE extract_day = %s",
            [day],
        ).fetchall()
        held = held_days(connection)
        if day in held:
            raise ReconcileError(
                f"sales {day}: the warehouse refused {held[day]}. The day is held; nothing was compared."
            )
        dates = sorted({row[0] for row in pending})
        lake = lake_figures(snapshot, day, dates)
        dates = sorted({*dates, *(order_date for order_date, _ in lake)})
        warehouse = warehouse_figures(connection, dates)
        different = _different(lake, warehouse)
        own = {each for each in different if each[1] == day}
        if own:
            keys = _differing_keys(connection, snapshot, own, lake_rows)
            raise _error(snapshot, own, lake, warehouse, keys)
    assert sequence is not None
    if different:
        log.warning(
            "differs, and belongs to other days: %s",
            _details(sorted(different), lake, warehouse, {}),
        )
    with connection.transaction():
        _settle(connection, sequence[0], dates, different)
        connection.execute(
            f"UPDATE {LEDGER} SET agreed_snapshot_id = %s WHERE extract_day = %s "
            "AND landing_version = %s AND contract_version = %s "
            "AND agreed_snapshot_id IS DISTINCT FROM %s",
            [snapshot, day, landing_version, contract(FACT).version, snapshot],
        )
    return _agreement(snapshot, {key: lake[key] for key in lake if key not in different}, dates)


def _settle(
    connection: psycopg.Connection, sequence: int, dates: list[date], different: set[Slice]
) -> None:
    """Forgets what was compared up to that load, and notes what differs as of no load."""
    connection.execute(
        f"DELETE FROM {UNRECONCILED} WHERE load_sequence <= %s AND order_date = ANY(%s)",
        [sequence, dates],
    )
    for order_date, extract_day in sorted(different):
        connection.execute(
            f"INSERT INTO {UNRECONCILED} (order_date, extract_day, load_sequence) "
            "VALUES (%s, %s, 0)",
            [order_date, extract_day],
        )


def verify_whole(
    connection: psycopg.Connection,
    lake_figures: Callable[[int], BySlice],
    lake_rows: LakeRows | None = None,
) -> Agreement:
    """Compares the whole tables at the snapshot that the warehouse holds; changes nothing.

    ``lake_rows`` is as ``reconcile_day`` takes it.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot = _held(connection)
        warehouse = warehouse_figures(connection)
        held = held_days(connection)
        lake = lake_figures(snapshot)
        different = _different(lake, warehouse)
        if held or different:
            keys = _differing_keys(connection, snapshot, different, lake_rows)
            raise _error(snapshot, different, lake, warehouse, keys, held)
    return _agreement(snapshot, lake, [order_date for order_date, _ in lake])


def held_days(connection: psycopg.Connection) -> dict[date, str]:
    """The days whose rows the warehouse refused when a later day was loaded, each with key and cause."""
    rows = connection.execute(f"SELECT extract_day, row_key, reason FROM {HELD_DAYS} ORDER BY 1")
    return {day: f"key {key}: {reason}" for day, key, reason in rows}


def warehouse_figures(
    connection: psycopg.Connection, dates: list[date] | None = None
) -> dict[Slice, Figures]:
    """The warehouse's figures by order date and extract day, of all order dates or of those given."""
    where, values = ("TRUE", []) if dates is None else ("order_date = ANY(%s)", [dates])
    query = figures_by_date(contract(FACT), "postgres", FACT, where)
    rows = connection.execute(query, values)
    return {(row[0], row[1]): Figures(row[2], row[3], row[4]) for row in rows}


def _different(lake: BySlice, warehouse: BySlice) -> set[Slice]:
    return {
        key for key in {*lake, *warehouse} if lake.get(key, NOTHING) != warehouse.get(key, NOTHING)
    }


def _differing_keys(
    connection: psycopg.Connection, snapshot: int, different: set[Slice], lake_rows: LakeRows | None
) -> dict[Slice, str]:
    """The keys that differ in each of the slices that a message names."""
    found: dict[Slice, str] = {}
    if lake_rows is None:
        return found
    try:
        for each in sorted(different)[:_NAMED]:
            query = rows_by_key(contract(FACT), "postgres", FACT, *each)
            # A cursor of the server's, since a day may have millions of rows.
            with connection.cursor("rows_by_key") as rows:
                found[each] = differing_keys(lake_rows(snapshot, each), rows.execute(query))
    except Exception:
        # The difference is what must be reported, with its keys or without.
        log.exception("the keys that differ could not be asked for")
    return found


def _error(
    snapshot: int,
    different: set[Slice],
    lake: BySlice,
    warehouse: BySlice,
    keys: Mapping[Slice, str],
    held: Mapping[date, str] | None = None,
) -> ReconcileError:
    """Names the first that differ, with both figures and some keys, and the days that are held."""
    refused = "".join(f"; {day} is held, {reason}" for day, reason in (held or {}).items())
    return ReconcileError(
        f"sales.fact at snapshot {snapshot}: lake and warehouse differ on {len(different)} of "
        f"{len({*lake, *warehouse})} order dates by extract day: "
        f"{_details(sorted(different), lake, warehouse, keys)}"
        f"{refused}. No event was emitted. Find out which side is right, then run the day anew; where the "
        "source was wrong, with its landing fetched again."
    )


def _details(
    different: list[Slice], lake: BySlice, warehouse: BySlice, keys: Mapping[Slice, str]
) -> str:
    return "; ".join(
        f"{key[0]} (extract day {key[1]}): lake {_show(lake.get(key, NOTHING))}, "
        f"warehouse {_show(warehouse.get(key, NOTHING))}"
        f"{f', {keys[key]}' if keys.get(key) else ''}"
        for key in different[:_NAMED]
    )


def _agreement(snapshot: int, lake: BySlice, dates: list[date]) -> Agreement:
    return Agreement(
        snapshot,
        len(set(dates)),
        sum(figures.rows for figures in lake.values()),
        sum((figures.revenue for figures in lake.values()), Decimal(0)),
    )


def _show(figures: Figures) -> str:
    return f"{figures.rows} rows, {figures.revenue:.2f} USD, hash {figures.fingerprint}"


def _held(connection: psycopg.Connection) -> int:
    snapshot = held_snapshot(connection)
    if snapshot is None:
        raise ReconcileError("The warehouse holds nothing yet; load a day first.")
    return snapshot
