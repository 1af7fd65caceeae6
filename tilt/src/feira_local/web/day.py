"""A day's messages in the order of their sending, batch by batch, from the seed and the day alone."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from feira_local.web import disorder, sessions, wire
from feira_local.web.settings import WebSettings
from feira_local.web.wire import Messages


@dataclass(frozen=True)
class Batch:
    """Messages to send, and how many are of which kind; a message may be of several."""

    messages: Messages
    counts: Counter[str]
    done: float
    """Share of the day's visits that are over with this batch."""


def batches(settings: WebSettings, day: dt.date) -> Iterator[Batch]:
    """The day's messages, and in the middle of them those of the day before that come late.

    Those of the day itself that are late are sent with the next.
    """
    blocks = _blocks(settings, day)
    for number in range(blocks):
        if number == blocks // 2:
            yield from _of_the_day_before(settings, day, number / blocks)
        found = _block(settings, day, number)
        key = [settings.taste.seed, day.toordinal(), number, 14]
        sent, counts = disorder.disordered(
            found, settings.disorder, np.random.Generator(np.random.PCG64(key))
        )
        counts["event"] = len(found.values)
        yield Batch(sent, counts, (number + 1) / blocks)


def _of_the_day_before(settings: WebSettings, day: dt.date, done: float) -> Iterator[Batch]:
    before = day - dt.timedelta(days=1)
    on_time, late = _split(settings, before)
    if late:
        found = _late(settings, before)
        yield Batch(found, Counter(event=len(found.values), late=len(found.values)), done)
    left = count = round(settings.events * settings.disorder.redated)
    if not count:
        return
    blocks = _blocks(settings, before)
    # Each that is drawn again stands for some before it: of every hour, and for no more than it has messages for.
    step = max(1, min(blocks // 24, int(0.4 / settings.disorder.redated)))
    # The last is shorter, and so comes first: what it lacks, others have.
    for number in range(blocks - 1, -1, -step):
        first = max(0, number - step + 1)
        wanted = left - round(count * first * sessions.SESSIONS / on_time)
        if wanted <= 0:
            continue
        found = disorder.redated(_block(settings, before, number), wanted)
        left -= len(found.values)
        yield Batch(found, Counter(redated=len(found.values)), done)


def _split(settings: WebSettings, day: dt.date) -> tuple[int, int]:
    """How many sessions of the day are sent on it, and how many with the next."""
    count = sessions.session_count(settings, day)
    late = round(count * settings.disorder.late)
    return count - late, late


def _blocks(settings: WebSettings, day: dt.date) -> int:
    on_time, _ = _split(settings, day)
    return -(-on_time // sessions.SESSIONS)


def _block(settings: WebSettings, day: dt.date, number: int) -> Messages:
    on_time, _ = _split(settings, day)
    first, end = number * sessions.SESSIONS, min((number + 1) * sessions.SESSIONS, on_time)
    stretch = (first / on_time, end / on_time)
    drawn = sessions.draw(settings, day, number, end - first, stretch)
    return wire.messages(settings, day, number, *drawn)


def _late(settings: WebSettings, day: dt.date) -> Messages:
    _, late = _split(settings, day)
    number = _blocks(settings, day)
    drawn = sessions.draw(settings, day, number, late, (0.0, 1.0))
    return wire.messages(settings, day, number, *drawn)
