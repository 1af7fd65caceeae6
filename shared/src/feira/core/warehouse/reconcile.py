"""Compares lake and warehouse at one snapshot: rows, the measures' sums, and a hash of the rows.

By event date and extract day, so that a difference fails the day whose extract it belongs to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from heapq import merge
from itertools import groupby
from typing import Any

import psycopg

from feira.core.errors import PermanentError
from feira.core.published_table import PublishedTable
from feira.core.warehouse.fingerprint import figures_by_date, rows_by_key
from feira.core.warehouse.load import held_snapshot
from feira.core.warehouse.schema import table_types
from feira.core.warehouse.side import among, side_of
from feira.core.warehouse.staged import shown

log = logging.getLogger(__name__)


class ReconcileError(PermanentError):
    """Lake and warehouse differ; the message holds both figures. No event may be emitted. Both are read at
    one snapshot, so another look finds the same."""


@dataclass(frozen=True)
class Figures:
    """Rows, their fingerprint, and each measure's sum, of one event date and extract day."""

    rows: int
    fingerprint: Decimal
    sums: tuple[Decimal, ...]


Slice = tuple[date, date]
"""Event date and extract day."""
BySlice = Mapping[Slice, Figures]
KeyedRow = tuple[Any, ...]
"""A row of ``rows_by_key``: a hash of its key, the key's values, and a hash of the row."""
LakeRows = Callable[[int, Slice], Iterable[KeyedRow]]
_NAMED_SLICES, _NAMED_KEYS = 5, 3


@dataclass(frozen=True)
class Agreement:
    """What was found equal: the event dates compared, their rows and sums by measure, and the
    snapshot."""

    snapshot_id: int
    dates: int
    rows: int
    sums: dict[str, Decimal]


def reconcile_day(
    connection: psycopg.Connection,
    table: PublishedTable,
    day: date,
    landing_version: int,
    lake_figures: Callable[[int, date, list[date], int], BySlice],
    lake_rows: LakeRows | None = None,
) -> Agreement:
    """Compares every event date that loads have changed since they last agreed, and the day's own.

    ``lake_figures(snapshot, day, dates, rows)`` answers the lake's figures at a snapshot for those dates
    and for the event dates of the day's extract; in the warehouse they are so many rows.
    ``lake_rows(snapshot, slice)``, asked only where those differ, answers the rows of ``rows_by_key``. A
    difference in rows of the day's own extract raises ReconcileError and leaves all as it is. One that belongs
    to another day, the day's own load having carried its rows over or not, is logged and stays pending: that
    day does not agree any more, and fails when it is run. The rest is settled, and the day's ledger row says so.
    """
    with side_of(connection).one_moment(connection):
        snapshot = _held(connection, table)
        sequence = connection.execute(f"SELECT max(load_sequence) FROM {table.ledger}").fetchone()
        pending = connection.execute(
            f"SELECT {table.waiting_date} FROM {table.unreconciled} UNION "
            f"SELECT {table.event_date} FROM {table.table} WHERE {table.day} = %s",
            [day],
        ).fetchall()
        held = held_days(connection, table)
        if day in held:
            raise ReconcileError(
                f"{table.name} {day}: the warehouse refused {held[day]}. The day is held; nothing was "
                "compared."
            )
        dates = sorted({row[0] for row in pending})
        warehouse = warehouse_figures(connection, table, dates)
        lake = lake_figures(snapshot, day, dates, sum(each.rows for each in warehouse.values()))
        if more := sorted({event_date for event_date, _ in lake} - {*dates}):
            warehouse |= warehouse_figures(connection, table, more)
            dates = sorted([*dates, *more])
        compared = _Compared(table, lake, warehouse)
        own = {each for each in compared.different if each[1] == day}
        if own:
            keys = _differing_keys(connection, table, snapshot, own, lake_rows)
            raise compared.error(snapshot, own, keys)
    assert sequence is not None
    if compared.different:
        log.warning(
            "differs, and belongs to other days: %s", compared.details(compared.different, {})
        )
    with connection.transaction():
        _settle(connection, table, sequence[0], dates, compared.different)
        connection.execute(
            f"UPDATE {table.ledger} SET agreed_snapshot_id = %s WHERE {table.day} = %s "
            "AND landing_version = %s AND contract_version = %s "
            "AND (agreed_snapshot_id IS NULL OR agreed_snapshot_id <> %s)",
            [snapshot, day, landing_version, table.contract.version, snapshot],
        )
    return compared.agreement(snapshot, dates)


