"""The page cursor: opaque to clients, good for one day only."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re


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
