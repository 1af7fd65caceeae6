"""Purchases as the shop's orders show them: real customers and times, where real orders are replayed."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np

from feira.user_events.codec import EventError, encode
from feira_local.shop.source import DaySource, Line
from feira_local.web.wire import Messages

# Of the namespace's own: a line has one identifier, however often its day is produced.
_NAMESPACE = uuid.UUID("5d0e6c5e-6a3c-4f0b-9a0e-2f0f5f1f7c11")
_BOUGHT = ("completed", "shipped", "pending")
_PAGE = 5000


def order_messages(source: DaySource, day: dt.date) -> Messages:
    """A purchase for each line of a known customer that the day's feed shows as ordered on that day.

    In the order of their times. What is cancelled, returned, a guest's or no valid line is none.
    """
    events: dict[str, dict[str, Any]] = {}
    for line in _lines(source, day):
        event = purchase(line)
        if event is not None and event["occurred_at"].date() == day:
            events.setdefault(event["event_id"], event)
    keys, values, times = [], [], []
    for event in sorted(events.values(), key=lambda it: it["occurred_at"]):
        try:
            values.append(encode(event))
        except EventError:
            continue
        keys.append(event["user_id"].encode())
        times.append(int(event["occurred_at"].timestamp()) * 1000)
    return Messages(keys, values, np.array(times, dtype=np.int64))


def purchase(line: Line) -> dict[str, Any] | None:
    """The line as an event; None where it is no purchase of a known customer."""
    order, number, sku = line.get("order_id"), line.get("line_number"), line.get("sku")
    customer, quantity = line.get("customer_id"), line.get("quantity")
    try:
        created = dt.datetime.fromisoformat(str(line.get("created_at")))
    except ValueError:
        return None
    whole = all(type(it) is int and it > 0 for it in (number, customer, quantity))
    named = all(isinstance(it, str) and it.strip() for it in (order, sku))
    if not whole or not named or created.tzinfo is None or line.get("status") not in _BOUGHT:
        return None
    return {
        "event_id": str(uuid.uuid5(_NAMESPACE, f"{order}/{number}")),
        "occurred_at": created.astimezone(dt.UTC),
        "user_id": str(customer),
        "session_id": f"order-{order}",
        "event_type": "purchase",
        "sku": sku,
        "quantity": quantity,
    }


def _lines(source: DaySource, day: dt.date) -> Iterator[Line]:
    for start in range(0, source.total(day), _PAGE):
        yield from source.lines(day, start, _PAGE)
