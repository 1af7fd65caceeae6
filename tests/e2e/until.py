"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(moment: Callable[[], object], seconds: float = 60, poll: float = 0.02) -> None:
    """Asks until the moment has come; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not moment():
        assert time.monotonic() < deadline, f"it did not come within {seconds:.0f} s"
        time.sleep(poll)
