"""The running stack under a check: what it was served, what it holds, and whether the two agree.

After each state the fact in lake and warehouse, the quarantine and the marts must equal, row for
row, what a plain pandas program (`oracle.py`) computes from what the API served. It shares no code
with the platform.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from rich.console import Console

from feira_local.stack import access
from feira_local.stack.chains import Chain, follow, start
from feira_local.stack.processes import raise_at_sigterm
from feira_local.stack.supervisor import Supervisor
from held import KEYS, MARTS, Held
from notifications import Notifications
from oracle import difference, expected
from served import Served, Shop
from until import until
from watched_airflow import WatchedAirflow

SALES = "sales_etl"
REPOSITORY = Path(__file__).resolve().parents[2]
FEIRA = str(Path(sys.executable).with_name("feira"))

console = Console()


@contextmanager
def fresh_stack(
    name: str, lines: int, data: Path | None = None, *, monitoring: bool = False
) -> Iterator[None]:
    """A stack of its own with nothing in it, beside the one that a person may use; stopped at the end, SIGTERM's too.

    ``lines`` are generated a day, unless ``data`` is a folder of days to replay. The data stays in
    the folder for a look, until the next start.
    """
    os.environ["FEIRA_HOME"] = str(REPOSITORY / name)
    os.environ.setdefault("FEIRA_PORT_OFFSET", "1000")
    os.environ.setdefault("FEIRA_SHOP_LINES", str(lines))
    # A stack that lives so short ends before Java's optimising compiler has paid for itself.
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
    if data is not None:
        os.environ["FEIRA_SHOP_DATA"] = str(data.resolve())
    raise_at_sigterm()
    subprocess.run([FEIRA, "down"], check=True)
    shutil.rmtree(os.environ["FEIRA_HOME"], ignore_errors=True)
    try:
        watch = ["--monitoring"] if monitoring else []
        subprocess.run([FEIRA, "up", *watch], check=True)
        yield
    finally:
        subprocess.run([FEIRA, "down"], check=False)


def take_down(service: str) -> Supervisor:
    """Stops a service and waits until it is gone; the supervisor that starts it again."""
    supervisor = access.require_running().supervisor
    supervisor.stop(service)
    until(lambda: supervisor.states()[service].state in ("STOPPED", "EXITED"), 60)
    return supervisor


@contextmanager
def stopped(service: str) -> Iterator[None]:
    """Inside, the service does not run."""
    supervisor = take_down(service)
    try:
        yield
    finally:
        supervisor.start(service)


@dataclass
class Outcome:
    """One state: what a person saw of it, the rows that were compared, and what was wrong."""

    state: str
    rows: int
    seconds: float
    saw: str = ""
    problems: list[str] = field(default_factory=list)
    # Why the state could not be tried; empty where it was.
    skipped: str = ""


class Matrix:
    """The stack, what it was served, and what came of each state."""

    def __init__(self, only: str = "", *, every_change: bool = False) -> None:
        """``only``: a regular expression; states that it does not find are left out.

        :param every_change: leave out those too that not every change must pass
        """
        self._only = re.compile(only)
        self._every_change = every_change
        self.api = WatchedAirflow.local()
        self.shop = Shop(access.shop_url())
        self.served = Served(self.shop)
        self.held = Held(access.environment(), access.warehouse_dsn("reader"))
        self.notifications = Notifications()
        self.outcomes: list[Outcome] = []
        self.saw = ""

    def state(
        self, name: str, do: Callable[[], list[str] | None], *, every_change: bool = False
    ) -> None:
        """Does something to the platform, then compares everything; prints how it went.

        ``do`` returns what was wrong, and may leave in ``saw`` what a person saw. ``every_change``: a state that
        every change must pass.
        """
        if not self._only.search(name) or (self._every_change and not every_change):
            return
        began = time.monotonic()
        self.saw = ""
        problems: list[str] = []
        rows = 0
        try:
            problems += do() or []
            rows, found = self.compare()
            problems += found
        except Exception as error:
            problems.append(f"{type(error).__name__}: {error}")
        seconds = time.monotonic() - began
        self.outcomes.append(Outcome(name, rows, seconds, self.saw, problems))
        mark = "[red]DIFFERENT[/]" if problems else "[green]equal[/]"
        console.print(f"{mark}  {name}  ({rows:,} rows, {seconds:.0f} s)")
        for problem in problems:
            console.print(f"    {problem}", style="red", markup=False)

    def skip(self, name: str, why: str) -> None:
        """Leaves a state out, and says why, here and in the table."""
        if self._only.search(name) and not self._every_change:
            self.outcomes.append(Outcome(name, 0, 0, skipped=why))
            console.print(f"[yellow]SKIPPED[/]  {name}: {why}")

    def run(self, *days: date, refetch: bool = False, fails: str | None = None) -> list[Chain]:
        """Runs days at once, and records what the API served them.

        ``fails`` names the task that must fail; otherwise the chains must succeed.
        """
        for day in days:
            known = self.served.landings[day]
            if refetch or not known:
                self.served.record(day, max(known, default=0) + 1)
        chains = follow(self.api, [start(self.api, SALES, day, refetch=refetch) for day in days])
        for chain in chains:
            if fails is None and not chain.succeeded:
                raise AssertionError(f"{chain.day} failed: {chain.failure}")
            if fails is not None and (chain.failure or ("",))[0] != fails:
                raise AssertionError(f"{chain.day}: {fails} should have failed: {chain.failure}")
        return chains

    def compare(self) -> tuple[int, list[str]]:
        """Rows compared, and every difference between what is held and what must be."""
        must = expected(self.served.all())
        frames = {
            "lake sales.fact": ("fact", self.held.lake("sales.fact")),
            "warehouse sales.fact": ("fact", self.held.warehouse("sales.fact")),
            "lake sales.quarantine": ("quarantine", self.held.lake("sales.quarantine")),
        }
        frames |= {f"marts.{mart}": (mart, self.held.warehouse(f"marts.{mart}")) for mart in MARTS}
        problems = [
            f"{name}: {text}"
            for name, (table, frame) in frames.items()
            for text in difference(getattr(must, table), frame, KEYS[table])
        ]
        _, branches = self.held.fact_state()
        if branches:
            problems.append(f"branches were left on the fact: {branches}")
        ledger = self.held.ledger()
        if len({row[:3] for row in ledger}) != len(ledger):
            problems.append("the ledger has two rows for one day, landing and contract")
        return sum(len(frame) for _, frame in frames.values()), problems
