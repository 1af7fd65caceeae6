"""Whole runs of the DAGs of this checkout in the tests' own process: ``dag.test()`` with a day."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from unittest import mock


@dataclass(frozen=True)
class Run:
    """What became of a run: its state, each task's state and number of tries, and the days of the
    events that it emitted, by asset."""

    run_id: str
    state: str
    tasks: dict[str, tuple[str | None, int]]
    events: dict[str, list[str | None]]

    def failed(self) -> list[str]:
        """The tasks that failed themselves."""
        return sorted(name for name, (state, _) in self.tasks.items() if state == "failed")


def run_dag(dag: Any, day: date | str | None, **params: Any) -> Run:
    """A run of the DAG for the day, all tasks in this process.

    ``dag.test()`` gives a run no partition key, so it is set where the run is made; and it looks up
    deadlines that only a DAG processor has stored, so they are left out. Of the DAG's folder, which it
    would parse before each run, it stores the DAG alone. Tries follow each other without delay, and so do the
    rounds in which nothing is left to run, a second each otherwise.
    """
    from airflow.dag_processing import dagbag
    from airflow.models import dagrun
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    made = dagrun.get_or_create_dagrun

    def keyed(**known: Any) -> Any:
        run = made(**known)
        run.partition_key = str(day) if day is not None else None
        known["session"].commit()
        return run

    alone = dagbag.DagBag(collect_dags=False)
    alone.dags = {dag.dag_id: dag}
    with ExitStack() as patched:
        patched.enter_context(mock.patch.object(dagbag, "BundleDagBag", return_value=alone))
        patched.enter_context(mock.patch.object(dagrun, "get_or_create_dagrun", keyed))
        patched.enter_context(mock.patch.object(dag, "deadline", None))
        patched.enter_context(mock.patch.object(time, "sleep", _without_rounds(time.sleep)))
        for task in dag.tasks:
            patched.enter_context(mock.patch.object(task, "retry_delay", timedelta(0)))
            patched.enter_context(mock.patch.object(task, "retry_exponential_backoff", 0))
        run = dag.test(run_conf=params or None)
    tasks = {
        ti.task_id: (ti.state and str(ti.state), ti.try_number) for ti in run.get_task_instances()
    }
    assert tasks, f"the run of {dag.dag_id} had no task"
    with create_session() as session:
        emitted = session.execute(
            select(AssetModel.name, AssetEvent.partition_key)
            .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
            .where(AssetEvent.source_run_id == run.run_id, AssetEvent.source_dag_id == dag.dag_id)
        )
        events: dict[str, list[str | None]] = {}
        for name, key in emitted:
            events.setdefault(name, []).append(key)
    return Run(run.run_id, str(run.state), tasks, events)


def _without_rounds(sleep: Callable[[float], None]) -> Callable[[float], None]:
    """``sleep``, but for ``dag.test()`` itself, which imports it where it calls it."""

    def slept(seconds: float) -> None:
        if sys._getframe(1).f_globals["__name__"] != "airflow.sdk.definitions.dag":
            sleep(seconds)

    return slept
