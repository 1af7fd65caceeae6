"""Killing a task's process at a chosen moment, as the kernel's out-of-memory killer would."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from feira_local.airflow_api import AirflowApi, DagRun

_POLL_SECONDS = 0.02
# Whether it is now; None: as soon as the task runs.
Moment = Callable[[], bool] | None


class Killer(threading.Thread):
    """Kills the process of each planned (task, try) once its moment has come.

    ``done`` lists what was killed; a task that was over before its moment came is not in it.
    """

    def __init__(
        self,
        api: AirflowApi,
        run: DagRun,
        plan: dict[tuple[str, int], Moment],
    ) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._run = run
        self._plan = dict(plan)
        self._ended = threading.Event()
        self.done: list[tuple[str, int]] = []

    def run(self) -> None:
        while self._plan and not self._ended.is_set():
            for task_id, try_number, pid in self._api.processes(self._run):
                moment = self._plan.get((task_id, try_number), _never)
                if moment is None or moment():
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue
                    self.done.append((task_id, try_number))
                    del self._plan[task_id, try_number]
            time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """Ends the watch."""
        self._ended.set()
        self.join()


def _never() -> bool:
    return False
