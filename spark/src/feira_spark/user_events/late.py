"""Messages that came after their day was read: the table is without them until that day is run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from feira.user_events.offsets import DayOffsets, differ
from feira_spark.user_events.day import ID_DAYS, records
from feira_spark.user_events.messages import in_day

# By day and partition the offset up to which it was read.
ReadTo = Mapping[date, Mapping[int, int]]


def read_to(spark: SparkSession, given: DayOffsets) -> dict[date, dict[int, int]]:
    """How far each of the seven days before was read; a day that never was, or from another topic, is not in it."""
    day = date.fromisoformat(given.day)
    found = records(spark, day - timedelta(days=ID_DAYS), day - timedelta(days=1))
    return {
        date.fromisoformat(each.day): {number: end for number, (_, end) in each.ranges.items()}
        for each in found
        if each.topic == given.topic and not differ(each.topic_id, given.topic_id)
    }


def starting(given: DayOffsets, known: ReadTo, lows: Mapping[int, int]) -> str:
    """From where a day is to be read so that nothing between it and where the day before ended is left out, as
    ``DayOffsets.starting``; what was removed meanwhile is.

    :param lows: by partition the first offset that the broker holds
    """
    day = date.fromisoformat(given.day)
    before = known.get(day - timedelta(days=1))
    if before is None:
        return given.starting
    ranges = {
        # A partition that the topic did not have then was not read at all.
        number: (min(start, max(before.get(number, 0), lows[number])), end)
        for number, (start, end) in given.ranges.items()
    }
    return DayOffsets.of(given.topic, day, ranges).starting


def late_day(known: ReadTo) -> Column:
    """The day of a message of Kafka's source that lies where that day was not read to; null of any other."""
    days: list[Column] = [F.lit(None).cast("date")]
    for day, ends in known.items():
        # One literal: a topic may have thousands of partitions.
        held = F.from_json(F.lit(json.dumps(ends)), "map<string, bigint>")
        end = F.coalesce(held[F.col("partition").cast("string")], F.lit(0))
        days.append(F.when(in_day(day) & (F.col("offset") >= end), F.lit(day)))
    return F.coalesce(*days)
