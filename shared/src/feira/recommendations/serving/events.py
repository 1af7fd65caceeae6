"""Events of what was shown and clicked, from who posts them to Kafka: queued, and never waited for."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from feira.core.connections import connection_fields
from feira.core.kafka_client import client, names_servers, of_no_consumer
from feira.core.settings import SettingsError
from feira.recommendations.serving.requests import RefusedError
from feira.recommendations.serving.store import KAFKA
from feira.user_events.codec import TOPIC
from feira.user_events.incoming import DELIVERY, FieldError, message

if TYPE_CHECKING:
    from confluent_kafka import Producer

log = logging.getLogger(__name__)

MOST_EVENTS: Final = 100
RETRY_SECONDS: Final = 5
QUEUED: Final = 10_000
_POLL_SECONDS = 0.1
_PROBE_SECONDS = 1.0

Message = tuple[bytes, bytes, int]


class UnavailableError(RuntimeError):
    """Events that are not taken now; the message says why."""


class NoKafkaError(RuntimeError):
    """Events that are never taken here."""


def kafka_from_env(env: Mapping[str, str] = os.environ) -> dict[str, Any] | None:
    """The configuration of librdkafka in ``FEIRA_KAFKA``, as JSON, or as the extra of a connection of Airflow's of type
    ``kafka``, which is what a secrets back end keeps; None where it is not set.

    :raises SettingsError: without quoting it: it may hold a password
    """
    if not (text := env.get(KAFKA)):
        return None
    found = connection_fields(text, KAFKA) or {}
    if "conn_type" in found:
        found = found.get("extra") or {}
    if not names_servers(found):
        raise SettingsError(f'{KAFKA} is no JSON object with "bootstrap.servers", a text.')
    return found


def require_producer(config: Mapping[str, Any]) -> None:
    """Makes a producer of the configuration, and drops it.

    :raises SettingsError: with the properties that librdkafka's words name, and no word of a value
    """
    client(
        lambda: Events(config, lambda *_: None)._produce(config),
        config,
        f"{KAFKA} makes no producer",
    )


def parse_events(body: Mapping[str, Any], now: datetime) -> list[Message]:
    """The messages of ``{"events": […]}``. Raises RefusedError naming the event, field, value and limit."""
    events = body.get("events")
    limit = f"a list of 1 to {MOST_EVENTS} events"
    for name in body:
        if name != "events":
            raise RefusedError("body", name, "an object with events")
    if not isinstance(events, list) or not 1 <= len(events) <= MOST_EVENTS:
        found = f"{len(events)} events" if isinstance(events, list) else type(events).__name__
        raise RefusedError("events", found, limit)
    messages = []
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            raise RefusedError(f"events[{number}]", str(event), "an object")
        try:
            messages.append(message(event, now))
        except FieldError as error:
            raise RefusedError(
                f"events[{number}].{error.name[:64]}", str(error.value), error.limit
            ) from None
    return messages


class Events:
    """A producer whose queue is bounded; whoever finds it full, or Kafka down, comes again.

    :param config: of librdkafka; None where there is no Kafka
    :param counted: is called with ``accepted``, ``stored`` or ``lost`` and how many events
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None,
        counted: Callable[[str, int], None],
        producer: Callable[[dict[str, Any]], Producer] | None = None,
    ) -> None:
        self._config, self._counted, self._make = config, counted, producer
        self._producer: Producer | None = None
        self._broken = False
        self._following: list[asyncio.Task[None]] = []
        self.up = False

    @property
    def state(self) -> str:
        """Whether Kafka is ``up`` or ``down``, or there is ``none``."""
        return "none" if self._config is None else "up" if self.up else "down"

    async def start(self) -> None:
        """Takes up producing, if there is a Kafka."""
        if self._config is None:
            return
        self._producer = self._produce(self._config)
        loop = asyncio.get_running_loop()
        self._following = [loop.create_task(self._poll()), loop.create_task(self._probe())]

    def _produce(self, config: Mapping[str, Any]) -> Producer:
        from confluent_kafka import Producer

        own = {
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": QUEUED,
            "linger.ms": 50,
            "delivery.timeout.ms": DELIVERY // timedelta(milliseconds=1),
            "error_cb": self._failed,
            "on_delivery": self._delivered,
            "log_level": 0,
        }
        return (self._make or Producer)(of_no_consumer(config) | own)

    async def stop(self) -> None:
        """Ends it; what is queued has two seconds."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        if self._producer is not None:
            left = await asyncio.to_thread(self._producer.flush, 2)
            if left:
                self._counted("lost", left)
                log.warning("%s accepted events did not reach Kafka before the end", left)

    def require_up(self) -> Producer:
        """Raises NoKafkaError where none is configured, UnavailableError where it is down."""
        if self._producer is None:
            raise NoKafkaError(f"No Kafka is configured here: {KAFKA} is not set.")
        if not self.up:
            raise UnavailableError("Kafka does not answer.")
        return self._producer

    def send(self, messages: list[Message]) -> None:
        """Queues the messages.

        :raises UnavailableError: where Kafka is down or does not let the topic be written, or the queue is full; some
            may be queued then, and sent again they have the same event ids
        """
        from confluent_kafka import KafkaException

        producer = self.require_up()
        for number, (key, value, timestamp) in enumerate(messages):
            try:
                producer.produce(TOPIC, value, key, timestamp=timestamp)
            except BufferError:
                self._counted("accepted", number)
                raise UnavailableError(f"{QUEUED:,} events wait for Kafka already.") from None
            except KafkaException as error:
                # What the client knows already, as of a topic that is gone, it says at once.
                self._counted("accepted", number)
                self._failed(error.args[0])
                self.up = False
                raise UnavailableError(f"Kafka does not take them: {error.args[0]}.") from None
        self._counted("accepted", len(messages))

    async def _poll(self) -> None:
        assert self._producer is not None
        while True:
            # It waits for nothing, and calls back for what has come.
            self._producer.poll(0)
            await asyncio.sleep(_POLL_SECONDS)

    async def _probe(self) -> None:
        """Whenever Kafka is down, asks in a thread whether it is, and with another producer where that one is done."""
        assert self._producer is not None and self._config is not None
        said = False
        while True:
            if self._broken:
                done, self._producer = self._producer, self._produce(self._config)
                self._broken = False
                await asyncio.to_thread(_give_up, done)
            if not self.up:
                problem = await asyncio.to_thread(_problem, self._producer)
                self.up = problem is None
                if problem is None and said:
                    log.warning("Kafka answers")
                elif problem is not None and not said:
                    log.warning("events are not taken: %s", problem)
                said = problem is not None
            await asyncio.sleep(_PROBE_SECONDS)

    def _failed(self, error: Any) -> None:
        from confluent_kafka import KafkaError

        if error.fatal():
            # Nothing that is produced by it will be stored again, whether or not Kafka answers.
            self.up, self._broken = False, True
            log.warning("events are sent by another producer, since this one is done: %s", error)
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self.up = False

    def _delivered(self, error: Any, _: Any) -> None:
        self._counted("stored" if error is None else "lost", 1)
        if error is not None:
            self.up = False
            log.warning("an accepted event did not reach Kafka: %s", error)


def _give_up(producer: Producer) -> None:
    """Lets what the producer has queued fail, each with its callback."""
    producer.purge()
    producer.flush(2)


def _problem(producer: Producer) -> str | None:
    """Why the topic cannot be written; None where it can."""
    from confluent_kafka import KafkaException

    try:
        found = producer.list_topics(TOPIC, timeout=_PROBE_SECONDS).topics[TOPIC]
    except KafkaException as error:
        return str(error.args[0])
    return None if found.error is None else str(found.error)
