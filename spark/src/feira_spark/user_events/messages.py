"""Messages of Kafka → events, and the reason why a message is none.

A message is an event where its value is exactly what the event is written as, by the schema whose id it states.
Avro has no length and no checksum: cut bytes can be the beginning of another value, and a reader stops before what
follows. So what the event is written as must be the same bytes, as ``codec.decode`` has it too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import add, and_, or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro, to_avro

from feira.core.contracts import Contract
from feira.core.contracts.model import Column as ContractColumn
from feira.user_events.codec import ADDED, HEADER_BYTES, MAGIC, avro_schema, header, schemas
from feira_spark.core.row_rules import rule_faults

# Where a message is, by the names of the table's columns.
PLACE = ("kafka_partition", "kafka_offset")
TOLERANCE = timedelta(hours=1)
# What a message may break beside the contract's rules: one of these and then nothing else.
MISSING, NO_MAGIC, SCHEMA = "value_missing", "magic_byte", "schema_id"
UNREADABLE, INEXACT = "avro_unreadable", "avro_inexact"


def of_day(messages: DataFrame, day: date) -> DataFrame:
    """The messages whose timestamp is in the UTC day."""
    return messages.where(in_day(day))


def in_day(day: date) -> Column:
    """Whether a message's timestamp is in the UTC day."""
    begins = _midnight(day)
    ends = begins + timedelta(days=1)
    return (F.col("timestamp") >= F.lit(begins)) & (F.col("timestamp") < F.lit(ends))


def judged(
    messages: DataFrame, declared: Contract, day: date, late: Column | None = None
) -> DataFrame:
    """A row for each message: its place, and the event's id or what a dead letter is made of.

    ``messages`` are of the day and have the columns of Kafka's source. The columns are those of ``PLACE``,
    ``event_id``, ``key``, ``value``, ``topic`` and ``reason``, which is null for an event and otherwise the
    sorted names of the rules that it breaks, with commas. A row has either the event's id or the message's
    ``key``, ``value`` and ``topic``; the others are null. Where ``late`` is a date the message is of that day,
    and what the others say of it is nothing.
    """
    event = F.col("_event")
    read = _read(messages, "PERMISSIVE").withColumn("_wire", _wire(declared, event))
    fields = [
        F.when(F.col("_wire").isNull(), event[column.name]).cast(column.type).alias(column.name)
        for column in _sent(declared)
    ]
    begins = _midnight(day)
    typed = read.select(
        "_wire",
        *fields,
        *_place(),
        F.lit(begins - TOLERANCE).alias("earliest"),
        F.lit(begins + timedelta(days=1) + TOLERANCE).alias("latest"),
        *_KEPT,
        (F.lit(None).cast("date") if late is None else late).alias("late"),
    )
    # Where the form is at fault there are no fields, and so no other fault.
    found = [F.col("_wire"), *_text_faults(declared), *rule_faults(declared)]
    broken = F.coalesce(*found).isNotNull()
    # Spark interprets the list of the faults, and compiles the question whether there is one. All is asked of one
    # select: each more would copy the whole event once more.
    reason = F.when(broken, F.array_join(F.array_sort(F.array_compact(F.array(*found))), ","))
    return typed.select(
        *PLACE,
        F.when(~broken, F.col("event_id")).alias("event_id"),
        *[F.when(broken, F.col(name)).alias(name) for name in _KEPT],
        reason.alias("reason"),
        "late",
    )


def rows(messages: DataFrame, declared: Contract, day: date) -> DataFrame:
    """The table's rows, of messages that were judged to be events of the day: the contract's columns.

    A query on them fails where a message cannot be read.
    """
    sent = [
        F.col("_event")[column.name].cast(column.type).alias(column.name)
        for column in _sent(declared)
    ]
    day_column = F.lit(day).cast("date").alias("event_day")
    read = _read(messages, "FAILFAST").select(*sent, day_column, *_place())
    return read.select(*declared.column_names)


_KEPT = ("key", "value", "topic")


def _sent(declared: Contract) -> list[ContractColumn]:
    """The columns that are in a message."""
    return [column for column in declared.columns if column.name not in ADDED]


def _written_by(declared: Contract, schema: str) -> list[ContractColumn]:
    """The columns that are in a message with that schema, as they were then."""
    found = []
    for field in json.loads(schema)["fields"]:
        required = not isinstance(field["type"], list)
        type_ = field["type"] if required else field["type"][-1]
        allowed = type_.get("symbols", ()) if isinstance(type_, dict) else ()
        column = declared.column(field["name"])
        found.append(replace(column, required=required, allowed=tuple(allowed)))
    return found


