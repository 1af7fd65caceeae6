"""A process that stands still, and is known to."""

from __future__ import annotations

import signal
import time

import psutil


def stand_still(pid: int) -> None:
    """Stops a process until SIGCONT; once this returns, it takes no further signal and answers nothing.

    A process that waits for a core still has the signal before it, and of two that wait the kernel
    delivers the lower number first: a SIGTERM that is sent right after would come before the SIGSTOP.

    Raises TimeoutError after a minute.
    """
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 60
    while process.status() != psutil.STATUS_STOPPED:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} does not stop")
        time.sleep(0.002)
