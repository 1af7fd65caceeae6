"""A user event as a message of Kafka: the wire form of schema registries, with Avro inside.

Byte 0, four bytes of the schema's id, then the event in Avro's binary form. No registry is asked: each schema that
messages were ever written with is a file beside the contract of ``web.user_events``, ``web.user_events.<id>.avsc``,
and stays as it is. The newest is the contract's own, and what is written now is written with it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from feira.core.contracts import ContractError, contract
from feira.core.contracts.avro import avro_schema as schema_of
from feira.core.contracts.registry import contract_files
from feira.core.errors import PermanentError

TABLE = "web.user_events"
TOPIC = "user_events"
DEAD_TOPIC = "user_events.dead"
PARTITIONS = 8
MAGIC = b"\x00"
HEADER_BYTES = 5
ADDED = ("event_day", "kafka_partition", "kafka_offset")
"""Columns of the table that no message has: the day's ingest adds them."""


class EventError(PermanentError, ValueError):
    """An event that cannot be written, or a message that is none; the message says why."""


class SchemaError(ContractError):
    """The contract's Avro schema is none that messages may be written with; the message says what to do."""


@cache
def schemas() -> Mapping[int, str]:
    """The schemas that messages may be written with, as JSON by their ids. The last is the contract's own.

    :raises SchemaError: where the contract's is not among those beside it, or cannot read what another has written
    """
    if new := new_schema():
        schema_id, schema = new
        newest = schema_file(schema_id - 1).name if schema_id > 1 else "no file beside it"
        raise SchemaError(
            f"The Avro schema of the contract {TABLE} is another than {newest}: "
            f"{', '.join(_differing(_committed().get(schema_id - 1), schema))}. Messages are read by the schema that "
            f"they were written with, so each is kept: `python -m feira.user_events` writes the new one to "
            f"{schema_file(schema_id)}. Commit that file, and leave those of lower ids as they are."
        )
    return MappingProxyType(_committed())


def new_schema() -> tuple[int, str] | None:
    """The contract's schema, with the id that it will have, where it is not the newest of those beside it.

    :raises SchemaError: where it cannot read what one of these has written
    """
    own, committed = _contract_schema(), _committed()
    for schema_id, written in committed.items():
        if problems := list(_unreadable(_types(written), _types(own))):
            raise SchemaError(
                f"The contract {TABLE} cannot read messages with the schema id {schema_id}, which Kafka may still "
                f"hold: {'; '.join(problems)}. Put that back; what can be added is columns without `required` and "
                "values of an enum."
            )
    newest = max(committed, default=0)
    return None if committed.get(newest) == own else (newest + 1, own)


def schema_file(schema_id: int) -> Path:
    """Where the schema with that id is, or is to be."""
    return contract_files()[TABLE].with_name(f"{TABLE}.{schema_id}.avsc")


def avro_schema() -> str:
    """The schema that ``encode`` writes the Avro record ``feira.UserEvent`` with, as JSON."""
    return schemas()[_newest()]


def header(schema_id: int) -> bytes:
    """What a message with that schema begins with."""
    return MAGIC + schema_id.to_bytes(HEADER_BYTES - 1, "big")


def load() -> None:
    """Reads the contract and what writes Avro, which the first event waits for otherwise: a third of a second."""
    _parsed(_newest())


def milliseconds(time: datetime) -> int:
    """A time as messages have it: since 1970, what is less than a millisecond cut off."""
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def encode(event: dict[str, Any]) -> bytes:
    """The message's value. Fields that may be null can be left out.

    :raises EventError: where a field is missing, unknown or of another type than the contract's
    """
    occurred = event.get("occurred_at")
    if not isinstance(occurred, datetime) or occurred.tzinfo is None:
        raise EventError(f"An event's occurred_at is {occurred!r}; it is a datetime with its zone.")
    newest = _newest()
    try:
        return _written(event, newest)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise EventError(
            f"The event {event.get('event_id')!r} cannot be written: {error}"
        ) from error


