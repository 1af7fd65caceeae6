"""A day through a real broker: offsets by time, explicit offsets to Spark, dead letters, and what retention
has removed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from feira.core.lake import read_snapshot
from feira.core.settings import LakeSettings
from feira.user_events.codec import DEAD_TOPIC, TABLE, TOPIC, decode, encode
from feira.user_events.dead_letters import DeadLetter, Sent, places, send
from feira.user_events.offsets import (
    BrokerError,
    OffsetsError,
    require_topic,
    resolve,
    watermarks,
)
from feira_local.kafka.topics import make_topics
from feira_spark.core.kafka import read_offsets
from feira_spark.user_events import day as steps
from kafka_broker import temporary_broker

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = date(2010, 12, 1)
NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with temporary_broker(tmp_path_factory.mktemp("kafka")) as address:
        yield address


@contextmanager
def consumer(bootstrap: str) -> Iterator[Consumer]:
    config = {"bootstrap.servers": bootstrap, "group.id": "test", "enable.auto.commit": False}
    with closing(Consumer(config)) as opened:
        yield opened


@contextmanager
def transaction(bootstrap: str, *, commit: bool = True) -> Iterator[Producer]:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": "test", "log_level": 0}
    )
    producer.init_transactions(30)
    producer.begin_transaction()
    yield producer
    assert producer.flush(30) == 0
    (producer.commit_transaction if commit else producer.abort_transaction)(30)


def until_closed(bootstrap: str, topic: str, partition: int, end: int) -> None:
    """Returns once what a transaction ends with is stored: the broker writes it after it has answered."""
    deadline = time.monotonic() + 30
    with consumer(bootstrap) as asking:
        while watermarks(asking, topic, partition)[1] < end:
            assert time.monotonic() < deadline


def event(event_id: str, at: datetime = NOON, user: str = "17850") -> bytes:
    return encode(
        {
            "event_id": event_id,
            "occurred_at": at,
            "user_id": user,
            "session_id": "1",
            "event_type": "view",
            "sku": "85123A",
        }
    )


def test_a_day_goes_from_a_broker_to_the_table_and_its_dead_letters_to_their_topic(
    empty_lake: SparkSession, lake: LakeSettings, bootstrap: str
) -> None:
    before, after = NOON - timedelta(days=1), NOON + timedelta(days=1)
    # By partition in the order of offsets: a late event behind the next day's, and none in most partitions.
    sent = {
        0: [
            (event("yesterday", before), before),
            (event("a"), NOON),
            (event("tomorrow", after), after),
            (event("late"), NOON),
            (event("a", user="again"), NOON),
        ],
        3: [(event("b"), NOON), (event("b")[:30], NOON), (b"oops", NOON), (event("a"), NOON)],
    }
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for partition, messages in sent.items():
        for value, at in messages:
            stamp = int(at.timestamp() * 1000)
            producer.produce(TOPIC, value, b"17850", partition, timestamp=stamp)
    assert producer.flush(30) == 0

    admin = AdminClient({"bootstrap.servers": bootstrap})
    with consumer(bootstrap) as asking:
        offsets = resolve(asking, admin, TOPIC, DAY, steps.recorded(empty_lake, DAY))
    assert offsets.ranges == {0: (1, 5), 3: (0, 4)} | dict.fromkeys((1, 2, 4, 5, 6, 7), (0, 0))
    config = {"bootstrap.servers": bootstrap, "group.id": "feira"}
    messages = read_offsets(empty_lake, config, offsets.starting, offsets.ending, TOPIC)
    done = steps.ingest(empty_lake, messages, offsets)
    assert (done.messages, done.events, done.repeated, done.dead) == (7, 3, 2, 2)
    columns = ("event_id", "user_id", "kafka_partition", "kafka_offset")
    rows = empty_lake.table(f"lake.{TABLE}").select(*columns).collect()
    assert sorted(map(tuple, rows)) == [
        ("a", "17850", 0, 1),
        ("b", "17850", 3, 0),
        ("late", "17850", 0, 3),
    ]
    assert offsets.topic_id is not None and steps.recorded(empty_lake, DAY) == offsets

    assert done.dead_letters is not None
    names = ("topic", "kafka_partition", "kafka_offset", "key", "value", "reason", "topic_id")
    letters = [
        DeadLetter(*(row[name] for name in names))
        for batch in read_snapshot(lake, done.dead_letters)
        for row in batch.to_pylist()
    ]
    for expected in (Sent(2, 0), Sent(0, 2)):
        with consumer(bootstrap) as reading:
            assert send(letters, producer, reading) == expected
    with consumer(bootstrap) as reading:
        assert places(reading) == {(TOPIC, 3, offset, offsets.topic_id) for offset in (1, 2)}
        reading.assign([TopicPartition(DEAD_TOPIC, 0, 0)])
        stored: list[Any] = reading.consume(2, timeout=30)
    assert {each.value(): dict(each.headers())["reason"] for each in stored} == {
        event("b")[:30]: b"avro_unreadable",
        b"oops": b"magic_byte",
    }
    assert {each.key() for each in stored} == {b"17850"}

    # Retention takes the first of partition 3: it was read, so the day as it was read is gone.
    for gone in admin.delete_records([TopicPartition(TOPIC, 3, 1)]).values():
        gone.result(30)
    with consumer(bootstrap) as asking:
        with pytest.raises(OffsetsError, match=r"partition 3 begins at 1, .*\b0 "):
            resolve(asking, admin, TOPIC, DAY, steps.recorded(empty_lake, DAY))
        with pytest.raises(OffsetsError, match=r"none .*older .*: partition 3 from"):
            resolve(asking, admin, TOPIC, DAY)
        # The day before has a message in partition 0 alone, and nothing proves that 3 had none.
        with pytest.raises(OffsetsError, match="partition 3 from offset 1"):
            resolve(asking, admin, TOPIC, DAY - timedelta(days=1))
        # What is left of the day could have come late, behind one of the next day that is gone.
        with pytest.raises(OffsetsError, match="partition 3 from offset 1"):
            resolve(asking, admin, TOPIC, DAY + timedelta(days=1))
        assert resolve(asking, admin, TOPIC, DAY + timedelta(days=2)).ranges[3] == (4, 4)
    # Were it not asked before, Spark would not take half of it either.
    with pytest.raises(Exception, match=r"(?i)offset"):
        messages.count()

    # The topic is made anew: it is another one, by Kafka's own word.
    for deleted in admin.delete_topics([TOPIC], operation_timeout=30).values():
        deleted.result(30)
    refused, deadline = "", time.monotonic() + 60
    while str(offsets.topic_id) not in refused:
        assert time.monotonic() < deadline, refused
        # Where the old one is still known at first, it makes none.
        make_topics(bootstrap)
        time.sleep(0.1)
        try:
            require_topic(admin, offsets)
        except OffsetsError as error:
            # For a moment the new one is not known everywhere.
            refused = str(error)
            assert "no topic" in refused or "made anew" in refused


def test_what_a_transaction_aborted_is_no_message_of_the_day(
    spark: SparkSession, bootstrap: str
) -> None:
    stamp = int(NOON.timestamp() * 1000)
    for name, commit in (("kept", True), ("aborted", False)):
        with transaction(bootstrap, commit=commit) as producer:
            producer.produce(TOPIC, event(name), b"1", 5, timestamp=stamp)
    until_closed(bootstrap, TOPIC, 5, 4)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for isolation, names in (
        ({}, ["kept"]),
        ({"isolation.level": "read_uncommitted"}, ["aborted", "kept"]),
    ):
        with consumer(bootstrap) as asking:
            offsets = resolve(asking, admin, TOPIC, DAY)
        assert offsets.ranges[5] == (0, 4)
        config = {"bootstrap.servers": bootstrap, "group.id": "feira"} | isolation
        found = read_offsets(spark, config, offsets.starting, offsets.ending, TOPIC).collect()
        assert sorted(decode(row["value"])["event_id"] for row in found) == names


def test_what_is_acknowledged_behind_an_open_transaction_is_not_left_out(bootstrap: str) -> None:
    admin, partition = AdminClient({"bootstrap.servers": bootstrap}), 6
    plain = Producer({"bootstrap.servers": bootstrap, "log_level": 0})

    def put(producer: Producer, at: datetime) -> None:
        stamp = int(at.timestamp() * 1000)
        producer.produce(TOPIC, event("e", at), b"1", partition, timestamp=stamp)
        assert producer.flush(30) == 0

    def resolved() -> tuple[int, int]:
        with consumer(bootstrap) as asking:
            return resolve(asking, admin, TOPIC, DAY).ranges[partition]

    # The end of the first one is stored with the clock's time, and is no message of after the day.
    for begin in (0, 4):
        with transaction(bootstrap, commit=True) as producer:
            put(producer, NOON)
            put(plain, NOON)
            with pytest.raises(
                BrokerError,
                match=rf"partition {partition} has the last stable offset {begin}, and its log ends at {begin + 2}\.",
            ):
                resolved()
        until_closed(bootstrap, TOPIC, partition, begin + 3)
        assert resolved() == (0, begin + 3)
        put(plain, NOON)
    put(plain, NOON + timedelta(days=1))
    with transaction(bootstrap, commit=False) as producer:
        put(producer, NOON + timedelta(days=2))
        put(plain, NOON + timedelta(days=2))
        assert resolved() == (0, 9)


def test_dead_letters_in_transactions_hold_up_no_others(bootstrap: str) -> None:
    letters = [
        DeadLetter("elsewhere", 0, offset, b"k", b"v", "magic_byte", "id") for offset in range(5)
    ]
    plain = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    # Of somebody else; from then on the topic answers.
    plain.produce(DEAD_TOPIC, b"a note")
    assert plain.flush(30) == 0
    with consumer(bootstrap) as reading:
        assert send(letters[:2], plain, reading) == Sent(2, 0)
        _, end = watermarks(reading, DEAD_TOPIC, 0)
        held = places(reading)
    for number, commit in ((2, True), (3, False)):
        # Its message, and what it ends with.
        end += 2
        with transaction(bootstrap, commit=commit) as producer:
            producer.produce(DEAD_TOPIC, **letters[number].message)
        until_closed(bootstrap, DEAD_TOPIC, 0, end)
        with consumer(bootstrap) as reading:
            assert places(reading) == held | {letters[2].place}
    with consumer(bootstrap) as reading:
        assert send(letters, plain, reading) == Sent(2, 3)
        assert places(reading) == held | {each.place for each in letters}


def test_a_message_of_the_future_is_refused_by_the_broker_or_named_with_what_removes_it(
    bootstrap: str,
) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic, now = "unlimited", datetime.now(UTC)
    (made,) = admin.create_topics([NewTopic(topic, 1, 1)]).values()
    made.result(30)
    refused: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})

    def put(at: int) -> None:
        producer.produce(
            topic, b"", timestamp=at, on_delivery=lambda error, _: refused.append(error)
        )
        assert producer.flush(30) == 0

    today = int(now.timestamp() * 1000)
    put(today + 2 * 3_600_000)
    put(int(NOON.timestamp() * 1000))
    # As a topic without the limit has them: microseconds, and nanoseconds.
    resource = ConfigResource(ResourceType.TOPIC, topic)
    resource.add_incremental_config(
        ConfigEntry(
            "message.timestamp.after.max.ms",
            str(2**63 - 1),
            incremental_operation=AlterConfigOpType.SET,
        )
    )
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)
    put(today * 1000)
    put(today - 5 * 86_400_000)
    assert [error and error.code() for error in refused] == [
        KafkaError.INVALID_TIMESTAMP,
        *(None, None, None),
    ]
    # As retention leaves it.
    for gone in admin.delete_records([TopicPartition(topic, 0, 1)]).values():
        gone.result(30)
    yesterday = (now - timedelta(days=1)).date()
    with consumer(bootstrap) as asking:
        with pytest.raises(
            OffsetsError, match=rf"partition 0 at offset 1: {today * 1000}\. .*, \"offset\": 2}}"
        ):
            resolve(asking, admin, topic, yesterday)
        for gone in admin.delete_records([TopicPartition(topic, 0, 2)]).values():
            gone.result(30)
        assert resolve(asking, admin, topic, yesterday).ranges == {0: (3, 3)}
        put(today * 1_000_000)
        with pytest.raises(
            OffsetsError, match=rf"at offset 3: {today * 1_000_000}\. Spark .*, \"offset\": 4}}"
        ):
            resolve(asking, admin, topic, yesterday)
