"""What one order line must be: its broken rules, or its row in the fact.

Part of the independent check, so nothing here comes from the platform: every rule is written out
again from the project's prose, and numbers and times are exact (``Decimal``, whole microseconds).
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Any, NamedTuple

STRINGS = (
    "order_id",
    "sku",
    "description",
    "unit_price",
    "currency",
    "status",
    "country",
    "created_at",
    "updated_at",
)
INTEGER_BITS = {"line_number": 32, "quantity": 32, "customer_id": 64}
FIELDS = (*STRINGS, *INTEGER_BITS)
OPTIONAL = ("description", "customer_id", "country")

STATUSES = ("pending", "completed", "shipped", "failed", "cancelled")
PRICE = re.compile(r"-?[0-9]{1,14}(\.[0-9]{1,4})?")
TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
MOST_CHARACTERS = {
    "order_id": 64,
    "sku": 64,
    "description": 1000,
    "unit_price": 64,
    "currency": 16,
    "status": 32,
    "country": 100,
    "created_at": 64,
    "updated_at": 64,
}
EARLIEST_ORDER = dt.datetime(1900, 1, 1)
MOST_DIGITS = 1000  # a line with a longer number is not read; its sign, point and e are none
# Nor is one of more levels of objects and arrays, or with a longer key or text, in UTF-16.
MOST_LEVELS = 999
MOST_NAME, MOST_TEXT = 50_000, 20_000_000
WHITE_SPACE = " \t\n\r\v\f"
RATE_DAYS = 7
AMOUNT_LIMIT = Decimal(10) ** 14  # the first value that decimal(18,4) cannot hold

# Wide enough for every product and sum here: nothing is rounded but where `to_scale` says so.
EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
EPOCH = dt.datetime(1970, 1, 1)
MICROSECOND = dt.timedelta(microseconds=1)
MICROSECONDS_A_DAY = 86_400_000_000

LINE_KINDS = {
    **dict.fromkeys(("POST", "DOT", "C2"), "postage"),
    **dict.fromkeys(("AMAZONFEE", "BANK CHARGES", "CRUK"), "fee"),
    **dict.fromkeys(("S", "SAMPLES"), "sample"),
    **dict.fromkeys(("M", "m", "D", "B"), "adjustment"),
}
PRODUCT_CODE = re.compile(r"[0-9]{5}[A-Za-z]*")


class Rate(NamedTuple):
    """US dollars for one unit of a currency, and the day of the quotation."""

    day: dt.date
    usd: Decimal


class FactRow(NamedTuple):
    """One row of the fact; times are microseconds since 1970 in UTC."""

    order_id: str
    line_number: int
    sku: str
    description: str | None
    quantity: int
    unit_price: Decimal
    currency: str
    status: str
    customer_id: int | None
    country: str | None
    created_at: int
    updated_at: int
    order_date: dt.date
    amount: Decimal
    fx_rate: Decimal
    fx_date: dt.date
    amount_usd: Decimal
    line_kind: str
    extract_day: dt.date


class Rates:
    """The rates of one landing."""

    def __init__(self, quotations: Iterable[Mapping[str, Any]]) -> None:
        self._by_currency: dict[str, dict[int, Rate]] = {}
        for quotation in quotations:
            currency, day = quotation["currency"], dt.date.fromisoformat(quotation["rate_date"])
            rate = Rate(day, to_scale(Decimal(quotation["usd_rate"]), 8))
            known = self._by_currency.setdefault(currency, {}).setdefault(day_number(day), rate)
            if known != rate:
                raise ValueError(f"{currency} on {day} has two rates: {known.usd} and {rate.usd}")

    def quotes(self, currency: str) -> bool:
        """Whether any day has a rate for the currency."""
        return currency in self._by_currency

    def newest(self, currency: str, day: int) -> Rate | None:
        """The newest rate on the day (numbered from 1970) or in the seven days before it."""
        by_day = self._by_currency.get(currency, {})
        for age in range(RATE_DAYS + 1):
            if day - age in by_day:
                return by_day[day - age]
        return None


def to_scale(value: Decimal, scale: int) -> Decimal:
    """The value with that many decimal places, rounded half-even; a zero has no sign."""
    return EXACT.plus(EXACT.quantize(value, Decimal(1).scaleb(-scale)))


def day_number(day: dt.date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH.date()).days


@lru_cache(maxsize=1 << 16)
def instant(text: str) -> int | None:
    """Microseconds since 1970 in UTC, or None where the text is no ISO 8601 time with a zone.

    A whole number, because the UTC side of a legal time may lie outside the years 1 to 9999.
    """
    match = TIMESTAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction, sign, hours, minutes = match.groups()[6:]
    try:  # which refuses year 0, 30 February, 24:00 and second 60
        local = dt.datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None
    microseconds = (local - EPOCH) // MICROSECOND + int((fraction or "").ljust(6, "0"))
    if sign is None:
        return microseconds
    offset = int(hours) * 60 + int(minutes)
    if int(minutes) >= 60 or offset > 18 * 60:
        return None
    # A local time ahead of UTC (+) is an earlier instant.
    return microseconds + offset * 60_000_000 * (-1 if sign == "+" else 1)


@lru_cache(maxsize=1 << 16)
def price(text: str) -> Decimal | None:
    """The price with four decimal places, or None where the text is no decimal(18,4)."""
    return to_scale(Decimal(text), 4) if PRICE.fullmatch(text) else None


def line_kind(sku: str) -> str:
    """What a SKU stands for, case counts."""
    if sku in LINE_KINDS:
        return LINE_KINDS[sku]
    if sku.startswith("gift_"):
        return "voucher"
    if sku.startswith("DCGS") or PRODUCT_CODE.fullmatch(sku):
        return "product"
    return "other"


class DuplicateKeyError(Exception):
    """An object has a key more than once."""


def json_object(text: bytes) -> dict[str, Any] | str:
    """The object that a line's text is, or the name of the rule that it breaks whole."""
    limit = sys.getrecursionlimit()
    try:
        line = text.decode()
        if _levels(line) > MOST_LEVELS:
            return "line_unreadable"
        # As many as are left of it to who calls this are no limit of JSON's.
        sys.setrecursionlimit(limit + 4 * MOST_LEVELS)
        read = json.loads(
            line,
            parse_constant=_no_number,
            parse_int=_whole,
            parse_float=_fraction,
            object_pairs_hook=_short,
        )
        if b"\\u" in text:  # half a surrogate pair is refused, in whichever of equal keys it is
            json.loads(line, object_pairs_hook=_encoded)
        if isinstance(read, dict):  # a duplicate key is the fault only where all else is well
            json.loads(line, object_pairs_hook=_pairs)
    except DuplicateKeyError:
        return "duplicate_key"
    except ValueError:
        return "line_unreadable"
    finally:
        sys.setrecursionlimit(limit)
    return read if isinstance(read, dict) else "line_unreadable"


