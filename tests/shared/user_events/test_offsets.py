"""The offsets of a day: from the first message of its time to the end, or refused where some may be gone."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition, Uuid
from hypothesis import given
from hypothesis import strategies as st

from feira.user_events.offsets import (
    SECONDS,
    BrokerError,
    DayOffsets,
    OffsetsError,
    require_all_that_was_read,
    require_topic,
    resolve,
)
from user_event_kafka import DOWN, FakeConsumer, Log

DAY = date(2010, 12, 1)
BEGINS = int(datetime(2010, 12, 1, tzinfo=UTC).timestamp() * 1000)
MINUTE, HOUR = 60_000, 3_600_000
BEFORE, NOON, AFTER = BEGINS - 1, BEGINS + 12 * HOUR, BEGINS + 24 * HOUR
# Older than a message can be that came behind one of the day: of a day ago when it was taken, two minutes under way,
# and the one of the day five minutes ahead.
LONG_BEFORE = BEGINS - 24 * HOUR - 7 * MINUTE - 1


def broker(*partitions: Log) -> FakeConsumer:
    return FakeConsumer({"events": dict(enumerate(partitions))})


def ranges(
    consumer: FakeConsumer, recorded: dict[int, tuple[int, int]] | None = None
) -> dict[int, tuple[int, int]]:
    before = None if recorded is None else DayOffsets.of("events", DAY, recorded)
    return resolve(consumer, consumer, "events", DAY, before).ranges


def test_a_day_begins_at_its_first_message_and_ends_where_the_partition_does() -> None:
    consumer = broker(
        Log([BEFORE, BEGINS, NOON, AFTER]),
        # Late ones: of the day before behind the first, and of the day behind the next day's.
        Log([BEFORE, NOON, BEFORE, AFTER, NOON]),
        Log([BEFORE, BEFORE]),
        Log([AFTER]),
        Log([]),
        Log([LONG_BEFORE, BEFORE, NOON], low=70),
    )
    found = ranges(consumer)
    assert found == {0: (1, 4), 1: (1, 5), 2: (2, 2), 3: (0, 1), 4: (0, 0), 5: (72, 73)}


@given(
    st.lists(
        st.lists(st.integers(BEGINS - 30 * HOUR, AFTER + 30 * HOUR), max_size=12),
        min_size=1,
        max_size=4,
    )
)
def test_no_message_of_the_day_is_outside_its_offsets(partitions: list[list[int]]) -> None:
    found = ranges(broker(*[Log(times) for times in partitions]))
    for number, times in enumerate(partitions):
        start, end = found[number]
        of_day = [offset for offset, time in enumerate(times) if BEGINS <= time < AFTER]
        assert all(start <= offset < end for offset in of_day)
        assert start == end or times[start] >= BEGINS


@given(
    st.lists(
        st.tuples(st.integers(0, 60 * 60), st.integers(-5, 24 * 60 + 2)), min_size=1, max_size=12
    ),
    st.integers(0, 12),
)
def test_no_message_of_the_day_is_gone_where_offsets_are_given(
    sent: list[tuple[int, int]], removed: int
) -> None:
    """Stored in the order of the clock, from a day and a half before the day on, each up to a day and two minutes
    late, or five minutes ahead."""
    times = [BEGINS + (at - 36 * 60 - late) * MINUTE for at, late in sorted(sent)]
    gone, left = times[:removed], times[removed:]
    try:
        ranges(broker(Log(left, low=len(gone))))
    except OffsetsError:
        assert gone
    else:
        assert not any(BEGINS <= time < AFTER for time in gone)


@pytest.mark.parametrize(
    ("log", "lost"),
    [
        (Log([NOON, AFTER], low=70), True),
        (Log([AFTER], low=70), True),
        (Log([], low=70), True),
        (Log([BEGINS], low=1), True),
        # It may be late, and what was before it of the day.
        (Log([BEFORE, NOON], low=70), True),
        (Log([LONG_BEFORE + 1, LONG_BEFORE, NOON], low=70), True),
        (Log([LONG_BEFORE, NOON], low=70), False),
        (Log([LONG_BEFORE], low=70), False),
        (Log([NOON], low=0), False),
    ],
)
def test_a_day_of_which_messages_may_be_gone_is_not_read_at_all(log: Log, lost: bool) -> None:
    consumer = broker(Log([BEFORE, NOON]), log)
    if lost:
        with pytest.raises(
            OffsetsError, match=rf"^events 2010-12-01: .*partition 1 from offset {log.low}\."
        ):
            ranges(consumer)
    else:
        assert set(ranges(consumer)) == {0, 1}


def test_a_message_that_was_late_may_have_come_behind_one_that_was_ahead() -> None:
    """Both were taken at four minutes to midnight: one of a day ago, and by then two minutes under way."""
    taken = BEGINS - 4 * MINUTE
    ahead, late = taken + 5 * MINUTE - 1, taken - 24 * HOUR - 2 * MINUTE + 1
    assert ahead >= BEGINS
    with pytest.raises(OffsetsError, match="partition 0 from offset 1"):
        ranges(broker(Log([late, NOON], low=1)))


NOW = datetime(2010, 12, 5, tzinfo=UTC)
AHEAD = int((NOW + timedelta(hours=1)).timestamp() * 1000)


@pytest.mark.parametrize("time", [AHEAD + 1, NOON * 1000, NOON * 1_000_000, 2**63 - 1])
def test_a_first_message_of_the_future_is_named_and_not_retention(time: int) -> None:
    consumer = broker(Log([BEFORE]), Log([time, AFTER], low=70), Log([NOON]), Log([time], low=5))
    with pytest.raises(OffsetsError) as refusal:
        resolve(consumer, consumer, "events", DAY, now=NOW)
    said = str(refusal.value)
    assert f": partition 1 at offset 70: {time}; partition 3 at offset 5: {time}. " in said
    _, _, file = said.partition(" by the file ")
    assert json.loads(file) == {
        "partitions": [
            {"topic": "events", "partition": 1, "offset": 71},
            {"topic": "events", "partition": 3, "offset": 6},
        ],
        "version": 1,
    }
    assert "kafka-delete-records" in said and "lengthen" not in said


@pytest.mark.parametrize("time", [AHEAD, AFTER, NOON])
def test_a_first_message_that_is_not_ahead_of_the_clock_says_nothing_of_the_future(
    time: int,
) -> None:
    consumer = broker(Log([time], low=70))
    with pytest.raises(OffsetsError, match=r"partition 0 from offset 70\. .*lengthen"):
        resolve(consumer, consumer, "events", DAY, now=NOW)


def test_a_time_that_spark_has_not_is_found_before_spark_is_asked() -> None:
    last = (2**63 - 1) // 1000
    consumer = broker(Log([BEFORE, NOON, last]), Log([NOON, last + 1, NOON]))
    with pytest.raises(OffsetsError) as refusal:
        resolve(consumer, consumer, "events", DAY, now=NOW)
    said = str(refusal.value)
    assert f"1970: partition 1 at offset 1: {last + 1}. Spark has no such time" in said
    assert said.endswith('[{"topic": "events", "partition": 1, "offset": 2}], "version": 1}')
    # Years ahead, and Spark has it: other days are read past it.
    consumer.logs["events"][1].times[1] = last
    assert ranges(consumer) == {0: (1, 3), 1: (0, 3)}


FAR = 2**63 - 1


@pytest.mark.parametrize(
    ("log", "named"),
    [
        # The first of them was aborted, and so it is not where one is sent.
        (Log([BEFORE, FAR, NOON, AFTER, FAR - 1, FAR], unsent=frozenset({1})), 4),
        (Log([FAR, FAR, FAR], low=70, unsent=frozenset({70, 71})), 72),
        (Log([FAR, NOON, FAR], unsent=frozenset({0, 2})), None),
        # Behind the last that is sent are the aborted one and the end of its transaction.
        (Log([NOON, FAR, FAR], unsent=frozenset({1, 2})), None),
        (Log([FAR], unsent=frozenset({0})), None),
    ],
)
def test_a_time_that_spark_has_not_is_found_behind_one_that_was_aborted(
    log: Log, named: int | None
) -> None:
    consumer = broker(Log([NOON]), log)
    recorded = DayOffsets.of("events", DAY, {0: (0, 1), 1: (log.low, log.low)})
    if named is None:
        found = resolve(consumer, consumer, "events", DAY, recorded, now=NOW).ranges
        assert found[1][1] == log.high
    else:
        place = f"1970: partition 1 at offset {named}: {log.times[named - log.low]}. Spark"
        with pytest.raises(OffsetsError, match=place):
            resolve(consumer, consumer, "events", DAY, recorded, now=NOW)


def test_what_comes_behind_the_end_is_not_the_days_however_far_in_the_future() -> None:
    def add(consumer: FakeConsumer) -> None:
        consumer.logs["events"][0].times.append(FAR)

    consumer = broker(Log([NOON, FAR, NOON], unsent=frozenset({1, 2})))
    consumer.meanwhile = add
    assert ranges(consumer) == {0: (0, 3)}


@pytest.mark.parametrize("low", [0, 70])
@pytest.mark.parametrize("error", [KafkaError(KafkaError._TRANSPORT), None])
def test_where_kafka_does_not_send_what_is_to_be_looked_at_another_try_may_find_it(
    low: int, error: KafkaError | None
) -> None:
    consumer = broker(Log([NOON, NOON]), Log([FAR, NOON], low=low))
    consumer.sends, consumer.silent = error, error is None
    with pytest.raises(BrokerError, match=r"^events.*broker up") as raised:
        resolve(consumer, consumer, "events", DAY, now=NOW)
    assert (str(error) if error else "partition 1 goes on from offset") in str(raised.value)
    # It waits as long as for an answer, and not for ever.
    assert consumer.asked.count("poll") == (1 if error else SECONDS)


def test_that_a_partition_ends_is_no_error_of_the_brokers() -> None:
    """A connection may ask to be told."""
    consumer = broker(Log([NOON, FAR], unsent=frozenset({1})))
    consumer.sends = KafkaError(KafkaError._PARTITION_EOF)
    consumer.position = lambda of: [TopicPartition("events", 0, 2)]  # type: ignore[method-assign]
    assert ranges(consumer) == {0: (0, 2)}


@pytest.mark.parametrize(
    ("log", "held"),
    [
        # The open one is of the day, or one that was acknowledged and is behind it, or nothing says of what they are.
        (Log([NOON, NOON, NOON + 1], open_from=1), True),
        (Log([NOON], open_from=0), True),
        (Log([BEFORE, AFTER, NOON], open_from=1), True),
        (Log([NOON, BEFORE, AFTER], low=70, open_from=71), True),
        (Log([AFTER - 1, AFTER, AFTER], open_from=1), True),
        # What is of the clock's time before it is the end of a transaction, or what one has aborted.
        (Log([NOON, FAR, NOON, NOON], unsent=frozenset({1}), open_from=2), True),
        (Log([FAR, FAR, NOON], unsent=frozenset({0, 1}), open_from=2), True),
        # The day was over before it.
        (Log([NOON, AFTER, AFTER, AFTER], open_from=2), False),
        (Log([AFTER, NOON, AFTER], open_from=2), False),
        (Log([NOON, FAR, NOON, AFTER, NOON], unsent=frozenset({1}), open_from=4), False),
        # Nothing is behind it.
        (Log([NOON, NOON], open_from=2), False),
    ],
)
def test_a_day_that_may_go_on_behind_an_open_transaction_is_read_once_that_is_over(
    log: Log, held: bool
) -> None:
    log, start = replace(log), log.first_at(BEGINS)
    consumer = broker(Log([NOON]), log, Log([LONG_BEFORE, NOON], low=5))
    whole = {0: (0, 1), 2: (6, 7)}
    recorded = whole | {1: (log.low, log.low)}
    assert log.open_from is not None
    if held:
        place = (
            rf": partition 1 has the last stable offset {log.open_from}, and its log ends at "
            rf"{log.end}\. .*commit.*abort.*transaction\.timeout"
        )
        with pytest.raises(BrokerError, match=r"^events 2010-12-01: .*" + place):
            ranges(consumer, recorded)
        log.open_from = None
        assert ranges(consumer, recorded)[1][1] == log.end
    else:
        assert ranges(consumer, recorded) == whole | {1: (start, log.open_from)}


def test_each_partition_with_an_open_transaction_is_named_and_no_other() -> None:
    logs = [Log([NOON, NOON], open_from=1), Log([NOON, AFTER, NOON], open_from=2), Log([NOON])]
    with pytest.raises(BrokerError) as refusal:
        ranges(broker(*logs, Log([NOON], open_from=0)))
    said = str(refusal.value)
    named = re.findall(r"partition (\d+) has the last stable offset (\d+), .*? ends at (\d+)", said)
    assert named == [("0", "1", "2"), ("3", "0", "1")]


def test_where_nothing_is_behind_an_open_transaction_one_question_more_is_asked() -> None:
    consumer = broker(Log([NOON, AFTER]), Log([]))
    ranges(consumer)
    assert Counter(consumer.asked) == {
        "list_topics": 1,
        "describe_topics": 2,
        "list_offsets": 1,
        "get_watermark_offsets": 4,
        "offsets_for_times": 3,
    }


def test_what_comes_before_the_end_is_asked_for_is_behind_no_transaction() -> None:
    class Busy(FakeConsumer):
        def list_offsets(self, *args: Any, **options: Any) -> Any:
            found = super().list_offsets(*args, **options)
            self.logs["events"][0].times.append(NOON)
            return found

        def get_watermark_offsets(self, *args: Any, **options: Any) -> tuple[int, int]:
            found = super().get_watermark_offsets(*args, **options)
            self.logs["events"][0].times.append(NOON)
            return found

    consumer = Busy({"events": {0: Log([NOON])}})
    assert ranges(consumer) == {0: (0, 2)}


def test_retention_that_removes_messages_while_it_is_asked_is_noticed() -> None:
    def remove(consumer: FakeConsumer) -> None:
        log = consumer.logs["events"][0]
        log.times, log.low = log.times[2:], log.low + 2

    consumer = broker(Log([BEFORE, NOON, NOON, NOON]))
    consumer.meanwhile = remove
    with pytest.raises(OffsetsError, match="partition 0 from offset 2"):
        ranges(consumer)


def test_what_comes_while_it_is_asked_is_left_for_the_next_run() -> None:
    def add(consumer: FakeConsumer) -> None:
        for log in consumer.logs["events"].values():
            log.times += [BEFORE, NOON]

    consumer = broker(Log([BEFORE, NOON]), Log([BEFORE]), Log([]))
    consumer.meanwhile = add
    found = ranges(consumer)
    assert found == {0: (1, 2), 1: (1, 1), 2: (0, 0)}
    consumer.meanwhile = None
    assert ranges(consumer, found) == {0: (1, 4), 1: (2, 3), 2: (1, 2)}


def test_a_day_that_was_read_and_is_still_there_is_whole_without_an_older_message() -> None:
    consumer = broker(Log([NOON, NOON], low=70))
    assert ranges(consumer, {0: (70, 71)}) == {0: (70, 72)}


@pytest.mark.parametrize(
    ("log", "recorded", "problem"),
    [
        (Log([NOON, NOON], low=71), (70, 73), "begins at 71, and 70 was read"),
        (Log([BEFORE, NOON]), (1, 5), "ends at 2, and 5 were read"),
        (Log([NOON, NOON, NOON]), (1, 3), "has the day from 0, not 1"),
        (Log([], low=0), (0, 3), "ends at 0, and 3 were read"),
    ],
)
def test_a_log_that_is_not_the_one_that_was_read_is_refused(
    log: Log, recorded: tuple[int, int], problem: str
) -> None:
    with pytest.raises(OffsetsError, match=problem):
        ranges(broker(log), {0: recorded})


OLD, NEW, NO_ID = Uuid(3, 5), Uuid(3, 6), Uuid(0, 0)


def test_a_topic_that_was_made_anew_is_another_one_however_long_it_is() -> None:
    consumer = broker(Log([NOON] * 3))
    consumer.topic_id = OLD
    recorded = resolve(consumer, consumer, "events", DAY)
    assert recorded.topic_id == str(OLD)
    consumer = broker(Log([NOON] * 5))
    consumer.topic_id = NEW
    with pytest.raises(OffsetsError, match=rf"^events 2010-12-01: .*{NEW}.*{OLD}.* delete"):
        resolve(consumer, consumer, "events", DAY, recorded)
    # Once no row is left there is nothing to lose.
    anew = resolve(consumer, consumer, "events", DAY, recorded, has_rows=False)
    assert (anew.topic_id, anew.ranges) == (str(NEW), {0: (0, 5)})
    # Of the topic that was not read before the record proves nothing: messages may be gone.
    consumer.logs["events"][0].low = 1
    recorded = DayOffsets.of("events", DAY, {0: (1, 2)}, str(OLD))
    with pytest.raises(OffsetsError, match="partition 0 from offset 1"):
        resolve(consumer, consumer, "events", DAY, recorded, has_rows=False)


def test_rows_of_which_nobody_knows_from_where_they_are_are_not_replaced() -> None:
    consumer = broker(Log([NOON] * 3))
    with pytest.raises(OffsetsError, match=r"^events 2010-12-01: .*rows .*delete the day's rows"):
        resolve(consumer, consumer, "events", DAY, None, has_rows=True)
    assert consumer.asked == []
    assert resolve(consumer, consumer, "events", DAY, None, has_rows=False).messages == 3


@pytest.mark.parametrize(
    ("given", "behind"),
    [
        ({0: (1, 9), 1: (0, 5)}, ""),
        ({0: (1, 9), 1: (0, 6), 2: (0, 1)}, ""),
        ({0: (1, 8), 1: (0, 5)}, "partition 0 ends at 8, and 9 were read since"),
        ({0: (1, 9)}, "partition 1 ends at 0, and 5 were read since"),
    ],
)
def test_offsets_that_end_before_what_was_read_since_are_refused(
    given: dict[int, tuple[int, int]], behind: str
) -> None:
    read = DayOffsets.of("events", DAY, {0: (1, 9), 1: (0, 5), 3: (2, 2)}, str(OLD))
    older = DayOffsets.of("events", DAY, given, str(OLD))
    if behind:
        with pytest.raises(
            OffsetsError, match=rf"^events 2010-12-01: .*: {behind}\. .*resolve_off"
        ):
            require_all_that_was_read(older, read)
    else:
        require_all_that_was_read(older, read)
    # Of another topic, or where nothing was read, they say nothing.
    require_all_that_was_read(DayOffsets.of("events", DAY, given, str(NEW)), read)
    require_all_that_was_read(DayOffsets.of("others", DAY, given, str(OLD)), read)
    require_all_that_was_read(older, None)


@pytest.mark.parametrize(("before", "after"), [(NO_ID, NEW), (OLD, NO_ID), (NO_ID, NO_ID)])
def test_without_an_id_a_topic_is_known_by_its_offsets(before: Uuid, after: Uuid) -> None:
    consumer = broker(Log([NOON] * 3))
    consumer.topic_id = before
    recorded = resolve(consumer, consumer, "events", DAY)
    consumer.topic_id = after
    consumer.logs["events"][0].times.append(NOON)
    assert resolve(consumer, consumer, "events", DAY, recorded).ranges == {0: (0, 4)}
    require_topic(consumer, recorded)


def test_a_topic_that_is_made_anew_while_it_is_asked_does_not_pass_for_the_old_one() -> None:
    def anew(consumer: FakeConsumer) -> None:
        consumer.topic_id = NEW

    consumer = broker(Log([NOON] * 3))
    consumer.topic_id = OLD
    recorded = resolve(consumer, consumer, "events", DAY)
    require_topic(consumer, recorded)
    for held in (None, recorded):
        consumer.topic_id, consumer.meanwhile = OLD, anew
        with pytest.raises(BrokerError, match=rf"made anew while .*{OLD}.*{NEW}"):
            resolve(consumer, consumer, "events", DAY, held)
    with pytest.raises(OffsetsError, match=f"{OLD}"):
        resolve(consumer, consumer, "events", DAY, recorded)
    # Nor does one that is made anew after it was asked.
    with pytest.raises(OffsetsError, match=rf"^events 2010-12-01: .*{OLD}.*{NEW}"):
        require_topic(consumer, recorded)
    consumer.error = DOWN
    with pytest.raises(BrokerError, match="not answer"):
        require_topic(consumer, recorded)
    consumer.error = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    with pytest.raises(OffsetsError, match="no topic events"):
        require_topic(consumer, recorded)


def test_a_partition_may_come_and_none_may_go() -> None:
    consumer = broker(Log([NOON]), Log([NOON]))
    assert ranges(consumer, {0: (0, 1)}) == {0: (0, 1), 1: (0, 1)}
    with pytest.raises(OffsetsError, match="partition 2 is gone"):
        ranges(consumer, {0: (0, 1), 2: (0, 0)})


def test_a_day_that_is_not_over_is_refused_before_kafka_is_asked() -> None:
    consumer = broker(Log([NOON]))
    last = datetime(2010, 12, 1, 23, 59, 59, tzinfo=UTC)
    with pytest.raises(OffsetsError, match=r"events 2010-12-01: .*over .*2010-12-02 00:00"):
        resolve(consumer, consumer, "events", DAY, now=last)
    assert consumer.asked == []
    assert resolve(consumer, consumer, "events", DAY, now=last + timedelta(seconds=1)).messages == 1


def test_a_topic_that_is_not_there_cannot_be_fixed_by_another_try() -> None:
    with pytest.raises(OffsetsError, match="no topic events"):
        ranges(FakeConsumer({}))


def test_a_broker_that_is_away_may_be_back_at_the_next_try() -> None:
    consumer = broker(Log([NOON]))
    consumer.error = DOWN
    with pytest.raises(BrokerError, match=r"^events 2010-12-01: .*not answer"):
        ranges(consumer)


def test_offsets_go_through_a_task_as_text() -> None:
    offsets = DayOffsets.of("events", DAY, {1: (3, 5), 0: (0, 9), 10: (2, 2)}, str(OLD))
    assert offsets.starting == '{"events":{"0":0,"1":3,"10":2}}'
    assert offsets.ending == '{"events":{"0":9,"1":5,"10":2}}'
    assert DayOffsets(**vars(offsets)).ranges == {0: (0, 9), 1: (3, 5), 10: (2, 2)}
    assert (offsets.messages, offsets.day) == (11, "2010-12-01")
