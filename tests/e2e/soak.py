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
from typing import Any, TypeVar

import psutil
import psycopg

from feira_local.stack import access
from feira_local.stack.chains import Chain, follow, start
from feira_local.stack.errors import StackError
from matrix import SALES, Matrix, console, fresh_stack
from oracle import Landing
from verify_states import day

SERVICES = ("s3", "spark", "postgres", "shop", "airflow-scheduler", "airflow-api", "inbox")
# Of four kills three hit a task: services take longer to come back than tasks.
TASK_SHARE = 0.75
SECONDS_A_KILL = 30
# The shop's last trading day; afterwards known days are run again.
LAST_DAY = 50
Line = dict[str, Any]
Result = TypeVar("Result")


class Chaos(threading.Thread):
    """Kills ``kills`` random tasks and services, a few seconds apart, until it is stopped."""

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
        # What the shop has served of each day, as often as that was changed.
        self.served: dict[date, list[list[Line]]] = {}
        self.chains: list[Chain] = []

    def step(self) -> str:
        """One piece of work, to its end, good or bad; returns what it was."""
        known = sorted(self.served)
        kinds = ["again", "refetch"] if known else []
        if self._next < LAST_DAY:
            kinds += ["new", "new", "two at once"]
        kind = self._random.choice(kinds)
        if kind == "new":
            self.run([self._new_day()])
        elif kind == "two at once":
            self.run([self._new_day(), self._new_day()])
        elif kind == "again":
            self.run([self._random.choice(known)])
        else:
            the_day = self._random.choice(known)
            _patiently(partial(self._change, the_day))
            self._remember(the_day)
            self.run([the_day], refetch=True)
        return kind

    def run(self, days: list[date], *, refetch: bool = False) -> None:
        """Runs days to their end, good or bad."""
        # Airflow may be on its way back.
        chains = [_patiently(partial(start, self._m.api, SALES, d, refetch=refetch)) for d in days]
        self.chains += chains
        _patiently(partial(follow, self._m.api, chains, timeout=900))

    def last(self) -> dict[date, Chain]:
        """Each day's last chain."""
        return {chain.day: chain for chain in self.chains}

    def _new_day(self) -> date:
        the_day = day(self._next)
        self._next += 1
        self._remember(the_day)
        return the_day

    def _remember(self, the_day: date) -> None:
        lines = _patiently(partial(self._m.shop.lines, the_day))
        self.served.setdefault(the_day, []).append(lines)

    def _change(self, the_day: date) -> None:
        """Has the shop change one line of the day and withdraw another; both may be broken ones."""
        lines = [
            x
            for x in self._m.shop.lines(the_day)
            if isinstance(x.get("line_number"), int) and isinstance(x.get("order_id"), str)
        ]
        gone, changed = self._random.sample(lines, 2)
        self._m.shop.override(
            the_day,
            withdraw=[{name: gone[name] for name in ("order_id", "line_number")}],
            replace=[changed | {"description": f"changed {self._random.randint(1, 10**6)}"}],
        )


def _patiently(call: Callable[[], Result]) -> Result:
    """Calls until it goes through, for two minutes: a service may be on its way back."""
    deadline = time.monotonic() + 120
    while True:
        try:
            return call()
        except (StackError, OSError, psycopg.Error):
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
        console.print(f"{sum(chaos.done.values()):>4} kills, {len(work.served)} days: {kind}")
    chaos.stop()
    problems = _patiently(partial(_events_and_agreements, m, work))
    # A refetch that failed for good may have left a landing that nobody has published.
    again = [the_day for the_day, chain in sorted(work.last().items()) if not chain.succeeded]
    console.print(f"killed {dict(chaos.done)}; {len(again)} days are run again by hand")
    for the_day in again:
        work.run([the_day])
    problems += [f"{d} failed undisturbed" for d in again if not work.last()[d].succeeded]
    problems += _unmatched(m)
    problems += _recognise_landings(m, work)
    rows, different = m.compare()
    problems += different
    if not chaos.finished:
        problems.append(f"only {sum(chaos.done.values())} of {kills} kills in the time there is")
    console.print(f"{rows:,} rows compared, {len(work.chains)} runs of {len(work.served)} days")
    return problems


def _events_and_agreements(m: Matrix, work: Work) -> list[str]:
    """What is wrong between the runs that were disturbed, their events, and the ledger.

    A run that failed for good in ``emit`` has agreed and emitted nothing: its own failure was notified.
    """
    problems, agreed_days, event_days = [], set(), set()
    for chain in work.chains:
        states = {task.task_id: task.state for task in m.api.tasks(chain.producer)}
        agreed, events = states["reconcile"] == "success", m.api.events(chain.producer)
        name = f"{chain.day} {chain.producer.run_id}"
        if events and not agreed:
            problems.append(f"event without agreement: {name}")
        if states["emit"] == "success" and not events:
            problems.append(f"agreement without event: {name}")
        if states["emit"] == "failed":
            console.print(f"failed for good between agreement and event: {name}")
        if agreed:
            agreed_days.add(str(chain.day))
        if events:
            event_days.add(str(chain.day))
    ledger = _agreed(m)
    problems += [f"{d}: an event, and the ledger knows no agreement" for d in event_days - ledger]
    problems += [f"{d}: the ledger agrees, and no run did" for d in ledger - agreed_days]
    if m.api.event_days(SALES) != event_days:
        problems.append("events of runs that nobody started")
    console.print(f"{len(event_days)} days with events, {len(ledger)} agreed")
    return problems


def _agreed(m: Matrix) -> set[str]:
    """Days whose load was found equal to the lake, by the ledger."""
    return {str(row[0]) for row in m.held.ledger() if row[4] is not None}


def _unmatched(m: Matrix) -> list[str]:
    """Days that agree without an event, or the reverse, once nothing is left to be run again."""
    agreed, emitted = _agreed(m), m.api.event_days(SALES)
    return [f"{d}: agreed, and no event" for d in sorted(agreed - emitted)] + [
        f"{d}: an event, and not agreed" for d in sorted(emitted - agreed)
    ]


def _recognise_landings(m: Matrix, work: Work) -> list[str]:
    """Takes each day's newest landing for what the shop served, which it must have, line for line."""
    problems = []
    for the_day, states in work.served.items():
        version = max(row[1] for row in m.held.ledger() if row[0] == the_day)
        landed = m.held.landing(the_day, version)
        served = next((lines for lines in reversed(states) if lines == landed), None)
        if served is None:
            problems.append(f"{the_day}: landing {version} is nothing that the shop has served")
            continue
        m.served.landings[the_day] = {
            version: Landing(str(the_day), version, served, m.shop.rates(served))
        }
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
