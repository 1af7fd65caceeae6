"""What requests are made of: the strict date, the page cursor, and a request as faults see it."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, cast, get_args

from pydantic import BeforeValidator

from feira_local.shop.faults import Asked, Call


def parse_day(value: object) -> dt.date:
    """The day that ``YYYY-MM-DD`` writes. Raises ValueError on any other text."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise ValueError(f"{value!r} is not a date written YYYY-MM-DD")
    return dt.date.fromisoformat(value)


# Pydantic alone would also take a number of seconds for a date.
Day = Annotated[dt.date, BeforeValidator(parse_day)]


def asked_of(path: str, query: Mapping[str, str]) -> Asked | None:
    """The request as faults see it, before its parameters are checked; None for control calls."""
    call = path.strip("/")
    if call not in get_args(Call):
        return None
    names = ("date", "date") if call == "sales" else ("from", "to")
    first, last = (_day_or_none(query.get(name)) for name in names)
    return Asked(cast(Call, call), first_day=first, last_day=last)


def _day_or_none(text: str | None) -> dt.date | None:
    try:
        return parse_day(text)
    except ValueError:
        return None


class CursorError(ValueError):
    """The cursor is not one of this day's."""


def encode_cursor(day: dt.date, offset: int) -> str:
    """The cursor of the page that starts at ``offset``."""
    return base64.urlsafe_b64encode(f"{day}/{offset}".encode()).decode()


def decode_cursor(cursor: str, day: dt.date) -> int:
    """The offset in the cursor. Raises CursorError where it is malformed or another day's."""
    try:
        text = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError):
        text = ""
    parts = re.fullmatch(r"(\d{4}-\d{2}-\d{2})/(\d{1,12})", text, re.ASCII)
    if parts is None:
        raise CursorError(
            f"cursor {cursor!r} is none that this API gave. Start without one, from the first page."
        )
    if parts[1] != str(day):
        raise CursorError(
            f"cursor {cursor!r} is of day {parts[1]}, the request is for {day}. "
            "Start without one, from the first page."
        )
    return int(parts[2])