def decode(value: bytes) -> dict[str, Any]:
    """The event of a message's value, every field of the contract's schema present, times in UTC.

    :raises EventError: where it is not exactly one event in the form that its schema is written in: of another
        magic byte, of a schema that is not known here, cut, or with bytes left over
    """
    import fastavro

    if value[:1] != MAGIC:
        raise EventError(f"The message begins with {value[:1]!r}, not with the magic byte 0.")
    whole = len(value) >= HEADER_BYTES
    schema_id = int.from_bytes(value[1:HEADER_BYTES], "big") if whole else None
    if schema_id is None or schema_id not in schemas():
        known = " or ".join(map(str, schemas()))
        raise EventError(f"The message has the schema id {schema_id}, not {known}.")
    body = io.BytesIO(value[HEADER_BYTES:])
    try:
        event: Any = fastavro.schemaless_reader(body, _parsed(schema_id), None)
        again = _written(event, schema_id)
    except Exception as error:  # what a reader raises on any bytes is documented nowhere
        reason = str(error) or type(error).__name__
        raise EventError(f"The message is no Avro of a user event: {reason}.") from error
    # Avro has no length: other bytes can read as the same event, and some can follow it.
    if again != value:
        raise EventError(
            f"The message has {len(value)} bytes, and its event is written in {len(again)} others."
        )
    found: dict[str, Any] = dict.fromkeys(_types(avro_schema())) | event
    return found


def _written(event: dict[str, Any], schema_id: int) -> bytes:
    import fastavro

    into = io.BytesIO()
    into.write(header(schema_id))
    fastavro.schemaless_writer(into, _parsed(schema_id), event, strict_allow_default=True)
    return into.getvalue()


@cache
def _parsed(schema_id: int) -> Any:
    import fastavro

    return fastavro.parse_schema(json.loads(schemas()[schema_id]))


@cache
def _newest() -> int:
    return max(schemas())


def _contract_schema() -> str:
    return schema_of(contract(TABLE), name="UserEvent", namespace="feira", without=ADDED)


def _committed() -> dict[int, str]:
    """The schemas beside the contract by their ids, which count from 1.

    :raises SchemaError: where one is not there, or is no schema
    """
    named = re.compile(rf"{re.escape(TABLE)}\.[0-9]+\.avsc")
    there = {each.name for each in schema_file(0).parent.iterdir() if named.fullmatch(each.name)}
    paths = {schema_id: schema_file(schema_id) for schema_id in range(1, len(there) + 1)}
    for schema_id, path in paths.items():
        if path.name not in there:
            others = sorted(there - {each.name for each in paths.values()})
            raise SchemaError(
                f"{path} is not there, and beside it there is {', '.join(others)}; ids count from 1. Messages with the "
                f"schema id {schema_id} are read by it: restore it as it was committed."
            )
    return {schema_id: _read(schema_id, path) for schema_id, path in paths.items()}


def _read(schema_id: int, path: Path) -> str:
    try:
        schema = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
        _types(schema)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SchemaError(
            f"{path} is no schema of an Avro record ({error!r}). Messages with the schema id {schema_id} are read by "
            "it: restore it as it was committed."
        ) from error
    return schema


@cache
def _types(schema: str) -> Mapping[str, Any]:
    """The fields of a schema, each with its Avro type."""
    return MappingProxyType({each["name"]: each["type"] for each in json.loads(schema)["fields"]})


def _differing(before: str | None, schema: str) -> list[str]:
    was, now = {} if before is None else _types(before), _types(schema)
    changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return changed or ["the order of its columns"]


def _unreadable(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Why fields of these types now do not read those of the types before."""
    for name, type_ in was.items():
        if name not in now:
            yield f"column {name} is gone"
        elif not _reads(now[name], type_):
            yield f"column {name} is {json.dumps(now[name])} and was {json.dumps(type_)}"
    for name, type_ in now.items():
        if name not in was and not _reads(type_, "null"):
            yield f"column {name} is new and required"


def _reads(now: Any, was: Any) -> bool:
    """Whether what was written as one Avro type is read as another, the value unchanged."""
    if isinstance(was, list):
        return all(_reads(now, each) for each in was)
    if isinstance(now, list):
        return any(_reads(each, was) for each in now)
    match now, was:
        case {"type": "enum", "symbols": symbols}, {"type": "enum", "symbols": before}:
            return set(before) <= set(symbols)
    return bool(now == was)
