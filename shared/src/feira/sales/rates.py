"""The exchange rates that a landing keeps, so that no result needs another day's."""

from __future__ import annotations

import functools
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from feira.core.contracts import contract
from feira.core.errors import PermanentError
from feira.core.landing.store import LandingError

log = logging.getLogger(__name__)

RATES = "rates"
"""The companion of a landing that holds them."""
# Order dates closer than this share one call for rates.
_RANGE_GAP = timedelta(days=30)
# An API may limit what one call can ask for.
_LONGEST_RANGE = timedelta(days=366)
_CURRENCY = re.compile(r"[!-~]{1,20}")
_RATE = re.compile(r"[0-9]{1,10}(\.[0-9]{1,8})?")


class RateError(PermanentError, LandingError):
    """The source serves a rate that is none, and would again; nothing of the landing is kept."""


class RatesNotServedError(PermanentError, LandingError):
    """The source refuses to serve rates of a range of days."""


@functools.cache
def rate_max_age() -> timedelta:
    """How old a rate may be for an order date, as the landing's contract says."""
    lookups = [each.lookup for each in contract("sales.landing").rule_inputs]
    return timedelta(days=max(each.days for each in lookups if each and each.companion == RATES))


def date_ranges(dates: set[date]) -> list[tuple[date, date]]:
    """Ranges that hold all dates and the seven days before each: dates less than a month apart share
    one, of at most 366 days."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(dates):
        first = _first_day(day)
        if ranges and first - ranges[-1][1] <= _RANGE_GAP and day - ranges[-1][0] < _LONGEST_RANGE:
            ranges[-1] = (ranges[-1][0], day)
        else:
            after = ranges[-1][1] + timedelta(days=1) if ranges else first
            ranges.append((max(first, after), day))
    return ranges


def rates_for(
    dates: set[date], day: date, fetch: Callable[[date, date], Iterable[Any]]
) -> list[dict[str, str]]:
    """The rates of the dates and of the seven days before each, by day and currency.

    ``fetch(first, last)`` asks the source. Raises RateError naming a rate that is none, and
    RatesNotServedError where the source refuses those of the extract day itself. It may refuse others:
    a line's order date can be any, and of what has no rate only that line goes to quarantine.
    """
    rates: dict[tuple[str, str], dict[str, str]] = {}
    # Those after the day by themselves: of a day to come a source has no rates.
    later = {each for each in dates if each > day}
    for entry in (*_served(dates - later, day, fetch), *_served(later, day, fetch)):
        rate = _checked(entry)
        key = rate["rate_date"], rate["currency"]
        known = rates.setdefault(key, rate)
        if Decimal(known["usd_rate"]) != Decimal(rate["usd_rate"]):
            raise RateError(
                f"{key[1]} has two rates on {key[0]}: {known['usd_rate']} and "
                f"{rate['usd_rate']}. Nothing was landed; ask the API's owner which is right."
            )
    wanted = {
        (day - timedelta(days=age)).isoformat()
        for day in dates
        for age in range(rate_max_age().days + 1)
        if day - date.min >= timedelta(days=age)
    }
    return [rates[key] for key in sorted(rates) if key[0] in wanted]


def _served(
    dates: set[date], day: date, fetch: Callable[[date, date], Iterable[Any]]
) -> Iterator[Any]:
    """What the source serves of the dates' ranges. Where it refuses one, each date in it is asked for by
    itself: one line's order date must not cost the others their rates."""
    ranges = date_ranges(dates)
    waiting = deque(ranges)
    while waiting:
        first, last = waiting.popleft()
        try:
            yield from list(fetch(first, last))
        except RatesNotServedError as error:
            if (first, last) == (_first_day(day), day):
                raise
            weeks = {(_first_day(each), each) for each in dates} - {*ranges}
            own = [week for week in weeks if week[0] <= last and week[1] >= first]
            if own and (first, last) in ranges:
                # The extract day's first, without which the others are asked for in vain.
                waiting.extendleft(sorted(own, key=lambda week: (week[1] == day, week)))
                continue
            log.warning(
                "no rates from %s to %s, which some line's order date asks for: %s",
                first,
                last,
                error,
            )


def _first_day(day: date) -> date:
    """The first day whose rate may be that of an order date."""
    return day - rate_max_age() if day - date.min >= rate_max_age() else date.min


def _checked(entry: Any) -> dict[str, str]:
    """The entry's three texts; raises RateError unless they are a rate."""
    names = ("rate_date", "currency", "usd_rate")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(n), str) for n in names):
        raise RateError(
            f"A rate is {str(entry)[:200]}; it must hold rate_date, currency and usd_rate as texts. "
            "Nothing was landed; ask the API's owner."
        )
    day, currency, text = (entry[name] for name in names)
    if not _CURRENCY.fullmatch(currency):
        raise RateError(
            f"A rate on {day[:40]!r} is of currency {currency[:40]!r}; it must be a code such as GBP. "
            "Nothing was landed; ask the API's owner."
        )
    if not _is_date(day):
        raise RateError(
            f"A rate of {currency} is for {day[:40]!r}; rate_date must be a day such as "
            "2010-12-01. Nothing was landed; ask the API's owner."
        )
    if not _RATE.fullmatch(text) or Decimal(text) <= 0:
        raise RateError(
            f"The rate of {currency} on {day} is {text[:40]!r}; it must be a positive decimal "
            "text with at most 10 digits before the point and 8 after it. Nothing was landed; ask "
            "the API's owner."
        )
    if currency == "USD" and Decimal(text) != 1:
        raise RateError(
            f"The rate of USD on {day} is {text}; rates are US dollars for one unit, so it must be 1. "
            "Nothing was landed; ask the API's owner whether these are quoted the other way round."
        )
    return {"rate_date": day, "currency": currency, "usd_rate": text}


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
