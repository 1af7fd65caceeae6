"""Kafka as Spark reads it, from the configuration that Python's clients take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from feira.core.settings import SettingsError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_LOGIN = "org.apache.kafka.common.security"
_MODULES = {
    "PLAIN": f"{_LOGIN}.plain.PlainLoginModule",
    "SCRAM-SHA-256": f"{_LOGIN}.scram.ScramLoginModule",
    "SCRAM-SHA-512": f"{_LOGIN}.scram.ScramLoginModule",
}
_SERVERS = ("bootstrap.servers", "metadata.broker.list")
_MECHANISMS = ("sasl.mechanism", "sasl.mechanisms")
# What the two clients call otherwise is turned into the other's words, and what they call alike is passed on where it
# says what is read, and from which broker. What else is about security, or changes messages on their way, and is not
# known here is refused. The rest is of Python's clients: their groups, queues and timeouts, and how they produce.
_SAME = ("security.protocol", "ssl.endpoint.identification.algorithm")
_TURNED = (*_MECHANISMS, "sasl.username", "sasl.password", "ssl.ca.location", "ssl.ca.pem")
_REFUSED = ("sasl.", "ssl.", "enable.ssl.", "enable.sasl.", "oauth_cb", "https.", "plugin.")
_ALIKE = ("check.crcs", "client.dns.lookup", "client.id", "client.rack")
_ISOLATION = "isolation.level"
# A consumer asks its broker for more with each poll: at Kafka's 500 records that is most of what reading costs it.
_POLLED = 5_000
# How long a broker waits for messages that are to come: a reader of explicit offsets waits for none, but asks beyond
# its last one, and would be held up for half a second by each partition.
_WAIT_MS = 50


def read_offsets(
    spark: SparkSession, config: Mapping[str, Any], starting: str, ending: str, topic: str
) -> DataFrame:
    """The messages between explicit offsets, as Kafka's source has them: ``key``, ``value``, ``topic``,
    ``partition``, ``offset``, ``timestamp``. A query on them fails where an offset is gone.

    ``starting`` and ``ending`` are JSON of topic, partition and offset; every partition is in both.
    """
    import json

    assigned = json.dumps({topic: [int(number) for number in json.loads(starting)[topic]]})
    return (
        spark.read.format("kafka")
        .options(**source_options(config))
        .option("kafka.max.poll.records", _POLLED)
        .option("kafka.fetch.max.wait.ms", _WAIT_MS)
        .option("assign", assigned)
        .option("startingOffsets", starting)
        .option("endingOffsets", ending)
        .option("failOnDataLoss", "true")
        .load()
    )


def source_options(config: Mapping[str, Any]) -> dict[str, str]:
    """Options of Spark's reader for a configuration of librdkafka, as a ``kafka`` connection has it.

    They can hold a password: they belong in no log.

    What is read of transactions is what Python's clients read: where nothing is stated, what was committed.

    :raises SettingsError: where it names no servers, or has a setting of security, or a plugin, that is not known here
    """
    servers = next((config[name] for name in _SERVERS if config.get(name)), None)
    if not servers:
        raise SettingsError("The configuration of Kafka names no bootstrap.servers; set them.")
    # Left to itself Java's client reads what was aborted too.
    isolation = str(config.get(_ISOLATION) or "read_committed").lower()
    options = {"bootstrap.servers": str(servers), _ISOLATION: isolation}
    options |= {name: str(config[name]) for name in _ALIKE if config.get(name) is not None}
    for name in sorted(config):
        if name.startswith(_REFUSED) and name not in (*_SAME, *_TURNED):
            raise SettingsError(
                f"The configuration of Kafka has {name}, which is not passed on to Spark. Known are "
                f"{', '.join(sorted((*_SAME, *_TURNED)))}."
            )
        if name in _SAME:
            options[name] = "" if config[name] == "none" else str(config[name]).upper()
            if name != "security.protocol":
                options[name] = options[name].lower()
    options |= _login(config)
    if config.get("ssl.ca.location"):
        # A path on the machines of Spark.
        options |= {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(config["ssl.ca.location"]),
        }
    elif config.get("ssl.ca.pem"):
        options |= {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": str(config["ssl.ca.pem"]),
        }
    return {f"kafka.{name}": value for name, value in options.items()}


def _login(config: Mapping[str, Any]) -> dict[str, str]:
    mechanism = next((str(config[name]) for name in _MECHANISMS if config.get(name)), None)
    named = [name for name in ("sasl.username", "sasl.password") if config.get(name)]
    if mechanism is None and not named:
        return {}
    module = _MODULES.get(mechanism or "")
    if module is None or len(named) < 2:
        raise SettingsError(
            f"The configuration of Kafka has sasl.mechanism {mechanism!r} and "
            f"{' and '.join(named) or 'no user'}; Spark is given one of {', '.join(_MODULES)} with "
            "sasl.username and sasl.password."
        )
    user, password = (_quoted(str(config[name])) for name in named)
    return {
        "sasl.mechanism": str(mechanism),
        "sasl.jaas.config": f"{module} required username={user} password={password};",
    }


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
