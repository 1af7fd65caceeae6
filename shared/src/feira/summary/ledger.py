"""``sales.report_ledger``: which reports of each day were sent, and which are due."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

import psycopg

from feira.summary.model import DayFigures, DayReport, Sources, canonical

REPORT_LEDGER = "sales.report_ledger"
Channel = Literal["mail", "slack"]


@dataclass(frozen=True)
class Reported:
    """The newest report of a day."""

    day: date
    version: int
    figures: DayFigures
    sources: Sources


@dataclass(frozen=True)
class Due:
    """A report that a channel has not taken yet."""

    day: date
    version: int
    report_id: str
    report_uri: str


def last_reported(connection: psycopg.Connection) -> dict[date, Reported]:
    """The newest report of every day that has one."""
    rows = connection.execute(
        "SELECT extract_day, report_version, figures, sources FROM ("
        "SELECT *, row_number() OVER (PARTITION BY extract_day ORDER BY report_version DESC) AS age "
        f"FROM {REPORT_LEDGER}) AS ranked WHERE age = 1"
    )
    return {
        day: Reported(
            day,
            version,
            DayFigures.model_validate_json(figures),
            Sources.model_validate_json(sources),
        )
        for day, version, figures, sources in rows
    }


def record(connection: psycopg.Connection, reports: Iterable[tuple[DayReport, str]]) -> None:
    """Writes reports and their URIs, all or none; from here on they are due on every channel."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {REPORT_LEDGER} (extract_day, report_version, report_id, report_uri, "
            "figures, sources, snapshot_id, cause, prepared_at) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now())",
            [
                (
                    report.day,
                    report.version,
                    report.report_id,
                    uri,
                    canonical(report.figures),
                    canonical(report.sources),
                    report.snapshot_id,
                    report.correction.cause if report.correction else None,
                )
                for report, uri in reports
            ],
        )


def due(connection: psycopg.Connection, channel: Channel) -> list[Due]:
    """What the channel has not taken yet, oldest first, whichever run prepared it."""
    rows = connection.execute(
        f"SELECT extract_day, report_version, report_id, report_uri FROM {REPORT_LEDGER} "
        f"WHERE {channel}_delivered_at IS NULL ORDER BY prepared_at, extract_day, report_version"
    )
    return [Due(*row) for row in rows]


def mark_delivered(connection: psycopg.Connection, report: Due, channel: Channel) -> None:
    """Notes that the channel has taken a report; the first time counts."""
    connection.execute(
        f"UPDATE {REPORT_LEDGER} SET {channel}_delivered_at = now() WHERE extract_day = %s "
        f"AND report_version = %s AND {channel}_delivered_at IS NULL",
        [report.day, report.version],
    )
