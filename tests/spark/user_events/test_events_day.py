"""A day of events from messages as Kafka's source gives them, compared with plain Python that reads the same
messages by the codec and knows the rules from the contract's text alone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from feira.core.contracts import contract
from feira.core.lake import SnapshotFileGoneError, read_snapshot
from feira.user_events.codec import TABLE, TOPIC, EventError, decode, encode
from feira.user_events.offsets import DayOffsets
from feira_spark.core.branches import MovedError
from feira_spark.core.tables import current_snapshot, require_tables
from feira_spark.user_events import day as steps
from feira_spark.user_events.messages import judged, of_day, rows

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from feira.core.settings import LakeSettings

DAY = date(2010, 12, 1)
NOON = datetime(2010, 12, 1, 12, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "event_id": "7e0d3fb4-6a1c-4a63-9a2f-0d4a3a1c9b10",
    "occurred_at": NOON,
    "user_id": "17850",
    "session_id": "17850-1",
    "event_type": "view",
    "sku": "85123A",
}
IMPRESSION = EVENT | {
    "event_type": "impression",
    "slot": "new",
    "list_version": "v1",
    "arm": "a",
    "position": 1,
    "probability": 0.98,
}
SCHEMA = "key binary, value binary, topic string, partition int, offset bigint, timestamp timestamp"


@dataclass(frozen=True)
class Message:
    """A row of Kafka's source."""

    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: datetime = NOON
    key: bytes | None = b"17850"


def event(**fields: Any) -> bytes:
    return encode(EVENT | fields)


def source(spark: SparkSession, messages: Iterable[Message]) -> DataFrame:
    rows = [
        (each.key, each.value, TOPIC, each.partition, each.offset, each.timestamp)
        for each in messages
    ]
    return spark.createDataFrame(rows, SCHEMA)


def varint(number: int) -> bytes:
    """A length as Avro writes it, or a number that is not below 0."""
    number, written = number << 1, b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


GOOD = event()
WHOLE = encode(IMPRESSION)
HUGE = event(quantity=2**28, event_type="purchase")
CASES: list[tuple[bytes | None, str | None]] = [
    (GOOD, None),
    (WHOLE, None),
    (event(quantity=1, event_type="purchase"), None),
    (event(occurred_at=datetime(2010, 11, 30, 23, tzinfo=UTC)), None),
    (event(sku="ä" * 64), None),
    (None, "value_missing"),
    (b"", "magic_byte"),
    (b"\x01" + GOOD[1:], "magic_byte"),
    (b'{"event_id": "7e0d3fb4"}', "magic_byte"),
    (b"\x00\x00\x00\x00\x02" + GOOD[5:], "schema_id"),
    (GOOD[:3], "schema_id"),
    (GOOD[:5], "avro_unreadable"),
    # Texts of a length below 0, and longer than a server has memory.
    (GOOD[:5] + b"\x01" + GOOD[6:], "avro_unreadable"),
    (GOOD[:5] + varint(1_500_000_000) + b"abc", "avro_unreadable"),
    (GOOD + b"\x00", "avro_inexact"),
    (GOOD + GOOD, "avro_inexact"),
    (GOOD[:5] + b"\xc8\x00" + GOOD[6:], "avro_inexact"),
    # What has values that take a second look: texts and numbers above 63, and times before 1978.
    (event(event_id="e" * 64, quantity=2**28, event_type="purchase"), None),
    (event(event_id="e" * 64) + b"\x00", "avro_inexact"),
    (event(occurred_at=datetime(1977, 1, 1, tzinfo=UTC)) + b"\x00", "avro_inexact"),
    (event(occurred_at=datetime(1970, 1, 1, tzinfo=UTC)) + b"\x00" * 7, "avro_inexact"),
    # The fifth byte of a number has a bit that readers drop.
    (HUGE.replace(varint(2**28), varint(2**28)[:4] + b"\x12"), "avro_inexact"),
    # The sixth type of five.
    (GOOD.replace(b"17850-1\x00", b"17850-1\x0a"), "avro_unreadable"),
    (GOOD.replace(b"85123A", b"\xff\xfe123A"), "sku_type"),
    (event(sku="85\x00123A"), "sku_type"),
    (event(user_id="1" * 65), "user_id_too_long"),
    (event(user_id="1" * 65, event_id=" ", sku="\x00"), "event_id_blank,sku_type,user_id_too_long"),
    (event(event_id=""), "event_id_blank"),
    (event(user_id=" \n", sku=""), "sku_blank,user_id_blank"),
    (event(occurred_at=datetime(2010, 11, 30, 22, 59, 59, tzinfo=UTC)), "occurred_at_outside_day"),
    (event(occurred_at=datetime(2010, 12, 2, 1, tzinfo=UTC)), "occurred_at_outside_day"),
    (event(occurred_at=datetime(9999, 12, 31, tzinfo=UTC)), "occurred_at_outside_day"),
    (event(event_type="purchase"), "quantity_missing"),
    (event(event_type="add_to_cart", quantity=0), "quantity_below_one"),
    (encode(IMPRESSION | {"slot": "old"}), "slot_unknown"),
    (encode(IMPRESSION | {"arm": None}), "impression_incomplete"),
    (encode(IMPRESSION | {"arm": ""}), "impression_incomplete"),
    (encode(IMPRESSION | {"list_version": " \t"}), "impression_incomplete"),
    (encode(IMPRESSION | {"position": 0}), "position_below_one"),
    (encode(IMPRESSION | {"probability": 0.0}), "probability_not_one"),
    (encode(IMPRESSION | {"probability": 1.1}), "probability_not_one"),
    (encode(IMPRESSION | {"probability": float("nan")}), "probability_not_one"),
    (event(event_type="click"), "click_without_impression"),
    (event(event_type="click", impression_id=" "), "click_without_impression"),
    # Cut anywhere: never an event.
    *[(WHOLE[:length], "avro_unreadable") for length in range(6, len(WHOLE), 7)],
]


