"""What the API asks of a day source, and the days that are finished."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Protocol

# One order line as the API shows it. Pages share lines: copy one before changing it.
Line = dict[str, Any]
Clock = Callable[[], dt.date]


class SourceError(ValueError):
    """A source or state cannot be used; the message names the thing, its value, the next step."""


class DaySource(Protocol):
    """Order lines by the UTC day of their ``updated_at``, in a fixed order, at any offset."""

    @property
    def first_day(self) -> dt.date:
        """The first day with data."""
        ...

    @property
    def last_day(self) -> dt.date:
        """The last finished day with data; it may move on while the service runs."""
        ...

    def total(self, day: dt.date) -> int:
        """How many lines the day holds; 0 on a closed day."""
        ...

    def lines(self, day: dt.date, offset: int, limit: int) -> list[Line]:
        """Up to ``limit`` lines from ``offset`` on; fewer only at the end of the day."""
        ...


def utc_today() -> dt.date:
    """Today in UTC: the first day that is not finished."""
    return dt.datetime.now(dt.UTC).date()
