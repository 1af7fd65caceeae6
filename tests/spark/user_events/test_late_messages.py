"""Messages that come after their day was read are counted by the runs of later days, each day's apart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from feira.user_events.codec import TABLE, TOPIC, encode
from feira.user_events.offsets import DayOffsets
from feira_spark.user_events import day as steps
from feira_spark.user_events.late import late_day, read_to, starting

if TYPE_CHECKING:
    from pyspark.sql import Column, SparkSession

FIRST = date(2010, 12, 1)
SECOND, THIRD = (FIRST + timedelta(days=after) for after in (1, 2))
SCHEMA = "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp"
# Days by partition, in the order of offsets.
Log = dict[int, list[date]]


def run(
    spark: SparkSession, log: Log, day: date, topic_id: str | None = "one"
) -> tuple[steps.Ingested, int]:
    """The day as the task takes it from a log that ends here, and how many messages were read for it."""
    ends = {number: len(of) for number, of in log.items()}
    begins = {
        number: next((at for at, each in enumerate(of) if each >= day), len(of))
        for number, of in log.items()
    }
    ranges = {number: (begins[number], ends[number]) for number in log}
    offsets = DayOffsets.of(TOPIC, day, ranges, topic_id)
    known = read_to(spark, offsets)
    first = json.loads(starting(offsets, known, dict.fromkeys(log, 0)))[TOPIC]
    rows = [
        message(number, at, of[at])
        for number, of in log.items()
        for at in range(first[str(number)], ends[number])
    ]
    done = steps.ingest(spark, spark.createDataFrame(rows, SCHEMA), offsets, late_day(known))
    return done, len(rows)


def message(partition: int, offset: int, day: date) -> tuple[Any, ...]:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    event = {
        "event_id": f"{partition}-{offset}",
        "occurred_at": noon,
        "user_id": "1",
        "session_id": "1",
        "event_type": "view",
        "sku": "A",
    }
    # The last of a partition's first three is none: that it is late is all that is said of it.
    value = b"oops" if offset == 2 else encode(event)
    return (b"1", value, TOPIC, partition, offset, noon)


def days(spark: SparkSession) -> Iterable[tuple[date, int]]:
    found = spark.table(f"lake.{TABLE}").groupBy("event_day").count().collect()
    return sorted((row["event_day"], row["count"]) for row in found)


def test_what_came_after_its_day_was_read_is_counted_until_that_day_is_run_again(
    empty_lake: SparkSession,
) -> None:
    log: Log = {0: [FIRST, FIRST], 1: [FIRST]}
    assert run(empty_lake, log, FIRST)[0].late == {}
    # Before the first message of the next day too, and in a partition that was not there.
    log[0] += [FIRST, FIRST, SECOND, FIRST, SECOND]
    log[1] += [SECOND]
    log[2] = [FIRST]
    second, read = run(empty_lake, log, SECOND)
    assert (second.messages, second.events, second.dead) == (3, 3, 0)
    assert second.late == {"2010-12-01": 4} and read == 7
    assert days(empty_lake) == [(FIRST, 3), (SECOND, 3)]
    log[1] += [FIRST, THIRD, SECOND]
    third, _ = run(empty_lake, log, THIRD)
    assert third.late == {"2010-12-01": 1, "2010-12-02": 1} and third.events == 1
    again, _ = run(empty_lake, log, FIRST)
    assert (again.messages, again.events, again.dead, again.late) == (8, 6, 2, {})
    assert days(empty_lake) == [(FIRST, 6), (SECOND, 3), (THIRD, 1)]


@pytest.mark.slow
def test_nothing_is_late_for_a_day_that_was_never_read_or_from_another_topic(
    empty_lake: SparkSession,
) -> None:
    log: Log = {0: [FIRST, SECOND, FIRST]}
    assert run(empty_lake, log, SECOND)[0].late == {}
    assert run(empty_lake, log, FIRST, "another")[0].late == {}
    log[0] += [FIRST]
    assert run(empty_lake, log, SECOND)[0].late == {}
    assert run(empty_lake, log, FIRST)[0].late == {}
    log[0] += [FIRST]
    assert run(empty_lake, log, SECOND)[0].late == {"2010-12-01": 1}


def test_messages_of_any_of_a_thousand_partitions_are_late_behind_where_their_day_was_read_to(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    literals, lit = [], F.lit

    def counted(value: Any) -> Column:
        literals.append(value)
        return lit(value)

    monkeypatch.setattr(F, "lit", counted)
    # Offsets that no double has, and of each day a partition that it was not read of.
    known = {
        FIRST: {number: 2**53 + 3 * number for number in range(999)},
        SECOND: {number: 2**62 - number for number in range(1, 1_000)},
    }
    places = [
        (number, known[day].get(number, 0) + after, day)
        for number in (0, 1, 9, 10, 100, 998, 999)
        for day in known
        for after in (-1, 0)
    ]
    rows = [(None, None, TOPIC, n, at, message(0, 0, day)[-1]) for n, at, day in places]
    found = spark.createDataFrame(rows, SCHEMA).select(late_day(known).alias("late")).collect()
    expected = [day if at >= known[day].get(number, 0) else None for number, at, day in places]
    assert [row["late"] for row in found] == expected
    # A literal for each of them took a quarter of a minute a day to plan.
    assert len(literals) < 20


def test_reading_begins_where_the_day_before_ended_and_the_broker_still_holds_it() -> None:
    given = DayOffsets.of(TOPIC, SECOND, {0: (10, 20), 1: (10, 20), 2: (10, 20), 3: (10, 20)})
    known = {FIRST: {0: 7, 1: 15, 2: 3}, FIRST - timedelta(days=1): dict.fromkeys(range(4), 1)}
    lows = {0: 0, 1: 0, 2: 5, 3: 0}
    assert json.loads(starting(given, known, lows)) == {TOPIC: {"0": 7, "1": 10, "2": 5, "3": 0}}
    assert json.loads(starting(given, {}, lows)) == json.loads(given.starting)
