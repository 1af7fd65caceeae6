"""A user event as a message: what is written is read back, and nothing else is read at all."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira.core.contracts import contract
from feira.user_events import __main__ as command
from feira.user_events.codec import (
    ADDED,
    TABLE,
    EventError,
    SchemaError,
    avro_schema,
    decode,
    encode,
    header,
    load,
    schema_file,
    schemas,
)
from user_event_contract import changed_contract, grown, with_column
from user_event_samples import NOTHING, VIEW, VIEW_WRITTEN, events

IMPRESSION = VIEW | {
    "event_type": "impression",
    "slot": "again",
    "list_version": "v1",
    "arm": "a",
    "position": 1,
    "probability": 0.98,
}


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


# Messages of each are in Kafka: a schema that is here is never another, and a new one is added.
COMMITTED = {1: "9e686858af0d510b"}


def test_a_schema_that_messages_were_written_with_stays_as_it_is() -> None:
    found = {
        number: hashlib.sha256(schema.encode()).hexdigest()[:16]
        for number, schema in schemas().items()
    }
    assert found == COMMITTED


def test_a_contract_whose_schema_is_not_committed_says_what_to_add(tmp_path: Path) -> None:
    with changed_contract(tmp_path, lambda it: with_column(it, "device", "quantity")) as path:
        added = path.with_name("web.user_events.2.avsc")
        for use in (load, lambda: encode(VIEW), lambda: decode(VIEW_WRITTEN), avro_schema):
            with pytest.raises(SchemaError) as refusal:
                use()
            said = str(refusal.value)
            assert f"than {TABLE}.1.avsc: device. " in said
            assert f"`python -m feira.user_events` writes the new one to {added}. " in said
        assert str(added) in command.main()
        assert encode(VIEW)[:5] == b"\x00\x00\x00\x00\x02"
        assert [*schemas()] == [1, 2]
        assert "newest" in command.main() and not schema_file(3).exists()


def renamed(text: str) -> str:
    return re.sub(r"\blist_version\b", "version_of_lists", text)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda it: with_column(it, "device", "sku", required=True), "column device is new and re"),
        (renamed, "column list_version is gone"),
        (lambda it: it.replace("          - value: click\n", ""), "column event_type is .*click"),
        (
            lambda it: it.replace("logicalType: number\n        physicalType: double",
                                  "logicalType: integer\n        physicalType: int"),
            r'column probability is \["null", "int"\] and was \["null", "double"\]',
        ),
        (
            lambda it: it.replace("physicalType: int\n        description: Units",
                                  "physicalType: int\n        required: true\n        description: Units"),
            r'column quantity is "int" and was \["null", "int"\]',
        ),
    ],
)  # fmt: skip
def test_a_contract_that_cannot_read_what_was_written_is_refused_before_it_is_committed(
    tmp_path: Path, change: Callable[[str], str], problem: str
) -> None:
    with changed_contract(tmp_path, change):
        for use in (command.main, schemas):
            with pytest.raises(SchemaError, match=f"schema id 1, which .*{problem}"):
                use()
        assert not schema_file(2).exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"fields": [1]}'])
def test_a_schema_that_is_damaged_is_named(tmp_path: Path, text: str) -> None:
    with changed_contract(tmp_path, lambda it: it + "\n", commit=False):
        schema_file(1).write_text(text)
        with pytest.raises(SchemaError, match=r"web\.user_events\.1\.avsc .*restore"):
            schemas()


@pytest.mark.parametrize(
    ("there", "missing", "others"),
    [
        ((2,), 1, "web.user_events.2.avsc"),
        ((1, 3), 2, "web.user_events.3.avsc"),
        ((2, 3, 12), 1, "web.user_events.12.avsc"),
        ((0, 1), 2, "web.user_events.0.avsc"),
    ],
)
def test_a_schema_that_is_missing_among_others_is_named_and_not_written_anew(
    tmp_path: Path, there: tuple[int, ...], missing: int, others: str
) -> None:
    with changed_contract(tmp_path, lambda it: it + "\n"):
        committed = schema_file(1).read_text()
        schema_file(1).unlink()
        for schema_id in there:
            schema_file(schema_id).write_text(committed)
        for use in (command.main, schemas, load):
            with pytest.raises(
                SchemaError, match=f"{missing}\\.avsc is not there.* id {missing} "
            ) as refusal:
                use()
            assert f"{others}; " in str(refusal.value)
        assert not schema_file(missing).exists()


def test_ids_of_two_digits_are_read_as_numbers(tmp_path: Path) -> None:
    with changed_contract(tmp_path, lambda it: it + "\n"):
        for schema_id in range(2, 12):
            schema_file(schema_id).write_text(schema_file(1).read_text())
        schema_file(1).with_name("web.user_events.12.avsc.orig").write_text("")
        assert [*schemas()] == [*range(1, 12)]
        assert encode(VIEW)[:5] == header(11)


def test_a_schema_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        with path.open("w") as file:
            file.write(text[:99])
        raise OSError(28, "No space left on device", str(path))

    with changed_contract(tmp_path, grown):
        before = sorted(schema_file(1).parent.iterdir())
        with monkeypatch.context() as patched:
            patched.setattr(Path, "write_text", full)
            with pytest.raises(
                SchemaError, match=r"events\.2\.avsc was not written.*No space left"
            ):
                command.main()
        assert sorted(schema_file(1).parent.iterdir()) == before
        assert str(schema_file(2)) in command.main()
        assert [*schemas()] == [1, 2]
        assert {*schema_file(1).parent.iterdir()} - {*before} == {schema_file(2)}


def test_a_folder_in_the_place_of_a_schema_is_named(tmp_path: Path) -> None:
    with changed_contract(tmp_path, grown):
        schema_file(2).mkdir()
        with pytest.raises(SchemaError, match=r"web\.user_events\.2\.avsc .*directory.*restore"):
            command.main()
