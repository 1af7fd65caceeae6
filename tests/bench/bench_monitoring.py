"""`make bench-monitoring`: what it costs a stack to be watched, against one that is not.

Two fresh stacks, one after the other, on other ports and in another folder. Each runs a day that does not count,
then days that do, then stands idle; the CPU of all its processes is that of the days and that of the idle time,
and its memory is sampled at the end. Writes ``.bench/monitoring.json``, from which ``figures_page.py`` makes its part
of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from rich.console import Console

from bench_stack import FEIRA, FIRST_DAY, REPOSITORY, warm_up_ended
from feira_local.stack.airflow_api import AirflowApi
from feira_local.stack.chains import follow, start
from feira_local.stack.processes import group, leaders
from feira_local.stack.state import running_config
from machine import machine
from memory import MEBIBYTE, cpu_seconds, pss

TARGET = REPOSITORY / ".bench" / "monitoring.json"
console = Console(width=110)


def by_service(of: str) -> dict[str, float]:
    """CPU seconds so far, or MiB now, of each service's processes, by its name."""
    found: dict[str, float] = {}
    for leader in leaders(running_config().run):
        processes = group(leader)
        value = cpu_seconds(processes) if of == "cpu" else sum(map(pss, processes)) / MEBIBYTE
        found[leader.service] = found.get(leader.service, 0.0) + value
    return found


def ran(api: AirflowApi, day: date) -> None:
    """Runs a day's chain."""
    chain = follow(api, [start(api, "sales_etl", day)])[0]
    if not chain.succeeded:
        raise SystemExit(f"{chain.day} failed: {chain.failure}")


def measured(watched: bool, days: int, idle_seconds: int) -> dict[str, Any]:
    """CPU seconds of a day and of an idle minute, seconds of a day, and MiB of each service."""
    subprocess.run([FEIRA, "down"], check=True)
    shutil.rmtree(os.environ["FEIRA_HOME"], ignore_errors=True)
    try:
        subprocess.run([FEIRA, "up", *(["--monitoring"] if watched else [])], check=True)
        warm_up_ended()
        api = AirflowApi.local()
        ran(api, FIRST_DAY)
        before, began = by_service("cpu"), time.monotonic()
        for number in range(1, days + 1):
            ran(api, FIRST_DAY + timedelta(days=number))
        after, seconds = by_service("cpu"), time.monotonic() - began
        time.sleep(idle_seconds)
        rested = by_service("cpu")
        return {
            "seconds": seconds / days,
            "cpu": {name: (after[name] - before.get(name, 0)) / days for name in after},
            "idle_cpu": {
                name: (rested[name] - after.get(name, 0)) * 60 / idle_seconds for name in rested
            },
            "mib": by_service("memory"),
        }
    finally:
        subprocess.run([FEIRA, "down"], check=False)


def main() -> int:
    """Measures both, prints and writes the figures; always stops the stack."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--days", type=int, default=3, help="days that count")
    arguments.add_argument("--idle", type=int, default=120, help="seconds that it stands idle")
    asked = arguments.parse_args()
    figures = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "lines": int(os.environ["FEIRA_SHOP_LINES"]),
        "days": asked.days,
        "without": measured(False, asked.days, asked.idle),
        "with": measured(True, asked.days, asked.idle),
    }
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(figures, indent=1))
    for which in ("without", "with"):
        found: Any = figures[which]
        console.print(
            f"{which}: {found['seconds']:.1f} s and {sum(found['cpu'].values()):.1f} CPU s a day, "
            f"{sum(found['idle_cpu'].values()):.2f} CPU s an idle minute, "
            f"{sum(found['mib'].values()):.0f} MiB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