@pytest.fixture(scope="module")
def verdicts(spark: SparkSession) -> list[Any]:
    return judgements(spark, [value for value, _ in CASES])


def judgements(spark: SparkSession, values: list[bytes | None]) -> list[Any]:
    messages = [Message(value, offset=number) for number, value in enumerate(values)]
    found = judged(source(spark, messages), contract(TABLE), DAY).collect()
    return sorted(found, key=lambda row: int(row["kafka_offset"]))


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_message_is_an_event_or_has_exactly_this_reason(verdicts: list[Any], number: int) -> None:
    value, reason = CASES[number]
    row = verdicts[number]
    assert (row["reason"], row["kafka_partition"], row["kafka_offset"]) == (reason, 0, number)
    if reason is None:
        assert value is not None
        assert row["event_id"] == decode(value)["event_id"]
        assert (row["key"], row["value"], row["topic"]) == (None, None, None)
    else:
        kept = None if row["value"] is None else bytes(row["value"])
        assert row["event_id"] is None
        assert (bytes(row["key"]), kept, row["topic"]) == (b"17850", value, TOPIC)


def test_an_event_is_the_row_that_the_codec_reads(spark: SparkSession) -> None:
    values = [value for value, reason in CASES if reason is None]
    messages = [Message(value, 3, number) for number, value in enumerate(values)]
    found = rows(source(spark, messages), contract(TABLE), DAY).collect()
    for row in sorted(found, key=lambda row: int(row["kafka_offset"])):
        read = decode(values[row["kafka_offset"]] or b"")
        read["occurred_at"] = read["occurred_at"].replace(tzinfo=None)
        assert tuple(row) == (*read.values(), DAY, 3, row["kafka_offset"])
    assert len(found) == len(values)


def spoiled(draw: random.Random) -> bytes:
    """An event's message, and at times not quite: bytes more, less and others, and longer forms of numbers."""
    texts = {name: "é" * draw.choice([0, 1, 31, 32, 64]) for name in ("sku", "event_id")}
    at = draw.choice([NOON, datetime(1970, 1, 1, tzinfo=UTC), datetime(1978, 12, 1, tzinfo=UTC)])
    number = draw.choice([None, 0, 1, 63, 64, -65, 2**27, 2**31 - 1])
    of = EVENT if draw.random() < 0.5 else IMPRESSION
    value = encode(of | texts | {"occurred_at": at, "quantity": number})
    for _ in range(draw.choice([0, 1, 1, 2])):
        place = draw.randrange(5, len(value))
        value = draw.choice(
            [
                value + bytes(draw.randrange(1, 9)),
                value[:place] + value[place + 1 :],
                value[:place] + bytes([draw.randrange(256)]) + value[place + 1 :],
                # The same number, a byte longer.
                value[:place] + bytes([value[place] | 128, 0]) + value[place + 1 :],
            ]
        )
    return value


def test_what_is_read_is_byte_for_byte_what_the_codec_writes(spark: SparkSession) -> None:
    draw = random.Random(29)
    values = [spoiled(draw) for _ in range(4000)]
    exact, of_form = [], {"avro_unreadable", "avro_inexact"}
    for value, row in zip(values, judgements(spark, [*values]), strict=True):
        try:
            decode(value)
        except EventError:
            exact.append(False)
            assert row["reason"] is not None, value
        else:
            exact.append(True)
            assert row["reason"] not in of_form, value
    assert 1000 < sum(exact) < 3000


