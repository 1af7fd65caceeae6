"""A user event as a message of Kafka: the wire form of schema registries, with Avro inside.

Byte 0, four bytes of the schema's id, then the event in Avro's binary form. The schema follows from the
contract of ``web.user_events``. No registry is asked: there is one schema, and its id is a constant.
"""

from __future__ import annotations

import io
from datetime import datetime
from functools import cache
from typing import Any

from feira.core.contracts import contract
from feira.core.contracts.avro import avro_schema as schema_of
from feira.core.errors import PermanentError

TABLE = "web.user_events"
TOPIC = "user_events"
DEAD_TOPIC = "user_events.dead"
PARTITIONS = 8
SCHEMA_ID = 1
HEADER = b"\x00" + SCHEMA_ID.to_bytes(4, "big")
ADDED = ("event_day", "kafka_partition", "kafka_offset")
"""Columns of the table that no message has: the day's ingest adds them."""


class EventError(PermanentError, ValueError):
    """An event that cannot be written, or a message that is none; the message says why."""


@cache
def avro_schema() -> str:
    """The schema of the Avro record ``feira.UserEvent``, as JSON."""
    return schema_of(contract(TABLE), name="UserEvent", namespace="feira", without=ADDED)


@cache
def _parsed() -> Any:
    import json

    import fastavro

    return fastavro.parse_schema(json.loads(avro_schema()))


def load() -> None:
    """Reads the contract and what writes Avro, which the first event waits for otherwise: a third of a second."""
    _parsed()


def encode(event: dict[str, Any]) -> bytes:
    """The message's value. Fields that may be null can be left out.

    :raises EventError: where a field is missing, unknown or of another type than the contract's
    """
    import fastavro

    occurred = event.get("occurred_at")
    if not isinstance(occurred, datetime) or occurred.tzinfo is None:
        raise EventError(f"An event's occurred_at is {occurred!r}; it is a datetime with its zone.")
    into = io.BytesIO()
    into.write(HEADER)
    try:
        fastavro.schemaless_writer(into, _parsed(), event, strict_allow_default=True)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise EventError(
            f"The event {event.get('event_id')!r} cannot be written: {error}"
        ) from error
    return into.getvalue()


def decode(value: bytes) -> dict[str, Any]:
    """The event of a message's value, every field of the schema present, times in UTC.

    :raises EventError: where it is not exactly one event in the form that ``encode`` writes: of another
        magic byte or schema, cut, or with bytes left over
    """
    import fastavro

    if value[:1] != HEADER[:1]:
        raise EventError(f"The message begins with {value[:1]!r}, not with the magic byte 0.")
    if value[:5] != HEADER:
        stated = int.from_bytes(value[1:5], "big") if len(value) >= 5 else None
        raise EventError(f"The message has the schema id {stated}, not {SCHEMA_ID}.")
    try:
        event: Any = fastavro.schemaless_reader(io.BytesIO(value[5:]), _parsed(), None)
        again = encode(event)
    except Exception as error:  # what a reader raises on any bytes is documented nowhere
        reason = str(error) or type(error).__name__
        raise EventError(f"The message is no Avro of a user event: {reason}.") from error
    # Avro has no length: other bytes can read as the same event, and some can follow it.
    if again != value:
        raise EventError(
            f"The message has {len(value)} bytes, and its event is written in {len(again)} others."
        )
    found: dict[str, Any] = event
    return found
