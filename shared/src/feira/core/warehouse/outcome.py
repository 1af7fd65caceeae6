"""What came of a day, by the warehouse's ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import psycopg

from feira.core.published_table import NEWEST_FIRST, PublishedTable
from feira.core.warehouse.side import among


@dataclass(frozen=True)
class DayOutcome:
    """A day's row of the load ledger. ``fact_rows`` and ``sums``, of each measure by its name,
    are of the rows that the day's extract had in the published table when it was loaded.

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
    inserted_rows: int
    updated_rows: int
    deleted_rows: int
    snapshot_id: int
    agreed: bool
    sums: dict[str, Decimal] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """Whether the source had nothing to serve on the day."""
        return self.landed_lines == 0


def day_outcomes(
    connection: psycopg.Connection, table: PublishedTable, days: Iterable[date]
) -> dict[date, DayOutcome]:
    """The newest landing's row of each day; a day that was never loaded is not among them."""
    # A later reconcile, of whichever day, settles the dates of every load before it: so what shows
    # agreement is not that a row's two snapshots are equal but that nothing waits to be compared.
    day, waiting = table.day, table.waiting_date
    sums = "".join(f", day_{measure.name}" for measure in table.measures)
    asked, values = among(day, days)
    rows = connection.execute(
        f"SELECT {day}, landing_version, contract_version, landed_lines, valid_lines, "
        "quarantined_lines, day_rows, inserted_rows, updated_rows, deleted_rows, "
        "snapshot_id, agreed_snapshot_id IS NOT NULL AND NOT EXISTS ("
        f"SELECT 1 FROM {table.unreconciled} u WHERE u.load_sequence = ranked.load_sequence "
        f"OR u.{waiting} = ranked.{day} OR u.{day} = ranked.{day}) "
        f"AND NOT EXISTS (SELECT 1 FROM {table.held_days} h WHERE h.{day} = ranked.{day}){sums} "
        f"FROM (SELECT *, row_number() OVER (PARTITION BY {day} "
        f"ORDER BY {NEWEST_FIRST}) AS age FROM {table.ledger} "
        f"WHERE {asked}) ranked WHERE age = 1",
        values,
    )
    names = [measure.name for measure in table.measures]
    return {
        row[0]: DayOutcome(*(*row[:12], dict(zip(names, row[12:], strict=True)))) for row in rows
    }
