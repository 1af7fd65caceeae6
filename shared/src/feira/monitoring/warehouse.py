"""The warehouse's ledgers, through the one function that the role of monitoring may call."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg

from feira.monitoring.figures import Figures
from feira.monitoring.tables import show_promise
from feira.sales.published import PUBLISHED


@dataclass
class Warehouse:
    """A warehouse with ``infra/monitoring/warehouse.sql``; ``dsn`` is for the role that may call it.

    The ledgers are looked at when PostgreSQL's own statistics say that one of their schema's tables was
    written to.
    """

    dsn: str
    name: str = field(default="warehouse", init=False)
    _written: int | None = field(default=None, init=False)

    def collect(self, figures: Figures) -> None:
        """Brings the figures up to date; raises psycopg.Error where the warehouse does not answer."""
        show_promise(figures, PUBLISHED.table)
        with psycopg.connect(
            self.dsn, connect_timeout=5, application_name="monitoring"
        ) as connection:
            row = connection.execute(
                "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_stat_user_tables "
                "WHERE relname IN ('load_ledger', 'report_ledger', 'held_days', 'unreconciled_dates')"
            ).fetchone()
            written = int(row[0]) if row else 0
            if written == self._written:
                return
            rows = connection.execute("SELECT figure, value FROM monitoring.figures()").fetchall()
        # A figure that is not there is of a table that no pipeline has made yet.
        for figure, value in rows:
            if value is not None:
                _GAUGES[figure](figures, float(value))
        self._written = written


_GAUGES = {
    "newest_agreed_day": lambda figures, value: figures.newest_partition.labels(
        PUBLISHED.table
    ).set(value),
    "held_days": lambda figures, value: figures.held_days.set(value),
    "unreconciled_dates": lambda figures, value: figures.unreconciled.set(value),
    "mail_due": lambda figures, value: figures.reports_due.labels("mail").set(value),
    "slack_due": lambda figures, value: figures.reports_due.labels("slack").set(value),
    "last_report": lambda figures, value: figures.report_prepared.labels(PUBLISHED.name).set(value),
}
