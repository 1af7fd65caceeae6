"""Running a chain: a producer's run of a partition, and all runs that its events set off, one after another."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date

from feira_local.stack.airflow_api import AirflowApi, AssetGraph, DagRun, TaskState
from feira_local.stack.errors import StackError

_POLL_SECONDS = 0.5
# Its scheduler looks at so many that wait, the oldest first, and at none after them
# (MAX_PARTITION_DAG_RUNS_PER_LOOP).
_AIRFLOWS_LIMIT = 500
_MOST_WAITING = 400


@dataclass
class Chain:
    """One day on its way: the producer's run, then those that events of the chain's own runs made."""

    day: date
    runs: list[DagRun]
    graph: AssetGraph
    states: dict[str, list[TaskState]] = field(default_factory=dict)
    """The tasks of each run, by DAG."""
    waits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """DAGs that have had an event of the chain and have no run, with the assets that the day lacks."""
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    failure: tuple[str, str] | None = None

    @property
    def producer(self) -> DagRun:
        """The run that was asked for."""
        return self.runs[0]

    @property
    def last(self) -> DagRun:
        return self.runs[-1]

    @property
    def tasks(self) -> list[TaskState]:
        """Of all runs, in their order."""
        return [task for run in self.runs for task in self.states.get(run.dag_id, [])]

    def of(self, task_id: str) -> DagRun:
        """The run that has the task."""
        return next(
            run
            for run in self.runs
            if any(task.task_id == task_id for task in self.states.get(run.dag_id, []))
        )

    @property
    def awaited(self) -> dict[str, DagRun]:
        """DAGs that events of the chain set off and whose runs are not there, with the emitter's."""
        known = {each.dag_id for each in self.runs} | self.waits.keys()
        return {
            dag_id: run
            for run in self.runs
            for task in self.states.get(run.dag_id, [])
            if task.state == "success"
            for dag_id in self.graph.set_off(run.dag_id, task.task_id)
            if dag_id not in known
        }

    @property
    def finished(self) -> bool:
        """Whether the chain has come to its end, good or bad."""
        return all(run.finished for run in self.runs) and not self.awaited

    @property
    def succeeded(self) -> bool:
        """Whether all data of the chain is up to date: every event is out. Notices may have failed."""
        return not self.awaited and all(self._complete(run) for run in self.runs)

    def _complete(self, run: DagRun) -> bool:
        emitters = self.graph.emitters(run.dag_id)
        if not emitters:
            return run.state == "success"
        states = {task.task_id: task.state for task in self.states.get(run.dag_id, [])}
        return all(states.get(task_id) == "success" for task_id in emitters)


def start(api: AirflowApi, producer: str, day: date, *, refetch: bool = False) -> Chain:
    """Triggers the day of a DAG that starts a chain.

    :raises StackError: where so many partitions wait for another asset that no DAG would hear of the day
    """
    _require_room(api, day)
    graph = api.asset_graph()
    return Chain(day, [api.trigger(producer, day.isoformat(), {"refetch": refetch})], graph)


def _require_room(api: AirflowApi, day: date) -> None:
    waiting = {
        dag_id: keys for dag_id, keys in api.waiting().items() if day.isoformat() not in keys
    }
    if sum(map(len, waiting.values())) < _MOST_WAITING:
        return
    # One that is paused takes no more of them.
    heard = [dag_id for dag_id in waiting if not api.is_paused(dag_id)]
    if heard:
        named = "; ".join(
            f"{dag_id} has {len(waiting[dag_id])} that wait, {waiting[dag_id][0]} to {waiting[dag_id][-1]}"
            for dag_id in heard
        )
        raise StackError(
            f"{day} is not begun: Airflow keeps partitions that have had some of a DAG's assets and not "
            f"all, and with {_AIRFLOWS_LIMIT} of them no DAG hears of a partition any more. {named} (limit "
            f"{_MOST_WAITING}). Run what they wait for, as in `feira backfill user_events A..B`, or pause "
            f"the DAG: {api.base}/dags/{heard[0]}"
        )


def join(api: AirflowApi, producer: str, day: date, *, refetch: bool = False) -> Chain:
    """The day's run that is queued or running; where there is none, a new one.

    A run that takes what was landed does not do for ``refetch``.
    """
    for run, conf in api.unfinished(producer):
        if run.partition_key == day.isoformat() and (conf.get("refetch") is True or not refetch):
            return Chain(day, [run], api.asset_graph())
    return start(api, producer, day, refetch=refetch)


def refresh_all(api: AirflowApi, chains: list[Chain]) -> None:
    """Brings chains that have not ended up to date, after a short wait."""
    time.sleep(_POLL_SECONDS)
    for chain in chains:
        if not chain.finished:
            _refresh(api, chain)
            chain.seconds = time.monotonic() - chain.began


def follow(api: AirflowApi, chains: list[Chain], *, timeout: float = 600) -> list[Chain]:
    """Waits until every chain has ended; raises StackError when that takes over ``timeout`` seconds."""
    began = time.monotonic()
    while not all(chain.finished for chain in chains):
        refresh_all(api, chains)
        if time.monotonic() - began > timeout:
            waiting = ", ".join(str(chain.day) for chain in chains if not chain.finished)
            raise StackError(
                f"Not finished after {timeout:.0f} s: {waiting}. The runs go on; see {api.base}."
            )
    return chains


def _refresh(api: AirflowApi, chain: Chain) -> None:
    for number, run in enumerate(chain.runs):
        # What has ended stays as it was; its tasks are known.
        if not run.finished or run.dag_id not in chain.states:
            chain.runs[number] = api.run(run.dag_id, run.run_id)
            chain.states[run.dag_id] = api.tasks(run)
    # An event comes before its run's end: staging is dropped beside what it sets off.
    chain.waits = {}
    for dag_id, source in chain.awaited.items():
        if made := api.consumers(dag_id, source):
            chain.runs.append(made[0])
            chain.states[dag_id] = api.tasks(made[0])
        elif missing := api.missing(dag_id, str(chain.day)):
            chain.waits[dag_id] = missing
    for run in chain.runs:
        if run.state == "failed":
            chain.failure = api.failure(run)
    if chain.finished:
        # On a first start Airflow may have read the producer's file before a listener's.
        chain.graph = api.asset_graph()
