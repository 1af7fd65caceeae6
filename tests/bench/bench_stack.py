"""`make bench-stack`: what a day's chain costs beside Spark's work, on a running stack of its own.

Starts a fresh stack on other ports and in another folder, runs days one after the other, and asks
Airflow when each task was due, started and ended. Also: the start of the stack, cold (nothing there but
the jars) and warm (everything there), and the time that each DAG file takes to parse. Writes
``.bench/stack.json`` and ``.bench/parse.json``, from which ``figures_page.py`` makes its part of docs/benchmarks.md.

With ``--small`` a part of `make bench-small`: days of 10,000 lines on a stack that is warm, each from the
queue to the built marts, with the CPU of each service while a task was due and ran, to ``.bench/small-stack.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[2]
FEIRA = str(Path(sys.executable).with_name("feira"))
# A stack of its own, beside the one that a person may use.
os.environ["FEIRA_HOME"] = str(REPOSITORY / ".feira-bench")
os.environ.setdefault("FEIRA_PORT_OFFSET", "2000")
os.environ.setdefault("FEIRA_SHOP_LINES", "20000")

from feira_local.stack.airflow_api import AirflowApi, DagRun  # noqa: E402
from feira_local.stack.chains import Chain, follow, start  # noqa: E402
from feira_local.stack.processes import leaders, raise_at_sigterm  # noqa: E402
from feira_local.stack.state import running_config  # noqa: E402
from figures import STACK_HEADINGS, along_path, spread  # noqa: E402
from machine import machine  # noqa: E402
from memory import load_average  # noqa: E402
from parse_time import measure as measure_parsing  # noqa: E402
from service_cpu import CpuOverTime  # noqa: E402

RAW = REPOSITORY / ".bench"
FIRST_DAY = date(2010, 12, 1)
# The tasks whose seconds are Spark's. Those that Spark has a part in, load_warehouse and reconcile, are
# counted as overhead, and so is each task's own start.
SPARK_BOUND = ("validate", "transform", "publish")
MARTS = "build_marts"
SMALL_LINES, WARM = 10_000, 3
"""Lines of a small day, and such days before the first that counts."""
console = Console(width=110)


def seconds_between(earlier: str, later: str) -> float:
    """Seconds from one ISO 8601 time to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def instances(api: AirflowApi, run: DagRun) -> list[dict[str, Any]]:
    """The run's tasks as Airflow's API has them, by start."""
    path = f"dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
    found = api._call("GET", path)["task_instances"]
    return sorted(found, key=lambda item: item["start_date"] or "")


def event_time(api: AirflowApi, run: DagRun) -> str:
    """When the run's first asset event was emitted, ISO 8601."""
    events = api._call("GET", "assets/events", params={"source_run_id": run.run_id, "limit": 100})
    return min(str(event["timestamp"]) for event in events["asset_events"])


def chain_figures(api: AirflowApi, chain: Chain) -> dict[str, Any]:
    """One day's chain: each task's seconds and its wait, and what of the whole is not Spark's.

    The chain begins when the producer's run was asked for, and ends when the marts are built: what
    comes after them tells people, and nothing waits for it or for the dropping of staging tables.
    """
    asked = api._call("GET", f"dags/{chain.producer.dag_id}/dagRuns/{chain.producer.run_id}")
    made, consumed = instances(api, chain.producer), instances(api, chain.of("build_marts"))
    tasks = [
        {
            "dag": item["dag_id"],
            "task": item["task_id"],
            "started_seconds": seconds_between(asked["queued_at"], item["start_date"]),
            "seconds": item["duration"],
            "queued_seconds": seconds_between(item["queued_when"], item["start_date"]),
        }
        for item in (*made, *consumed)
    ]
    ends = [item["end_date"] for item in consumed if item["task_id"] == MARTS]
    wall = seconds_between(asked["queued_at"], max(ends, key=datetime.fromisoformat))
    spark = sum(task["seconds"] for task in tasks if task["task"] in SPARK_BOUND)
    # Apart, since it is dbt's work in the warehouse.
    marts = sum(item["duration"] for item in consumed if item["task_id"] == MARTS)
    event = event_time(api, chain.producer)
    return {
        "day": chain.day.isoformat(),
        "queued_at": asked["queued_at"],
        "tasks": tasks,
        "wall_seconds": wall,
        "spark_bound_seconds": spark,
        "marts_seconds": marts,
        "not_spark_seconds": wall - spark,
        "rest_seconds": wall - spark - marts,
        "event_to_consumer_seconds": seconds_between(event, consumed[0]["start_date"]),
    }


