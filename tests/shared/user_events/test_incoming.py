"""An event that a program posts: it is taken exactly where the contract's own rules would take it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.core.contracts import contract
from feira.core.contracts.rule_sql import translate
from feira.user_events.codec import TABLE, decode
from feira.user_events.incoming import FieldError, broken, columns, message

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
IMPRESSION: dict[str, Any] = {
    "event_id": "e1",
    "occurred_at": "2026-11-26T13:59:59.123456+02:00",
    "user_id": "12347",
    "session_id": "s1",
    "event_type": "impression",
    "sku": "22423",
    "slot": "new",
    "list_version": "2026-11-25-001",
    "arm": "a",
    "position": 1,
    "probability": 0.98,
}
CLICK = IMPRESSION | {"event_id": "e2", "event_type": "click", "impression_id": "e1"}

VALID = IMPRESSION | {"occurred_at": NOW, "quantity": 1, "impression_id": "e1"}
texts = ["a", "", " ", "\t\n", "\u00a0", "again", "new", "é"]
VALUES: dict[str, list[Any]] = {
    **dict.fromkeys(("event_id", "user_id", "session_id", "sku"), texts),
    **{key: [None, *texts] for key in ("slot", "list_version", "arm", "impression_id")},
    **{key: [None, -1, 0, 1, 2] for key in ("quantity", "position")},
    "event_type": list(contract(TABLE).column("event_type").allowed),
    "probability": [None, -0.5, 0.0, 1e-9, 0.5, 1.0, 1.0001],
}
changes = st.sampled_from([(name, value) for name, values in VALUES.items() for value in values])
events = st.lists(changes, max_size=3).map(lambda changed: VALID | dict(changed))


@pytest.fixture(scope="module")
def contract_takes() -> Iterator[Callable[[list[dict[str, Any]]], list[bool]]]:
    """What the contract's expressions say of events in DuckDB."""
    declared = contract(TABLE)
    named = {each.name: each.type for each in (*columns(), *declared.rule_inputs)}
    rules = [translate(rule.broken_when, named, "duckdb").text for rule in declared.row_rules]
    kinds = {
        "string": pa.string(),
        "int": pa.int32(),
        "double": pa.float64(),
        "timestamp": pa.timestamp("us", "UTC"),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in named.items()])
    inputs = {"earliest": NOW - timedelta(hours=1), "latest": NOW + timedelta(hours=1)}
    with duckdb.connect() as connection:

        def takes(given: list[dict[str, Any]]) -> list[bool]:
            connection.register(
                "given", pa.Table.from_pylist([it | inputs for it in given], schema)
            )
            taken = " AND ".join(f"NOT coalesce({rule}, false)" for rule in rules)
            return [
                bool(it) for (it,) in connection.execute(f"SELECT {taken} FROM given").fetchall()
            ]

        yield takes


@settings(max_examples=12, deadline=None)
@given(st.lists(events, min_size=20, max_size=60))
def test_events_break_a_rule_where_the_contracts_expressions_say_so(
    contract_takes: Callable[[list[dict[str, Any]]], list[bool]], given_events: list[dict[str, Any]]
) -> None:
    assert [not broken(event) for event in given_events] == contract_takes(given_events)


def test_a_message_is_the_event_with_its_user_as_key_and_its_time_in_milliseconds() -> None:
    key, value, timestamp = message(IMPRESSION, NOW)
    occurred = datetime(2026, 11, 26, 11, 59, 59, 123456, tzinfo=UTC)
    assert (key, timestamp) == (b"12347", int(occurred.timestamp() * 1000))
    assert decode(value) == IMPRESSION | {
        "occurred_at": occurred,
        "quantity": None,
        "impression_id": None,
    }
    assert decode(message(CLICK, NOW)[1])["impression_id"] == "e1"


@pytest.mark.parametrize(
    ("change", "name", "limit"),
    [
        ({"event_type": "purchase", "quantity": 1}, "event_type", "impression or click"),
        ({"event_type": "looked"}, "event_type", "one of view"),
        ({"event_type": None}, "event_type", "required"),
        ({"event_type": "click"}, "impression_id", "click"),
        ({"arm": None}, "arm", "impression"),
        ({"probability": None}, "probability", "impression"),
        ({"probability": float("nan")}, "probability", "number"),
        ({"probability": 10**400}, "probability", "number"),
        ({"probability": True}, "probability", "number"),
        ({"probability": "0.5"}, "probability", "number"),
        ({"probability": 0}, "probability", "above 0"),
        ({"position": 1.0}, "position", "whole number"),
        ({"position": True}, "position", "whole number"),
        ({"position": 2**31}, "position", "32 bits"),
        ({"position": 0}, "position", "1 or more"),
        ({"slot": "soon"}, "slot", "again or new"),
        ({"user_id": "u" * 65}, "user_id", "64 characters"),
        ({"user_id": " "}, "user_id", "not blank"),
        ({"user_id": 12347}, "user_id", "text"),
        ({"sku": "a\0"}, "sku", "U+0000"),
        ({"sku": {"sku": "22423"}}, "sku", "text"),
        ({"occurred_at": "2026-11-26T12:00:00"}, "occurred_at", "Z"),
        ({"occurred_at": 1}, "occurred_at", "Z"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at", "Z"),
        ({"occurred_at": "2026-11-25T11:59:59Z"}, "occurred_at", "a day ago"),
        ({"occurred_at": "2026-11-26T12:05:01Z"}, "occurred_at", "5 minutes"),
        ({"event_day": "2026-11-26"}, "event_day", "none of"),
        ({"price": 1}, "price", "none of"),
    ],
)
def test_an_event_that_is_none_is_refused_by_field_and_limit(
    change: dict[str, Any], name: str, limit: str
) -> None:
    with pytest.raises(FieldError) as refused:
        message(IMPRESSION | change, NOW)
    assert refused.value.name == name and limit in refused.value.limit
