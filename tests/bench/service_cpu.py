"""CPU of a running stack's services over time, so that what one task used can be told afterwards."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

from memory import cpu_seconds, repeatedly

INTERVAL_SECONDS = 0.25


class CpuOverTime:
    """Readings of each service's CPU, taken several times a second while ``sampling``; one costs milliseconds.

    :param supervisor: the process that all services descend from
    :param services: the name of each service, by the number of its first process
    """

    def __init__(self, supervisor: int, services: Mapping[int, str]) -> None:
        self._supervisor, self._services = psutil.Process(supervisor), services
        self._times: list[float] = []
        self._readings: list[dict[str, float]] = []

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Takes readings until the end of the block."""
        self.read()
        try:
            with repeatedly(self.read, INTERVAL_SECONDS):
                yield
        finally:
            self.read()

    def read(self) -> None:
        """Takes a reading: CPU of each service's processes so far, and of their children that have ended."""
        found: defaultdict[str, float] = defaultdict(float)
        owners = dict(self._services)
        # Parents come before their children.
        for process in self._supervisor.children(recursive=True):
            with suppress(psutil.Error), process.oneshot():
                owner = owners.get(process.pid) or owners.get(process.ppid(), "others")
                owners[process.pid] = owner
                found[owner] += cpu_seconds((process,))
        self._times.append(time.time())
        self._readings.append(found)

    def between(self, began: float, ended: float) -> dict[str, float]:
        """CPU seconds of each service from one moment to another, in seconds since 1970; between two readings it is
        taken to be even. What a task's process used in its last moments may be of the next reading."""
        before, after = self._at(began), self._at(ended)
        return {name: max(0.0, used - before.get(name, 0.0)) for name, used in after.items()}

    def _at(self, moment: float) -> dict[str, float]:
        place = bisect_left(self._times, moment)
        if place == 0 or place == len(self._times):
            return dict(self._readings[min(place, len(self._times) - 1)])
        first, last = self._readings[place - 1 : place + 1]
        began, ended = self._times[place - 1 : place + 1]
        share = (moment - began) / (ended - began)
        return {
            name: (1 - share) * first.get(name, 0.0) + share * used for name, used in last.items()
        }
