"""Messages that are no events, sent to a topic of their own: as they came, with the reason and their place.

A dead letter is known by the topic, its id, the partition and offset that it was read from: in a topic that was
made anew the same offset is another message. What the topic already holds
is not sent again, so a retry or another run of a day sends what is missing. Where the broker's answer to one
was lost, or its retention has removed it, it can come twice: at least once. Of one that is too large for this topic
key and value stay where they were read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from feira.user_events.codec import DEAD_TOPIC
from feira.user_events.offsets import SECONDS, BrokerError, OffsetsError, watermarks

_AT_ONCE = 1_000
_DELIVERY_SECONDS = 120
Place = tuple[str, int, int, str | None]


@dataclass(frozen=True)
class DeadLetter:
    """A message as it came, and the names of the rules that it breaks; ``topic_id`` where Kafka has one."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    topic_id: str | None = None

    @property
    def place(self) -> Place:
        """What it is known by."""
        return self.topic, self.partition, self.offset, self.topic_id

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """``reason``, and its place as texts: ``topic``, ``partition``, ``offset``, ``topic_id`` if any."""
        named = {
            "reason": self.reason,
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
        } | ({} if self.topic_id is None else {"topic_id": self.topic_id})
        return [(name, text.encode()) for name, text in named.items()]

    @property
    def message(self) -> dict[str, Any]:
        """What is sent: key and value as they came, and the headers."""
        return {"key": self.key, "value": self.value, "headers": self.headers}

    @property
    def message_without_content(self) -> dict[str, Any]:
        """The headers alone, and as ``left_bytes`` how many key and value have, which are left where they are."""
        left = len(self.key or b"") + len(self.value or b"")
        headers = [*self.headers, ("left_bytes", str(left).encode())]
        return {"key": None, "value": None, "headers": headers}


@dataclass(frozen=True)
class Sent:
    """Dead letters by what became of them: sent now, or there before."""

    sent: int
    there: int


def send(letters: Iterable[DeadLetter], producer: Any, consumer: Any) -> Sent:
    """Sends those that the topic of dead letters does not hold yet; returns once all are stored.

    :param producer: a ``confluent_kafka.Producer``
    :param consumer: a ``confluent_kafka.Consumer`` that is subscribed to nothing
    :raises OffsetsError: where there is no such topic
    :raises BrokerError: where the broker does not answer, or did not store one of them
    """
    from confluent_kafka import KafkaException

    refused: list[str] = []
    large: list[DeadLetter] = []

    def failed(letter: DeadLetter, error: Any) -> None:
        if _is_too_large(error):
            large.append(letter)
        elif error is not None:
            refused.append(str(error))

    sent = there = 0
    try:
        held = places(consumer)
        for letter in letters:
            if letter.place in held:
                there += 1
                continue
            _produce(producer, letter.message, partial(failed, letter))
            sent += 1
        left = producer.flush(_DELIVERY_SECONDS)
        for letter in large:
            refused += _store_large(producer, letter)
    except KafkaException as error:
        raise BrokerError(f"{DEAD_TOPIC}: Kafka does not answer: {error.args[0]}.") from error
    if refused or left:
        raise BrokerError(
            f"{DEAD_TOPIC}: {len(refused) + left} of {sent} dead letters were not stored: "
            f"{refused[0] if refused else f'no answer in {_DELIVERY_SECONDS} s'}. Try again."
        )
    return Sent(sent, there)


def places(consumer: Any) -> set[Place]:
    """Where the dead letters that the topic holds came from; those that others put there are left out."""
    from confluent_kafka import KafkaError, TopicPartition

    found = consumer.list_topics(DEAD_TOPIC, timeout=SECONDS).topics.get(DEAD_TOPIC)
    if found is None or not found.partitions:
        raise OffsetsError(f"Kafka has no topic {DEAD_TOPIC}. Create it, with one partition.")
    left: dict[int, range] = {}
    for number in found.partitions:
        if offsets := range(*watermarks(consumer, DEAD_TOPIC, number)):
            left[number] = offsets
    held: set[Place] = set()
    consumer.assign([TopicPartition(DEAD_TOPIC, n, each.start) for n, each in left.items()])
    quiet = 0
    while left:
        # No more than there are: it waits for as many as it is asked for.
        count = min(_AT_ONCE, sum(map(len, left.values())))
        for message in consumer.consume(count, timeout=1):
            if message.error() is None:
                if (place := _place(message.headers())) is not None:
                    held.add(place)
            elif message.error().code() != KafkaError._PARTITION_EOF:
                raise BrokerError(f"{DEAD_TOPIC}: {message.error()}.")
        before, left = left, _rest(consumer, left)
        quiet = 0 if left != before else quiet + 1
        if quiet == SECONDS:
            raise BrokerError(
                f"{DEAD_TOPIC}: Kafka sent nothing for {SECONDS} s, and more is there."
            )
    return held


def _rest(consumer: Any, left: Mapping[int, range]) -> dict[int, range]:
    """What is left to read. Not up to the last message: at the end of a transaction there is an offset without one,
    and what was aborted is sent to nobody."""
    from confluent_kafka import TopicPartition

    reached = consumer.position([TopicPartition(DEAD_TOPIC, number) for number in left])
    # Below 0 where nothing of the partition was read yet.
    rest = {
        each.partition: range(
            max(each.offset, left[each.partition].start), left[each.partition].stop
        )
        for each in reached
    }
    return {number: offsets for number, offsets in rest.items() if offsets}


def _store_large(producer: Any, letter: DeadLetter) -> list[str]:
    """Why one that was too large is not stored, if it is not. Others' size may have been too much for what was sent
    with it, so it is sent alone; then without key and value."""
    for message in (letter.message, letter.message_without_content):
        errors: list[Any] = []
        _produce(producer, message, errors.append)
        if producer.flush(_DELIVERY_SECONDS) or not errors:
            return [f"no answer in {_DELIVERY_SECONDS} s"]
        if not _is_too_large(errors[0]):
            break
    return [] if errors[0] is None else [str(errors[0])]


def _is_too_large(error: Any) -> bool:
    from confluent_kafka import KafkaError

    return error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def _produce(producer: Any, message: dict[str, Any], done: Callable[[Any], None]) -> None:
    """Sends a message; ``done`` is called with None once it is stored, or with the error."""
    from confluent_kafka import KafkaException

    while True:
        try:
            producer.produce(DEAD_TOPIC, **message, on_delivery=lambda error, _: done(error))
        except KafkaException as error:
            # The client does not even queue what is larger than its own limit.
            if not _is_too_large(error.args[0]):
                raise
            done(error.args[0])
            return
        except BufferError:
            # As many as the client keeps are on their way: some must have arrived before more fit.
            if not producer.poll(_DELIVERY_SECONDS):
                raise BrokerError(
                    f"{DEAD_TOPIC}: Kafka stored nothing for {_DELIVERY_SECONDS} s. Try again."
                ) from None
        else:
            producer.poll(0)
            return


def _place(headers: list[tuple[str, bytes | None]] | None) -> Place | None:
    named = {name: text.decode("utf-8", "replace") for name, text in headers or () if text}
    try:
        place = named["topic"], int(named["partition"]), int(named["offset"])
    except (KeyError, ValueError):
        return None
    return *place, named.get("topic_id")
