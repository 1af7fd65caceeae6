"""The seeded source: days of any size, any page of them made without the others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from feira_local.shop.blocks import (
    BLOCK_LINES,
    LONGEST_MOVE,
    STATUSES,
    Block,
    Rows,
    draw_block,
    first_day_count,
    first_day_rows,
    moved_count,
    moved_rows,
)
from feira_local.shop.catalogue import Numbers, Texts, make_catalogue
from feira_local.shop.dirty import KIND_NAMES, spoiled
from feira_local.shop.source import Clock, Line, SourceError, utc_today
from feira_local.shop.taste import Taste, customer_count

# Monday to Sunday; the mean is 1.
WEEKDAY_VOLUME = (1.04, 1.0, 1.0, 1.06, 1.1, 0.9, 0.9)
# Of 1000 lines that a day shows, about 850 are new; the others are moves and repeats.
NEW_SHARE = 0.85
GOLDEN_RATIO = 0.618_033_988_75


@dataclass(frozen=True)
class GeneratorSettings:
    """``lines_per_day`` is a mean over the week; ``dirty_share`` of the lines break a rule.

    Without ``last_day`` the data reach to yesterday in UTC, whenever asked.
    """

    taste: Taste = field(default_factory=Taste)
    first_day: dt.date = dt.date(2010, 12, 1)
    last_day: dt.date | None = None
    lines_per_day: int = 10_000
    dirty_share: float = 0.01

    def __post_init__(self) -> None:
        if self.lines_per_day < 1:
            raise SourceError(f"lines_per_day is {self.lines_per_day}; it must be 1 or more.")
        if not 0 <= self.dirty_share <= 1:
            raise SourceError(f"dirty_share is {self.dirty_share}; it must be between 0 and 1.")
        if self.last_day is not None and self.last_day < self.first_day:
            raise SourceError(f"last_day {self.last_day} is before first_day {self.first_day}.")


def is_closed(day: dt.date) -> bool:
    """Whether the shop rests: 25 December and 1 January."""
    return (day.month, day.day) in ((12, 25), (1, 1))


class GeneratedSource:
    """Order lines drawn from a seed.

    A day's feed is its new lines and those of the five days before that move on it, block by
    block, in the order of their time within each block. It keeps a few blocks, never a day.
    """

    def __init__(self, settings: GeneratorSettings, today: Clock = utc_today) -> None:
        self.settings = settings
        self._today = today
        self._catalogue = make_catalogue(settings.taste.seed)
        self._customers = customer_count(settings.lines_per_day)
        # Every day has as many blocks, so that a block's time of day is the same on all of them.
        self._blocks = -(-round(settings.lines_per_day * NEW_SHARE) // BLOCK_LINES) or 1
        self.new_lines: Callable[[dt.date], int] = lru_cache(maxsize=64)(self._count_new_lines)
        self._starts: Callable[[dt.date], Numbers] = lru_cache(maxsize=16)(self._make_starts)
        self._block: Callable[[dt.date, int, bool], Block] = lru_cache(maxsize=32)(self._draw)
        self._feed: Callable[[dt.date, int], list[Line]] = lru_cache(maxsize=8)(self._make_feed)

    @property
    def first_day(self) -> dt.date:
        return self.settings.first_day

    @property
    def last_day(self) -> dt.date:
        """The stated last day, or yesterday in UTC where that is earlier."""
        yesterday = self._today() - dt.timedelta(days=1)
        return min(self.settings.last_day or yesterday, yesterday)

    def total(self, day: dt.date) -> int:
        """How many lines the day shows: arithmetic, nothing is drawn."""
        return int(self._starts(day)[-1])

    def lines(self, day: dt.date, offset: int, limit: int) -> list[Line]:
        """The lines ``offset`` to ``offset + limit``; reads only the blocks that hold them."""
        starts = self._starts(day)
        end = min(offset + limit, int(starts[-1]))
        page: list[Line] = []
        number = int(np.searchsorted(starts, offset, side="right")) - 1
        while offset + len(page) < end:
            start = int(starts[number])
            page += self._feed(day, number)[offset + len(page) - start : end - start]
            number += 1
        return page

    def _count_new_lines(self, day: dt.date) -> int:
        """How many lines are created on the day; 0 on closed days and before the first."""
        if day < self.first_day or is_closed(day):
            return 0
        draw = np.random.Generator(
            np.random.PCG64([self.settings.taste.seed, day.toordinal()])
        ).random()
        volume = WEEKDAY_VOLUME[day.weekday()] * (0.95 + 0.1 * draw)
        return max(1, round(self.settings.lines_per_day * NEW_SHARE * volume))

    def _make_starts(self, day: dt.date) -> Numbers:
        """Where each block of the day's feed starts, and the day's total as the last entry."""
        if is_closed(day):
            return np.zeros(1, dtype=np.int64)
        sizes = np.zeros(self._blocks, dtype=np.int64)
        for back in range(LONGEST_MOVE + 1):
            made = self.new_lines(day - dt.timedelta(days=back))
            new = np.diff(np.arange(self._blocks + 1) * made // self._blocks)
            sizes += moved_count(new, back) if back else first_day_count(new)
        return np.concatenate([[0], np.cumsum(sizes)])

    def _draw(self, day: dt.date, number: int, moving: bool) -> Block:
        made = self.new_lines(day)
        first, end = (n * made // self._blocks for n in (number, number + 1))
        return draw_block(
            self.settings.taste,
            day,
            number,
            blocks=self._blocks,
            first=first,
            lines=end - first,
            customers=self._customers,
            moving=moving,
        )

    def _make_feed(self, day: dt.date, number: int) -> list[Line]:
        lines: list[Line] = []
        seconds: list[Numbers] = []
        keys: list[Numbers] = []
        for back in range(LONGEST_MOVE + 1):
            created = day - dt.timedelta(days=back)
            if not self.new_lines(created):
                continue
            block = self._block(created, number, back > 0)
            for rows in moved_rows(block, back) if back else first_day_rows(block):
                lines += self._as_lines(rows, created, day)
                seconds.append(rows.updated_second)
                keys.append(rows.order * 1000 + rows.line_number)
        # A line that is served twice stands beside itself, so that a page can hold both.
        order = np.lexsort((np.concatenate(keys), np.concatenate(seconds))).tolist()
        feed = [lines[at] for at in order]
        self._spoil(feed, day, number)
        return feed

    def _as_lines(self, rows: Rows, created: dt.date, updated: dt.date) -> list[Line]:
        goods = self._catalogue
        currency = goods.country_currency[rows.country]
        descriptions = goods.descriptions[rows.item]
        descriptions[~rows.described] = None
        countries = goods.countries[rows.country]
        countries[~rows.located] = None
        prefix = f"{created:%Y%m%d}-"
        times = _times_of_day()
        return [
            {
                "order_id": f"{prefix}{order:07d}",
                "line_number": line_number,
                "sku": sku,
                "description": description,
                "quantity": quantity,
                "unit_price": unit_price,
                "currency": currency_code,
                "status": STATUSES[status],
                "customer_id": customer or None,
                "country": country,
                "created_at": f"{created}{created_time}",
                "updated_at": f"{updated}{updated_time}",
            }
            for (
                order,
                line_number,
                sku,
                description,
                quantity,
                unit_price,
                currency_code,
                status,
                customer,
                country,
                created_time,
                updated_time,
            ) in zip(
                rows.order.tolist(),
                rows.line_number.tolist(),
                goods.skus[rows.item].tolist(),
                descriptions.tolist(),
                rows.quantity.tolist(),
                goods.prices[rows.price_level, currency, rows.item].tolist(),
                goods.currencies[currency].tolist(),
                rows.status.tolist(),
                rows.customer.tolist(),
                countries.tolist(),
                times[rows.created_second].tolist(),
                times[rows.updated_second].tolist(),
                strict=True,
            )
        ]

    def _spoil(self, feed: list[Line], day: dt.date, number: int) -> None:
        """Spoils the stated share of the feed, the kinds in turn.

        The counts follow from the offsets, so the share holds over the whole day, and tiny days
        take turns through a phase of their own.
        """
        share = self.settings.dirty_share
        start = int(self._starts(day)[number])
        phase = day.toordinal() * GOLDEN_RATIO % 1
        before = int(share * start + phase)
        count = int(share * (start + len(feed)) + phase) - before
        if not count:
            return
        seed = self.settings.taste.seed
        key = [seed, day.toordinal(), number, 2]
        jitter = np.random.Generator(np.random.PCG64(key)).random(count)
        at = ((np.arange(count) + 0.25 + jitter / 2) * (len(feed) / count)).astype(int).tolist()
        absent = -2
        for nth, position in enumerate(at):
            turn = seed + day.toordinal() + before + nth
            kind = KIND_NAMES[turn % len(KIND_NAMES)]
            if kind == "field_absent":
                # Never two in a row nor at the end: no page of two lines lacks a field altogether.
                if position == absent + 1 or position == len(feed) - 1:
                    kind = KIND_NAMES[0]
                else:
                    absent = position
            feed[position] = spoiled(feed[position], kind, day)


@lru_cache(maxsize=1)
def _times_of_day() -> Texts:
    """``T08:26:00Z`` for each second of a day."""
    texts = np.empty(86_400, dtype=object)
    texts[:] = [f"T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}Z" for s in range(86_400)]
    return texts
