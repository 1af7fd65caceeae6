"""Purchases as the shop's orders show them: real customers and times, where real orders are replayed."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np

from feira.core.contracts import contract
from feira.user_events.codec import TABLE, encode, milliseconds
from feira.user_events.incoming import FieldError, event_of
from feira_local.shop.fx import FxRates
from feira_local.shop.source import DaySource, Line
from feira_local.shop.taste import Taste
from feira_local.web.valid_lines import valid_lines
from feira_local.web.wire import Messages

# Of the namespace's own: a line has one identifier, however often its day is produced.
_NAMESPACE = uuid.UUID("5d0e6c5e-6a3c-4f0b-9a0e-2f0f5f1f7c11")
_BOUGHT = ("completed", "shipped", "pending")


@dataclass(frozen=True)
class Purchases(Messages):
    """Messages of purchases, in the order of their times."""

    refused: int
    """Lines that sales puts in quarantine, and purchases that the events' contract does not take: none is sent."""


def order_messages(source: DaySource, day: dt.date, seed: int = Taste.seed) -> Purchases:
    """A purchase for each line of a known customer that sales takes from the day's feed as ordered on that day.

    Of several versions of a line it is the newest. What is cancelled, returned or a guest's is none.

    :param seed: the shop's, which its exchange rates follow from
    """
    lines, refused = valid_lines(source, day, FxRates(seed))
    events: list[dict[str, Any]] = []
    for line in lines:
        if line["customer_id"] is None or line["status"] not in _BOUGHT:
            continue
        try:
            event = event_of(_purchase(line))
        except FieldError:
            refused += 1
            continue
        if event["occurred_at"].date() == day:
            events.append(event)
    events.sort(key=lambda event: event["occurred_at"])
    return Purchases(
        keys=[event["user_id"].encode() for event in events],
        values=[encode(event) for event in events],
        timestamps=np.array([milliseconds(it["occurred_at"]) for it in events], dtype=np.int64),
        refused=refused,
    )


def _purchase(line: Line) -> dict[str, Any]:
    """A valid line of a customer as an event, its time as a text."""
    order, number = line["order_id"], line["line_number"]
    return {
        "event_id": str(uuid.uuid5(_NAMESPACE, f"{order}/{number}")),
        "occurred_at": line["created_at"],
        "user_id": str(line["customer_id"]),
        "session_id": _session(order),
        "event_type": "purchase",
        "sku": line["sku"],
        "quantity": line["quantity"],
    }


def _session(order: str) -> str:
    """The order's session: by its number, or by a hash of one that is too long."""
    session, most = f"order-{order}", contract(TABLE).column("session_id").max_length
    return (
        session
        if most is None or len(session) <= most
        else f"order-{uuid.uuid5(_NAMESPACE, order)}"
    )
