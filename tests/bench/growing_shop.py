"""A shop whose history grows day by day, as the differences that publishing its days would leave.

Each day brings new lines and updates of lines of the five days before. It keeps what every line is now as
a few numbers, so that hundreds of days fit in memory and any row can be made again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fact_rows import FACT, arrow_schema, read_of
from feira.core.warehouse.apply import Difference

FIRST = dt.date(2010, 1, 1)
UPDATED_DAYS = 5
_LINES_AN_ORDER = 4
_PRODUCTS = 4_000
_STATUS = ("pending", "completed", "shipped", "failed", "cancelled")
_SOLD = (1, 2)
_ROWS_A_BATCH = 16_384
_DAY = 86_400_000_000
_SCHEMA = arrow_schema(FACT).append(pa.field("change", pa.string(), nullable=False))

Numbers = npt.NDArray[np.int64]


def date_of(day: int) -> dt.date:
    """The date of a day of the shop; the first is day 1."""
    return FIRST + dt.timedelta(days=day - 1)


@dataclass(frozen=True)
class _Lines:
    """Lines of one order date: what never changes of them, and what they are now."""

    day: int
    order_ids: npt.NDArray[np.str_]
    line_numbers: Numbers
    products: Numbers
    prices: Numbers
    """In ten-thousandths of a dollar, which is the currency too."""
    customers: Numbers
    created: Numbers
    quantities: Numbers
    statuses: Numbers
    updated: Numbers
    seen: Numbers
    """The day whose extract shows the line as it is."""

    def at(self, places: Numbers) -> _Lines:
        """Some of the lines."""
        names = [name for name in self.__dataclass_fields__ if name != "day"]
        return replace(self, **{name: getattr(self, name)[places] for name in names})

    def batches(self, change: str) -> Iterator[pa.RecordBatch]:
        """Rows of the fact, marked."""
        for first in range(0, len(self.order_ids), _ROWS_A_BATCH):
            places = np.arange(first, min(first + _ROWS_A_BATCH, len(self.order_ids)))
            yield self.at(places)._batch(change)

    def _batch(self, change: str) -> pa.RecordBatch:
        rows = len(self.order_ids)
        date = np.full(rows, date_of(self.day).toordinal() - _EPOCH)
        amount = _decimal(self.quantities * self.prices, 4)
        values = {
            "order_id": pa.array(self.order_ids.tolist(), pa.string()),
            "line_number": pa.array(self.line_numbers, pa.int32()),
            "sku": pa.array([f"{20_000 + each}" for each in self.products], pa.string()),
            "description": pa.array([f"PRODUCT NUMBER {each}" for each in self.products]),
            "quantity": pa.array(self.quantities, pa.int32()),
            "unit_price": _decimal(self.prices, 4),
            "currency": _same("USD", rows),
            "status": pa.array([_STATUS[each] for each in self.statuses], pa.string()),
            "customer_id": pa.array(self.customers, pa.int64(), mask=self.customers < 0),
            "country": _same("United Kingdom", rows),
            "created_at": pa.array(self.created, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "updated_at": pa.array(self.updated, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "order_date": _dates(date),
            "amount": amount,
            "fx_rate": _decimal(np.full(rows, 10**8), 8),
            "fx_date": _dates(date),
            "amount_usd": amount,
            "line_kind": _same("product", rows),
            "extract_day": _dates(self.seen - 1 + FIRST.toordinal() - _EPOCH),
            "change": _same(change, rows),
        }
        columns = [
            values.get(each.name, pa.nulls(rows, each.type)).cast(each.type) for each in _SCHEMA
        ]
        return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


_EPOCH = dt.date(1970, 1, 1).toordinal()


@dataclass
class GrowingShop:
    """Days of ``lines`` new lines and ``updates`` of lines of the five days before.

    With ``clustered`` the ids of orders rise from day to day; else they are hashes, which lie anywhere
    among those of all days.
    """

    lines: int
    updates: int
    clustered: bool
    seed: int = 7
    days: int = 0
    """How many there have been; also the snapshot that the lake then is at."""
    _lines: dict[int, _Lines] = field(default_factory=dict)
    """Of the days that a day changes, and of those whose lines lie in their extracts."""
    _revenue: dict[int, int] = field(default_factory=dict)
    """Of those that no longer do."""

    def next_day(self) -> Difference:
        """Lives through one more day; the difference to the day before."""
        self.days += 1
        random = np.random.default_rng([self.seed, self.days])
        before: list[_Lines] = []
        after: list[_Lines] = []
        updated = range(max(1, self.days - UPDATED_DAYS), self.days)
        for each in updated:
            old = self._lines[each]
            places = np.sort(random.permutation(self.lines)[: self.updates // UPDATED_DAYS])
            before.append(old.at(places))
            self._update(each, places, random)
            after.append(self._lines[each].at(places))
        new = self._lines[self.days] = self._new(random)
        if (done := self.days - 2 * UPDATED_DAYS - 1) in self._lines:
            self._revenue[done] = self.revenue(done)
            del self._lines[done]
        batches = [
            *(batch for each in before for batch in each.batches("DELETE")),
            *(batch for each in after for batch in each.batches("INSERT")),
            *new.batches("INSERT"),
        ]
        rows = sum(batch.num_rows for batch in batches)
        return Difference(self.days, False, rows, read_of(*batches))

    def revenue(self, day: int) -> int:
        """What an order date has sold, in ten-thousandths of a dollar."""
        if day in self._revenue:
            return self._revenue[day]
        found = self._lines[day]
        sold = np.isin(found.statuses, _SOLD)
        return int((found.quantities * found.prices)[sold].sum())

    def fact(self, first: int) -> Iterator[pa.RecordBatch]:
        """The fact's rows of the extracts of the days from ``first`` on, at most five days ago."""
        for found in self._lines.values():
            yield from found.at(np.flatnonzero(found.seen >= first)).batches("INSERT")

    def by_extract(self, day: int) -> dict[int, tuple[int, int]]:
        """Of an order date's lines, by the day whose extract shows them as they are: how many there are, and
        what they sold in ten-thousandths of a dollar."""
        found = self._lines[day]
        sold = np.where(np.isin(found.statuses, _SOLD), found.quantities * found.prices, 0)
        return {
            int(seen): (int((found.seen == seen).sum()), int(sold[found.seen == seen].sum()))
            for seen in np.unique(found.seen)
        }

    def _new(self, random: np.random.Generator) -> _Lines:
        number = np.arange(self.lines)
        orders = 500_000 + (self.days - 1) * (self.lines // _LINES_AN_ORDER + 1)
        ids = [str(orders + each) for each in number // _LINES_AN_ORDER]
        if not self.clustered:
            ids = [hashlib.md5(f"{self.seed} {each}".encode()).hexdigest()[:16] for each in ids]
        midnight = (date_of(self.days).toordinal() - _EPOCH) * _DAY
        created = midnight + np.sort(random.integers(0, _DAY, self.lines))
        customers = random.integers(12_000, 20_000, self.lines)
        return _Lines(
            day=self.days,
            order_ids=np.array(ids),
            line_numbers=number % _LINES_AN_ORDER + 1,
            # Few products sell much, and most of them little.
            products=(_PRODUCTS * random.random(self.lines) ** 3).astype(np.int64),
            prices=random.integers(10, 5_000, self.lines) * 100,
            customers=np.where(random.random(self.lines) < 0.25, -1, customers),
            created=created,
            quantities=random.integers(1, 13, self.lines),
            statuses=random.choice(5, self.lines, p=[0.25, 0.5, 0.15, 0.05, 0.05]),
            updated=created.copy(),
            seen=np.full(self.lines, self.days),
        )

    def _update(self, day: int, places: Numbers, random: np.random.Generator) -> None:
        found = self._lines[day]
        now = (date_of(self.days).toordinal() - _EPOCH) * _DAY
        found.statuses[places] = (found.statuses[places] + 1) % len(_STATUS)
        found.quantities[places] += 1
        found.updated[places] = now + np.sort(random.integers(0, _DAY, len(places)))
        found.seen[places] = self.days


def _same(text: str, rows: int) -> pa.Array:
    return pa.array([text]).take(pa.array(np.zeros(rows, np.int32)))


def _dates(days: Numbers) -> pa.Array:
    return pa.array(days, pa.int32()).cast(pa.date32())


def _decimal(units: Numbers, scale: int) -> pa.Array:
    """Whole numbers of the last place as decimals."""
    words = np.stack([units, units >> 63], axis=1).astype("<i8")
    type_ = pa.decimal128(18, scale)
    return pa.Decimal128Array.from_buffers(type_, len(units), [None, pa.py_buffer(words.tobytes())])
