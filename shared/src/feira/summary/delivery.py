"""Sends what is due on a channel, and notes each report as soon as it was taken."""

from __future__ import annotations

import logging
from collections.abc import Callable

import psycopg

from feira.summary.files import ReportFiles
from feira.summary.ledger import Channel, due, mark_delivered
from feira.summary.model import DayReport

log = logging.getLogger(__name__)
# One report that a channel does not take must not hold up the others; a channel that is down takes none.
_FAILURES_IN_A_ROW = 3


class DeliveryError(RuntimeError):
    """Reports were not taken; the message names them and the first cause. They stay due."""


def deliver(
    connection: psycopg.Connection,
    files: ReportFiles,
    channel: Channel,
    send: Callable[[DayReport], None],
) -> list[str]:
    """Sends every report that the channel has not taken, oldest first; returns their titles.

    At least once: a kill after ``send`` and before its note makes the next try send that one report
    again, under the same identifier. Raises DeliveryError after trying the others.
    """
    sent: list[str] = []
    failed: list[tuple[str, Exception]] = []
    in_a_row = 0
    waiting = due(connection, channel)
    for each in waiting:
        name = f"{each.day} version {each.version}"
        try:
            report = files.read(each.report_uri)
            send(report)
        except Exception as error:
            log.warning("%s: the report of %s was not taken: %s", channel, name, error)
            failed.append((name, error))
            in_a_row += 1
            if in_a_row == _FAILURES_IN_A_ROW:
                break
            continue
        in_a_row = 0
        mark_delivered(connection, each, channel)
        sent.append(report.title)
        log.info("%s: %s is sent, report %s", channel, report.title, each.report_id)
    if failed:
        names = ", ".join(name for name, _ in failed)
        first = failed[0][1]
        raise DeliveryError(
            f"{channel}: {len(waiting) - len(sent)} of {len(waiting)} reports were not taken, among "
            f"them {names}: {type(first).__name__}: {first}. They stay due, and the next try or run "
            f"sends them. Check the connection."
        ) from first
    return sent
