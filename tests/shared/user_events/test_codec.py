"""A user event as a message: what is written is read back, and nothing else is read at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira.core.contracts import contract
from feira.user_events.codec import ADDED, TABLE, EventError, avro_schema, decode, encode

VIEW: dict[str, Any] = {
    "event_id": "7e0d3fb4-6a1c-4a63-9a2f-0d4a3a1c9b10",
    "occurred_at": datetime(2010, 12, 1, 8, 26, 0, 1, tzinfo=UTC),
    "user_id": "17850",
    "session_id": "17850-1",
    "event_type": "view",
    "sku": "85123A",
}
NOTHING = dict.fromkeys(
    ("quantity", "slot", "list_version", "arm", "position", "probability", "impression_id")
)
IMPRESSION = VIEW | {
    "event_type": "impression",
    "slot": "again",
    "list_version": "v1",
    "arm": "a",
    "position": 1,
    "probability": 0.98,
}
# Worked out by hand from Avro's specification.
VIEW_WRITTEN = (
    b"\x00\x00\x00\x00\x01"
    + b"\x48"  # 36 characters
    + b"7e0d3fb4-6a1c-4a63-9a2f-0d4a3a1c9b10"
    + b"\x82\xd8\xe6\xe1\xa1\x95\xcb\x04"  # 2 × 1291191960000001, seven bits at a time
    + b"\x0a17850"
    + b"\x0e17850-1"
    + b"\x00"  # the first of the enumeration
    + b"\x0c85123A"
    + b"\x00" * 7
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ints = st.none() | st.integers(-(2**31), 2**31 - 1)
events = st.fixed_dictionaries(
    {
        "event_id": texts,
        "occurred_at": st.datetimes(timezones=st.just(UTC)),
        "user_id": texts,
        "session_id": texts,
        "event_type": st.sampled_from(contract(TABLE).column("event_type").allowed),
        "sku": texts,
        "quantity": ints,
        "slot": st.none() | texts,
        "list_version": st.none() | texts,
        "arm": st.none() | texts,
        "position": ints,
        "probability": st.none() | st.floats(allow_nan=False),
        "impression_id": st.none() | texts,
    }
)


def test_the_schema_has_the_fields_of_the_table_but_for_what_its_ingest_adds() -> None:
    record = json.loads(avro_schema())
    fields = [field["name"] for field in record["fields"]]
    assert (record["namespace"], record["name"]) == ("feira", "UserEvent")
    assert [*fields, *ADDED] == contract(TABLE).column_names
    assert fields == [*VIEW, *NOTHING]


def test_an_event_is_written_byte_for_byte_as_avro_specifies_it() -> None:
    assert encode(VIEW) == VIEW_WRITTEN
    assert encode(VIEW | NOTHING) == VIEW_WRITTEN
    assert decode(VIEW_WRITTEN) == VIEW | NOTHING


@given(events)
def test_what_is_written_is_read_back(event: dict[str, Any]) -> None:
    assert decode(encode(event)) == event


def test_a_time_of_another_zone_is_the_same_instant() -> None:
    there = VIEW["occurred_at"].astimezone(timezone(timedelta(hours=-3)))
    assert encode(VIEW | {"occurred_at": there}) == VIEW_WRITTEN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("occurred_at", datetime(2010, 12, 1, 8, 26)),
        ("occurred_at", "2010-12-01T08:26:00Z"),
        ("occurred_at", None),
        ("event_type", "refund"),
        ("event_id", None),
        ("user_id", 17850),
        ("sku", "\ud800"),
        ("quantity", "2"),
        ("quantity", 1.5),
        ("quantity", 2**31),
        ("position", True),
        ("probability", "0.5"),
        ("colour", "red"),
    ],
)
def test_an_event_that_breaks_the_schema_is_not_written(field: str, value: Any) -> None:
    with pytest.raises(EventError):
        encode(VIEW | {field: value})


@pytest.mark.parametrize("field", VIEW)
def test_an_event_without_a_field_that_it_needs_is_not_written(field: str) -> None:
    with pytest.raises(EventError, match=field):
        encode({name: value for name, value in VIEW.items() if name != field})


@pytest.mark.parametrize("event", [VIEW, IMPRESSION])
def test_a_message_cut_anywhere_is_no_event(event: dict[str, Any]) -> None:
    whole = encode(event)
    for length in range(len(whole)):
        with pytest.raises(EventError):
            decode(whole[:length])


@given(st.binary(min_size=1, max_size=40))
def test_an_event_with_bytes_after_it_is_none(more: bytes) -> None:
    with pytest.raises(EventError):
        decode(VIEW_WRITTEN + more)


@given(st.binary(max_size=80), st.integers(0, len(VIEW_WRITTEN)))
def test_any_bytes_are_one_event_written_as_it_is_or_refused(some: bytes, kept: int) -> None:
    value = VIEW_WRITTEN[:kept] + some
    try:
        event = decode(value)
    except EventError:
        return
    assert encode(event) == value


def test_other_bytes_that_read_as_an_event_are_refused() -> None:
    # A length in two bytes instead of one.
    assert VIEW_WRITTEN[5:6] == b"\x48"
    with pytest.raises(EventError, match=r"80 bytes.* 79 others"):
        decode(VIEW_WRITTEN[:5] + b"\xc8\x00" + VIEW_WRITTEN[6:])


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"\x01\x00\x00\x00\x01", "magic byte"),
        (b"\x00\x00\x00\x00\x02", "schema id 2"),
        (b"\x00\x01\x00\x00\x01", "schema id 16777217"),
        (b'{"event_id":', "magic byte"),
    ],
)
def test_a_message_of_another_form_or_schema_is_named_as_such(start: bytes, message: str) -> None:
    with pytest.raises(EventError, match=message):
        decode(start + VIEW_WRITTEN[5:])
