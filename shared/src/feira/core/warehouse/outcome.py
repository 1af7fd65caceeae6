"""What came of a day, by the warehouse's ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import psycopg

from feira.core.warehouse.clauses import NEWEST_FIRST
from feira.core.warehouse.schema import HELD_DAYS, UNRECONCILED


@dataclass(frozen=True)
class DayOutcome:
    """A day's row of the load ledger. ``fact_rows`` and ``revenue_usd`` are of the rows that the
    day's extract had in the fact when it was loaded.

    ``agreed``: lake and warehouse were found equal after the day's load, and no later load has
    changed lines of that order date or extract day since; nor is the day held.
    """

    day: date
    landing_version: int
    contract_version: str
    landed_lines: int
    valid_lines: int
    quarantined_lines: int
    fact_rows: int
    revenue_usd: Decimal
    inserted_rows: int
    updated_rows: int
    deleted_rows: int
    snapshot_id: int
    agreed: bool

    @property
    def closed(self) -> bool:
        """Whether the shop had nothing to serve on the day."""
        return self.landed_lines == 0


def day_outcomes(connection: psycopg.Connection, days: Iterable[date]) -> dict[date, DayOutcome]:
    """The newest landing's row of each day; a day that was never loaded is not among them."""
    # A later reconcile, of whichever day, settles the dates of every load before it: so what tells
    # is not that a row's two snapshots are equal but that nothing waits to be compared.
    rows = connection.execute(
        "SELECT extract_day, landing_version, contract_version, landed_lines, valid_lines, "
        "quarantined_lines, day_rows, day_revenue, inserted_rows, updated_rows, deleted_rows, "
        "snapshot_id, agreed_snapshot_id IS NOT NULL AND NOT EXISTS ("
        f"SELECT 1 FROM {UNRECONCILED} u WHERE u.load_sequence = ranked.load_sequence "
        "OR u.order_date = ranked.extract_day OR u.extract_day = ranked.extract_day) "
        f"AND NOT EXISTS (SELECT 1 FROM {HELD_DAYS} h WHERE h.extract_day = ranked.extract_day) "
        "FROM (SELECT *, row_number() OVER (PARTITION BY extract_day "
        f"ORDER BY {NEWEST_FIRST}) AS age FROM sales.load_ledger "
        "WHERE extract_day = ANY(%s)) ranked WHERE age = 1",
        [list(days)],
    )
    return {row[0]: DayOutcome(*row) for row in rows}
