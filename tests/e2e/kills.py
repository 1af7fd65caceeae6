"""Killing a task's process at a chosen moment, as the kernel's out-of-memory killer would."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping

import psutil

from feira_local.stack.chains import Chain
from watched_airflow import WatchedAirflow

_POLL_SECONDS = 0.02
# Whether it is now; None: as soon as the task runs.
Moment = Callable[[], bool] | None
# DAG and task: two DAGs may have a task of the same name.
Task = tuple[str, str]


class Killer(threading.Thread):
    """Kills the process of the first try of each planned task of a chain once its moment has come.

    ``done`` lists what was killed; a task that was over before its moment came is not in it.
    """

    def __init__(
        self,
        api: WatchedAirflow,
        chain: Chain,
        plan: Mapping[Task, Moment],
    ) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._chain = chain
        self._plan = dict(plan)
        self._ended = threading.Event()
        self.done: list[Task] = []

    def run(self) -> None:
        while self._plan and not self._ended.is_set():
            # The consumer's run joins once the event has made it; whoever follows the chain says so.
            runs = list(self._chain.runs)
            running = [(run.dag_id, *each) for run in runs for each in self._api.processes(run)]
            for dag_id, task_id, try_number, pid in running:
                task = dag_id, task_id
                if try_number != 1 or task not in self._plan:
                    continue
                moment = self._plan[task]
                if moment is None or self._comes(moment, pid):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                    self.done.append(task)
                    del self._plan[task]
            time.sleep(_POLL_SECONDS)

    def _comes(self, moment: Callable[[], bool], pid: int) -> bool:
        """Whether the moment comes while the process lives.

        Nothing else is asked meanwhile: between the commit and the end of a load Airflow would
        answer once at most.
        """
        while psutil.pid_exists(pid) and not self._ended.is_set():
            if moment():
                return True
            time.sleep(_POLL_SECONDS / 4)
        return False

    def stop(self) -> None:
        """Ends the watch."""
        self._ended.set()
        self.join()
