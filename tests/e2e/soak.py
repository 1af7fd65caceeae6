"""`make soak N=100 SEED=1`: random kills while days run, and then the fact of an undisturbed run.

A seeded stream of work (new days, days again, refetched days with a changed or withdrawn line, two
days at once) meets a seeded stream of kills (running tasks and the stack's services). At the end
every table must equal the independent computation, every event must stand for an agreement, and
every agreement must have had its event.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from functools import partial
from typing import TypeVar

import psutil

from feira_local.runs import PRODUCER, Chain, follow, start
from feira_local.stack import access
from feira_local.stack.errors import StackError
from matrix import Matrix, console, fresh_stack
from oracle import Landing
from verify_states import day

SERVICES = ("s3", "spark", "postgres", "shop", "airflow-scheduler", "airflow-api", "inbox")
# Of four kills three hit a task: services take longer to come back than tasks.
TASK_SHARE = 0.75
SECONDS_A_KILL = 30
Result = TypeVar("Result")


class Chaos(threading.Thread):
    """Kills ``kills`` random tasks and services, a few seconds apart, until it is told to end."""

    def __init__(self, m: Matrix, kills: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._m = m
        self._left = kills
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self.done: Counter[str] = Counter()

    @property
    def finished(self) -> bool:
        return self._left == 0

    def run(self) -> None:
        while self._left and not self._ended.wait(self._random.uniform(2, 8)):
            # While a service comes back there may be nobody to ask.
            with suppress(StackError, psutil.Error, ProcessLookupError, KeyError):
                self._kill()

    def _kill(self) -> None:
        if self._random.random() < TASK_SHARE:
            running = self._m.api.running()
            if not running:
                return
            name, pid = self._random.choice(sorted(running))
            os.kill(pid, signal.SIGKILL)
        else:
            name = self._random.choice(SERVICES)
            psutil.Process(access.require_running().supervisor.states()[name].pid).kill()
        self.done[name] += 1
        self._left -= 1

    def stop(self) -> None:
        """Ends it, kills or no kills left."""
        self._ended.set()
        self.join()


class Work:
    """The stream of work: what runs next is drawn from the seed."""

    def __init__(self, m: Matrix, seed: int) -> None:
        self._m = m
        self._random = random.Random(seed + 1)
        self._next = 1
        self.days: set[date] = set()

    def step(self) -> str:
        """One piece of work, to its end, good or bad; returns what it was."""
        known = sorted(self.days)
        kinds = ["new", "new", "two at once"] + (["again", "refetch"] if known else [])
        kind = self._random.choice(kinds)
        if kind == "new":
            self._run([self._new_day()])
        elif kind == "two at once":
            self._run([self._new_day(), self._new_day()])
        elif kind == "again":
            self._run([self._random.choice(known)])
        else:
            the_day = self._random.choice(known)
            self._change(the_day)
            self._run([the_day], refetch=True)
        return kind

    def _new_day(self) -> date:
        the_day = day(self._next)
        self._next += 1
        self.days.add(the_day)
        return the_day

    def _change(self, the_day: date) -> None:
        lines = [x for x in self._m.shop.lines(the_day) if isinstance(x.get("line_number"), int)]
        gone = self._random.choice(lines)
        if isinstance(gone.get("order_id"), str):
            self._m.shop.override(
                the_day,
                withdraw=[{name: gone[name] for name in ("order_id", "line_number")}],
            )

    def _run(self, days: list[date], *, refetch: bool = False) -> None:
        chains: list[Chain] = []
        for the_day in days:
            # Airflow may be on its way back.
            chains.append(_patiently(partial(start, self._m.api, the_day, refetch=refetch)))
        _patiently(partial(follow, self._m.api, chains, timeout=900))


def _patiently(call: Callable[[], Result]) -> Result:
    """Calls until it goes through, for two minutes."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return call()
        except (StackError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


def soak(m: Matrix, kills: int, seed: int) -> list[str]:
    """Works through the kills, then brings what failed for good to its end as an operator would."""
    work, chaos = Work(m, seed), Chaos(m, kills, seed)
    deadline = time.monotonic() + kills * SECONDS_A_KILL
    chaos.start()
    while not chaos.finished and time.monotonic() < deadline:
        kind = work.step()
        console.print(f"{sum(chaos.done.values()):>4} kills, {len(work.days)} days: {kind}")
    chaos.stop()
    agreed = {row[0] for row in m.held.ledger() if row[4] is not None}
    again = sorted(work.days - agreed)
    console.print(f"killed {dict(chaos.done)}; {len(again)} days are run again by hand")
    # A day whose refetch has failed for good holds its older landing until it is run again.
    for the_day in sorted(work.days):
        follow(m.api, [start(m.api, the_day)], timeout=900)
    for the_day in work.days:
        # What the API served when the day was landed last; it has been told other things since.
        version = max(row[1] for row in m.held.ledger() if row[0] == the_day)
        lines = m.held.landing(the_day, version)
        m.served.landings[the_day] = {
            version: Landing(str(the_day), version, lines, m.shop.rates(lines))
        }
    rows, problems = m.compare()
    events = m.api.event_days(PRODUCER)
    agreed = {str(row[0]) for row in m.held.ledger() if row[4] is not None}
    problems += [f"event without agreement: {each}" for each in sorted(events - agreed)]
    problems += [f"agreement without event: {each}" for each in sorted(agreed - events)]
    if not chaos.finished:
        problems.append(f"only {sum(chaos.done.values())} of {kills} kills in the time there is")
    console.print(f"{rows:,} rows compared, {len(events)} days with events, {len(agreed)} agreed")
    return problems


def main() -> int:
    """Starts a fresh stack and soaks it; 1 if anything was not as it must be."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--kills", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args()
    with fresh_stack(".feira-soak", lines=1500):
        problems = soak(Matrix(), asked.kills, asked.seed)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    console.print("0 passed, 1 failed" if problems else "1 passed, 0 failed", highlight=False)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
