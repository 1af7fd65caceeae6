"""Layers over a day source, each a day source itself: overrides, late updates, extra fields."""

from __future__ import annotations

import datetime as dt
import threading
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from feira_local.shop.faults import Asked, LateUpdates
from feira_local.shop.source import DaySource, Line
from feira_local.shop.switches import ExtraFields, FaultSwitches, Key, Override, Overrides, line_key

SCAN_LINES = 5000
CHANNELS = ("web", "shop", "app")


class Layer:
    """A source over another one; it has the same days."""

    def __init__(self, below: DaySource) -> None:
        self.below = below

    @property
    def first_day(self) -> dt.date:
        return self.below.first_day

    @property
    def last_day(self) -> dt.date:
        return self.below.last_day


@dataclass
class Effect:
    """Where an override meets the lines of its day, by position in the source below."""

    override: Override
    withdrawn: list[int] = field(default_factory=list)
    replaced: dict[int, Line] = field(default_factory=dict)
    not_held: list[Key] = field(default_factory=list)
    total_below: int = 0

    @property
    def kept(self) -> int:
        """How many lines of the source below still show."""
        return 0 if self.override.empty else self.total_below - len(self.withdrawn)


class OverriddenDays(Layer):
    """The source with its overrides. The first look at an overridden day reads all of it."""

    def __init__(self, below: DaySource, overrides: Overrides) -> None:
        super().__init__(below)
        self._overrides = overrides
        self._effects: dict[dt.date, Effect] = {}
        self._lock = threading.Lock()

    def total(self, day: dt.date) -> int:
        effect = self.effect(day)
        return effect.kept + len(effect.override.add) if effect else self.below.total(day)

    def lines(self, day: dt.date, offset: int, limit: int) -> list[Line]:
        """The source's lines without the withdrawn ones, then the added ones."""
        effect = self.effect(day)
        if effect is None:
            return self.below.lines(day, offset, limit)
        kept = effect.kept
        page = self._kept_lines(day, effect, offset, min(offset + limit, kept))
        added = max(offset - kept, 0)
        return page + effect.override.add[added : added + limit - len(page)]

    def effect(self, day: dt.date) -> Effect | None:
        """Where the day's override meets its lines; None where it has none."""
        override = self._overrides.get(day)
        if override is None:
            return None
        with self._lock:
            effect = self._effects.get(day)
            if effect is None or effect.override is not override:
                effect = self._effects[day] = self._scan(day, override)
        return effect

    def _kept_lines(self, day: dt.date, effect: Effect, start: int, end: int) -> list[Line]:
        if start >= end:
            return []
        gone = effect.withdrawn
        # Positions below: a line shown at n stands behind every gone line with gone[i] - i <= n.
        shifts = [position - nth for nth, position in enumerate(gone)]
        first, last = (at + bisect_right(shifts, at) for at in (start, end - 1))
        skipped = set(gone)
        return [
            effect.replaced.get(at, line)
            for at, line in enumerate(self.below.lines(day, first, last + 1 - first), start=first)
            if at not in skipped
        ]

    def _scan(self, day: dt.date, override: Override) -> Effect:
        withdrawn, replaced = override.withdrawn, override.replaced
        effect = Effect(override, total_below=self.below.total(day))
        if override.empty or not (withdrawn or replaced):
            return effect
        met: set[Key] = set()
        for at, line in self._all_lines(day):
            key = line_key(line)
            # True == 1 in Python, but not in JSON.
            if type(key[0]) is not str or type(key[1]) is not int:
                continue
            if key in withdrawn:
                effect.withdrawn.append(at)
            elif key in replaced:
                effect.replaced[at] = replaced[key]
            else:
                continue
            met.add(key)
        effect.not_held = sorted((withdrawn | replaced.keys()) - met)
        return effect

    def _all_lines(self, day: dt.date) -> Iterator[tuple[int, Line]]:
        for start in range(0, self.below.total(day), SCAN_LINES):
            yield from enumerate(self.below.lines(day, start, SCAN_LINES), start=start)


class LateUpdatedDays(Layer):
    """The source with lines of an earlier day at the end, while `late_updates` is on."""

    def __init__(self, below: DaySource, switches: FaultSwitches) -> None:
        super().__init__(below)
        self._switches = switches

    def total(self, day: dt.date) -> int:
        return self.below.total(day) + len(self._late(day))

    def lines(self, day: dt.date, offset: int, limit: int) -> list[Line]:
        """The source's lines, then the late ones."""
        page = self.below.lines(day, offset, limit)
        if len(page) == limit:
            return page
        at = max(offset - self.below.total(day), 0)
        return page + self._late(day)[at : at + limit - len(page)]

    def _late(self, day: dt.date) -> list[Line]:
        asked = Asked("sales", first_day=day, last_day=day)
        fault = self._switches.active("late_updates", LateUpdates, asked)
        if fault is None:
            return []
        earlier = day - dt.timedelta(days=fault.days_back)
        while earlier >= self.first_day:
            lines = self.below.lines(earlier, 0, fault.lines)
            if lines:
                return [_late_version(line, day, fault) for line in lines]
            earlier -= dt.timedelta(days=1)
        return []


class ExtraFieldDays(Layer):
    """The source with the additional fields that are on."""

    def __init__(self, below: DaySource, extra: ExtraFields) -> None:
        super().__init__(below)
        self._extra = extra

    def total(self, day: dt.date) -> int:
        return self.below.total(day)

    def lines(self, day: dt.date, offset: int, limit: int) -> list[Line]:
        """The source's lines; ``channel`` goes by order, unless a line brings its own."""
        page = self.below.lines(day, offset, limit)
        if "channel" not in self._extra.on:
            return page
        return [{"channel": _channel(line), **line} for line in page]


def _late_version(line: Line, day: dt.date, fault: LateUpdates) -> Line:
    late = {**line, "updated_at": f"{day}T23:59:30Z"}
    if fault.status is not None:
        late["status"] = fault.status
    elif type(line.get("quantity")) is int:
        late["quantity"] = line["quantity"] + (1 if line["quantity"] > 0 else -1)
    return late


def _channel(line: Line) -> str:
    return CHANNELS[zlib.crc32(str(line.get("order_id")).encode()) % len(CHANNELS)]
