"""Clients of Kafka, and in words what librdkafka refuses of their configuration.

A configuration holds passwords, and the messages of the client quote values: nothing here does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from feira.core.settings import SettingsError

# Of a consumer alone; other clients would warn of them.
CONSUMERS: Final = ("group.id", "auto.offset.reset", "enable.auto.commit")
# Properties that the client names although they are not stated.
_OFTEN_MISSING = re.compile(r"(sasl|ssl|request)\.[a-z.]+$")

Client = TypeVar("Client")


def names_servers(config: Mapping[str, Any]) -> bool:
    """Whether the configuration has a text ``bootstrap.servers``."""
    servers = config.get("bootstrap.servers")
    return isinstance(servers, str) and bool(servers.strip())


def of_no_consumer(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what a consumer alone knows."""
    return {name: value for name, value in config.items() if name not in CONSUMERS}


def client(make: Callable[[], Client], config: Mapping[str, Any], refusal: str) -> Client:
    """What ``make`` makes of the configuration.

    :param refusal: where the configuration is and what cannot be made of it; the error begins with it
    :raises SettingsError: with the properties that librdkafka's words name, and no word of a value
    """
    from confluent_kafka import KafkaException

    # The client takes a text for what it is up to a U+0000, and ends the process at a name that is not Unicode.
    strange = [name for name, value in config.items() if not _is_c_text(value)]
    if strange or not all(map(_is_c_text, config)):
        raise _refused(refusal, [name for name in strange if _is_c_text(name)])
    try:
        return make()
    except (KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        values = " ".join(map(str, config.values()))
        words = [each.strip(".") for each in re.findall(r"[\w.-]+", reason)]
        # A value may be a word of the message too, and may be cut off there.
        named = dict.fromkeys(
            word
            for word in words
            if word in config or (_OFTEN_MISSING.match(word) and word not in values)
        )
        raise _refused(refusal, named) from None


def _refused(refusal: str, named: Mapping[str, None] | list[str]) -> SettingsError:
    return SettingsError(
        f"{refusal}: Kafka's client does not take {', '.join(named) or 'it as a whole'}. Correct that there; "
        "https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md has the properties and their values."
    )


def _is_c_text(value: object) -> bool:
    """Whether the value, as a text, is Unicode without U+0000; of a table of values, each name and value is."""
    if isinstance(value, Mapping):
        return all(map(_is_c_text, (*value, *value.values())))
    text = str(value)
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