def _levels(line: str) -> int:
    """Of objects and arrays, also where what closes them is missing."""
    if line.count("[") + line.count("{") <= MOST_LEVELS:
        return 0
    level = deepest = 0
    within = escaped = False
    for each in line:
        if within:
            within = escaped or each != '"'
            escaped = each == "\\" and not escaped
        elif each == '"':
            within = True
        elif each in "[{":
            level += 1
            deepest = max(deepest, level)
        elif each in "]}":
            level -= 1
    return deepest


def _short(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for name, value in pairs:
        if _utf16(name) > MOST_NAME or (isinstance(value, str) and _utf16(value) > MOST_TEXT):
            raise ValueError(f"a key or a text is too long, of {name[:20]}")
    return dict(pairs)


def _utf16(text: str) -> int:
    return len(text) + sum(each > "\uffff" for each in text) if len(text) * 2 > MOST_NAME else 0


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise DuplicateKeyError
    return read


def _encoded(pairs: list[tuple[str, Any]]) -> None:
    json.dumps(pairs, ensure_ascii=False).encode()


def _whole(digits: str) -> int:
    """The number, unless it is of more digits than a JSON parser takes."""
    _count_digits(digits)
    return int(digits)


def _fraction(number: str) -> float:
    """As ``_whole``, of a number with a point or an exponent."""
    _count_digits(number)
    return float(number)


def _count_digits(number: str) -> None:
    count = sum(each in "0123456789" for each in number)
    if count > MOST_DIGITS:
        raise ValueError(f"a number of {count} digits")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def read_line(
    line: Mapping[str, Any] | bytes, day: dt.date, rates: Rates
) -> tuple[list[str], FactRow | None]:
    """The rules that the line breaks, sorted, and its fact row where it breaks none.

    A line is the text that was served, or what it holds.
    """
    if isinstance(line, bytes):
        read = json_object(line)
        if isinstance(read, str):
            return [read], None
        line = read
    rules: list[str] = []
    value: dict[str, Any] = {}  # only what has the right shape: the rest breaks no value rule
    for field in FIELDS:
        rule = _shape(field, line)
        if rule is not None:
            rules.append(rule)
        elif line[field] is not None:
            value[field] = line[field]
    derived = _derive(value, rates)
    rules += _field_rules(value, derived)
    rules += _currency_rules(value, derived, rates)
    rules += _time_rules(derived, day)
    return sorted(rules), None if rules else _fact_row(value, derived, day)


class _Derived(NamedTuple):
    """What follows from a line's well-shaped values; None where nothing does."""

    price: Decimal | None
    created: int | None
    updated: int | None
    order_day: int | None
    rate: Rate | None
    amount: Decimal | None
    amount_usd: Decimal | None


def _shape(field: str, line: Mapping[str, Any]) -> str | None:
    if field not in line:
        return f"{field}_absent"
    given = line[field]
    if given is None:
        return None if field in OPTIONAL else f"{field}_null"
    if field in INTEGER_BITS:
        limit = 1 << (INTEGER_BITS[field] - 1)
        right = type(given) is int and -limit <= given < limit  # a bool is no integer
    else:
        right = type(given) is str and "\0" not in given
        if right and len(given) > MOST_CHARACTERS[field]:
            return f"{field}_too_long"
    return None if right else f"{field}_type"


def _derive(value: Mapping[str, Any], rates: Rates) -> _Derived:
    unit_price = price(value["unit_price"]) if "unit_price" in value else None
    created = instant(value["created_at"]) if "created_at" in value else None
    updated = instant(value["updated_at"]) if "updated_at" in value else None
    order_day = None if created is None else created // MICROSECONDS_A_DAY
    rate = amount = amount_usd = None
    if order_day is not None and "currency" in value:
        rate = rates.newest(value["currency"], order_day)
    if unit_price is not None and "quantity" in value:
        amount = to_scale(EXACT.multiply(Decimal(value["quantity"]), unit_price), 4)
    if amount is not None and rate is not None:
        amount_usd = to_scale(EXACT.multiply(amount, rate.usd), 4)
    return _Derived(unit_price, created, updated, order_day, rate, amount, amount_usd)


def _field_rules(value: Mapping[str, Any], derived: _Derived) -> Iterator[str]:
    for field in ("order_id", "sku"):
        if field in value and not value[field].strip(WHITE_SPACE):
            yield f"{field}_blank"
    if value.get("line_number", 1) < 1:
        yield "line_number_below_one"
    if value.get("quantity") == 0:
        yield "quantity_zero"
    if value.get("quantity", 1) < 0 and value.get("status", "cancelled") != "cancelled":
        yield "quantity_negative"
    if "unit_price" in value and derived.price is None:
        yield "unit_price_not_decimal"
    if derived.price is not None and derived.price < 0:
        yield "unit_price_negative"
    if "status" in value and value["status"] not in STATUSES:
        yield "status_unknown"
    if value.get("customer_id", 1) < 1:
        yield "customer_id_not_positive"
    if "created_at" in value and derived.created is None:
        yield "created_at_not_zoned"
    if derived.created is not None and derived.created < (EARLIEST_ORDER - EPOCH) // MICROSECOND:
        yield "created_at_out_of_range"
    if "updated_at" in value and derived.updated is None:
        yield "updated_at_not_zoned"


def _currency_rules(value: Mapping[str, Any], derived: _Derived, rates: Rates) -> Iterator[str]:
    if "currency" in value:
        # Without an order date nobody can say which rate is meant, only that there is none.
        has_rate = rates.quotes(value["currency"])
        if derived.order_day is not None:
            has_rate = derived.rate is not None
        if not has_rate:
            yield "currency_without_rate"
    if derived.amount is not None and EXACT.abs(derived.amount) >= AMOUNT_LIMIT:
        yield "amount_out_of_range"
    # An amount that is refused already is not converted.
    elif derived.amount_usd is not None and EXACT.abs(derived.amount_usd) >= AMOUNT_LIMIT:
        yield "amount_usd_out_of_range"


def _time_rules(derived: _Derived, day: dt.date) -> Iterator[str]:
    created, updated = derived.created, derived.updated
    if created is not None and updated is not None and updated < created:
        yield "updated_before_created"
    if updated is not None and updated // MICROSECONDS_A_DAY != day_number(day):
        yield "updated_outside_day"


def _fact_row(value: Mapping[str, Any], derived: _Derived, day: dt.date) -> FactRow:
    # A line that breaks no rule has them all: without one, a rule here is wrong.
    assert derived.price is not None
    assert derived.created is not None
    assert derived.updated is not None
    assert derived.order_day is not None
    assert derived.rate is not None
    assert derived.amount is not None
    assert derived.amount_usd is not None
    return FactRow(
        order_id=value["order_id"],
        line_number=value["line_number"],
        sku=value["sku"],
        description=value.get("description"),
        quantity=value["quantity"],
        unit_price=derived.price,
        currency=value["currency"],
        status=value["status"],
        customer_id=value.get("customer_id"),
        country=value.get("country"),
        created_at=derived.created,
        updated_at=derived.updated,
        order_date=EPOCH.date() + dt.timedelta(days=derived.order_day),
        amount=derived.amount,
        fx_rate=derived.rate.usd,
        fx_date=derived.rate.day,
        amount_usd=derived.amount_usd,
        line_kind=line_kind(value["sku"]),
        extract_day=day,
    )
