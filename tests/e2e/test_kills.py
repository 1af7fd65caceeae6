"""Which processes are killed: those of the first tries that are planned, each once, whatever their tasks are named."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from feira_local.stack.airflow_api import DagRun
from kills import Killer
from until import until

EVENTS, LISTS = (DagRun(dag, "r", "running", "2010-12-01") for dag in ("user_events", "lists"))


class Running:
    """Tasks that run now, by DAG: each is a process that would last a minute."""

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[str, int, subprocess.Popen[bytes]]]] = {}

    def begin(self, run: DagRun, task: str, try_number: int = 1) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["sleep", "60"])
        self.of.setdefault(run.dag_id, []).append((task, try_number, process))
        return process

    def processes(self, run: DagRun) -> list[tuple[str, int, int]]:
        return [
            (task, number, process.pid)
            for task, number, process in self.of.get(run.dag_id, [])
            if process.poll() is None
        ]


@pytest.fixture
def running() -> Iterator[Running]:
    found = Running()
    yield found
    for _, _, process in (each for of in found.of.values() for each in of):
        process.kill()
        process.wait()


def test_two_dags_tasks_of_one_name_are_both_killed(running: Running) -> None:
    plan: dict[tuple[str, str], Any] = dict.fromkeys([("user_events", "emit"), ("lists", "emit")])
    chain: Any = SimpleNamespace(runs=[EVENTS, LISTS])
    api: Any = running
    killer = Killer(api, chain, plan)
    killer.start()
    try:
        first, again = running.begin(EVENTS, "emit"), running.begin(EVENTS, "emit", 2)
        other = running.begin(EVENTS, "ingest")
        assert first.wait(10) == -signal.SIGKILL
        until(lambda: killer.done == [("user_events", "emit")], 10, poll=0.01)
        second = running.begin(LISTS, "emit")
        assert second.wait(10) == -signal.SIGKILL
        killer.join(10)
        assert not killer.is_alive()
    finally:
        killer.stop()
    assert killer.done == [("user_events", "emit"), ("lists", "emit")]
    assert other.poll() is None and again.poll() is None