@contextmanager
def stack_of_its_own() -> Iterator[None]:
    """Inside, a stack may be started in an empty folder; it is stopped at the end, SIGTERM's too."""
    raise_at_sigterm()
    subprocess.run([FEIRA, "down"], check=True)
    shutil.rmtree(os.environ["FEIRA_HOME"], ignore_errors=True)
    try:
        yield
    finally:
        subprocess.run([FEIRA, "down"], check=False)


def timed_up() -> float:
    """Seconds of `feira up`."""
    began = time.monotonic()
    subprocess.run([FEIRA, "up"], check=True)
    return time.monotonic() - began


def warm_up_ended() -> None:
    """Waits for the stack's own warm-up of Spark, so that the first day is as the others."""
    from feira_local.stack import access

    supervisor = access.require_running().supervisor
    deadline = time.monotonic() + 120
    while supervisor.states()["spark-warmup"].runs and time.monotonic() < deadline:
        time.sleep(0.5)


def print_tables(figures: dict[str, Any]) -> None:
    """The days' chains and the start of the stack."""
    table = Table(title=f"{len(figures['days'])} days of {figures['lines']:,} lines (weekly mean)")
    for heading in STACK_HEADINGS:
        table.add_column(heading, justify="left" if heading == "day" else "right")
    for day in figures["days"]:
        names = ("wall", "spark_bound", "not_spark", "marts")
        numbers = [f"{day[f'{name}_seconds']:.1f}" for name in names]
        table.add_row(day["day"], *numbers, f"{day['event_to_consumer_seconds']:.2f}")
    console.print(table)
    for what in ("not_spark_seconds", "event_to_consumer_seconds"):
        middle, least, most = spread([day[what] for day in figures["days"]])
        console.print(f"{what}: {middle:.2f} ({least:.2f}–{most:.2f})")
    if start_ := figures.get("start"):
        console.print(
            f"stack up: cold {start_['cold_seconds']:.1f} s, warm {start_['warm_seconds']:.1f} s"
        )


def ran(api: AirflowApi, day: date) -> Chain:
    """Runs a day's chain, to the built marts."""
    (chain,) = follow(api, [start(api, "sales_etl", day)])
    if not chain.succeeded:
        raise SystemExit(f"{chain.day} failed: {chain.failure}")
    return chain


def run_days(first: int, count: int) -> list[dict[str, Any]]:
    """The figures of so many days' chains, one after the other; ``first`` is the day's number, from 0."""
    api, days = AirflowApi.local(), []
    for number in range(first, first + count):
        chain = ran(api, FIRST_DAY + timedelta(days=number))
        days.append(chain_figures(api, chain) | {"load_average": load_average()})
    return days


def measured(days: int) -> dict[str, Any]:
    """The start of the stack, cold and warm, and the first days on it; the time to parse goes to its own file."""
    measure_parsing()
    cold = timed_up()
    subprocess.run([FEIRA, "down"], check=True)
    warm = timed_up()
    warm_up_ended()
    return {"start": {"cold_seconds": cold, "warm_seconds": warm}, "days": run_days(0, days)}


def measured_small(days: int) -> dict[str, Any]:
    """Small days, on a stack that has run some; each with ``cpu``, the seconds of each service by the tasks of
    its path."""
    timed_up()
    warm_up_ended()
    run_days(0, WARM)
    run = running_config().run
    supervisor = int((run / "supervisord.pid").read_text())
    cpu = CpuOverTime(supervisor, {each.pid: each.service for each in leaders(run)})
    with cpu.sampling():
        found = run_days(WARM, days)
    for day in found:
        queued = datetime.fromisoformat(day["queued_at"]).timestamp()
        day["cpu"], ended = {}, queued
        for task, (waited, seconds) in along_path(day).items():
            began, ended = ended, ended + waited + seconds
            day["cpu"][task] = cpu.between(began, ended)
    return {"warm_days": WARM, "days": found}


def main() -> int:
    """Measures, prints and writes the figures; always stops the stack."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--days", type=int, default=5, help="days to run, one after the other")
    arguments.add_argument(
        "--small", action="store_true", help=f"days of {SMALL_LINES:,} lines, warm, instead"
    )
    asked = arguments.parse_args()
    if asked.small:
        os.environ["FEIRA_SHOP_LINES"] = str(SMALL_LINES)
    with stack_of_its_own():
        found = (measured_small if asked.small else measured)(asked.days)
    figures = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "lines": int(os.environ["FEIRA_SHOP_LINES"]),
    } | found
    RAW.mkdir(exist_ok=True)
    target = RAW / ("small-stack.json" if asked.small else "stack.json")
    target.write_text(json.dumps(figures, indent=1))
    print_tables(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
