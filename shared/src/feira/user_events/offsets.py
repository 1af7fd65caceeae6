"""A day of a topic as offsets: from which to which each partition is read, and whether the broker still
holds all of it.

A day is the messages whose timestamp is in it, wherever in the log they are. Before the first message of
that time or later there is none of them, so reading begins there; a late one may be anywhere behind it, so
reading ends where the partition ended when it was asked, and what is of other days is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from feira.user_events.codec import milliseconds
from feira.user_events.partitions import (
    SECONDS,
    BrokerError,
    OffsetsError,
    id_of,
    log_ends,
    no_answer,
    no_topic,
    numbers_of,
    sent,
    watermarks,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "DAY_PROPERTY",
    "OFFSETS_PROPERTY",
    "SECONDS",
    "TOPIC_ID_PROPERTY",
    "BrokerError",
    "DayOffsets",
    "OffsetsError",
    "differ",
    "require_all_that_was_read",
    "require_topic",
    "resolve",
    "watermarks",
]

# Further ahead of its clock a broker takes no message, where message.timestamp.after.max.ms says an hour.
_AHEAD = timedelta(hours=1)
# Spark has times in microseconds since 1970, as 64 bits: a later millisecond ends its query.
_LAST_MS = (2**63 - 1) // 1000
_NEVER_REMOVED = (
    "Retention goes by timestamps: it removes neither these nor what is behind them, and as long as one is the first "
    "that its partition holds, nothing shows that what was removed before was not of the day."
)
_NO_TIME_OF_SPARK = "Spark has no such time, and cannot read past one."
# What an ingest writes to the summary of its snapshot: the day, by topic and partition both offsets, and the
# topic's id where Kafka has one. In lower case, as Spark writes the names of options.
DAY_PROPERTY, OFFSETS_PROPERTY = "feira.event-day", "feira.kafka-offsets"
TOPIC_ID_PROPERTY = "feira.kafka-topic-id"
Ranges = Mapping[int, tuple[int, int]]


@dataclass(frozen=True)
class DayOffsets:
    """What is read for a day: of each partition the first offset, and the one after the last.

    ``starting`` and ``ending`` are JSON as Spark's reader takes it, ``{"topic": {"0": 17}}``; ``topic_id`` is
    Kafka's, by which a topic that was made anew is another one: None where the broker is too old to have
    any.
    """

    topic: str
    day: str
    starting: str
    ending: str
    topic_id: str | None = None

    @classmethod
    def of(cls, topic: str, day: date, ranges: Ranges, topic_id: str | None = None) -> DayOffsets:
        """From the ranges of the partitions."""
        ends = [{str(number): ranges[number][end] for number in sorted(ranges)} for end in (0, 1)]
        starting, ending = (json.dumps({topic: end}, separators=(",", ":")) for end in ends)
        return cls(topic, day.isoformat(), starting, ending, topic_id)

    @classmethod
    def read(
        cls, topic: str, day: date, batches: Iterable[pa.RecordBatch], topic_id: str | None = None
    ) -> DayOffsets:
        """From rows of ``partition``, ``starting`` and ``ending``, as they are staged."""
        rows = (row for batch in batches for row in batch.to_pylist())
        ranges = {row["partition"]: (row["starting"], row["ending"]) for row in rows}
        return cls.of(topic, day, ranges, topic_id)

    @property
    def ranges(self) -> dict[int, tuple[int, int]]:
        """Partitions with their first offset and the one after the last."""
        starting, ending = (json.loads(text)[self.topic] for text in (self.starting, self.ending))
        return {int(number): (starting[number], ending[number]) for number in starting}

    @property
    def messages(self) -> int:
        """How many offsets are between the ends, those of other days among them."""
        return sum(end - start for start, end in self.ranges.values())


def resolve(
    consumer: Any,
    admin: Any,
    topic: str,
    day: date,
    recorded: DayOffsets | None = None,
    has_rows: bool | None = None,
    now: datetime | None = None,
) -> DayOffsets:
    """The offsets of a UTC day, from the broker.

    :param consumer: a ``confluent_kafka.Consumer``; it need not be subscribed to anything
    :param admin: a ``confluent_kafka.admin.AdminClient``
    :param recorded: what the day's rows in the table were read from; None where that is not known
    :param has_rows: whether the table has rows of the day: where none are left, any topic may be read; None: it has
        them if it is recorded what they were read from
    :raises OffsetsError: where the day is not over, the topic is not there, the broker no longer holds the
        day whole, the topic is not the one that was read before, there are rows of which that is not known, or a
        message has a time that Spark has not
    :raises BrokerError: where it does not answer, or messages of the day may be behind a transaction that is open
    """
    from confluent_kafka import KafkaException, TopicPartition

    from feira.user_events.incoming import DELIVERY, NEWEST, OLDEST

    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    ends = begins + timedelta(days=1)
    now = now or datetime.now(UTC)
    if now < ends:
        raise OffsetsError(
            f"{topic} {day}: the day is over at {ends:%Y-%m-%d %H:%M} UTC, and its messages still come. "
            "Run it after that."
        )
    if has_rows is None:
        has_rows = recorded is not None
    if recorded is None and has_rows:
        raise OffsetsError(
            f"{topic} {day}: the table has rows of the day, and no snapshot says any more from which offsets they were "
            "read, so nothing shows that Kafka still holds all of them. The table keeps the day as it is. Where the "
            "topic has all of its messages, delete the day's rows from the table first."
        )
    try:
        numbers = numbers_of(consumer, topic)
        topic_id = id_of(admin, topic)
        # Asked before what is read: no message that comes meanwhile passes for one behind a transaction.
        logs = log_ends(admin, topic, numbers)
        highs = {n: watermarks(consumer, topic, n)[1] for n in numbers}
        # What is older was stored before anything of the day could be.
        older = begins - OLDEST - DELIVERY - NEWEST
        found, before, beyond = (
            consumer.offsets_for_times(
                [TopicPartition(topic, n, time) for n in numbers], timeout=SECONDS
            )
            for time in (milliseconds(begins), milliseconds(older), _LAST_MS + 1)
        )
        # Asked last: what retention removes meanwhile must not pass for a day that began later.
        lows = {n: watermarks(consumer, topic, n)[0] for n in numbers}
        now_id = id_of(admin, topic)
    except KafkaException as error:
        raise no_answer(f"{topic} {day}", error) from error
    if now_id != topic_id:
        raise BrokerError(
            f"{topic} {day}: the topic was made anew while its offsets were asked for: its id was {topic_id} and is "
            f"{now_id}. Ask again."
        )
    _require_stable(
        consumer, topic, day, {n: (highs[n], logs[n]) for n in numbers}, milliseconds(ends)
    )
    ranges, no_later, unreadable = (
        _until_the_end(topic, day, each, highs) for each in (found, before, beyond)
    )
    changed = [] if recorded is None else _changed(recorded, topic_id, ranges, lows)
    if changed and has_rows:
        raise OffsetsError(
            f"{topic} {day}: Kafka no longer holds what the day's rows were read from: {'; '.join(changed)}. "
            "The table keeps the day as it is. Where the topic was made anew on purpose and the day's messages "
            "are in it, delete the day's rows from the table first."
        )
    whole = {} if recorded is None or changed else recorded.ranges
    if lost := _maybe_lost(no_later, lows, whole):
        left = {number: (lows[number], highs[number]) for number in lost}
        _require_past(
            consumer, topic, day, left, milliseconds(now + _AHEAD), _NEVER_REMOVED, among=1
        )
        raise OffsetsError(
            f"{topic} {day}: Kafka has removed messages, and holds none before them that is a day older than the day: "
            f"{', '.join(f'partition {n} from offset {lows[n]}' for n in lost)}. What it removed may have been of the "
            "day, so nothing is read. The table keeps the day as it is; lengthen the topic's retention for the days "
            "to come."
        )
    _require_past(consumer, topic, day, unreadable, _LAST_MS, _NO_TIME_OF_SPARK)
    return DayOffsets.of(topic, day, ranges, topic_id)


def require_topic(admin: Any, offsets: DayOffsets) -> None:
    """Refuses to read offsets from a topic that was made anew since they were resolved.

    :param admin: a ``confluent_kafka.admin.AdminClient``
    :raises OffsetsError: where the topic's id is another one, or there is no such topic
    :raises BrokerError: where the broker does not answer
    """
    from confluent_kafka import KafkaError, KafkaException

    try:
        topic_id = id_of(admin, offsets.topic)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise no_topic(offsets.topic) from error
        raise no_answer(f"{offsets.topic} {offsets.day}", error) from error
    if differ(offsets.topic_id, topic_id):
        raise OffsetsError(
            f"{offsets.topic} {offsets.day}: the offsets are of the topic with the id {offsets.topic_id}, and "
            f"Kafka's has {topic_id}: it was made anew since. Nothing was read; resolve the offsets again."
        )


def require_all_that_was_read(given: DayOffsets, recorded: DayOffsets | None) -> None:
    """Refuses offsets that end before those that the day's rows were read up to since: the rows behind them would
    leave the table.

    :param recorded: what the day's rows were last read from; None where that is not known
    :raises OffsetsError: naming the partitions
    """
    if (
        recorded is None
        or recorded.topic != given.topic
        or differ(recorded.topic_id, given.topic_id)
    ):
        return
    ranges = given.ranges
    behind = [
        f"partition {number} ends at {ranges.get(number, (0, 0))[1]}, and {end} were read since"
        for number, (start, end) in recorded.ranges.items()
        if start < end and ranges.get(number, (0, 0))[1] < end
    ]
    if behind:
        raise OffsetsError(
            f"{given.topic} {given.day}: these offsets are older than the day's rows: {'; '.join(behind)}. The table "
            "keeps the day as it is. Clear resolve_offsets instead, which asks Kafka anew."
        )


def differ(one: str | None, other: str | None) -> bool:
    """Whether two ids are known to be of two topics; where one is not known they may be of the same."""
    return None not in (one, other) and one != other


def _until_the_end(
    topic: str, day: date, found: Sequence[Any], highs: Mapping[int, int]
) -> dict[int, tuple[int, int]]:
    """Of each partition the offset that the broker has found for a time, and the one after its last."""
    ranges: dict[int, tuple[int, int]] = {}
    for each in found:
        if each.error is not None:
            raise BrokerError(
                f"{topic} {day}: Kafka has no offset for partition {each.partition}: {each.error}."
            )
        high = highs[each.partition]
        # -1: no message is of that time or later. One may have come since the end was asked for.
        start = high if each.offset < 0 else min(each.offset, high)
        ranges[each.partition] = (start, high)
    if set(ranges) != set(highs):
        raise BrokerError(
            f"{topic} {day}: Kafka gave offsets for {len(ranges)} of {len(highs)} partitions."
        )
    return ranges


def _changed(
    recorded: DayOffsets, topic_id: str | None, ranges: Ranges, lows: Mapping[int, int]
) -> list[str]:
    """What shows that the log is not the one that was read: a log only grows, and the first message of a time
    stays the first. One that was made anew may be as long as the old one, with other messages at its offsets.
    """
    if differ(recorded.topic_id, topic_id):
        return [f"the topic has the id {topic_id}, and the one with {recorded.topic_id} was read"]
    problems = []
    for number, (start, end) in recorded.ranges.items():
        if number not in ranges:
            problems.append(f"partition {number} is gone")
        elif ranges[number][1] < end:
            problems.append(f"partition {number} ends at {ranges[number][1]}, and {end} were read")
        elif ranges[number][0] < start:
            problems.append(f"partition {number} has the day from {ranges[number][0]}, not {start}")
        elif start < end and lows[number] > start:
            problems.append(f"partition {number} begins at {lows[number]}, and {start} was read")
    return problems


def _maybe_lost(no_later: Ranges, lows: Mapping[int, int], recorded: Ranges) -> list[int]:
    """The partitions that messages of the day may have been removed from.

    The first message that is still there shows that none was, if it is older than the day by more than a message may
    be late: one that is not could have come behind one of the day. A recorded start that is still there shows it too.

    :param no_later: where the messages begin that are not so old
    """
    return [
        number
        for number, (start, _) in sorted(no_later.items())
        if lows[number] > 0
        and start <= lows[number]
        and not (number in recorded and recorded[number][0] >= lows[number])
    ]


def _require_stable(consumer: Any, topic: str, day: date, ranges: Ranges, ends: int) -> None:
    """Refuses a day for now where a transaction is open and messages of the day may be behind it: what was acknowledged
    is there, and sent to nobody. Where one of after the day is before it, those of the day that still come are late.

    :param ranges: from the last stable offset of each partition to the end of its log
    :param ends: the end of the day, in ms since 1970
    """
    from confluent_kafka import KafkaException, TopicPartition

    stable = {number: begin for number, (begin, end) in sorted(ranges.items()) if begin < end}
    if not stable:
        return
    try:
        found = consumer.offsets_for_times(
            [TopicPartition(topic, number, ends) for number in stable], timeout=SECONDS
        )
        # One that is sent: the broker also finds the end of a transaction, which has the time of its clock.
        after = _first_past(consumer, topic, _until_the_end(topic, day, found, stable), ends - 1)
    except KafkaException as error:
        raise no_answer(f"{topic} {day}", error) from error
    held = (
        f"partition {number} has the last stable offset {begin}, and its log ends at {ranges[number][1]}"
        for number, begin in stable.items()
        if number not in after
    )
    if named := "; ".join(held):
        raise BrokerError(
            f"{topic} {day}: a transaction is open, and messages of the day may be behind it: {named}. Nothing is "
            "read, and the table keeps the day as it is. Try again once the transaction's writer has committed or "
            "aborted it, or the broker has, after its transaction.timeout.ms."
        )


def _require_past(
    consumer: Any,
    topic: str,
    day: date,
    ranges: Ranges,
    latest: int,
    why: str,
    among: int | None = None,
) -> None:
    """Refuses to read a day where a message of one of the ranges has a later time, in ms since 1970."""
    from confluent_kafka import KafkaException

    try:
        found = _first_past(consumer, topic, ranges, latest, among)
    except KafkaException as error:
        raise no_answer(f"{topic} {day}", error) from error
    if not found:
        return
    named = (f"partition {n} at offset {at}: {time}" for n, (at, time) in found.items())
    kept = [{"topic": topic, "partition": n, "offset": at + 1} for n, (at, _) in found.items()]
    raise OffsetsError(
        f"{topic} {day}: messages have a timestamp of the future, in ms since 1970: {'; '.join(named)}. {why} Nothing "
        "is read, and the table keeps the day as it is. Have their producer send milliseconds. Kafka's "
        "kafka-delete-records removes these, and what is before them in their partitions, by the file "
        f"{json.dumps({'partitions': kept, 'version': 1})}"
    )


def _first_past(
    consumer: Any, topic: str, ranges: Ranges, latest: int, among: int | None = None
) -> dict[int, tuple[int, int]]:
    """Of each range that has a message with a later time, in ms since 1970, the first one's offset and time.

    :param among: so many messages of a range are looked at; None: all, until one is later
    """
    found: dict[int, tuple[int, int]] = {}
    for number, (start, end) in sorted(ranges.items()):
        looked_at = islice(sent(consumer, topic, number, start, end), among)
        later = next((each for each in looked_at if each[1] > latest), None)
        if later is not None:
            found[number] = later
    consumer.unassign()
    return found
