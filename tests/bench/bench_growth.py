"""`make bench-growth`: what a day costs as the history before it grows, in seconds of CPU.

Days of a growing shop, by the functions that the DAGs call. The warehouse's part, on a PostgreSQL of its
own: each day is loaded and reported, and at some days compared too, and the marts built. The lake's part,
on a Spark Connect server of its own: some days are validated, transformed, published, staged for the load
and compared, and those between are written as these steps would leave them; at the end all is loaded
into a new warehouse, and the two are compared as by `feira verify`. Every answer is held against what the
shop itself knows. Each part is done twice, with order ids that rise from day to day and with ids that lie
anywhere. All raw figures go to ``.bench/growth.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

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
from feira_local.stack.config import DEFAULT_PORTS, Ports, ShopOptions, StackConfig
from feira_local.stack.processes import raise_at_sigterm
from growing_lake import GrowingLake
from growing_shop import UPDATED_DAYS, GrowingShop, date_of
from machine import machine
from memory import MemorySampler, cpu_seconds, load_average, tree
from meter import Meter, require
from servers import spark_server
from temporary_postgres import free_port, temporary_server

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / ".bench"
LINES, UPDATES, DAYS = 20_000, 2_500, 200
MEASURED, RUN = (20, 80, 140, 200), 3
"""Each of these days stands for itself and those before it, so many in all; its figure is their median."""
WARM = 2
"""Days by the steps before a run of those, on a server that is new: each run meets the same one."""
console = Console(width=110)


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
        self._meter = Meter(lambda: cpu_seconds(tree(pid)()))

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

        def lake(snapshot: int, of: date, dates: list[date], rows: int) -> BySlice:
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
        require(self.shop.days, what, found, expected)


def _shown(of_day: dict[str, Any]) -> None:
    shown = ", ".join(
        f"{step} {each['client_cpu'] + each['server_cpu']:.2f} (server {each['server_cpu']:.2f})"
        for step, each in of_day["steps"].items()
    )
    console.print(f"  day {of_day['day']}: {shown} (load average {of_day['load_average']:.1f})")


def grown_lake(home: Path, days: int, *, clustered: bool) -> list[dict[str, Any]]:
    """As of the warehouse; a day has ``files`` too, what the lake then holds."""
    ports = Ports(**{name: free_port() for name in DEFAULT_PORTS}, own={})
    config = StackConfig(home, REPOSITORY, ports, ShopOptions(None, 0, LINES))
    config.make_folders()
    settings = LakeSettings(root=f"file://{home / 'lake'}", catalog="hadoop")
    shop, sampler = GrowingShop(LINES, UPDATES, clustered), MemorySampler()
    lake = GrowingLake(home, settings, shop, config.spark_url)
    found: list[dict[str, Any]] = []
    meter = Meter(lambda: sampler.cpu_seconds()["jvm"])
    sampler.close()  # It is asked for CPU alone, and to sample memory would count as the client's.
    for at in (at for at in MEASURED if at <= days):
        with spark_server(config, settings, sampler):
            lake.create_missing()
            while shop.days < at - RUN - WARM:
                lake.next_day_written()
        with spark_server(config, settings, sampler):
            for day in range(at - RUN - WARM + 1, at + 1):
                steps = lake.next_day_measured(meter)
                if day > at - RUN:
                    of_day = {"at": at, "day": day, "rows": lake.rows(), "files": lake.files()}
                    found.append(of_day | {"load_average": load_average(), "steps": steps})
            _shown(found[-1])
    with (
        spark_server(config, settings, sampler),
        temporary_server(home) as dsns,
        connect(dsns.warehouse_loader) as loader,
    ):
        require_load_tables(loader, PUBLISHED)
        lake.verify(loader)
    console.print(
        f"  day {shop.days}: loaded into a new warehouse, all is equal as `feira verify` compares it"
    )
    return found


def grown_warehouse(home: Path, days: int, *, clustered: bool) -> list[dict[str, Any]]:
    """The figures of the days that are measured: ``day``, the day ``at`` that they stand for with those
    before it, ``rows`` of the fact, the machine's ``load_average``, and ``steps``."""
    found: list[dict[str, Any]] = []
    with temporary_server(home, durable=True) as dsns, connect(dsns.warehouse_loader) as loader:
        require_load_tables(loader, PUBLISHED)
        shop = GrowingShop(LINES, UPDATES, clustered)
        warehouse = GrowingWarehouse(home, shop, loader, dsns.dbt)
        measured = [at for at in MEASURED if at <= days]
        at_of = {at - before: at for at in measured for before in range(RUN)}
        for day in range(1, days + 1):
            # Once before those that count: what a process pays once, and marts of many days, are not a day's.
            steps = warehouse.next_day(whole=day in at_of or day + 1 in at_of)
            if day in at_of:
                of_day = {"at": at_of[day], "day": day, "rows": warehouse.rows()}
                found.append(of_day | {"load_average": load_average(), "steps": steps})
            if day in measured:
                _shown(found[-1])
    return found


PARTS = {"warehouse": grown_warehouse, "lake": grown_lake}


def main() -> int:
    """Measures, prints and writes the figures; WrongAnswerError where a step's answer is wrong."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument(
        "--days", type=int, default=DAYS, help=f"how long the history grows: {MEASURED[0]} or more"
    )
    arguments.add_argument("--ids", choices=("both", "clustered", "scattered"), default="both")
    arguments.add_argument("--out", type=Path, default=HOME / "growth.json")
    arguments.add_argument("--part", choices=("both", *PARTS), default="both")
    asked = arguments.parse_args()
    if asked.days < MEASURED[0]:
        arguments.error(f"--days {asked.days}: the first that is measured is day {MEASURED[0]}")
    raise_at_sigterm()
    # What is not measured now stays as it was measured before.
    figures = json.loads(asked.out.read_text()) if asked.out.is_file() else {}
    for (part, grown), ids in product(PARTS.items(), ("clustered", "scattered")):
        if asked.part not in ("both", part) or asked.ids not in ("both", ids):
            continue
        console.print(
            f"{part}, {asked.days} days of {LINES:,} lines, ids {ids}: CPU seconds by step"
        )
        home = HOME / f"growth-{part}-{ids}"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        began = datetime.now(UTC)
        days = grown(home, asked.days, clustered=ids == "clustered")
        figures.setdefault(part, {})[ids] = {
            "measured_at": began.isoformat(timespec="seconds"),
            "machine": machine(),
            "lines": LINES,
            "updates": UPDATES,
            "days": days,
        }
        shutil.rmtree(home)
        asked.out.parent.mkdir(exist_ok=True)
        asked.out.write_text(json.dumps(figures, indent=1))
    console.print(f"All figures: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
