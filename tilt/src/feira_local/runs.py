"""Running the sales chain: a run of sales_etl, and the sales_summary that its event sets off."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import date

from feira_local.airflow_api import AirflowApi, DagRun, TaskState
from feira_local.stack.errors import StackError

PRODUCER = "sales_etl"
CONSUMER = "sales_summary"
# What comes after them tells people of the data, and is no part of it.
_LAST_OF_THE_DATA = "build_marts"
_POLL_SECONDS = 0.5


@dataclass
class Chain:
    """One day on its way: the producer's run, and the consumer's once its event has made one."""

    day: date
    producer: DagRun
    consumer: DagRun | None = None
    tasks: list[TaskState] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    failure: tuple[str, str] | None = None

    @property
    def finished(self) -> bool:
        """Whether the chain has come to its end, good or bad."""
        return self.producer.state == "failed" or (
            self.producer.finished and bool(self.consumer and self.consumer.finished)
        )

    @property
    def succeeded(self) -> bool:
        """Whether fact, warehouse and marts are up to date, told of or not."""
        return any(
            task.task_id == _LAST_OF_THE_DATA and task.state == "success" for task in self.tasks
        )


def start(api: AirflowApi, day: date, *, refetch: bool = False) -> Chain:
    """Triggers the day."""
    return Chain(day, api.trigger(PRODUCER, day.isoformat(), {"refetch": refetch}))


def join(api: AirflowApi, day: date, *, refetch: bool = False) -> Chain:
    """The day's run that is queued or running; where there is none, a new one.

    A run that takes what was landed does not do for ``refetch``.
    """
    for run, conf in api.unfinished(PRODUCER):
        if run.partition_key == day.isoformat() and (conf.get("refetch") is True or not refetch):
            return Chain(day, run)
    return start(api, day, refetch=refetch)


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
    chain.producer = api.run(PRODUCER, chain.producer.run_id)
    chain.tasks = api.tasks(chain.producer)
    # The event comes before the producer's end: staging is dropped beside what it sets off.
    if chain.consumer is None:
        caused = api.consumers(CONSUMER, chain.producer)
        chain.consumer = caused[0] if caused else None
    else:
        chain.consumer = api.run(CONSUMER, chain.consumer.run_id)
    if chain.consumer is not None:
        chain.tasks += api.tasks(chain.consumer)
    for run in (chain.producer, chain.consumer):
        if run is not None and run.state == "failed":
            chain.failure = api.failure(run)