def test_every_rule_of_the_contract_is_reached_by_a_case() -> None:
    reached = {name for _, reason in CASES for name in (reason or "").split(",")}
    assert {rule.name for rule in contract(TABLE).row_rules} <= reached


def test_what_the_codec_refuses_is_no_event_either(verdicts: list[Any]) -> None:
    for (value, _), row in zip(CASES, verdicts, strict=True):
        try:
            decode(value or b"")
        except EventError:
            assert row["reason"] is not None, value


def test_a_day_is_the_messages_of_its_utc_time_wherever_they_are(spark: SparkSession) -> None:
    begins = datetime(2010, 12, 1, tzinfo=UTC)
    times = [
        begins - timedelta(milliseconds=1),
        begins,
        begins + timedelta(days=1),
        begins + timedelta(days=1, milliseconds=-1),
    ]
    messages = [Message(GOOD, 0, offset, time) for offset, time in enumerate(times)]
    kept = of_day(source(spark, messages), DAY).select("offset").collect()
    assert sorted(row["offset"] for row in kept) == [1, 3]


def run(spark: SparkSession, messages: list[Message], day: date = DAY) -> steps.Ingested:
    ends: dict[int, tuple[int, int]] = {}
    for each in messages:
        ends[each.partition] = (0, max(each.offset + 1, ends.get(each.partition, (0, 0))[1]))
    offsets = DayOffsets.of(TOPIC, day, ends or {0: (0, 0)})
    return steps.ingest(spark, source(spark, messages), offsets)


def hold(spark: SparkSession, messages: list[Message], day: date) -> None:
    """The table has the rows of these messages too, each of them an event of the day."""
    require_tables(spark, [contract(TABLE)])
    events = rows(source(spark, messages), contract(TABLE), day)
    events.writeTo(f"lake.{TABLE}").append()


def ranges(spark: SparkSession, snapshot: int | None = None) -> dict[int, tuple[int, int]]:
    found = steps.recorded(spark, DAY, snapshot)
    assert found is not None
    return found.ranges


def table(spark: SparkSession) -> list[tuple[Any, ...]]:
    names = contract(TABLE).column_names
    rows = spark.table(f"lake.{TABLE}").select(*names).collect()
    return sorted((tuple(row) for row in rows), key=lambda row: row[-2:])


def expected(days: dict[date, list[Message]]) -> list[tuple[Any, ...]]:
    """The rows of the table, by plain Python: the days in order, each message decoded, the first kept."""
    rows, seen = [], set()
    for day in sorted(days):
        for each in sorted(days[day], key=lambda each: (each.partition, each.offset)):
            if each.timestamp.date() != day:
                continue
            try:
                read = decode(each.value or b"")
            except EventError:
                continue
            if read["event_id"] in seen or not read["event_id"]:
                continue
            seen.add(read["event_id"])
            read["occurred_at"] = read["occurred_at"].replace(tzinfo=None)
            rows.append((*read.values(), day, each.partition, each.offset))
    return sorted(rows, key=lambda row: row[-2:])


def several(count: int, day: date = DAY, partition: int = 0, first: int = 0) -> list[Message]:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return [
        Message(
            event(event_id=f"{day}-{partition}-{number}", occurred_at=noon),
            *(partition, number, noon),
        )
        for number in range(first, first + count)
    ]


def test_a_day_is_what_plain_python_makes_of_it_and_a_replay_changes_nothing(
    empty_lake: SparkSession,
) -> None:
    twice = event(event_id="twice", user_id="of partition 1")
    messages = [
        *several(5),
        *several(5, partition=1),
        # The least partition, then the least offset, whatever came first.
        Message(event(event_id="twice", user_id="later offset"), 1, 6),
        Message(twice, 1, 5),
        Message(event(event_id="twice", user_id="of partition 2"), 2, 0),
        # Late, and of the day before and after.
        Message(event(event_id="late", occurred_at=NOON - timedelta(hours=12)), 2, 1,
                NOON - timedelta(hours=12)),
        Message(event(event_id="yesterday"), 2, 2, NOON - timedelta(hours=13)),
        Message(event(event_id="tomorrow"), 2, 3, NOON + timedelta(hours=12)),
        Message(GOOD[:30], 2, 4),
        Message(None, 2, 5, key=None),
    ]  # fmt: skip
    done = run(empty_lake, messages)
    assert table(empty_lake) == expected({DAY: messages})
    assert (done.messages, done.events, done.repeated, done.earlier, done.dead) == (16, 12, 2, 0, 2)
    rows = table(empty_lake)
    again = run(empty_lake, messages)
    assert table(empty_lake) == rows
    assert again.events == 12


