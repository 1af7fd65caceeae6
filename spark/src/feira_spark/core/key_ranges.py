"""Which days hold the keys of one day: exact for any keys, and with little to read where they cluster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from feira.core.published_table import PublishedTable
from feira_spark.core.session import CATALOG

MOST_RANGES = 32
"""Each row that is looked at is held against every range: more of them cost more than they save."""

MOST_READ_WHOLE = 500_000
"""Rows of both tables together up to which all days are read: to look for those that hold the keys costs more."""


@dataclass(frozen=True)
class KeyRange:
    """Values of one column of the key, ``least`` and ``greatest`` among them, and the event dates of the
    rows that they are of, as days since 1970."""

    least: Any
    greatest: Any
    first: int
    last: int

    def __or__(self, other: KeyRange) -> KeyRange:
        """The smallest range that holds both."""
        return KeyRange(
            min(self.least, other.least),
            max(self.greatest, other.greatest),
            min(self.first, other.first),
            max(self.last, other.last),
        )

    def days_from(self, other: KeyRange) -> int:
        """Days between the dates of both; 0 where they overlap."""
        return max(0, self.first - other.last, other.first - self.last)


def merged(ranges: Iterable[KeyRange], most: int) -> list[KeyRange]:
    """Ranges that hold all values that the given ones do: at most ``most``, in order, and none overlaps.

    Where there are too many, neighbours are merged whose dates are nearest: where keys rise with time,
    little lies between them.
    """
    apart: list[KeyRange] = []
    for each in sorted(ranges, key=lambda found: found.least):
        if apart and each.least <= apart[-1].greatest:
            apart[-1] |= each
        else:
            apart.append(each)
    nearest = sorted(range(1, len(apart)), key=lambda at: apart[at].days_from(apart[at - 1]))
    kept = sorted(nearest[max(0, len(apart) - most) :])
    return [
        reduce(or_, apart[first:end])
        for first, end in pairwise([0, *kept, len(apart)])
        if first < end
    ]


@dataclass(frozen=True)
class KeyedDays:
    """The days of the rows that have one of a day's keys, the day itself among them: of the published table, and of
    the extracts; None are all days. ``rows`` is what these days hold in both together.
    """

    published: list[date] | None
    extracts: list[date] | None
    rows: int = 0

    @property
    def either(self) -> list[date] | None:
        """The days that are among those of one of the two."""
        if self.published is None or self.extracts is None:
            return None
        return sorted({*self.published, *self.extracts})


def keys_of_day(
    published: DataFrame, extracts: DataFrame, table: PublishedTable, day: date, *beside: str
) -> DataFrame:
    """The key, and the columns ``beside`` it, of the published rows of a day and of its extract; a row
    of both is in it twice."""
    of_day = F.col(table.day) == F.lit(day)
    columns = [*table.key, *beside]
    return (
        extracts.where(of_day)
        .select(*columns)
        .unionByName(published.where(of_day).select(*columns))
    )


def days_of_keys(
    published: DataFrame, extracts: DataFrame, table: PublishedTable, day: date
) -> KeyedDays:
    """The days that hold the keys of one day, by two queries.

    The first finds, for each event date of the day's keys, the least and the greatest value of the key's
    first column; the second reads keys and days inside those ranges, by which Iceberg skips files, and
    no other column. A key's other rows need not be of its event date.
    """
    keys = keys_of_day(published, extracts, table, day)
    inside = _inside(keys_of_day(published, extracts, table, day, *_dated(table)), table)
    if inside is None:
        return KeyedDays([day], [day])
    others = inside & (F.col(table.day) != F.lit(day))
    found = {
        of: rows.where(others)
        .join(keys, list(table.key), "left_semi")
        .select(F.lit(of).alias("source"), table.day)
        for of, rows in (("published", published), ("extracts", extracts))
    }
    rows = found["published"].unionByName(found["extracts"]).distinct().collect()
    held, shown = (
        sorted({day} | {row[1] for row in rows if row[0] == of}) for of in ("published", "extracts")
    )
    return KeyedDays(held, shown)


def days_to_read(
    spark: SparkSession, published: DataFrame, extracts: DataFrame, table: PublishedTable, day: date
) -> KeyedDays:
    """The days that hold the keys of one day, or all where the tables have few rows, by Iceberg's metadata."""
    by_day = [
        spark.table(f"{CATALOG}.{name}.partitions").select(
            F.lit(name).alias("source"), f"partition.{table.day}", "record_count"
        )
        for name in (table.table, table.extracts)
    ]
    rows = {(source, of): count for source, of, count in by_day[0].unionByName(by_day[1]).collect()}
    if (total := sum(rows.values())) <= MOST_READ_WHOLE:
        return KeyedDays(None, None, total)
    days = days_of_keys(published, extracts, table, day)
    held = [(table.table, each) for each in days.published or ()]
    shown = [(table.extracts, each) for each in days.extracts or ()]
    return replace(days, rows=sum(rows.get(each, 0) for each in held + shown))


def of_days(rows: DataFrame, table: PublishedTable, days: list[date] | None) -> DataFrame:
    """The rows of these days, which are literals: Iceberg skips files by them, and by no join."""
    return rows if days is None else rows.where(F.col(table.day).isin(days))


def _dated(table: PublishedTable) -> tuple[str, ...]:
    return () if table.event_date in table.key else (table.event_date,)


def _inside(keys: DataFrame, table: PublishedTable) -> Column | None:
    """True of what may have one of the keys; None where there are no keys."""
    if table.ranged_by is None:
        return F.lit(True)
    ranged = F.col(table.ranged_by)
    by_date = (
        keys.groupBy(F.unix_date(table.event_date))
        .agg(F.min(ranged).alias("least"), F.max(ranged).alias("greatest"))
        .where(F.col("least").isNotNull())
        .collect()
    )
    found = [KeyRange(least, greatest, at, at) for at, least, greatest in by_date]
    if not found:
        return None
    ranges = merged(found, MOST_RANGES)
    return reduce(or_, (ranged.between(F.lit(r.least), F.lit(r.greatest)) for r in ranges))
