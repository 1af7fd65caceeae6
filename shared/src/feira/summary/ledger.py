"""``sales.report_ledger``: which reports of each day were sent and which are due, and sending those that are."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

import psycopg

from feira.core.warehouse.side import among, side_of
from feira.summary.files import ReportFiles
from feira.summary.model import DayFigures, DayReport, Sources, canonical

REPORT_LEDGER = "sales.report_ledger"
Channel = Literal["mail", "slack"]


@dataclass(frozen=True)
class Reported:
    """The newest report of a day, and the sources of its figures when the day was last looked at."""

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


def last_reported(connection: psycopg.Connection, days: Iterable[date]) -> dict[date, Reported]:
    """The newest report of those of the days that have one."""
    asked, values = among("extract_day", days)
    rows = connection.execute(
        "SELECT extract_day, report_version, figures, sources FROM ("
        "SELECT *, row_number() OVER (PARTITION BY extract_day ORDER BY report_version DESC) AS age "
        f"FROM {REPORT_LEDGER} WHERE {asked}) AS ranked WHERE age = 1",
        values,
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
    """Writes reports and their URIs, in the caller's transaction; once it is committed they are due on every
    channel."""
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {REPORT_LEDGER} (extract_day, report_version, report_id, report_uri, "
            "figures, sources, snapshot_id, cause, prepared_at) "
            f"VALUES (%s, %s, %s, %s, %s, %s, %s, %s, {side_of(connection).now})",
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


def keep_sources(
    connection: psycopg.Connection, looked_at: Iterable[tuple[Reported, Sources]]
) -> None:
    """Notes where figures that are as they were reported come from by now, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {REPORT_LEDGER} SET sources = %s WHERE extract_day = %s AND report_version = %s",
            [(canonical(sources), each.day, each.version) for each, sources in looked_at],
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
        f"UPDATE {REPORT_LEDGER} SET {channel}_delivered_at = {side_of(connection).now} WHERE extract_day = %s "
        f"AND report_version = %s AND {channel}_delivered_at IS NULL",
        [report.day, report.version],
    )


log = logging.getLogger(__name__)
# Reports that a channel does not take must not hold up the others; a channel that is down takes none.
_FAILURES_IN_A_ROW = 3


class DeliveryError(RuntimeError):
    """Reports were not sent; the message names them and the first cause. They stay due."""


def deliver(
    connection: psycopg.Connection,
    files: ReportFiles,
    channel: Channel,
    send: Callable[[DayReport], None],
) -> list[str]:
    """Sends every report that the channel has not taken, oldest first; returns their titles.

    Where none of several in a row is taken the newest is tried, and where that is not taken either it is given up:
    channel or lake do not answer. A report that is not in the lake any more says nothing of either.

    At least once: a kill after ``send`` and before its note makes the next try send that one report
    again, under the same identifier. Raises DeliveryError after trying the others.
    """
    sent: list[str] = []
    failed: list[tuple[str, Exception]] = []
    in_a_row = 0
    waiting = due(connection, channel)
    left = deque(waiting)
    while left and in_a_row <= _FAILURES_IN_A_ROW:
        each = left.pop() if in_a_row == _FAILURES_IN_A_ROW else left.popleft()
        name = f"{each.day} version {each.version}"
        try:
            report = files.read(each.report_uri)
            send(report)
        except Exception as error:
            log.warning("%s: the report of %s was not sent: %s", channel, name, error)
            failed.append((name, error))
            in_a_row += not isinstance(error, FileNotFoundError)
            continue
        in_a_row = 0
        mark_delivered(connection, each, channel)
        sent.append(report.title)
        log.info("%s: %s is sent, report %s", channel, report.title, each.report_id)
    if failed:
        names = ", ".join(name for name, _ in failed)
        first = failed[0][1]
        untried = f", and {len(left)} were not tried" if left else ""
        raise DeliveryError(
            f"{channel}: {len(failed)} of {len(waiting)} reports were not sent{untried}; not sent were "
            f"{names}: {type(first).__name__}: {first}. They stay due, and the next try or run "
            f"sends them. Check the connection, and that the lake has the reports."
        ) from first
    return sent
