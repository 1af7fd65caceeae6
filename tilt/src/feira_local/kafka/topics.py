"""Makes the topics of the local broker where they are missing: ``python -m feira_local.kafka.topics ADDRESS``."""

from __future__ import annotations

import sys
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from feira_local.stack.local_parts import local_parts

SECONDS = 60


class TopicsError(Exception):
    """The topics cannot be made, or are there in another form."""


def declared_topics() -> dict[str, int]:
    """The topics of every part of the stack, with their numbers of partitions.

    :raises TopicsError: where two parts name one topic
    """
    owners: dict[str, str] = {}
    found: dict[str, int] = {}
    for part in local_parts():
        for name, partitions in part.topics.items():
            if name in owners:
                raise TopicsError(f"{owners[name]} and {part.name} both declare the topic {name}.")
            owners[name], found[name] = part.name, partitions
    return found


def make_topics(bootstrap: str) -> list[str]:
    """The declared topics that were missing and are there now.

    :raises TopicsError: where the broker does not answer within a minute, or a topic has another number
        of partitions
    """
    wanted = declared_topics()
    # Its own log would name each try to connect.
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        found = admin.list_topics(timeout=SECONDS).topics
        for name, partitions in wanted.items():
            if name in found and len(found[name].partitions) != partitions:
                raise TopicsError(
                    f"The topic {name} at {bootstrap} has {len(found[name].partitions)} partitions, "
                    f"not {partitions}: messages of one key would be in two of them. `feira clean` "
                    "removes it with the stack's other data."
                )
        missing = [NewTopic(name, of, 1) for name, of in wanted.items() if name not in found]
        started = admin.create_topics(missing) if missing else {}
        made = [name for name, being_made in started.items() if _is_made(being_made)]
    except KafkaException as error:
        raise TopicsError(f"Kafka at {bootstrap}: {error.args[0].str()}") from error
    return made


def _is_made(being_made: Future[None]) -> bool:
    """False where somebody else has just made it, of whose number of partitions the next start knows."""
    try:
        being_made.result(SECONDS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False
    return True


if __name__ == "__main__":
    try:
        print("Made", ", ".join(make_topics(sys.argv[1])) or "nothing: all topics are there")
    except TopicsError as error:
        sys.exit(f"feira: {error}")
