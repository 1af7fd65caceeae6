"""Kafka's part: how far each topic reaches, by calls to the broker, and how much of it no run has read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from feira.monitoring.figures import Figures, Shown
from feira.user_events.codec import TOPIC as READ_BY_RUNS

_SECONDS = 10


@dataclass
class Topics:
    """The topics of a broker.

    :param options: librdkafka's, as ``bootstrap.servers``
    :param names: the topics to look at
    :param read: by topic and partition, as ``user_events/0``, the offset after the last that was read; None
        where that is not known
    """

    options: Mapping[str, Any]
    names: tuple[str, ...]
    read: Callable[[], Mapping[str, int] | None]
    name: str = field(default="kafka", init=False)
    _consumer: Any = field(default=None, init=False)
    _shown: Shown = field(default_factory=Shown, init=False)
    _of_another: dict[str, int] = field(default_factory=dict, init=False)
    """What was read of a topic that is no more, by partition."""

    def collect(self, figures: Figures) -> None:
        """Brings the figures up to date; raises KafkaException where the broker does not answer."""
        from confluent_kafka import Consumer, TopicPartition

        if self._consumer is None:
            # It reads nothing and joins no group: the broker asks for the name of one.
            self._consumer = Consumer(
                {**self.options, "group.id": "feira-monitoring", "log_level": 0}
            )
        ends: dict[tuple[str, str], int] = {}
        reads: dict[tuple[str, str], int] = {}
        unread: dict[str, int] = {}
        for topic in self.names:
            found = self._consumer.list_topics(topic, timeout=_SECONDS).topics[topic]
            if found.error is not None:
                continue
            read = self.read() if topic == READ_BY_RUNS else None
            if read is not None:
                unread[topic] = 0
            for number in found.partitions:
                at = TopicPartition(topic, number)
                low, high = self._consumer.get_watermark_offsets(at, timeout=_SECONDS)
                ends[topic, str(number)] = high
                if read is None:
                    continue
                offset = self._read_of_this(f"{topic}/{number}", high, read)
                reads[topic, str(number)] = offset
                # What retention took before it was read is lost, and not unread.
                unread[topic] += high - min(high, max(low, offset))
        self._shown.replace(figures.topic_end, ends)
        self._shown.replace(figures.read_offset, reads)
        self._shown.replace(figures.unread, unread)

    def _read_of_this(self, key: str, high: int, read: Mapping[str, int]) -> int:
        """Up to where a partition was read; 0 where what was read goes beyond its end, until another end is
        known: a log only grows, so that was another topic of the name."""
        offset = read.get(key, 0)
        if offset > high:
            self._of_another[key] = offset
        return 0 if self._of_another.get(key) == offset else offset
