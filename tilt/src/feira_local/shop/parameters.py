"""What requests are made of: the strict date parameter, and a request as faults see it."""

from __future__ import annotations

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
