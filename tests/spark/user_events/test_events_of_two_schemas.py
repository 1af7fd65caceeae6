"""Messages of two schemas on Spark: judged and read as the codec does, and a day that has both is whole."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from feira.core.contracts import contract
from feira.user_events.codec import TABLE, TOPIC, EventError, SchemaError, decode, encode
from feira.user_events.offsets import DayOffsets
from feira_spark.core.tables import evolution, evolve
from feira_spark.user_events import day as steps
from feira_spark.user_events.messages import judged, rows
from user_event_contract import changed_contract, grown, with_column, written

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2010, 12, 1)
NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "event_id": "a",
    "occurred_at": NOON,
    "user_id": "17850",
    "session_id": "1",
    "event_type": "view",
    "sku": "85123A",
}
SCHEMA = "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp"


@pytest.fixture
def two_schemas(tmp_path: Path) -> Iterator[None]:
    with changed_contract(tmp_path, grown, commit=True):
        yield


def source(spark: SparkSession, values: Iterable[bytes]) -> DataFrame:
    found = [(b"1", value, TOPIC, 0, offset, NOON) for offset, value in enumerate(values)]
    return spark.createDataFrame(found, SCHEMA)


def as_row(value: bytes, offset: int) -> tuple[Any, ...]:
    read = decode(value)
    for name in ("occurred_at", "seen_at"):
        read[name] = read[name] and read[name].replace(tzinfo=None)
    return (*read.values(), DAY, 0, offset)


def spoiled(draw: random.Random) -> bytes:
    """A message of either schema, and at times not quite: bytes more, less and others, longer forms of numbers, the
    other schema's id, and one that nobody knows."""
    schema_id = draw.choice([1, 2])
    event = EVENT | {
        "occurred_at": draw.choice([NOON, LONG_AGO]),
        "sku": "é" * draw.choice([1, 31, 32]),
        "quantity": draw.choice([None, 1, 64, 2**31 - 1]),
        "device": draw.choice([None, "", "phone", "é" * 32]),
        "seen_at": draw.choice([None, NOON, LONG_AGO]),
        "basket_size": draw.choice([None, 0, -65, 2**27]),
        "discount": draw.choice([None, 0.5]),
        "session_id": draw.choice(["1", None]) if schema_id == 2 else "1",
        "event_type": draw.choice(["view", "wish"]) if schema_id == 2 else "view",
    }
    value = written(event, schema_id)
    for _ in range(draw.choice([0, 1, 1, 2])):
        place = draw.randrange(5, len(value))
        value = draw.choice(
            [
                value + bytes(draw.randrange(1, 9)),
                value[:place] + value[place + 1 :],
                value[:place] + bytes([draw.randrange(256)]) + value[place + 1 :],
                value[:place] + bytes([value[place] | 128, 0]) + value[place + 1 :],
                value[:4] + bytes([draw.choice([0, 1, 2, 3])]) + value[5:],
            ]
        )
    return value


def test_what_is_read_is_byte_for_byte_what_its_own_schema_writes(
    spark: SparkSession, two_schemas: None
) -> None:
    draw = random.Random(31)
    values = [spoiled(draw) for _ in range(4000)]
    found = judged(source(spark, values), contract(TABLE), DAY).collect()
    of_form, exact = {"schema_id", "avro_unreadable", "avro_inexact"}, []
    for row in sorted(found, key=lambda row: int(row["kafka_offset"])):
        value = values[row["kafka_offset"]]
        try:
            decode(value)
        except EventError:
            assert row["reason"] is not None, value
        else:
            exact.append(value)
            assert row["reason"] not in of_form, value
    assert {value[4] for value in exact} == {1, 2} and 1000 < len(exact) < 3000
    made = rows(source(spark, exact), contract(TABLE), DAY).collect()
    assert sorted(map(tuple, made), key=lambda row: row[-1]) == [
        as_row(value, offset) for offset, value in enumerate(exact)
    ]


def test_an_event_of_each_schema_is_an_event_and_a_longer_one_is_none(
    spark: SparkSession, two_schemas: None
) -> None:
    whole = EVENT | {"device": "phone", "seen_at": NOON, "basket_size": 3, "event_type": "wish"}
    cases = [
        (written(EVENT, 1), None),
        (written(EVENT, 2), None),
        (encode(whole | {"session_id": None}), None),
        (written(EVENT, 1) + b"\x00", "avro_inexact"),
        # The nulls that the newest schema would write.
        (written(EVENT, 1) + b"\x00" * 4, "avro_inexact"),
        (encode(whole) + b"\x00", "avro_inexact"),
        (encode(whole | {"seen_at": None}) + b"\x00", "avro_inexact"),
        (encode(whole)[:-1], "avro_unreadable"),
        (encode(whole)[:4] + b"\x03" + encode(whole)[5:], "schema_id"),
        (encode(EVENT | {"device": "p" * 17}), "device_too_long"),
    ]
    found = judged(source(spark, [value for value, _ in cases]), contract(TABLE), DAY).collect()
    by_offset = {row["kafka_offset"]: row["reason"] for row in found}
    assert [by_offset[at] for at in range(len(cases))] == [reason for _, reason in cases]


def ingest(spark: SparkSession, values: list[bytes]) -> steps.Ingested:
    offsets = DayOffsets.of(TOPIC, DAY, {0: (0, len(values))})
    return steps.ingest(spark, source(spark, values), offsets)


def test_a_column_that_is_added_to_the_contract_costs_no_earlier_message(
    empty_lake: SparkSession, tmp_path: Path
) -> None:
    old = [encode(EVENT | {"event_id": each}) for each in "abc"]
    assert ingest(empty_lake, old).events == 3
    with changed_contract(tmp_path, lambda it: with_column(it, "device", "quantity")) as path:
        change = evolution(empty_lake, contract(TABLE))
        assert change is not None
        evolve(empty_lake, change)
        before = empty_lake.table(f"lake.{TABLE}").collect()
        with pytest.raises(SchemaError, match=r"web\.user_events\.2\.avsc"):
            ingest(empty_lake, old)
        assert empty_lake.table(f"lake.{TABLE}").collect() == before
        from feira.user_events.__main__ import main

        main()
        assert path.with_name(f"{TABLE}.2.avsc").is_file()
        done = ingest(empty_lake, [*old, encode(EVENT | {"event_id": "d", "device": "phone"})])
        assert (done.messages, done.events, done.dead) == (4, 4, 0)
        found = empty_lake.table(f"lake.{TABLE}").select("event_id", "sku", "device").collect()
        assert sorted(map(tuple, found)) == [
            *((each, "85123A", None) for each in "abc"),
            ("d", "85123A", "phone"),
        ]
