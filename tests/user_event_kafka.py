"""A broker in memory, by the calls of ``confluent_kafka`` that the platform makes."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
    Uuid,
)
from confluent_kafka.admin import OffsetSpec

TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
DOWN = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))


@dataclass
class Log:
    """A partition: the timestamps (ms) of its messages from ``low`` on. Those at some offsets are sent to nobody, as of
    a transaction that was aborted. One may be open, from an offset on."""

    times: list[int]
    low: int = 0
    unsent: frozenset[int] = frozenset()
    open_from: int | None = None

    @property
    def end(self) -> int:
        return self.low + len(self.times)

    @property
    def high(self) -> int:
        """For who reads what was committed."""
        return self.end if self.open_from is None else min(self.open_from, self.end)

    def first_at(self, time: int) -> int:
        """As a broker answers: -1 where no message that may be read is of that time or later."""
        later = (self.low + n for n, each in enumerate(self.times) if each >= time)
        found = next(later, -1)
        return found if found < self.high else -1


@dataclass(frozen=True)
class Timed:
    """A message as far as its place and time, or an error in its place."""

    at: int
    time: int
    failure: KafkaError | None = None

    def error(self) -> KafkaError | None:
        return self.failure

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time


@dataclass
class FakeConsumer:
    """Consumer and admin in one, which answers from its logs; ``meanwhile`` happens once, before the next
    question about times is answered. The topic's id is of zeros with a broker that has none."""

    logs: dict[str, dict[int, Log]]
    meanwhile: Any = None
    error: KafkaException | None = None
    topic_id: Uuid = field(default_factory=lambda: Uuid(0, 0))
    asked: list[str] = field(default_factory=list)
    sends: KafkaError | None = None
    """In the place of every message."""
    silent: bool = False
    _assigned: list[TopicPartition] = field(default_factory=list)
    _reached: int = OFFSET_INVALID

    def describe_topics(self, topics: TopicCollection, request_timeout: float) -> Any:
        self._ask("describe_topics", request_timeout)
        done: Future[Any] = Future()
        done.set_result(SimpleNamespace(topic_id=self.topic_id))
        return {"events": done}

    def list_topics(self, topic: str, timeout: float) -> Any:
        self._ask("list_topics", timeout)
        known = self.logs.get(topic)
        return SimpleNamespace(
            topics={topic: SimpleNamespace(partitions=dict.fromkeys(known or {}), error=None)}
        )

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float, cached: bool
    ) -> tuple[int, int]:
        self._ask("get_watermark_offsets", timeout)
        assert not cached
        log = self.logs[partition.topic][partition.partition]
        return log.low, log.high

    def list_offsets(
        self,
        asked: dict[TopicPartition, OffsetSpec],
        isolation_level: IsolationLevel,
        request_timeout: float,
    ) -> Any:
        self._ask("list_offsets", request_timeout)
        assert isolation_level == IsolationLevel.READ_UNCOMMITTED
        done: dict[TopicPartition, Future[Any]] = {each: Future() for each in asked}
        for each, answer in done.items():
            answer.set_result(SimpleNamespace(offset=self.logs[each.topic][each.partition].end))
        return done

    def offsets_for_times(
        self, asked: list[TopicPartition], timeout: float
    ) -> list[TopicPartition]:
        self._ask("offsets_for_times", timeout)
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens(self)
        return [
            TopicPartition(
                each.topic,
                each.partition,
                self.logs[each.topic][each.partition].first_at(each.offset),
            )
            for each in reversed(asked)
        ]

    def assign(self, begins: list[TopicPartition]) -> None:
        self._assigned, self._reached = begins, OFFSET_INVALID

    def unassign(self) -> None:
        self._assigned = []

    def poll(self, timeout: float) -> Any:
        self._ask("poll", timeout)
        (begin,) = self._assigned
        if self.silent:
            return None
        if self.sends is not None:
            return Timed(begin.offset, 0, self.sends)
        log = self.logs[begin.topic][begin.partition]
        for at in range(max(begin.offset, self._reached), log.high):
            self._reached = at + 1
            if at not in log.unsent:
                return Timed(at, log.times[at - log.low])
        return None

    def position(self, of: list[TopicPartition]) -> list[TopicPartition]:
        return [TopicPartition(each.topic, each.partition, self._reached) for each in of]

    def _ask(self, call: str, timeout: float) -> None:
        assert timeout > 0
        self.asked.append(call)
        if self.error is not None:
            raise self.error


