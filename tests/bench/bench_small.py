"""`make bench-small`: what Spark needs for a small day, its queries planned for few rows and for many.

Days of a growing shop, by the functions that the DAG calls, on one warm server for each size: the two ways take
turns, day by day, and which is first changes from turn to turn. Every answer is held against what the shop
knows. All raw figures go to ``.bench/small.json``; ``figures_page.py`` makes its part of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console

from feira.core.settings import LakeSettings
from feira_local.stack.config import DEFAULT_PORTS, Ports, ShopOptions, StackConfig
from feira_local.stack.processes import raise_at_sigterm
from feira_spark.core import session
from figures import small_medians
from growing_lake import GrowingLake
from growing_shop import GrowingShop
from machine import machine
from memory import MemorySampler, load_average
from meter import Meter
from servers import spark_server
from temporary_postgres import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
HOME = REPOSITORY / ".bench"
LINES = (2_000, 10_000, 40_000, 100_000)
UPDATED = 8
"""Of so many lines one is an update of an earlier day's."""
HISTORY, WARM, TURNS = 3, 1, 3
"""Days before the first that is measured, turns that do not count, and those that do."""
PLANNED_FOR = {"few": sys.maxsize, "many": -1}
"""By the limit up to which a day is small."""
console = Console(width=110)


def in_turns(home: Path, lines: int, turns: int) -> list[dict[str, Any]]:
    """Each day's ``planned_for``, ``few`` or ``many``, ``steps`` with their CPU and seconds, and the machine's
    ``load_average``."""
    ports = Ports(**{name: free_port() for name in DEFAULT_PORTS}, own={})
    config = StackConfig(home, REPOSITORY, ports, ShopOptions(None, 0, lines))
    config.make_folders()
    settings = LakeSettings(root=f"file://{home / 'lake'}", catalog="hadoop")
    shop, sampler = GrowingShop(lines, lines // UPDATED, clustered=True), MemorySampler()
    lake = GrowingLake(home, settings, shop, config.spark_url)
    meter, found = Meter(lambda: sampler.cpu_seconds()["jvm"]), []
    sampler.close()  # It is asked for CPU alone, and to sample memory would count as the client's.
    with spark_server(config, settings, sampler):
        lake.create_missing()
        for _ in range(HISTORY):
            lake.next_day_written()
        for turn in range(-WARM, turns):
            for name in sorted(PLANNED_FOR, reverse=bool(turn % 2)):
                with mock.patch.object(session, "FEW_ROWS", PLANNED_FOR[name]):
                    steps = lake.next_day_measured(meter)
                if turn >= 0:
                    of_day = {"planned_for": name, "load_average": load_average()}
                    found.append(of_day | {"steps": steps})
    return found


def main() -> int:
    """Measures, prints and writes the figures; WrongAnswerError where a step's answer is wrong."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--lines", type=int, nargs="+", default=LINES, help="new lines of a day")
    arguments.add_argument("--turns", type=int, default=TURNS, help="days of each way that count")
    arguments.add_argument("--out", type=Path, default=HOME / "small.json")
    asked = arguments.parse_args()
    raise_at_sigterm()
    figures: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "updated": UPDATED,
        "lines": {},
    }
    for lines in asked.lines:
        home = HOME / f"small-{lines}"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        days = figures["lines"][lines] = in_turns(home, lines, asked.turns)
        shutil.rmtree(home)
        for name in PLANNED_FOR:
            steps = small_medians(days, name, "server_cpu")
            shown = ", ".join(f"{step} {cpu:.2f}" for step, cpu in steps.items())
            console.print(
                f"{lines:,} lines, planned for {name}: CPU {sum(steps.values()):.2f} s ({shown})"
            )
        asked.out.parent.mkdir(exist_ok=True)
        asked.out.write_text(json.dumps(figures, indent=1))
    console.print(f"All figures: {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