def test_a_days_offsets_and_dead_letters_are_kept_and_an_empty_day_takes_its_place(
    empty_lake: SparkSession,
) -> None:
    assert steps.recorded(empty_lake, DAY) is None
    messages = [*several(2), Message(b"\x07", 0, 2), Message(None, 3, 9, key=None)]
    done = run(empty_lake, messages)
    assert ranges(empty_lake) == {0: (0, 3), 3: (0, 10)} and steps.has_rows(empty_lake, DAY)
    first = current_snapshot(empty_lake, "web.user_events")
    assert steps.recorded(empty_lake, DAY - timedelta(days=1)) is None
    dead = empty_lake.table("lake.staging.user_events_20101201_dead").collect()
    assert sorted(
        (row["kafka_partition"], row["kafka_offset"], row["key"], row["value"], row["reason"])
        for row in dead
    ) == [
        (0, 2, bytearray(b"17850"), bytearray(b"\x07"), "magic_byte"),
        (3, 9, None, None, "value_missing"),
    ]
    assert {row["topic"] for row in dead} == {TOPIC}
    assert done.dead_letters is not None and done.dead_letters.endswith(".metadata.json")
    assert len(steps.drop_staging(empty_lake, DAY)) == 2
    assert steps.drop_staging(empty_lake, DAY) == []

    empty = run(empty_lake, [])
    assert (empty.messages, empty.events, empty.dead, empty.dead_letters) == (0, 0, 0, None)
    assert table(empty_lake) == []
    assert ranges(empty_lake) == {0: (0, 0)} and not steps.has_rows(empty_lake, DAY)
    assert ranges(empty_lake, first) == {0: (0, 3), 3: (0, 10)}


def test_the_offsets_of_a_thousand_partitions_are_staged_for_who_has_no_spark_and_dropped(
    empty_lake: SparkSession, lake: LakeSettings
) -> None:
    require_tables(empty_lake, [contract(TABLE)])
    many = {n: (4_812_345_678 + 7_919 * n, 4_822_345_678 + 104_729 * n) for n in range(1_000)}
    for given in (DayOffsets.of(TOPIC, DAY, {0: (2**53, 2**62)}), DayOffsets.of(TOPIC, DAY, many)):
        uri = steps.stage_offsets(empty_lake, given)
        assert DayOffsets.read(TOPIC, DAY, read_snapshot(lake, uri)) == given
    assert len(steps.drop_staging(empty_lake, DAY)) == 1
    with pytest.raises(SnapshotFileGoneError, match=r"run the step that stages it again"):
        list(read_snapshot(lake, uri))


def test_an_id_counts_on_the_earliest_day_that_holds_it_in_whatever_order_days_run(
    empty_lake: SparkSession,
) -> None:
    def once(after: int) -> steps.Ingested:
        day, noon = DAY + timedelta(days=after), NOON + timedelta(days=after)
        again = event(event_id="again", user_id=f"day {after}", occurred_at=noon)
        messages = [*several(1, day), Message(again, 0, 2, noon), Message(again, 1, 0, noon)]
        return run(empty_lake, messages, day)

    def users() -> list[str]:
        return sorted(row[2] for row in table(empty_lake) if row[0] == "again")

    first = once(1)
    assert (users(), first.repeated, first.earlier) == (["day 1"], 1, 0)
    once(0)
    assert users() == ["day 0"]
    second = once(1)
    assert (users(), second.repeated, second.earlier) == (["day 0"], 0, 2)
    # Seven days later it is the same event, and eight days later another.
    assert (once(8).earlier, users()) == (0, ["day 0", "day 8"])
    assert len(table(empty_lake)) == 3 + 2


@pytest.mark.slow
def test_days_that_may_lack_an_id_which_a_later_day_has_lost_are_named_and_run_again_have_it(
    empty_lake: SparkSession,
) -> None:
    def once(after: int) -> steps.Ingested:
        day = DAY + timedelta(days=after)
        return run(empty_lake, [*several(1, day), again(day)], day)

    def held() -> list[date]:
        return sorted(row[-3] for row in table(empty_lake) if row[0] == "again")

    # Of these the third is within the first's reach and the last out of the second's.
    later = [5, 6, 10, 13]
    assert [(once(after).again, once(after).earlier) for after in later] == [
        *(([], 0), ([], 1), ([], 1)),
        ([], 0),
    ]
    assert held() == [DAY + timedelta(days=after) for after in (5, 13)]
    assert once(0).again == ["2010-12-11"]
    assert held() == [DAY, DAY + timedelta(days=13)]
    # The order of the calendar has this day hold it, and those of a week after it not.
    done = once(10)
    assert (done.earlier, done.again) == (0, [])
    assert held() == [DAY, DAY + timedelta(days=10)]
    assert once(0).again == []


