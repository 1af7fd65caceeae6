"""An event and its message as Avro's specification has it, and any event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from feira.core.contracts import contract
from feira.user_events.codec import TABLE

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
