"""Events of what was shown and clicked, from who posts them to Kafka: queued, and never waited for."""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections.abc import Awaitable, Callable, Mapping
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
    from confluent_kafka.admin import AdminClient

log = logging.getLogger(__name__)

MOST_EVENTS: Final = 100
RETRY_SECONDS: Final = 5
QUEUED: Final = 10_000
_POLL_SECONDS = 0.1
_PROBE_SECONDS = 1.0
# A broker that never says what is allowed is not held to a denial for longer than so many questions.
_MOST_UNANSWERED = 60
_NO_PRODUCER: Final = f"{KAFKA} makes no producer"
# Why events are not taken, for who posts them.
_NO_ANSWER: Final = "Kafka does not answer."
_DENIED: Final = (
    f"Kafka does not let the topic {TOPIC} be written: the API's user needs WRITE on it."
)
_NOT_MADE: Final = "Kafka's client does not take its configuration now: the API's log has why."

Message = tuple[bytes, bytes, int]
Problem = tuple[str, str]


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
        _NO_PRODUCER,
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
        admin: Callable[[dict[str, Any]], AdminClient] | None = None,
    ) -> None:
        self._config, self._counted = config, counted
        self._make, self._make_admin = producer, admin
        self._producer: Producer | None = None
        self._admin: AdminClient | None = None
        self._broken = self._denied = False
        self._unanswered = 0
        self._following: list[asyncio.Task[None]] = []
        self._why, self._said = _NO_ANSWER, ""
        self.up = False

    @property
    def state(self) -> str:
        """Whether Kafka takes events, ``up`` or ``down``, or there is ``none``."""
        return "none" if self._config is None else "up" if self.up else "down"

    async def start(self) -> None:
        """Takes up producing, if there is a Kafka."""
        if self._config is None:
            return
        self._producer = self._produce(self._config)
        loop = asyncio.get_running_loop()
        self._following = [
            loop.create_task(_repeated(self._poll, _POLL_SECONDS)),
            loop.create_task(_repeated(self._probe, _PROBE_SECONDS)),
        ]

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

    def _administer(self, config: Mapping[str, Any]) -> AdminClient:
        from confluent_kafka.admin import AdminClient

        return (self._make_admin or AdminClient)(of_no_consumer(config) | {"log_level": 0})

    async def stop(self) -> None:
        """Ends it; what is queued has two seconds."""
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        if self._producer is not None:
            left = await asyncio.to_thread(_flushed, self._producer)
            if left:
                self._counted("lost", left)
                log.warning("%s accepted events did not reach Kafka before the end", left)

    def require_up(self) -> Producer:
        """Raises NoKafkaError where none is configured, UnavailableError where it takes no events now."""
        if self._producer is None:
            raise NoKafkaError(f"No Kafka is configured here: {KAFKA} is not set.")
        if not self.up:
            raise UnavailableError(_DENIED if self._denied else self._why)
        return self._producer

    def send(self, messages: list[Message]) -> None:
        """Queues the messages.

        :raises UnavailableError: where Kafka is down or does not let the topic be written, or the queue is full; some
            may be queued then, and sent again they have the same event ids
        :raises RefusedError: naming the event that Kafka's client never takes; those before it are queued
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
                if _is_of_one_message(error.args[0]):
                    size = f"a message of {len(key) + len(value)} bytes"
                    limit = f"one that Kafka's client takes: {error.args[0]}"
                    raise RefusedError(f"events[{number}]", size, limit) from None
                self._failed(error.args[0])
                self._down(error.args[0])
                if self._denied:
                    raise UnavailableError(_DENIED) from None
                raise UnavailableError(f"Kafka does not take them: {error.args[0]}.") from None
        self._counted("accepted", len(messages))

    async def _poll(self) -> None:
        from confluent_kafka import KafkaException

        assert self._producer is not None
        try:
            # It waits for nothing, and calls back for what has come.
            self._producer.poll(0)
        except KafkaException as error:
            # So the client says, once, what a producer does not survive.
            self._failed(error.args[0])
            self._down(error.args[0])

    async def _probe(self) -> None:
        """Where Kafka takes no events, asks in a thread whether it does."""
        if self.up and not self._broken:
            return
        problem = await asyncio.to_thread(self._problem)
        why, words = problem or ("", "")
        if problem is None and self._said:
            log.warning("Kafka takes events again")
        elif why != self._said:
            log.warning("events are not taken: %s", words)
        self._said, self._why = why, why or _NO_ANSWER
        # What has failed while it was asked is asked for again.
        self.up = problem is None and not (self._broken or self._denied)

    def _problem(self) -> Problem | None:
        """Why the topic cannot be written, for who posts events and for the log; None where it can. A producer that is
        done is replaced, once another may write."""
        assert self._producer is not None and self._config is not None
        if not self._broken and (problem := _unreachable(self._producer)):
            return problem
        if self._is_still_denied(self._config):
            return _DENIED, _DENIED
        if not self._broken:
            return None
        try:
            self._replace(self._producer, self._config)
        except SettingsError as error:
            return _NOT_MADE, str(error)
        return _unreachable(self._producer)

    def _is_still_denied(self, config: Mapping[str, Any]) -> bool:
        """Whether Kafka says that the topic may not be written. Where it does not say, it is as it was before, and
        after a while events show it.
        """
        from confluent_kafka import KafkaException

        try:
            if self._admin is None:
                self._admin = client(lambda: self._administer(config), config, _NO_PRODUCER)
            self._denied, self._unanswered = not _may_write(self._admin), 0
        except Exception as error:
            self._unanswered = (self._unanswered + 1) % _MOST_UNANSWERED
            denied = isinstance(error, KafkaException) and _is_denied(error.args[0])
            self._denied = denied or (self._denied and self._unanswered > 0)
            # The next one reads the files of the configuration anew.
            self._admin = None
        if not self._denied:
            self._admin = None
        return self._denied

    def _replace(self, done: Producer, config: Mapping[str, Any]) -> None:
        made = client(lambda: self._produce(config), config, _NO_PRODUCER)
        self._broken, self._producer = False, made
        # What it has queued fails, each with its callback.
        done.purge()
        _flushed(done)

    def _failed(self, error: Any) -> None:
        from confluent_kafka import KafkaError

        if error.fatal():
            # Nothing that is produced by it will be stored again, whether or not Kafka answers.
            self._broken = True
            log.warning("events are sent by another producer, since this one is done: %s", error)
        if error.fatal() or _is_denied(error) or error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down(error)

    def _down(self, error: Any) -> None:
        """Takes no more events, until the next probe finds that Kafka does."""
        self.up = False
        self._denied |= _is_denied(error)

    def _delivered(self, error: Any, _: Any) -> None:
        self._counted("stored" if error is None else "lost", 1)
        if error is not None:
            log.warning("an accepted event did not reach Kafka: %s", error)
            if not _is_of_one_message(error):
                self._down(error)


async def _repeated(step: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Takes a step again and again, with a pause. One that fails is followed by the next, and logged where the one
    before it did not fail so too: by its error's type and place, since the words may quote a configuration."""
    said = ""
    while True:
        try:
            await step()
        except Exception as error:
            place = "".join(traceback.format_tb(error.__traceback__))
            found = f"{type(error).__name__}\n{place}"
            if found != said:
                log.error("what sends events failed, and goes on: %s", found)
            said = found
        else:
            said = ""
        await asyncio.sleep(seconds)


