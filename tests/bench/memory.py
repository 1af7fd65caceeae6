"""Peak memory of groups of processes, by sampling their proportional set size (PSS); and their CPU."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil

INTERVAL_SECONDS = 0.2
# To read the PSS of 2 GiB takes 25 ms; five times a second that was a sixteenth of two cores.
_CORE_SHARE = 1 / 50
MEBIBYTE = 2**20


class MemorySampler:
    """Samples named groups until it is closed; ``peaks`` answers and begins anew.

    A group is a function that returns its processes now, so that children that come later count.
    PSS shares what processes share, so groups may be added up; it costs up to a fiftieth of a core.
    """

    def __init__(self) -> None:
        self._groups: dict[str, Callable[[], Iterable[psutil.Process]]] = {}
        self._peaks: dict[str, int] = {}
        self._lock = threading.Lock()
        self._sampling = ExitStack()
        self._sampling.enter_context(repeatedly(self._sample, INTERVAL_SECONDS, _CORE_SHARE))

    def watch(self, name: str, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        """Begins to sample a group, in the place of one of that name."""
        with self._lock:
            self._groups[name] = processes

    def forget(self, name: str) -> None:
        """Samples a group no more."""
        with self._lock:
            self._groups.pop(name, None)

    def peaks(self) -> dict[str, float]:
        """Each group's greatest sum since the last call, in MiB."""
        self._sample()
        with self._lock:
            found, self._peaks = self._peaks, {}
        return {name: round(value / MEBIBYTE, 1) for name, value in found.items()}

    def cpu_seconds(self) -> dict[str, float]:
        """CPU that each group's processes have used so far, in user and kernel mode."""
        with self._lock:
            groups = dict(self._groups)
        return {name: cpu_seconds(processes()) for name, processes in groups.items()}

    def close(self) -> None:
        """Ends the sampling."""
        self._sampling.close()

    def _sample(self) -> None:
        with self._lock:
            groups = dict(self._groups)
        for name, processes in groups.items():
            total = sum(pss(process) for process in processes())
            with self._lock:
                self._peaks[name] = max(self._peaks.get(name, 0), total)


@contextmanager
def repeatedly(
    look: Callable[[], object], seconds: float, core_share: float = 1.0
) -> Iterator[None]:
    """Inside, ``look`` is called every so many seconds, in a thread; less often where it would else take more
    than that share of a core."""
    ended = threading.Event()

    def on() -> None:
        pause = seconds
        while not ended.wait(pause):
            began = time.thread_time()
            look()
            pause = max(seconds, (time.thread_time() - began) / core_share)

    thread = threading.Thread(target=on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def tree(pid: int) -> Callable[[], list[psutil.Process]]:
    """A process and all its descendants, as they are when asked."""

    def now() -> list[psutil.Process]:
        with suppress(psutil.Error):
            root = psutil.Process(pid)
            return [root, *root.children(recursive=True)]
        return []

    return now


def pss(process: psutil.Process) -> int:
    """Its proportional set size in bytes; 0 where it has ended."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return 0


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        # Of children that have ended too: PostgreSQL gives each connection a process.
        return float(times.user + times.system + times.children_user + times.children_system)
    except psutil.Error:
        return 0.0


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU that these processes, and their children that have ended, have used so far."""
    return sum(_cpu(process) for process in processes)


def load_average() -> float:
    """Runnable processes of the whole machine over the last minute."""
    return psutil.getloadavg()[0]


def stopwatch() -> Callable[[], float]:
    """A function that returns the seconds since this call."""
    began = time.perf_counter()
    return lambda: time.perf_counter() - began
