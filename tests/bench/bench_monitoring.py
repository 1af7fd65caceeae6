"""`make bench-monitoring`: what it costs a stack to be watched, and what its lineage costs.

Fresh stacks one after the other, on other ports and in another folder, in an order in which a machine that becomes
slower counts for all kinds. Each runs days that do not count, then
days that do, then stands idle; the CPU of all its processes is that of each day and that of the idle time, and its
memory is read at the end. Days of one stack differ by more than watching costs, and stacks do too. So a watched stack
goes on to stand idle for minutes in turns with and without what watches it, of which two neighbours are alike in all
else. Writes ``.bench/monitoring.json``, from which ``figures_page.py`` makes its part
of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from rich.console import Console

from bench_stack import FEIRA, FIRST_DAY, REPOSITORY, ran, stack_of_its_own, warm_up_ended
from feira_local.stack import access
from feira_local.stack.airflow_api import AirflowApi
from feira_local.stack.processes import group, leaders
from feira_local.stack.state import running_config
from machine import machine, pace
from memory import MEBIBYTE, cpu_seconds, pss

TARGET = REPOSITORY / ".bench" / "monitoring.json"
# What is asked of `feira up`, and set for it, by kind of stack.
KINDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "without lineage": ([], {"FEIRA_LINEAGE": "off"}),
    "plain": ([], {}),
    "watched": (["--monitoring"], {}),
}
ORDER = ("plain", "watched", "without lineage", "watched", "plain")
# Days of each stack that do not count: Spark and Kafka still compile their own code in them.
WARMING_DAYS = 2
# Each asks and is asked once a minute. What Airflow sends then finds nobody, which costs it no more than an answer.
WATCHERS = ("prometheus", "alertmanager", "exporter")
MINUTE, SETTLING = 60.0, 12.0
console = Console(width=110)


def by_service(of: str) -> dict[str, float]:
    """CPU seconds so far, or MiB now, of each service's processes, by its name."""
    found: dict[str, float] = {}
    for leader in leaders(running_config().run):
        processes = group(leader)
        value = cpu_seconds(processes) if of == "cpu" else sum(map(pss, processes)) / MEBIBYTE
        found[leader.service] = found.get(leader.service, 0.0) + value
    return found


def in_turns(pairs: int) -> dict[str, list[float]]:
    """CPU seconds of all services in a minute: pairs of minutes without (``off``) and with (``on``) the watchers."""
    supervisor = access.require_running().supervisor
    found: dict[str, list[float]] = {"off": [], "on": []}
    for turn in range(2 * pairs):
        # Off, on, on, off: what goes on in the stack or around it counts for both.
        state = ("off", "on", "on", "off")[turn % 4]
        for name in WATCHERS:
            runs = supervisor.states()[name].state == "RUNNING"
            if runs != (state == "on"):
                (supervisor.stop if runs else supervisor.start)(name)
        time.sleep(SETTLING)
        before = by_service("cpu")
        time.sleep(MINUTE)
        found[state].append(sum(grown(before, by_service("cpu")).values()))
    return found


def measured(kind: str, days: int, idle_seconds: int, pairs: int) -> dict[str, Any]:
    """One stack: CPU seconds of each service on each day and in an idle minute, seconds of each day, and MiB."""
    with stack_of_its_own():
        options, settings = KINDS[kind]
        subprocess.run([FEIRA, "up", *options], check=True, env={**os.environ, **settings})
        warm_up_ended()
        api = AirflowApi.local()
        for number in range(WARMING_DAYS):
            ran(api, FIRST_DAY + timedelta(days=number))
        spent, seconds, paces, before = [], [], [pace()], by_service("cpu")
        for number in range(WARMING_DAYS, WARMING_DAYS + days):
            began = time.monotonic()
            ran(api, FIRST_DAY + timedelta(days=number))
            after = by_service("cpu")
            seconds.append(time.monotonic() - began)
            spent.append(grown(before, after))
            paces.append(pace())
            before = by_service("cpu")
        time.sleep(idle_seconds)
        rested = grown(before, by_service("cpu"))
        mib = by_service("memory")
        return {
            "kind": kind,
            "seconds": seconds,
            "cpu": spent,
            "paces": [statistics.mean(around) for around in pairwise(paces)],
            "idle_cpu": {name: value * 60 / idle_seconds for name, value in rested.items()},
            "mib": mib,
            "minutes": in_turns(pairs) if kind == "watched" else {},
        }


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What each service has used between two readings."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def main() -> int:
    """Measures both, prints and writes the figures; always stops the stack."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--days", type=int, default=5, help="days that count")
    arguments.add_argument("--idle", type=int, default=30, help="seconds that it stands idle")
    arguments.add_argument("--pairs", type=int, default=4, help="of minutes, of each watched stack")
    arguments.add_argument("--order", nargs="+", choices=KINDS, default=ORDER, help="of stacks")
    asked = arguments.parse_args()
    figures = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "lines": int(os.environ["FEIRA_SHOP_LINES"]),
        "days": asked.days,
        "stacks": [measured(kind, asked.days, asked.idle, asked.pairs) for kind in asked.order],
    }
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(figures, indent=1))
    for stack in figures["stacks"]:
        console.print(
            f"{stack['kind']}: CPU s a day "
            f"{', '.join(f'{sum(day.values()):.1f}' for day in stack['cpu'])}; "
            f"{sum(stack['idle_cpu'].values()):.2f} CPU s an idle minute, {sum(stack['mib'].values()):.0f} MiB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