def _flushed(producer: Producer) -> int:
    """How many messages are left after two seconds."""
    from confluent_kafka import KafkaException

    try:
        return producer.flush(2)
    except KafkaException:
        # What a producer does not survive is raised once, before the callbacks behind it.
        return producer.flush(2)


def _unreachable(producer: Producer) -> Problem | None:
    """Why Kafka does not answer, or has no topic; None where all is well."""
    from confluent_kafka import KafkaException

    try:
        error = producer.list_topics(TOPIC, timeout=_PROBE_SECONDS).topics[TOPIC].error
    except KafkaException as raised:
        error = raised.args[0]
    if error is None:
        return None
    return _DENIED if _is_denied(error) else _NO_ANSWER, str(error)


def _may_write(admin: AdminClient) -> bool:
    """Whether the topic may be written, by the broker's own word. One that says nothing of what is allowed lets it."""
    from confluent_kafka import TopicCollection
    from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]

    asked = admin.describe_topics(
        TopicCollection([TOPIC]),
        include_authorized_operations=True,
        request_timeout=_PROBE_SECONDS,
    )
    allowed = asked[TOPIC].result(2 * _PROBE_SECONDS).authorized_operations
    return not allowed or not {AclOperation.WRITE, AclOperation.ALL}.isdisjoint(allowed)


def _is_denied(error: Any) -> bool:
    from confluent_kafka import KafkaError

    return error.code() in (
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    )


def _is_of_one_message(error: Any) -> bool:
    """Whether Kafka would take another message."""
    from confluent_kafka import KafkaError

    return not error.fatal() and error.code() in (
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError._BAD_MSG,
        KafkaError._INVALID_DIFFERENT_RECORD,
    )
