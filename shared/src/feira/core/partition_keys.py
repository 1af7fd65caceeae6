"""Partition keys as text: how a kind of key is written, read, and refused where it is written otherwise.

A key is compared as text by Airflow: ``2010-12-1`` and ``2010-12-01`` are two partitions. So each
kind has one spelling, and no other is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_FIRST = datetime.min.replace(tzinfo=UTC)


class PartitionKeyError(ValueError):
    """A text is no key of its kind; the message names it and shows one that is."""


@dataclass(frozen=True)
class KeyFormat:
    """A kind of key: the UTC time at which its period begins, written by ``pattern`` (strftime).

    Periods follow one another from midnight on, and a day is a whole number of them.
    """

    kind: str
    pattern: str
    example: str
    period: timedelta = timedelta(days=1)

    def parse(self, text: str) -> datetime:
        """When the key's period begins, in UTC.

        :raises PartitionKeyError: where the text is not as ``key`` writes it
        """
        try:
            found = datetime.strptime(text, self.pattern).replace(tzinfo=UTC)
        except ValueError:
            found = None
        if found is None or self.key(found) != text:
            shown = text if len(text) <= 40 else f"{text[:40]}…"
            raise PartitionKeyError(f"{shown!r} is not a {self.kind}; write it as {self.example}.")
        return found

    def key(self, moment: datetime) -> str:
        """The key of the period that ``moment`` is in, in UTC."""
        utc = moment.astimezone(UTC)
        utc -= (utc - _FIRST) % self.period
        # strftime writes the year 999 with three digits on Linux.
        return utc.strftime(self.pattern.replace("%Y", f"{utc.year:04d}"))


DAY = KeyFormat("day", "%Y-%m-%d", "2010-12-01")


def day_named(name: str) -> date | None:
    """The day that a file or folder is named by; None where it is named otherwise, as by 30 February."""
    try:
        return day_of(name)
    except PartitionKeyError:
        return None


def day_of(text: str) -> date:
    """The day that a key names; raises PartitionKeyError."""
    return DAY.parse(text).date()
