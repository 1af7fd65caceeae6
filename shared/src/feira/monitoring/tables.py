"""The lake's tables, from Iceberg's own records: a table's ``metadata.json`` is read when the catalog names a
new one, and no data file ever is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

import psycopg

from feira.core.contracts.registry import contract, stored_in
from feira.monitoring.figures import Figures, Shown
from feira.user_events.codec import TABLE as EVENTS
from feira.user_events.offsets import DAY_PROPERTY, OFFSETS_PROPERTY

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


def day_starts(day: date) -> float:
    """A UTC day's beginning in seconds since 1970."""
    return datetime.combine(day, time(), UTC).timestamp()


def show_promise(figures: Figures, table: str) -> None:
    """Shows what a table's contract promises, as does who looks at the days that it holds: of a promise without
    a day it is thought that none ever came."""
    latency = contract(table).latency
    if latency is not None:
        figures.promised.labels(table).set(latency.total_seconds())


@dataclass
class LakeTables:
    """The tables of contracts in a catalog that PostgreSQL holds.

    :param dsn: of the catalog's database, for a role that may read ``iceberg_tables``
    :param files: where the metadata is
    """

    dsn: str
    files: AbstractFileSystem
    name: str = field(default="catalog", init=False)
    _seen: dict[str, str] = field(default_factory=dict, init=False)
    _of: dict[str, dict[str, float]] = field(default_factory=dict, init=False)
    """By table, what its figures are, by their names in ``Figures``."""
    _shown: Shown = field(default_factory=Shown, init=False)
    _read: dict[str, int] = field(default_factory=dict, init=False)
    _answered: bool = field(default=False, init=False)

    def read(self) -> dict[str, int] | None:
        """By topic and partition, as ``user_events/0``, the offset after the last that a run has read; None
        until every table was looked at once."""
        return self._read if self._answered else None

    def collect(self, figures: Figures) -> None:
        """Brings the figures up to date; raises psycopg.Error or OSError where something does not answer."""
        show_promise(figures, EVENTS)
        locations = self._locations()
        for gone in self._seen.keys() - locations.keys():
            del self._seen[gone], self._of[gone]
            if gone == EVENTS:
                self._read.clear()
        for table, location in locations.items():
            if self._seen.get(table) != location:
                self._of[table] = self._taken(table, json.loads(self.files.cat_file(location)))
                self._seen[table] = location
        for name in ("updated", "rows", "files", "bytes", "newest_partition"):
            values = {table: found[name] for table, found in self._of.items() if name in found}
            self._shown.replace(getattr(figures, name), values)
        self._answered = True

    def _locations(self) -> dict[str, str]:
        declared = {each.table for each in stored_in("lake")}
        with psycopg.connect(
            self.dsn, connect_timeout=5, application_name="monitoring"
        ) as connection:
            # The catalog's first user makes the table.
            if connection.execute("SELECT to_regclass('iceberg_tables')").fetchone() == (None,):
                return {}
            rows = connection.execute(
                "SELECT table_namespace || '.' || table_name, metadata_location FROM iceberg_tables "
                "WHERE table_namespace || '.' || table_name = ANY(%s)",
                [sorted(declared)],
            ).fetchall()
        return {str(table): str(location) for table, location in rows}

    def _taken(self, table: str, metadata: dict[str, Any]) -> dict[str, float]:
        found = {"updated": metadata["last-updated-ms"] / 1000}
        snapshots = metadata.get("snapshots", [])
        current = metadata.get("current-snapshot-id")
        for each in snapshots:
            if each["snapshot-id"] == current:
                summary = each["summary"]
                for name, key in (
                    ("rows", "total-records"),
                    ("files", "total-data-files"),
                    ("bytes", "total-files-size"),
                ):
                    if key in summary:
                        found[name] = float(summary[key])
        if table == EVENTS:
            in_order = sorted(snapshots, key=lambda each: each.get("sequence-number", 0))
            found |= self._taken_events([each["summary"] for each in in_order])
        return found

    def _taken_events(self, summaries: list[dict[str, str]]) -> dict[str, float]:
        days = [
            date.fromisoformat(each[DAY_PROPERTY]) for each in summaries if DAY_PROPERTY in each
        ]
        for each in summaries:
            for topic, ranges in json.loads(each.get(OFFSETS_PROPERTY, "{}")).items():
                # The newest that has them: each reads to the end that the log has then, and a topic that was
                # made anew has lower ones.
                self._read |= {f"{topic}/{number}": end for number, (_, end) in ranges.items()}
        return {"newest_partition": day_starts(max(days))} if days else {}
