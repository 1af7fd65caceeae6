"""What Kafka says of a topic: its id, its partitions, how far each of them reaches, and what it sends of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from feira.core.errors import PermanentError

if TYPE_CHECKING:
    from confluent_kafka import KafkaException

SECONDS = 30


class OffsetsError(PermanentError, RuntimeError):
    """A day that cannot be read whole; the message names topic, day, partitions and offsets."""


class BrokerError(ConnectionError):
    """What Kafka does not say, or not yet; another try may find it."""


def id_of(admin: Any, topic: str) -> str | None:
    """A topic's id as Kafka's own tools write it; None where the broker has none (before Kafka 2.8)."""
    from confluent_kafka import TopicCollection

    (described,) = admin.describe_topics(TopicCollection([topic]), request_timeout=SECONDS).values()
    found = described.result(2 * SECONDS).topic_id
    bits = found.get_most_significant_bits(), found.get_least_significant_bits()
    return str(found) if any(bits) else None


def numbers_of(consumer: Any, topic: str) -> list[int]:
    """The numbers of a topic's partitions, in order.

    :raises OffsetsError: where there is no such topic
    """
    found = consumer.list_topics(topic, timeout=SECONDS).topics.get(topic)
    if found is None or not found.partitions:
        cause = f": {found.error}" if found is not None and found.error is not None else ""
        raise no_topic(topic, cause)
    return sorted(found.partitions)


def no_topic(topic: str, cause: str = "") -> OffsetsError:
    """The error that says so."""
    return OffsetsError(f"Kafka has no topic {topic}{cause}. Nothing was produced to it yet.")


def no_answer(what: str, error: KafkaException) -> BrokerError:
    """The error that says so of a topic, or a day of one."""
    return BrokerError(f"{what}: Kafka does not answer: {error.args[0]}. Is the broker up?")


def watermarks(consumer: Any, topic: str, number: int) -> tuple[int, int]:
    """The first offset that a partition still holds, and the one after the last that the consumer is sent: where it
    reads what was committed, that is the last stable offset, and nothing behind a transaction that is open.

    :raises BrokerError: where the broker does not say
    """
    from confluent_kafka import KafkaException, TopicPartition

    try:
        found = consumer.get_watermark_offsets(
            TopicPartition(topic, number), timeout=SECONDS, cached=False
        )
    except KafkaException as error:
        raise no_answer(topic, error) from error
    if found is None:
        raise BrokerError(f"{topic}: Kafka does not say how far partition {number} reaches.")
    low, high = found
    return int(low), int(high)


def log_ends(admin: Any, topic: str, numbers: Iterable[int]) -> dict[int, int]:
    """Of each partition the offset after its last message, whether or not a transaction is open before it.

    :raises KafkaException: where the broker does not say
    """
    from confluent_kafka import IsolationLevel, TopicPartition
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    asked = admin.list_offsets(
        {TopicPartition(topic, number): latest for number in numbers},
        isolation_level=IsolationLevel.READ_UNCOMMITTED,
        request_timeout=SECONDS,
    )
    return {place.partition: int(end.result(2 * SECONDS).offset) for place, end in asked.items()}


def sent(consumer: Any, topic: str, number: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Offset and time of each message between two offsets of a partition. The broker finds times in aborted
    transactions too, and sends none of their messages.

    :raises BrokerError: where it sends nothing, and more is there
    :raises KafkaException: what it sends in the place of a message
    """
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

    consumer.assign([TopicPartition(topic, number, start)])
    reached, quiet = start, 0
    while reached < end:
        message, before = consumer.poll(1), reached
        error = None if message is None else message.error()
        if message is not None and error is None:
            at = int(message.offset())
            if at >= end:
                return
            yield at, int(message.timestamp()[1])
            reached = at + 1
        elif error is None or error.code() == KafkaError._PARTITION_EOF:
            # It goes on over what it sends to nobody.
            (place,) = consumer.position([TopicPartition(topic, number)])
            reached = max(reached, place.offset)
        else:
            raise KafkaException(error)
        quiet = 0 if reached > before else quiet + 1
        if quiet == SECONDS:
            raise BrokerError(
                f"{topic}: Kafka sent nothing for {SECONDS} s, and partition {number} goes on from offset {reached} to "
                f"{end}. Is the broker up?"
            )
