"""The ``kafka`` connection of Airflow's provider, as Kafka's clients and Spark take it.

Its extra is a configuration of librdkafka, secrets among it: it belongs in no log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from feira.core.kafka_client import client, names_servers, of_no_consumer
from feira.core.settings import SettingsError
from feira_provider.hooks.missing import named_if_missing
from feira_provider.hooks.switches import extra_of

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer
    from confluent_kafka.admin import AdminClient

KAFKA = "kafka_default"


def kafka_config(conn_id: str = KAFKA) -> dict[str, Any]:
    """What the connection's extra says, with the callbacks that Airflow's own hook puts in, and without what is null.

    :raises SettingsError: where it names no servers, or a callback that Airflow refuses
    :raises MissingConnectionError: where there is no such connection
    """
    from airflow.providers.apache.kafka.hooks.base import KafkaBaseHook

    class Configuration(KafkaBaseHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            connection = super().get_connection(conn_id)
            if not names_servers(extra_of(connection)):
                raise SettingsError(
                    f"Connection {conn_id} has no text bootstrap.servers in its extra; set it there, as in "
                    '{"bootstrap.servers": "kafka-1:9092,kafka-2:9092"}.'
                )
            return connection

        def _get_client(self, config: dict[str, Any]) -> dict[str, Any]:
            return config

    with named_if_missing(conn_id):
        try:
            config: dict[str, Any] = Configuration(conn_id).get_conn  # type: ignore[no-untyped-call]
        except SettingsError:
            raise
        except (ValueError, ImportError) as error:
            raise SettingsError(f"Connection {conn_id} cannot be used: {error}") from error
    return {name: value for name, value in config.items() if value is not None}


@contextmanager
def kafka_consumer(conn_id: str = KAFKA) -> Iterator[Consumer]:
    """A consumer that is subscribed to nothing and commits nothing, closed at the end.

    :raises SettingsError: also where Kafka's client does not take the configuration, as the other two below
    """
    from confluent_kafka import Consumer

    config = kafka_config(conn_id)
    # The client ends the process at a blank one.
    config["group.id"] = str(config.get("group.id", "")).strip() or "feira"
    own = {"enable.auto.commit": False, "auto.offset.reset": "error"}
    consumer = client(lambda: Consumer(config | own), config, _refusal(conn_id, "consumer"))
    try:
        yield consumer
    finally:
        consumer.close()


def kafka_producer(conn_id: str = KAFKA) -> Producer:
    """A producer whose own retries store a message once."""
    from confluent_kafka import Producer

    config = of_no_consumer(kafka_config(conn_id))
    own = {"enable.idempotence": True}
    return client(lambda: Producer(config | own), config, _refusal(conn_id, "producer"))


def kafka_admin(conn_id: str = KAFKA) -> AdminClient:
    """A client that asks what topics there are."""
    from confluent_kafka.admin import AdminClient

    config = of_no_consumer(kafka_config(conn_id))
    return client(lambda: AdminClient(config), config, _refusal(conn_id, "client"))


def _refusal(conn_id: str, kind: str) -> str:
    return f"Connection {conn_id} makes no {kind}"
