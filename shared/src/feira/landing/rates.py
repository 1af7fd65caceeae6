"""The exchange rates that a landing keeps, so that no result needs another day's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from feira.landing.store import LandingError

RATE_MAX_AGE = timedelta(days=7)
# Order dates closer than this share one call for rates.
_RANGE_GAP = timedelta(days=30)
_RATE = re.compile(r"[0-9]{1,10}(\.[0-9]{1,8})?")


def date_ranges(dates: set[date]) -> list[tuple[date, date]]:
    """The fewest ranges that hold all dates and the seven days before each, gaps of a month apart."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(dates):
        first = day - RATE_MAX_AGE if day - date.min >= RATE_MAX_AGE else date.min
        if ranges and first - ranges[-1][1] <= _RANGE_GAP:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((first, day))
    return ranges


def rates_for(
    dates: set[date], fetch: Callable[[date, date], Iterable[Any]]
) -> list[dict[str, str]]:
    """The rates of the dates and of the seven days before each, by day and currency.

    ``fetch(first, last)`` asks the source. Raises LandingError naming a rate that is none.
    """
    rates: dict[tuple[str, str], dict[str, str]] = {}
    for first, last in date_ranges(dates):
        for entry in fetch(first, last):
            rate = _checked(entry)
            key = rate["rate_date"], rate["currency"]
            known = rates.setdefault(key, rate)
            if Decimal(known["usd_rate"]) != Decimal(rate["usd_rate"]):
                raise LandingError(
                    f"{key[1]} has two rates on {key[0]}: {known['usd_rate']} and "
                    f"{rate['usd_rate']}. Nothing was landed; ask the API's owner which is right."
                )
    wanted = {
        (day - timedelta(days=age)).isoformat()
        for day in dates
        for age in range(RATE_MAX_AGE.days + 1)
        if day - date.min >= timedelta(days=age)
    }
    return [rates[key] for key in sorted(rates) if key[0] in wanted]


def _checked(entry: Any) -> dict[str, str]:
    """The entry's three texts; raises LandingError unless they are a rate."""
    names = ("rate_date", "currency", "usd_rate")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(n), str) for n in names):
        raise LandingError(
            f"A rate is {str(entry)[:200]}; it must hold rate_date, currency and usd_rate as texts. "
            "Nothing was landed; ask the API's owner."
        )
    day, currency, text = (entry[name] for name in names)
    if not _is_date(day):
        raise LandingError(
            f"A rate of {currency[:20]} is for {day[:40]!r}; rate_date must be a day such as "
            "2010-12-01. Nothing was landed; ask the API's owner."
        )
    if not _RATE.fullmatch(text) or Decimal(text) <= 0:
        raise LandingError(
            f"The rate of {currency[:20]} on {day} is {text[:40]!r}; it must be a positive decimal "
            "text with at most 10 digits before the point and 8 after it. Nothing was landed; ask "
            "the API's owner."
        )
    return {"rate_date": day, "currency": currency, "usd_rate": text}


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
