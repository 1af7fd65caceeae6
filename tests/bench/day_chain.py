"""The processes that a day's chain needs, and its steps run one after the other among them.

The shop, a Spark Connect server with the stack's own configuration, and PostgreSQL with the stack's own
settings; the lake and its catalog are a folder. Airflow is absent: its share is `bench_stack.py`'s.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import psutil

from chain_step import Places
from feira.core.settings import LakeSettings
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.shop.taste import Taste
from feira_local.stack import postgres
from feira_local.stack.config import DEFAULT_PORTS, Ports, ShopOptions, StackConfig
from memory import MemorySampler, load_average, stopwatch, tree
from servers import server, spark_server
from temporary_postgres import free_port, temporary_server

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
SHOP_SEED = 7


class StepError(RuntimeError):
    """A step of the benchmark failed; the message ends with what it said."""


def run_json(command: list[str], sampler: MemorySampler, group: str, **env: str) -> dict[str, Any]:
    """Runs a program whose last line of output is JSON; returns that and the program's peak memory.

    Raises StepError with the end of its output where it fails.
    """
    sampler.peaks()
    servers, ended = sampler.cpu_seconds(), _cpu_of_ended()
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=HERE,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    sampler.watch(group, tree(process.pid))
    elapsed = stopwatch()
    try:
        out, err = process.communicate()
    finally:
        process.kill()  # does nothing to one that has ended
        sampler.forget(group)
    wall = elapsed()
    if process.returncode != 0:
        raise StepError(f"{' '.join(command[:2])} ended with {process.returncode}: {err[-4000:]}")
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    used = {name: now - servers[name] for name, now in sampler.cpu_seconds().items()}
    return found | {
        "process_seconds": wall,
        # A server's are those of the step; the program's hold its start and its imports too.
        "cpu_seconds": used | {group: _cpu_of_ended() - ended},
        "memory_mib": sampler.peaks(),
        "load_average": load_average(),
    }


def _cpu_of_ended() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class DayChain:
    """One generated day's chain in a folder; a context manager that ends what it started."""

    def __init__(
        self, home: Path, lines: int, day: date, sampler: MemorySampler, *, comet: bool = False
    ) -> None:
        self.home, self.day = home, day
        self._sampler = sampler
        self._open = ExitStack()
        ports = Ports(**{name: free_port() for name in DEFAULT_PORTS}, own={})
        shop = ShopOptions(None, SHOP_SEED, _lines_per_day(lines, day))
        self.config = StackConfig(home, REPOSITORY, ports, shop, comet=comet)
        self.config.make_folders()
        self.lake = LakeSettings(root=f"file://{home / 'lake'}", catalog="hadoop")
        self._places = Places(day, self.lake.root, self.config.shop_url, self.config.spark_url, "")

    def __enter__(self) -> DayChain:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    @property
    def landing(self) -> Path:
        """The folder of the day's newest complete landing."""
        version = self._places.newest_landing().version
        return self.home / "lake" / "landing" / "sales" / str(self.day) / f"v{version:04d}"

    def share_landing(self, other: DayChain) -> None:
        """Takes the landing of another chain of the same day."""
        link = self.home / "lake" / "landing"
        link.unlink(missing_ok=True)
        link.symlink_to(other.home / "lake" / "landing")

    def land(self) -> dict[str, Any]:
        """Lands the day from the shop simulator over HTTP; or the figures of the landing there is."""
        kept = self.home / "land.json"
        if not kept.is_file():
            with self._shop():
                kept.write_text(json.dumps(self._step("land")))
        found: dict[str, Any] = json.loads(kept.read_text())
        return found

    def run(self) -> dict[str, dict[str, Any]]:
        """Every step after landing, on an empty lake and an empty warehouse.

        Returns each step's figures by name, and ``session``: the seconds of the server's start.
        """
        shutil.rmtree(self.home / "lake" / "tables", ignore_errors=True)
        (self.home / "lake" / "tables").mkdir(parents=True)
        (self.landing / "validation.json").unlink(missing_ok=True)
        with (
            self._warehouse() as dsn,
            spark_server(self.config, self.lake, self._sampler) as session,
        ):
            self._places = Places(
                self.day, self.lake.root, self.config.shop_url, self.config.spark_url, dsn
            )
            found = {"session": session}
            for step in ("validate", "transform", "publish", "load_warehouse", "reconcile"):
                found[step] = self._step(step)
            return found

    def _step(self, name: str) -> dict[str, Any]:
        places = self.home / "places.json"
        self._places.write(places)
        return run_json(
            ["chain_step.py", name, str(places)],
            self._sampler,
            "python",
            AIRFLOW_HOME=str(self.config.airflow),
            AIRFLOW_CONN_SHOP_API=self.config.shop_url,
        )

    @contextmanager
    def _shop(self) -> Iterator[None]:
        command = [
            *(sys.executable, "-m", "feira_local.shop"),
            *(
                "--port",
                str(self.config.ports.shop),
                "--lines-per-day",
                str(self.config.shop.lines),
            ),
            *("--seed", str(SHOP_SEED), "--state", str(self.home / "shop")),
        ]
        with server(self.config, self._sampler, "shop", command, self.config.ports.shop):
            yield

    @contextmanager
    def _warehouse(self) -> Iterator[str]:
        folder = self.home / "warehouse"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        # The server's user is not ours where we are root.
        opened = postgres.let_pass(folder / "postgres")
        folder.chmod(0o755)
        before = {child.pid for child in psutil.Process().children()}
        with temporary_server(folder, durable=True) as dsns:
            started = [c.pid for c in psutil.Process().children() if c.pid not in before]
            self._sampler.watch("postgres", lambda: [p for pid in started for p in tree(pid)()])
            try:
                yield dsns.warehouse_loader
            finally:
                self._sampler.forget("postgres")
        del opened


def _lines_per_day(lines: int, day: date) -> int:
    """The generator's weekly mean with which ``day`` itself shows that many lines, or all but."""
    mean = lines
    for _ in range(3):
        source = GeneratedSource(GeneratorSettings(Taste(SHOP_SEED), lines_per_day=mean))
        mean = round(mean * lines / source.total(day))
    return mean
