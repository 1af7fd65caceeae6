"""Sends messages to Kafka, each once where nothing is killed, at least once otherwise."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from feira.user_events.codec import TOPIC
from feira_local.web.wire import Messages

# A broker that was killed is back within some 15 s: nothing is given up before.
_PATIENCE_MS = 120_000
_ANSWER_SECONDS = 10


class ProduceError(Exception):
    """Kafka does not answer, or did not take a message."""


class EventProducer:
    """A producer of the topic of user events, inside ``with``: at its end all messages are taken.

    The partition follows from the key as it does for Java's producers.
    """

    def __init__(self, bootstrap: str) -> None:
        """:raises ProduceError: where no broker answers there, or it has not the topic"""
        self.bootstrap = bootstrap
        self._refused: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 50,
                "queue.buffering.max.messages": 500_000,
                "delivery.timeout.ms": _PATIENCE_MS,
                "delivery.report.only.error": True,
                "on_delivery": self._note,
                # Its own log would name each try to connect.
                "log_level": 0,
            }
        )
        try:
            found = self._producer.list_topics(TOPIC, _ANSWER_SECONDS).topics[TOPIC]
        except KafkaException as error:
            raise ProduceError(
                f"Kafka at {bootstrap} does not answer within {_ANSWER_SECONDS} s."
            ) from error
        if found.error is not None:
            raise ProduceError(f"Kafka at {bootstrap} has no topic {TOPIC}.")

    def send(self, messages: Messages) -> None:
        """Hands the messages over, in their order.

        :raises ProduceError: where Kafka did not take one of these or of earlier ones
        """
        for key, value, time in zip(
            messages.keys, messages.values, messages.timestamps.tolist(), strict=True
        ):
            while True:
                try:
                    self._producer.produce(TOPIC, value, key, timestamp=time)
                    break
                except BufferError:
                    self._producer.poll(0.1)
                    self._require_taken()
        self._producer.poll(0)
        self._require_taken()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._producer.purge()
            return
        left = self._producer.flush(2 * _PATIENCE_MS / 1000)
        self._require_taken()
        if left:
            raise ProduceError(f"Kafka at {self.bootstrap} did not take {left:,} messages.")

    def _note(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error

    def _require_taken(self) -> None:
        if self._refused is not None:
            raise ProduceError(
                f"Kafka at {self.bootstrap} did not take a message: {self._refused.str()}. Those "
                "before it are sent; to send the day again sends them again."
            )
