"""Messages of Kafka → events, and the reason why a message is none.

A message is an event where its value is exactly what the event is written as. Avro has no length and no
checksum: cut bytes can be the beginning of another value, and a reader stops before what follows. So the
event that was read is written again and must give the same bytes, as ``codec.decode`` does it too.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.avro.functions import from_avro, to_avro

from feira.core.contracts import Contract
from feira.user_events.codec import ADDED, HEADER, avro_schema
from feira_spark.core.row_rules import SHAPE_RULES, broken_rules

TOLERANCE = timedelta(hours=1)
# What a message may break beside the contract's rules: one of these and then nothing else.
MISSING, MAGIC, SCHEMA = "value_missing", "magic_byte", "schema_id"
UNREADABLE, INEXACT = "avro_unreadable", "avro_inexact"


def of_day(messages: DataFrame, day: date) -> DataFrame:
    """The messages whose timestamp is in the UTC day."""
    begins = _midnight(day)
    ends = begins + timedelta(days=1)
    return messages.where(
        (F.col("timestamp") >= F.lit(begins)) & (F.col("timestamp") < F.lit(ends))
    )


def judged(messages: DataFrame, declared: Contract, day: date) -> DataFrame:
    """A row for each message: the contract's columns, and what a dead letter is made of.

    ``messages`` are of the day and have the columns of Kafka's source. ``reason`` is null for an event,
    and otherwise the sorted names of the rules that it breaks, with commas. A row has either the event's
    fields or the message's ``key``, ``value`` and ``topic``; the others are null.
    """
    body, event = F.expr(f"substring(value, {len(HEADER) + 1})"), F.col("_event")
    read = messages.withColumn(
        "_event", from_avro(body, avro_schema(), {"mode": "PERMISSIVE"})
    ).withColumn("_wire", _wire(declared, body, event))
    fields = [
        F.when(F.col("_wire").isNull(), event[column.name]).cast(column.type).alias(column.name)
        for column in declared.columns
        if column.name not in ADDED
    ]
    begins = _midnight(day)
    typed = read.select(
        "_wire",
        *fields,
        F.lit(day).cast("date").alias("event_day"),
        F.col("partition").cast("int").alias("kafka_partition"),
        F.col("offset").cast("bigint").alias("kafka_offset"),
        F.lit(begins - TOLERANCE).alias("earliest"),
        F.lit(begins + timedelta(days=1) + TOLERANCE).alias("latest"),
        *("key", "value", "topic"),
    ).withColumn(SHAPE_RULES, _shape_rules(declared))
    broken = typed.withColumn("_broken", broken_rules(declared))
    reason = F.when(F.size("_broken") > 0, F.array_join("_broken", ","))
    is_event = F.col("reason").isNull()
    return broken.withColumn("reason", reason).select(
        *[
            (F.col(name) if name in ADDED else F.when(is_event, F.col(name))).alias(name)
            for name in declared.column_names
        ],
        *[F.when(~is_event, F.col(name)).alias(name) for name in _KEPT],
        "reason",
    )


_KEPT = ("key", "value", "topic")


def _wire(declared: Contract, body: Column, event: Column) -> Column:
    """What is wrong with the message's form; null where it is exactly one event."""
    value = F.col("value")
    unread = F.lit(False)
    written = []
    for column in declared.columns:
        if column.name in ADDED:
            continue
        field = event[column.name]
        if column.required:
            unread = unread | field.isNull()
            # Never null, so that the writer has a value for each required field of what was not read.
            least = column.allowed[0] if column.allowed else "0"
            if column.type == "timestamp":
                field = F.coalesce(field, F.timestamp_seconds(F.lit(0)))
            else:
                field = F.coalesce(field, F.lit(least).cast(column.type))
        written.append(field.alias(column.name))
    again = to_avro(F.struct(*written), avro_schema())
    return (
        F.when(value.isNull(), F.lit(MISSING))
        .when(F.coalesce(F.expr("substring(value, 1, 1)") != F.lit(HEADER[:1]), F.lit(True)), MAGIC)
        .when(F.expr(f"substring(value, 1, {len(HEADER)})") != F.lit(HEADER), SCHEMA)
        .when(unread, UNREADABLE)
        .when(again != body, INEXACT)
    )


def _shape_rules(declared: Contract) -> Column:
    """Null, or the one fault of the message's form, or those of its texts: not UTF-8 or with U+0000
    (``_type``), longer than declared (``_too_long``)."""
    faults = [F.when(F.col("_wire").isNotNull(), F.col("_wire"))]
    for column in declared.columns:
        if column.type != "string" or column.allowed:
            continue
        text = F.col(column.name)
        strange = ~F.is_valid_utf8(text) | F.contains(text, F.lit("\0"))
        faults.append(F.when(strange, F.lit(f"{column.name}_type")))
        if column.max_length is not None:
            long = F.length(text) > column.max_length
            faults.append(F.when(long, F.lit(f"{column.name}_too_long")))
    # Compiled for every row; the array is interpreted, for those alone that have a fault.
    return F.when(F.coalesce(*faults).isNotNull(), F.array_compact(F.array(*faults)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
