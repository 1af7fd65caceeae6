"""Events as programs post them: JSON, read by the contract and judged by its rules one by one.

The day's ingest judges every message by the contract itself, on Spark. This is the same for one event at a
time, so that who sends it hears what is wrong with it; a test holds it to the contract's expressions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from feira.core.contracts import Column, contract
from feira.user_events.codec import ADDED, TABLE, encode, milliseconds

KINDS: Final = ("impression", "click")
OLDEST, NEWEST = timedelta(days=1), timedelta(minutes=5)
DELIVERY = timedelta(minutes=2)
"""How long a message that was taken may be on its way to Kafka."""
_BLANK = re.compile(r"\s*\Z", re.ASCII)
_INT = 2**31
_COMPLETE = ("slot", "list_version", "arm", "position", "probability")


class FieldError(ValueError):
    """A field that is not as it must be: its name, the value as it came, and what it must be."""

    def __init__(self, name: str, value: object, limit: str) -> None:
        super().__init__(f"{name} is {value!r}; it is {limit}.")
        self.name, self.value, self.limit = name, value, limit


def message(given: Mapping[str, Any], now: datetime) -> tuple[bytes, bytes, int]:
    """Key, value and timestamp (ms since 1970) of the message of an impression or a click.

    :param given: a field each by the contract's names, times as ISO 8601 with their zone
    :raises FieldError: where a field is unknown, missing, of another type or length, or breaks a rule
    """
    event = _typed(given)
    if event["event_type"] not in KINDS:
        raise FieldError("event_type", event["event_type"], " or ".join(KINDS))
    _require_kept(event)
    occurred = event["occurred_at"]
    if not now - OLDEST <= occurred <= now + NEWEST:
        raise FieldError(
            "occurred_at",
            given["occurred_at"],
            "at most a day ago, and not more than 5 minutes ahead",
        )
    return event["user_id"].encode(), encode(event), milliseconds(occurred)


def event_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The event of such fields, of whatever kind and time; raises FieldError as ``message`` does."""
    event = _typed(given)
    _require_kept(event)
    return event


def _require_kept(event: Mapping[str, Any]) -> None:
    for name, limit in broken(event):
        raise FieldError(name, event[name], limit)


def broken(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Fields of an event with the contract's types that break a rule, each with what it must be."""
    found = [(name, "not blank") for name in ("event_id", "user_id", "sku") if _absent(event[name])]
    kind, quantity = event["event_type"], event["quantity"]
    if kind in ("add_to_cart", "purchase") and quantity is None:
        found.append(("quantity", "stated"))
    if quantity is not None and quantity < 1:
        found.append(("quantity", "1 or more"))
    if event["slot"] not in (None, "again", "new"):
        found.append(("slot", "again or new"))
    if event["position"] is not None and event["position"] < 1:
        found.append(("position", "1 or more"))
    if event["probability"] is not None and not 0 < event["probability"] <= 1:
        found.append(("probability", "above 0 and at most 1"))
    due = {"impression": _COMPLETE, "click": ("impression_id",)}.get(kind, ())
    found += [
        (name, f"stated and not blank where event_type is {kind}")
        for name in due
        if _absent(event[name])
    ]
    return found


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and _BLANK.match(value) is not None)


@cache
def columns() -> tuple[Column, ...]:
    """Those of the contract that a message has."""
    return tuple(each for each in contract(TABLE).columns if each.name not in ADDED)


def _typed(given: Mapping[str, Any]) -> dict[str, Any]:
    known = {column.name for column in columns()}
    for name in given:
        if name not in known:
            raise FieldError(name, given[name], f"none of {', '.join(sorted(known))}")
    return {column.name: _value(column, given.get(column.name)) for column in columns()}


def _value(column: Column, value: Any) -> Any:
    if value is None:
        if column.required:
            raise FieldError(column.name, None, "required")
        return None
    match column.type:
        case "timestamp":
            return _time(column.name, value)
        case "int":
            if type(value) is int and -_INT <= value < _INT:
                return value
            raise FieldError(column.name, value, "a whole number of 32 bits")
        case "double":
            if type(value) in (int, float) and math.isfinite(found := _float(value)):
                return found
            raise FieldError(column.name, value, "a number")
        case _:
            return _text(column, value)


def _text(column: Column, value: Any) -> str:
    most = column.max_length
    if not isinstance(value, str) or "\0" in value or (most and len(value) > most):
        limit = f"a text of at most {most} characters" if most else "a text"
        raise FieldError(column.name, value, f"{limit}, without U+0000")
    if column.allowed and value not in column.allowed:
        raise FieldError(column.name, value, f"one of {', '.join(column.allowed)}")
    return value


def _time(name: str, value: Any) -> datetime:
    try:
        found = datetime.fromisoformat(value)
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        pass
    raise FieldError(name, value, "a time as 2010-12-01T08:26:00Z")


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
