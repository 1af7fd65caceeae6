"""`make bench-recommendations`: what recommendations cost, from a day's events to an answer of the API.

A stack of its own takes a day of events from Kafka to the features; the candidates, the lists and publishing
are processes of their own on drawn interactions; the API is asked in an open loop while Valkey is up, hangs
and is dead. ``--scale 0.01`` does a hundredth of each, for a look. Writes ``.bench/recommendations.json``, from
which ``figures_page.py`` makes its part of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import psutil
import requests

from api_load import open_loop
from bench_stack import (
    FEIRA,
    REPOSITORY,
    instances,
    seconds_between,
    stack_of_its_own,
    timed_up,
    warm_up_ended,
)
from day_chain import run_json
from feira.recommendations.publish import publish
from feira.recommendations.serving.baked import Baked
from feira.recommendations.serving.store import URL
from feira_local.stack import access
from feira_local.stack.airflow_api import AirflowApi
from feira_local.stack.chains import Chain, follow, start
from feira_local.stack.config import HOST
from feira_local.stack.processes import raise_at_sigterm
from machine import machine
from memory import MemorySampler, load_average, tree
from recommendation_step import STEPS, drawn_lists
from temporary_postgres import free_port
from valkey_server import ValkeyServer

TARGET = REPOSITORY / ".bench" / "recommendations.json"
DAY = date(2010, 12, 1)
EVENTS = 10_000_000
INTERACTIONS = 5_000_000
PUBLISHED_USERS = 100_000
API_USERS = 20_000
RATES = (500, 2_000)
API_SECONDS = 20
VERSION = "2011-03-01-001"
ITEMS = [f"{at:05d}" for at in range(5_000)]
SCALED = {"publish": PUBLISHED_USERS}


def features(events: int) -> dict[str, Any]:
    """A day of so many events on a stack of its own: from Kafka's offsets to the features."""
    with stack_of_its_own():
        timed_up()
        warm_up_ended()
        api = AirflowApi.local()
        follow(api, [start(api, "sales_etl", DAY)])
        subprocess.run(
            [FEIRA, "events", "produce", str(DAY), "--events", str(events), "--json"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        spark = tree(access.require_running().supervisor.states()["spark"].pid)
        with closing(MemorySampler()) as sampler:
            sampler.watch("spark", spark)
            before = sampler.cpu_seconds()["spark"]
            (chain,) = follow(api, [start(api, "user_events", DAY)], timeout=3600)
            used, peak = sampler.cpu_seconds()["spark"] - before, sampler.peaks()["spark"]
        return _of_chain(api, chain) | {
            "events": events,
            "spark_cpu_seconds": used,
            "spark_peak_mib": peak,
            "load_average": load_average(),
        }


def _of_chain(api: AirflowApi, chain: Chain) -> dict[str, Any]:
    if not chain.succeeded:
        raise SystemExit(f"{chain.day} failed: {chain.failure}")
    tasks = {
        f"{item['dag_id']}.{item['task_id']}": item
        for run in chain.runs
        for item in instances(api, run)
    }
    began, ended = tasks["user_events.resolve_offsets"], tasks["recommendations.features"]
    return {
        "seconds": seconds_between(began["start_date"], ended["end_date"]),
        "tasks": {name: item["duration"] for name, item in tasks.items()},
    }


def steps(scale: float) -> dict[str, Any]:
    """Fitting, listing and publishing, each in a process of its own."""
    found = {}
    with closing(MemorySampler()) as sampler:
        for step in STEPS:
            size = round(SCALED.get(step, INTERACTIONS) * scale)
            command = ["recommendation_step.py", step, str(size)]
            found[step] = run_json(command, sampler, "python", PYTHONPATH=_path())
            print(f"{step}: {found[step]['seconds']:.2f} s", flush=True)
    return found


def _path() -> str:
    return os.pathsep.join([str(REPOSITORY / "tests"), os.environ.get("PYTHONPATH", "")])


def answers(scale: float) -> list[dict[str, Any]]:
    """The API asked at each rate while Valkey is up, hangs, and is dead."""
    users, seconds = max(round(API_USERS * scale), 100), max(API_SECONDS * scale, 2)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "served.json"
        baked = Baked(version=VERSION, everyone={"new": ITEMS[:100]})
        file.write_text(baked.model_dump_json())
        for rate in RATES:
            with ValkeyServer(Path(folder) / "home") as server:
                publish(server.client(), VERSION, drawn_lists(users, ITEMS), ITEMS)
                with _api(server, file) as (process, port):
                    for state in ("up", "hanging", "dead"):
                        {"hanging": server.hang, "dead": server.kill}.get(state, lambda: None)()
                        asked = _asked(process, port, users, rate, seconds)
                        found.append({"rate": rate, "valkey": state, **asked})
                        print(json.dumps(found[-1]), flush=True)
    return found


@contextmanager
def _api(server: ValkeyServer, file: Path) -> Iterator[tuple[psutil.Process, int]]:
    """The API as the stack runs it, warmed up by a few requests."""
    port, options = free_port(), server.options
    url = f"valkey://:{options['password']}@{options['host']}:{options['port']}/0"
    command = [sys.executable, "-m", "feira.recommendations.serving", "--host", HOST]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--file", str(file)],
        env={**os.environ, URL: url},
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with access.loopback_session() as session:
                    session.get(f"http://{HOST}:{port}/health", timeout=5).raise_for_status()
                break
            except requests.RequestException:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.1)
        asyncio.run(open_loop(HOST, port, ["/recommendations/0000000?slot=new&n=20"], 200, 1))
        yield psutil.Process(process.pid), port
    finally:
        process.kill()
        process.wait()


def _asked(
    process: psutil.Process, port: int, users: int, rate: float, seconds: float
) -> dict[str, Any]:
    paths = [
        f"/recommendations/{user:07d}?slot={slot}&n=20"
        for user in range(0, users, 7)
        for slot in ("new", "again")
    ]
    before = sum(process.cpu_times()[:2])
    found = asyncio.run(open_loop(HOST, port, paths, rate, seconds))
    used = sum(process.cpu_times()[:2]) - before
    return {
        "requests": len(found.latencies),
        "p50_ms": 1000 * found.percentile(0.5),
        "p99_ms": 1000 * found.percentile(0.99),
        "cpu_us": 1e6 * used / len(found.latencies),
        "statuses": found.statuses,
        "sources": found.sources,
        "load_average": load_average(),
    }


def main() -> int:
    """Measures, prints and writes the figures; always stops the stack."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--scale", type=float, default=1.0, help="of each size, 1 is the whole")
    arguments.add_argument(
        "--only",
        choices=("features", "steps", "api"),
        help="this part; the others stay as measured",
    )
    asked = arguments.parse_args()
    raise_at_sigterm()
    parts: dict[str, Callable[[], Any]] = {
        "features": lambda: features(round(EVENTS * asked.scale)),
        "steps": lambda: steps(asked.scale),
        "api": lambda: answers(asked.scale),
    }
    TARGET.parent.mkdir(exist_ok=True)
    figures = json.loads(TARGET.read_text()) if asked.only and TARGET.is_file() else {}
    for name in [asked.only] if asked.only else parts:
        figures[name] = parts[name]()
        figures.setdefault("scales", {})[name] = asked.scale
        figures |= {"measured_at": datetime.now(UTC).isoformat(timespec="seconds")}
        figures |= {"machine": machine()}
        TARGET.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
