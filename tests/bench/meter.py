"""CPU of a step that a benchmark does in its own process and in a server, and the check of its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class WrongAnswerError(AssertionError):
    """A step said something else than the shop knows."""


@dataclass
class Meter:
    """CPU of this process, which does the client's part of each step, and of the server's processes.

    :param server: seconds of CPU that the server has used since some moment
    """

    server: Callable[[], float]

    @contextmanager
    def measured(
        self, into: dict[str, Any], step: str, without: dict[str, float]
    ) -> Iterator[None]:
        """Notes a step's CPU and seconds; what ``without`` then holds by these names is not the step's."""
        without |= dict.fromkeys(("client_cpu", "server_cpu", "seconds"), 0.0)
        began = self.now()
        yield
        into[step] = {
            name: round(ended - start - without[name], 4)
            for (name, start), ended in zip(began.items(), self.now().values(), strict=True)
        }

    def now(self) -> dict[str, float]:
        """Since some moment."""
        return {
            "client_cpu": time.process_time(),
            "server_cpu": self.server(),
            "seconds": time.perf_counter(),
        }


def require(day: int, what: str, found: object, expected: object) -> None:
    """Raises WrongAnswerError, with both, where a step of a day found something else than there is."""
    if found != expected:
        raise WrongAnswerError(f"day {day}: {what} is {found}, and the shop has {expected}")
