"""Messages of two schemas, of which the contract has the second: each is read by the one that it states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira.core.contracts import contract
from feira.user_events.codec import ADDED, TABLE, EventError, decode, encode
from user_event_contract import changed_contract, grown, written
from user_event_samples import NOTHING, VIEW, VIEW_WRITTEN, events

ADDED_LATER = ("device", "discount", "seen_at", "basket_size")


@pytest.fixture(scope="module", autouse=True)
def two_schemas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with changed_contract(tmp_path_factory.mktemp("grown"), grown, commit=True):
        yield


def test_a_message_of_an_earlier_schema_is_an_event_without_what_was_added_since() -> None:
    expected = VIEW | NOTHING | dict.fromkeys(ADDED_LATER)
    assert written(VIEW, 1) == VIEW_WRITTEN
    assert decode(VIEW_WRITTEN) == expected
    assert [*decode(VIEW_WRITTEN), *ADDED] == contract(TABLE).column_names
    now = VIEW | {"device": "phone", "seen_at": VIEW["occurred_at"], "event_type": "wish"}
    value = encode(now | {"session_id": None})
    assert value[:5] == b"\x00\x00\x00\x00\x02"
    assert decode(value) == expected | now | {"session_id": None}


@given(events, st.sampled_from([1, 2]))
def test_an_event_of_either_schema_is_read_back(event: dict[str, Any], schema_id: int) -> None:
    assert decode(written(event, schema_id)) == event | dict.fromkeys(ADDED_LATER)


@given(st.binary(max_size=80), st.integers(5, len(VIEW_WRITTEN)), st.sampled_from([1, 2]))
def test_any_bytes_are_one_event_as_their_own_schema_writes_it_or_refused(
    some: bytes, kept: int, schema_id: int
) -> None:
    value = b"\x00\x00\x00\x00" + bytes([schema_id]) + VIEW_WRITTEN[5:kept] + some
    try:
        event = decode(value)
    except EventError:
        return
    assert written(event, schema_id) == value


def test_a_message_is_not_read_by_another_schema_than_it_states() -> None:
    # As the newest one writes it, with the id of the first.
    newest = encode(VIEW)
    for value in (
        VIEW_WRITTEN[:5] + newest[5:],
        newest[:5] + VIEW_WRITTEN[5:],
        VIEW_WRITTEN + b"\x00" * len(ADDED_LATER),
    ):
        with pytest.raises(EventError):
            decode(value)
    with pytest.raises(EventError, match="schema id 3, not 1 or 2"):
        decode(b"\x00\x00\x00\x00\x03" + newest[5:])