def _settle(
    connection: psycopg.Connection,
    table: PublishedTable,
    sequence: int,
    dates: list[date],
    different: set[Slice],
) -> None:
    """Forgets what was compared up to that load, and notes what differs: with minus its number, since it is not
    what the load has brought. What a comparison after a newer load has noted is not this one's to forget."""
    settled, values = among(table.waiting_date, dates)
    connection.execute(
        f"DELETE FROM {table.unreconciled} WHERE abs(load_sequence) <= %s AND {settled}",
        [sequence, *values],
    )
    for event_date, day in sorted(different):
        connection.execute(
            f"INSERT INTO {table.unreconciled} ({table.waiting_date}, {table.day}, load_sequence) "
            "VALUES (%s, %s, %s)",
            [event_date, day, -sequence],
        )


def verify_whole(
    connection: psycopg.Connection,
    table: PublishedTable,
    lake_figures: Callable[[int], BySlice],
    lake_rows: LakeRows | None = None,
) -> Agreement:
    """Compares the whole tables at the snapshot that the warehouse holds; changes nothing.

    ``lake_rows`` is as ``reconcile_day`` takes it.
    """
    with side_of(connection).one_moment(connection):
        snapshot = _held(connection, table)
        warehouse = warehouse_figures(connection, table)
        held = held_days(connection, table)
        compared = _Compared(table, lake_figures(snapshot), warehouse)
        if held or compared.different:
            keys = _differing_keys(connection, table, snapshot, compared.different, lake_rows)
            raise compared.error(snapshot, compared.different, keys, held)
    return compared.agreement(snapshot, [event_date for event_date, _ in compared.lake])


def held_days(connection: psycopg.Connection, table: PublishedTable) -> dict[date, str]:
    """The days whose rows the warehouse refused when a later day was loaded, each with key and cause."""
    rows = connection.execute(
        f"SELECT {table.day}, row_key, reason FROM {table.held_days} ORDER BY 1"
    )
    return {day: f"key {key}: {reason}" for day, key, reason in rows}


def warehouse_figures(
    connection: psycopg.Connection, table: PublishedTable, dates: list[date] | None = None
) -> dict[Slice, Figures]:
    """The warehouse's figures by event date and extract day, of all event dates or of those given; without the
    rows that a held day has taken over in the lake."""
    where, values = ("TRUE", []) if dates is None else among(table.event_date, dates)
    dialect = side_of(connection).dialect
    where = f"{where} AND {_not_taken_over(connection, table)}"
    return figures_of(
        connection.execute(figures_by_date(table, dialect, table.table, where), values)
    )


def _not_taken_over(connection: psycopg.Connection, table: PublishedTable) -> str:
    if table_types(connection, table.held_rows) is None:
        # A release before has loaded it, and none of this.
        return "TRUE"
    same = " AND ".join(f"h.{name} = {table.table}.{name}" for name in table.key)
    return f"NOT EXISTS (SELECT 1 FROM {table.held_rows} AS h WHERE {same})"


def figures_of(rows: Iterable[Any]) -> dict[Slice, Figures]:
    """The rows that ``figures_by_date`` answers."""
    return {(row[0], row[1]): Figures(row[2], row[3], tuple(row[4:])) for row in rows}