def _place() -> tuple[Column, Column]:
    partition, offset = PLACE
    return (
        F.col("partition").cast("int").alias(partition),
        F.col("offset").cast("bigint").alias(offset),
    )


def _body() -> Column:
    return F.expr(f"substring(value, {HEADER_BYTES + 1})")


def _head() -> Column:
    return F.expr(f"substring(value, 1, {HEADER_BYTES})")


def _by_schema(of: Callable[[str], Column]) -> Column:
    """Of each message what is made of it by its schema; of one with an unknown id, by the newest."""
    *older, (_, newest) = schemas().items()
    found = of(newest)
    for schema_id, schema in older:
        found = F.when(_head() == F.lit(header(schema_id)), of(schema)).otherwise(found)
    return found


def _read(messages: DataFrame, mode: str) -> DataFrame:
    """The messages with ``_event``, a record of the contract's fields; null where a schema has none of them."""
    newest = avro_schema()

    def read(schema: str) -> Column:
        evolved = {} if schema == newest else {"avroSchema": newest}
        return from_avro(_body(), schema, {"mode": mode, **evolved})

    return messages.withColumn("_event", _by_schema(read))


def _wire(declared: Contract, event: Column) -> Column:
    """What is wrong with the message's form; null where it is exactly one event."""
    value = F.col("value")
    required = [event[column.name].isNull() for column in _sent(declared) if column.required]
    unread = reduce(or_, required)
    unknown = reduce(and_, [_head() != F.lit(header(schema_id)) for schema_id in schemas()])
    return (
        F.when(value.isNull(), F.lit(MISSING))
        .when(F.coalesce(F.expr("substring(value, 1, 1)") != F.lit(MAGIC), F.lit(True)), NO_MAGIC)
        .when(unknown, SCHEMA)
        .when(unread, UNREADABLE)
        .when(_by_schema(lambda schema: _is_inexact(declared, schema, event)), INEXACT)
    )


def _is_inexact(declared: Contract, schema: str, event: Column) -> Column:
    """Whether the message has other bytes than its event is written as with that schema."""
    columns = _written_by(declared, schema)
    return ~_is_shortest(columns, event) & (_written(columns, event, schema) != _body())


def _is_shortest(columns: Sequence[ContractColumn], event: Column) -> Column:
    """Whether the message is as short as one with its event's texts can be; then it is what that is written as.

    No value has another form that is as short as the one that is written, and that one is at least as long as
    counted here. Avro has the length of a text, a whole number, a symbol and a union's branch in one byte or
    more, a double in eight, and a time in eight or more from 1978 on; earlier ones are not counted.
    """
    least, lengths, counted = HEADER_BYTES, [], F.lit(True)
    for column in columns:
        value = event[column.name]
        least += not column.required
        if column.type == "string" and not column.allowed:
            least += 1
            octets = F.octet_length(value)
            lengths.append(octets if column.required else F.coalesce(octets, F.lit(-1)))
            continue
        if column.type == "timestamp":
            late = F.unix_micros(value) >= 2**48
            counted &= late if column.required else F.coalesce(late, F.lit(True))
        size = 8 if column.type in ("double", "timestamp") else 1
        if column.required:
            least += size
        else:
            lengths.append(F.when(value.isNotNull(), size).otherwise(0))
    return (F.octet_length("value") == reduce(add, lengths, F.lit(least))) & counted


def _written(columns: Sequence[ContractColumn], event: Column, schema: str) -> Column:
    """The event as Avro, without the header."""
    fields = []
    for column in columns:
        field = event[column.name]
        if column.required:
            # Never null, so that the writer has a value for each required field of what was not read.
            least = column.allowed[0] if column.allowed else "0"
            if column.type == "timestamp":
                field = F.coalesce(field, F.timestamp_seconds(F.lit(0)))
            else:
                field = F.coalesce(field, F.lit(least).cast(column.type))
        fields.append(field.alias(column.name))
    return to_avro(F.struct(*fields), schema)


def _text_faults(declared: Contract) -> list[Column]:
    """Of each text the name of its fault, else null: not UTF-8 or with U+0000 (``_type``), longer than declared
    (``_too_long``)."""
    found = []
    for column in declared.columns:
        if column.type != "string" or column.allowed:
            continue
        text = F.col(column.name)
        strange = ~F.is_valid_utf8(text) | F.contains(text, F.lit("\0"))
        found.append(F.when(strange, F.lit(f"{column.name}_type")))
        if column.max_length is not None:
            # Counting characters takes longer, and there are no more than bytes.
            long = (F.octet_length(text) > column.max_length) & (F.length(text) > column.max_length)
            found.append(F.when(long, F.lit(f"{column.name}_too_long")))
    return found


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
