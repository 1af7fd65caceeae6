"""PostgreSQL's own statistics, by database: connections, size, transactions, and what it had to wait or spill for."""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg

from feira.monitoring.figures import Figures, Shown

_QUERY = """
SELECT d.datname,
       pg_database_size(d.oid),
       s.numbackends,
       -- One that began after this one is younger than 0.
       greatest(0, (
           SELECT max(extract(epoch FROM now() - a.xact_start)) FROM pg_stat_activity a
           WHERE a.datid = d.oid
       )),
       s.xact_commit,
       s.xact_rollback,
       s.deadlocks,
       s.temp_bytes
FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
WHERE NOT d.datistemplate AND d.datname <> 'postgres'
"""


@dataclass
class Postgres:
    """A server; ``dsn`` is for a role with ``pg_read_all_stats``, in any of its databases."""

    dsn: str
    name: str = field(default="postgres", init=False)
    _shown: Shown = field(default_factory=Shown, init=False)
    _before: dict[tuple[str, int], int] = field(default_factory=dict, init=False)

    def collect(self, figures: Figures) -> None:
        """Brings the figures up to date; raises psycopg.Error where the server does not answer."""
        with psycopg.connect(
            self.dsn, connect_timeout=5, application_name="monitoring"
        ) as connection:
            most = connection.execute("SELECT current_setting('max_connections')::int").fetchone()
            rows = connection.execute(_QUERY).fetchall()
        figures.connections_limit.set(most[0] if most else 0)
        gauges = (figures.database_bytes, figures.connections, figures.oldest_transaction)
        for at, gauge in enumerate(gauges, start=1):
            self._shown.replace(gauge, {row[0]: float(row[at]) for row in rows})
        for gone in {database for database, _ in self._before} - {row[0] for row in rows}:
            self._forget(figures, gone)
        for database, _, _, _, *counted in rows:
            families = (
                figures.transactions.labels(database, "committed"),
                figures.transactions.labels(database, "rolled_back"),
                figures.deadlocks.labels(database),
                figures.temporary_bytes.labels(database),
            )
            for at, (family, value) in enumerate(zip(families, counted, strict=True)):
                # The server counts from its own start, or from a reset; here it begins at 0.
                before = self._before.get((database, at))
                if before is not None:
                    family.inc(value - before if value >= before else value)
                self._before[database, at] = value

    def _forget(self, figures: Figures, database: str) -> None:
        """Removes the counters of a database that is gone: one of its name begins at 0."""
        for outcome in ("committed", "rolled_back"):
            figures.transactions.remove(database, outcome)
        figures.deadlocks.remove(database)
        figures.temporary_bytes.remove(database)
        self._before = {key: it for key, it in self._before.items() if key[0] != database}
