"""`make bench-growth`: what a day costs as the history before it grows, in seconds of CPU.

The warehouse's part, on a PostgreSQL of its own and with the functions that the DAGs call: days of a
growing shop are loaded and reported one by one, and at some days compared too, and the marts built. Every
answer is held against what the shop itself knows. It is done twice, with order ids that rise from day to
day and with ids that lie anywhere. All raw figures go to ``.bench/growth.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import psycopg
from rich.console import Console

from feira.core.lake import lake_files, landing_store
from feira.core.landing.manifest import Validation
from feira.core.settings import LakeSettings
from feira.core.warehouse.load import Extract, load
from feira.core.warehouse.reconcile import BySlice, reconcile_day, warehouse_figures
from feira.core.warehouse.schema import connect, require_load_tables
from feira.sales.published import PUBLISHED
from feira.summary.files import ReportFiles
from feira.summary.model import DayReport
from feira.summary.prepare import prepare_reports
from feira_airflow.summary.marts import build_marts
from growing_shop import UPDATED_DAYS, GrowingShop, date_of
from machine import machine
from memory import cpu_seconds, load_average, tree
from temporary_postgres import temporary_server

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / ".bench"
LINES, UPDATES, DAYS = 20_000, 2_500, 200
MEASURED, RUN = (20, 80, 140, 200), 3
"""Each of these days stands for itself and those before it, so many in all; its figure is their median."""
console = Console(width=110)


class WrongAnswerError(AssertionError):
    """A step said something else than the shop knows."""


@dataclass
class Meter:
    """CPU of this process, which does the client's part of each step, and of the server's processes."""

    server: Callable[[], list[psutil.Process]]

    @contextmanager
    def measured(
        self, into: dict[str, Any], step: str, without: dict[str, float]
    ) -> Iterator[None]:
        """Notes a step's CPU and seconds; what ``without`` then holds by these names is not the step's."""
        without |= dict.fromkeys(("client_cpu", "server_cpu", "seconds"), 0.0)
        began = self.now()
        yield
        into[step] = {
            name: round(ended - start - without[name], 4)
            for (name, start), ended in zip(began.items(), self.now().values(), strict=True)
        }

    def now(self) -> dict[str, float]:
        """Since some moment."""
        return {
            "client_cpu": time.process_time(),
            "server_cpu": cpu_seconds(self.server()),
            "seconds": time.perf_counter(),
        }


class Unwritten(ReportFiles):
    """Files of reports that are not measured: their charts would take most of the time."""

    def write(self, report: DayReport) -> str:
        """Writes nothing; the URI is that of a report that was written."""
        return f"{self.folder(report)}/report.json"


class GrowingWarehouse:
    """A warehouse that follows a growing shop as the DAGs bring it there."""

    def __init__(self, home: Path, shop: GrowingShop, connection: psycopg.Connection, dbt: str):
        self.home, self.shop = home, shop
        self._connection, self._dbt = connection, dbt
        lake = LakeSettings(root=f"file://{home / 'lake'}", catalog="hadoop")
        self._landings = landing_store(lake, PUBLISHED.name)
        self._lake = lake
        pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        self._meter = Meter(tree(pid))

    def next_day(self, *, whole: bool) -> dict[str, Any]:
        """One more day: CPU and seconds by step. With ``whole`` the marts and the reports' files too."""
        difference = self.shop.next_day()
        day = date_of(self.shop.days)
        extract = self._validated(day, updated := self._updated())
        found: dict[str, Any] = {}
        with self._meter.measured(found, "load", {}):
            done = load(self._connection, PUBLISHED, extract, lambda held: difference)
        self._require("loaded", (done.inserted, done.updated, done.deleted), (LINES, updated, 0))
        if not whole:
            self._agree()
        else:
            self._reconcile(found, day)
            with self._meter.measured(found, "marts", {}):
                rows = build_marts(
                    self._dbt,
                    project_dir=REPOSITORY / "infra" / "dbt",
                    target_dir=self.home / "dbt",
                    quiet=True,
                )
            self._require("days in the mart", rows["daily_revenue"], self.shop.days)
            self._require("revenue of the mart", self._revenue_of_marts(), self._revenue(1))
        files = (ReportFiles if whole else Unwritten)(lake_files(self._lake), self._lake.root)
        with self._meter.measured(found, "report", {}):
            prepared = prepare_reports(self._connection, self._landings, files, day)
        first = max(1, self.shop.days - UPDATED_DAYS)
        reported = {each.report.day: each.report for each in prepared}
        expected = [date_of(each) for each in range(first, self.shop.days + 1)]
        self._require("reported", sorted(reported), expected)
        for each in range(first, self.shop.days + 1):
            revenue = reported[date_of(each)].figures.revenue
            self._require(f"revenue of {date_of(each)}", revenue, self._money(each))
        shown = {each.day: each.revenue for each in reported[day].revenue_by_day}
        shown_days = range(max(1, self.shop.days - 45), self.shop.days + 1)
        self._require("chart", shown, {date_of(each): self._money(each) for each in shown_days})
        return found

    def rows(self) -> int:
        """Rows of the fact."""
        row = self._connection.execute(f"SELECT count(*) FROM {PUBLISHED.table}").fetchone()
        assert row is not None
        return int(row[0])

    def _agree(self) -> None:
        """Lake and warehouse are taken to agree: what a comparison would leave."""
        with self._connection.transaction():
            self._connection.execute(f"DELETE FROM {PUBLISHED.unreconciled}")
            self._connection.execute(
                f"UPDATE {PUBLISHED.ledger} SET agreed_snapshot_id = snapshot_id "
                "WHERE agreed_snapshot_id IS NULL"
            )

    def _reconcile(self, found: dict[str, Any], day: date) -> None:
        """The lake's side is asked of the warehouse itself, and its cost not counted."""
        lakes: dict[str, float] = {}

        def lake(snapshot: int, of: date, dates: list[date]) -> BySlice:
            began = self._meter.now()
            figures = warehouse_figures(self._connection, PUBLISHED, dates)
            lakes.update({name: now - began[name] for name, now in self._meter.now().items()})
            return figures

        with self._meter.measured(found, "reconcile", lakes):
            agreed = reconcile_day(self._connection, PUBLISHED, day, 1, lake)
        first = max(1, self.shop.days - UPDATED_DAYS)
        compared = self.shop.days + 1 - first
        self._require("compared", (agreed.dates, agreed.rows), (compared, compared * LINES))
        self._require("revenue compared", agreed.sums["revenue"], self._revenue(first))

    def _validated(self, day: date, updated: int) -> Extract:
        """The day's extract, with the validation that its landing has."""
        lines = LINES + updated
        self._landings.put_validation(
            Validation(
                dataset=PUBLISHED.name,
                extract_day=day,
                version=1,
                contract_version=PUBLISHED.contract.version,
                total=lines,
                valid=lines,
                broken={},
                max_invalid_percent=5.0,
                passed=True,
            )
        )
        return Extract(day, 1, self._landings.manifest_uri(day, 1), lines, lines)

    def _updated(self) -> int:
        return UPDATES // UPDATED_DAYS * min(UPDATED_DAYS, self.shop.days - 1)

    def _money(self, day: int) -> Decimal:
        return Decimal(self.shop.revenue(day)).scaleb(-4)

    def _revenue(self, first: int) -> Decimal:
        return sum((self._money(each) for each in range(first, self.shop.days + 1)), Decimal(0))

    def _revenue_of_marts(self) -> Decimal:
        with psycopg.connect(self._dbt) as dbt:
            row = dbt.execute("SELECT sum(revenue) FROM marts.daily_revenue").fetchone()
        assert row is not None
        return Decimal(row[0])

    def _require(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            raise WrongAnswerError(
                f"day {self.shop.days}: {what} is {found}, and the shop has {expected}"
            )


def grown(home: Path, days: int, *, clustered: bool) -> list[dict[str, Any]]:
    """The figures of the days that are measured: ``day``, the day ``at`` that they stand for with those
    before it, ``rows`` of the fact, the machine's ``load_average``, and ``steps``."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    found: list[dict[str, Any]] = []
    with temporary_server(home, durable=True) as dsns, connect(dsns.warehouse_loader) as loader:
        require_load_tables(loader, PUBLISHED)
        shop = GrowingShop(LINES, UPDATES, clustered)
        warehouse = GrowingWarehouse(home, shop, loader, dsns.dbt)
        measured = [at for at in MEASURED if at <= days]
        at_of = {at - before: at for at in measured for before in range(RUN)}
        for day in range(1, days + 1):
            # Once before the first that counts: what a process pays once is not a day's.
            steps = warehouse.next_day(whole=day in at_of or day + 1 == min(at_of, default=0))
            if day in at_of:
                of_day = {"at": at_of[day], "day": day, "rows": warehouse.rows()}
                found.append(of_day | {"load_average": load_average(), "steps": steps})
            if day in measured:
                shown = ", ".join(
                    f"{step} {each['client_cpu'] + each['server_cpu']:.2f} "
                    f"(server {each['server_cpu']:.2f})"
                    for step, each in steps.items()
                )
                console.print(f"  day {day}: {shown} (load average {load_average():.1f})")
    shutil.rmtree(home)
    return found


def main() -> int:
    """Measures, prints and writes the figures; WrongAnswerError where a step's answer is wrong."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument(
        "--days", type=int, default=DAYS, help=f"how long the history grows: {MEASURED[0]} or more"
    )
    arguments.add_argument("--ids", choices=("both", "clustered", "scattered"), default="both")
    arguments.add_argument("--out", type=Path, default=HOME / "growth.json")
    asked = arguments.parse_args()
    if asked.days < MEASURED[0]:
        arguments.error(f"--days {asked.days}: the first that is measured is day {MEASURED[0]}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # What is not measured now stays as it was measured before.
    figures = json.loads(asked.out.read_text()) if asked.out.is_file() else {"warehouse": {}}
    for ids in ("clustered", "scattered"):
        if asked.ids in ("both", ids):
            console.print(f"{asked.days} days of {LINES:,} lines, ids {ids}: CPU seconds by step")
            home = HOME / f"growth-{ids}"
            began = datetime.now(UTC)
            days = grown(home, asked.days, clustered=ids == "clustered")
            figures["warehouse"][ids] = {
                "measured_at": began.isoformat(timespec="seconds"),
                "machine": machine(),
                "lines": LINES,
                "updates": UPDATES,
                "days": days,
            }
            asked.out.parent.mkdir(exist_ok=True)
            asked.out.write_text(json.dumps(figures, indent=1))
    console.print(f"All figures: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