@dataclass
class Stored:
    """A message that a topic holds, as a consumer gets it."""

    sent_headers: list[tuple[str, bytes | None]] | None
    sent_key: bytes | None = None
    sent_value: bytes | None = None
    at: tuple[int, int] = (0, 0)

    @property
    def size(self) -> int:
        """Bytes of key, value and headers."""
        named = sum(len(name) + len(text or b"") for name, text in self.sent_headers or ())
        return len(self.sent_key or b"") + len(self.sent_value or b"") + named

    def error(self) -> None:
        return None

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.sent_headers

    def partition(self) -> int:
        return self.at[0]

    def offset(self) -> int:
        return self.at[1]


@dataclass
class DeadTopic:
    """A topic of one partition with its producer and consumer in one: what is sent can be read."""

    name: str
    stored: list[Stored] = field(default_factory=list)
    low: int = 0
    full_after: int | None = None
    """So many messages fit into the client before it must be polled."""
    refused: set[int] = field(default_factory=set)
    """The sending of these, by their number, the broker refuses."""
    silent: bool = False
    most_bytes: int = 1_000
    """Of a message with its headers, more of which the client does not take."""
    most_stored: int = 1_000
    """Of what is delivered together, more of which the broker does not take."""
    _read: int = 0
    _waiting: list[Any] = field(default_factory=list)
    _sent: int = 0

    def list_topics(self, topic: str, timeout: float) -> Any:
        known = {0: None} if topic == self.name else {}
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=known, error=None)})

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float, cached: bool
    ) -> tuple[int, int]:
        return self.low, self.low + len(self.stored)

    def assign(self, begins: list[TopicPartition]) -> None:
        self._read = begins[0].offset - self.low if begins else 0

    def consume(self, count: int, timeout: float) -> list[Stored]:
        if self.silent:
            return []
        # A real one waits for as many until the time is over.
        assert count <= len(self.stored) - self._read
        taken = self.stored[self._read : self._read + min(count, 2)]
        self._read += len(taken)
        return taken

    def position(self, of: list[TopicPartition]) -> list[TopicPartition]:
        reached = self.low + self._read if self._read else OFFSET_INVALID
        return [TopicPartition(each.topic, each.partition, reached) for each in of]

    def produce(self, topic: str, key: Any, value: Any, headers: Any, on_delivery: Any) -> None:
        assert topic == self.name
        if self.full_after is not None and len(self._waiting) >= self.full_after:
            raise BufferError("Local: Queue full")
        message = Stored(headers, key, value)
        if message.size > self.most_bytes:
            raise KafkaException(TOO_LARGE)
        self._waiting.append((message, on_delivery))

    def poll(self, timeout: float) -> int:
        if timeout == 0:
            return 0
        return self._deliver()

    def flush(self, timeout: float) -> int:
        if self.silent:
            return len(self._waiting)
        self._deliver()
        return 0

    def _deliver(self) -> int:
        done, self._waiting = self._waiting, []
        too_large = sum(message.size for message, _ in done) > self.most_stored
        for message, report in done:
            if self._sent in self.refused:
                report(KafkaError(KafkaError._MSG_TIMED_OUT), message)
            elif too_large:
                report(TOO_LARGE, message)
            else:
                message.at = (0, self.low + len(self.stored))
                self.stored.append(message)
                report(None, message)
            self._sent += 1
        return len(done)