def test_a_try_that_ended_behind_its_last_write_leaves_what_is_to_be_run_again_to_the_next(
    empty_lake: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(after: int) -> list[str]:
        day = DAY + timedelta(days=after)
        return run(empty_lake, [*several(1, day), again(day)], day).again

    def killed(*_: Any) -> str:
        raise KeyboardInterrupt

    # The first holds the id, and keeps the others from it.
    assert [once(after) for after in (4, 8, 11)] == [[]] * 3
    with monkeypatch.context() as patched:
        patched.setattr(steps, "metadata_uri", killed)
        with pytest.raises(KeyboardInterrupt):
            once(0)
    assert once(0) == ["2010-12-09", "2010-12-12"]
    # One that was run since has what it lacked.
    assert once(8) == []
    assert once(0) == ["2010-12-12"]


@pytest.mark.slow
@pytest.mark.parametrize("deleted", [False, True])
def test_days_that_lack_an_id_which_their_day_had_and_has_no_more_are_named_until_they_are_run(
    empty_lake: SparkSession, deleted: bool
) -> None:
    def once(after: int, *more: Message) -> list[str]:
        day = DAY + timedelta(days=after)
        return run(empty_lake, [*several(1, day), *more], day).again

    def held() -> list[date]:
        return sorted(row[-3] for row in table(empty_lake) if row[0] == "again")

    days = {after: DAY + timedelta(days=after) for after in (0, 1, 7, 8)}
    for after, day in days.items():
        assert once(after, again(day)) == []
    assert held() == [days[0], days[8]]
    # What it has is more, and of the same ids.
    assert once(0, again(DAY), *several(1, first=9)) == []
    if deleted:
        empty_lake.sql(f"DELETE FROM lake.{TABLE} WHERE event_day = DATE '{DAY}'")
    assert once(0) == ["2010-12-02", "2010-12-08"]
    assert (once(1), once(0)) == ([], ["2010-12-08"])
    # The last has the id still, until this one takes it.
    assert (once(7, again(days[7])), held()) == ([], [days[7]])
    assert once(0) == []


def again(day: date) -> Message:
    return Message(event(event_id="again", occurred_at=_noon(day)), 0, 3, _noon(day))


def test_a_day_that_was_computed_before_another_came_is_refused_and_its_next_try_knows_of_it(
    empty_lake: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an id of both would be in both."""
    later = DAY + timedelta(days=1)
    hold(empty_lake, several(1, later), later)
    left_out = steps._left_out

    def meanwhile(*of: Any) -> Any:
        found = left_out(*of)
        monkeypatch.setattr(steps, "_left_out", left_out)
        hold(empty_lake, [again(DAY)], DAY)
        return found

    monkeypatch.setattr(steps, "_left_out", meanwhile)
    with pytest.raises(MovedError, match=r"web\.user_events: main is snapshot \d+, .* from \d+"):
        run(empty_lake, [*several(1, later), again(later)], later)
    assert len(table(empty_lake)) == 2
    assert run(empty_lake, [*several(1, later), again(later)], later).earlier == 1
    assert len(table(empty_lake)) == 2


@pytest.mark.slow
def test_of_a_topic_that_is_compacted_between_the_two_readings_the_table_stays_as_it_was(
    empty_lake: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = DAY + timedelta(days=1)
    run(empty_lake, [*several(3, later), again(later)], later)
    before = table(empty_lake)
    with monkeypatch.context() as patched:
        # Of what is judged a message is gone when it is to be written.
        written = steps.rows
        patched.setattr(steps, "rows", lambda kept, *of: written(kept.where("offset <> 1"), *of))
        with pytest.raises(steps.IngestError, match=r"2010-12-01: 3 .*4 events") as raised:
            run(empty_lake, [*several(3), again(DAY)])
    assert "as it was" in str(raised.value)
    # Nor has the id that both days hold left the later one.
    assert table(empty_lake) == before
    assert steps.recorded(empty_lake, DAY) is None
    refs = empty_lake.sql(f"SELECT name FROM lake.{TABLE}.refs").collect()
    assert [row["name"] for row in refs] == ["main"]
    run(empty_lake, [*several(3), again(DAY)])
    assert len(table(empty_lake)) == 4 + 3
    assert ranges(empty_lake) == {0: (0, 4)}


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