@dataclass(frozen=True)
class _Compared:
    """The figures of both sides."""

    table: PublishedTable
    lake: BySlice
    warehouse: BySlice

    @property
    def different(self) -> set[Slice]:
        """The slices whose figures are not equal."""
        slices = {*self.lake, *self.warehouse}
        return {each for each in slices if self.lake.get(each) != self.warehouse.get(each)}

    def error(
        self,
        snapshot: int,
        different: set[Slice],
        keys: Mapping[Slice, str],
        held: Mapping[date, str] | None = None,
    ) -> ReconcileError:
        """Names the first that differ, with both figures and some keys, and the days that are held."""
        refused = "".join(f"; {day} is held, {reason}" for day, reason in (held or {}).items())
        return ReconcileError(
            f"{self.table.table} at snapshot {snapshot}: lake and warehouse differ on {len(different)} "
            f"of {len({*self.lake, *self.warehouse})} {_words(self.table.event_date)}s by "
            f"{_words(self.table.day)}: "
            f"{self.details(different, keys)}{refused}. No event was emitted. Find out which side is "
            "right, then run the day anew; where the source was wrong, with its landing fetched again."
        )

    def details(self, different: set[Slice], keys: Mapping[Slice, str]) -> str:
        """The first that differ, with both figures."""
        return "; ".join(
            f"{each[0]} ({_words(self.table.day)} {each[1]}): lake {self._shown(self.lake.get(each))}, "
            f"warehouse {self._shown(self.warehouse.get(each))}"
            f"{f', {keys[each]}' if keys.get(each) else ''}"
            for each in sorted(different)[:_NAMED_SLICES]
        )

    def _shown(self, figures: Figures | None) -> str:
        measures = self.table.measures
        found = figures or Figures(0, Decimal(0), (Decimal(0),) * len(measures))
        sums = [each.shown(value) for each, value in zip(measures, found.sums, strict=True)]
        return ", ".join([f"{found.rows} rows", *sums, f"hash {found.fingerprint}"])

    def agreement(self, snapshot: int, dates: list[date]) -> Agreement:
        """What is equal."""
        different = self.different
        equal = [figures for each, figures in self.lake.items() if each not in different]
        sums = {
            measure.name: sum((figures.sums[place] for figures in equal), Decimal(0))
            for place, measure in enumerate(self.table.measures)
        }
        return Agreement(snapshot, len(set(dates)), sum(each.rows for each in equal), sums)


def _differing_keys(
    connection: psycopg.Connection,
    table: PublishedTable,
    snapshot: int,
    different: set[Slice],
    lake_rows: LakeRows | None,
) -> dict[Slice, str]:
    """The keys that differ in each of the slices that a message names."""
    found: dict[Slice, str] = {}
    if lake_rows is None:
        return found
    try:
        dialect, where = side_of(connection).dialect, _not_taken_over(connection, table)
        for each in sorted(different)[:_NAMED_SLICES]:
            query = rows_by_key(table, dialect, table.table, *each, where)
            # A cursor of the server's, since a day may have millions of rows.
            with connection.cursor("rows_by_key") as rows:
                found[each] = differing_keys(lake_rows(snapshot, each), rows.execute(query))
    except Exception:
        # The difference is what must be reported, with its keys or without.
        log.exception("the keys that differ could not be asked for")
    return found


def differing_keys(lake: Iterable[KeyedRow], warehouse: Iterable[KeyedRow]) -> str:
    """The first keys whose rows differ, and how many more there are; empty where none does.

    Both sides come in the order of ``rows_by_key``, are read once, side by side, and not kept.
    """
    sides = (
        (("lake", row) for row in lake),
        (("warehouse", row) for row in warehouse),
    )
    named: list[str] = []
    count = 0
    for key, group in groupby(merge(*sides, key=_place), key=lambda each: each[1][:-1]):
        found = list(group)
        if len(found) == 2 and found[0][1] == found[1][1] and found[0][0] != found[1][0]:
            continue
        count += 1
        if count <= _NAMED_KEYS:
            only = {side for side, _ in found}
            where = f", in the {only.pop()} only" if len(only) == 1 else ""
            named.append(f"({', '.join(map(shown, key[1:]))}{where})")
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return f"key{'s' * (count > 1)} {', '.join(named)}{more}" if named else ""


def _place(each: tuple[str, KeyedRow]) -> Any:
    return each[1][0]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _held(connection: psycopg.Connection, table: PublishedTable) -> int:
    snapshot = held_snapshot(connection, table)
    if snapshot is None:
        raise ReconcileError("The warehouse holds nothing yet; load a day first.")
    return snapshot
