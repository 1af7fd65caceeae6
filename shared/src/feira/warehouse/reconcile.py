"""Compares lake and warehouse at one snapshot, date by date: rows, revenue and a hash of the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg

from feira.contracts import contract
from feira.warehouse.fingerprint import figures_by_date
from feira.warehouse.load import FACT, LEDGER, held_snapshot
from feira.warehouse.schema import UNRECONCILED


class ReconcileError(RuntimeError):
    """Lake and warehouse differ; the message holds both figures. No event may be emitted."""


@dataclass(frozen=True)
class Figures:
    """Rows, revenue in US dollars, and the rows' fingerprint of one order date."""

    rows: int
    revenue: Decimal
    fingerprint: Decimal


NOTHING = Figures(0, Decimal(0), Decimal(0))
ByDate = Mapping[date, Figures]


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
    lake_figures: Callable[[int, date, list[date]], ByDate],
) -> Agreement:
    """Compares every order date that loads have changed since they last agreed, and the day's own.

    ``lake_figures(snapshot, day, dates)`` answers the lake's figures at a snapshot for those dates
    and for the order dates of the day's extract. On agreement the dates are settled and the day's
    ledger row says so; otherwise raises ReconcileError and leaves both as they are.
    """
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot = _held(connection)
        sequence_row = connection.execute(f"SELECT max(load_sequence) FROM {LEDGER}").fetchone()
        pending = [
            row[0]
            for row in connection.execute(
                f"SELECT order_date FROM {UNRECONCILED} UNION "
                f"SELECT order_date FROM {FACT} WHERE extract_day = %s",
                [day],
            ).fetchall()
        ]
        lake = lake_figures(snapshot, day, pending)
        dates = sorted({*pending, *lake})
        warehouse = warehouse_figures(connection, dates)
    assert sequence_row is not None
    agreement = require_equal(snapshot, lake, warehouse)
    with connection.transaction():
        connection.execute(
            f"DELETE FROM {UNRECONCILED} WHERE load_sequence <= %s AND order_date = ANY(%s)",
            [sequence_row[0], dates],
        )
        connection.execute(
            f"UPDATE {LEDGER} SET agreed_snapshot_id = %s WHERE extract_day = %s "
            "AND landing_version = %s AND contract_version = %s "
            "AND agreed_snapshot_id IS DISTINCT FROM %s",
            [snapshot, day, landing_version, contract(FACT).version, snapshot],
        )
    return agreement


def verify_whole(
    connection: psycopg.Connection, lake_figures: Callable[[int], ByDate]
) -> Agreement:
    """Compares the whole tables at the snapshot that the warehouse holds; changes nothing."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot = _held(connection)
        warehouse = warehouse_figures(connection)
    return require_equal(snapshot, lake_figures(snapshot), warehouse)


def warehouse_figures(
    connection: psycopg.Connection, dates: list[date] | None = None
) -> dict[date, Figures]:
    """The warehouse's figures by order date, of all dates or of those given."""
    where, values = ("TRUE", []) if dates is None else ("order_date = ANY(%s)", [dates])
    query = figures_by_date(contract(FACT), "postgres", FACT, where)
    return {row[0]: Figures(row[1], row[2], row[3]) for row in connection.execute(query, values)}


def require_equal(snapshot: int, lake: ByDate, warehouse: ByDate) -> Agreement:
    """Raises ReconcileError unless the two are equal, naming the first five dates that differ."""
    dates = sorted({*lake, *warehouse})
    different = [d for d in dates if lake.get(d, NOTHING) != warehouse.get(d, NOTHING)]
    if different:
        details = "; ".join(
            f"{d}: lake {_show(lake.get(d, NOTHING))}, warehouse {_show(warehouse.get(d, NOTHING))}"
            for d in different[:5]
        )
        raise ReconcileError(
            f"sales.fact at snapshot {snapshot}: lake and warehouse differ on {len(different)} of "
            f"{len(dates)} order dates: {details}. No event was emitted. `feira verify` compares "
            "the whole table."
        )
    return Agreement(
        snapshot,
        len(dates),
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
