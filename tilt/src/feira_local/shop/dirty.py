"""Every way in which a line can break the sales contract, by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from feira_local.shop.source import Line

# Absent in single lines only; a field that a whole page lacks is drift, a fault of its own.
ABSENT_FIELDS = ("sku", "quantity", "unit_price", "currency", "status", "created_at")


# Changes a line in place, given the day that shows it.
Spoil = Callable[[Line, dt.date], None]


def _set(field: str, value: object) -> Spoil:
    def spoil(line: Line, day: dt.date) -> None:
        line[field] = value

    return spoil


def _negative_completed(line: Line, day: dt.date) -> None:
    quantity = line["quantity"]
    line["quantity"] = -abs(quantity) if isinstance(quantity, int) and quantity else -1
    line["status"] = "completed"


def _quantity_text(line: Line, day: dt.date) -> None:
    line["quantity"] = str(line["quantity"])


def _created_without_zone(line: Line, day: dt.date) -> None:
    line["created_at"] = f"{day}T09:00:00"


def _updated_before_created(line: Line, day: dt.date) -> None:
    line["created_at"], line["updated_at"] = f"{day}T17:00:00Z", f"{day}T16:59:59Z"


def _updated_outside_day(line: Line, day: dt.date) -> None:
    line["updated_at"] = f"{day + dt.timedelta(days=1)}T00:00:10Z"


def _absent_field(line: Line, day: dt.date) -> None:
    # By the line's own number, so that neighbours lack different fields.
    number = line["line_number"] if isinstance(line["line_number"], int) else 0
    line.pop(ABSENT_FIELDS[(number + day.toordinal()) % len(ABSENT_FIELDS)], None)


DIRTY_KINDS: dict[str, Spoil] = {
    "sku_blank": _set("sku", "  "),
    "sku_null": _set("sku", None),
    "sku_number": _set("sku", 85123),
    "order_id_blank": _set("order_id", ""),
    "line_number_zero": _set("line_number", 0),
    "currency_unknown": _set("currency", "XXX"),  # it has no rate
    "currency_null": _set("currency", None),
    "quantity_zero": _set("quantity", 0),
    "quantity_negative": _negative_completed,
    "quantity_text": _quantity_text,
    "unit_price_number": _set("unit_price", 2.55),
    "unit_price_decimals": _set("unit_price", "2.551234"),
    "unit_price_word": _set("unit_price", "abc"),
    "unit_price_negative": _set("unit_price", "-2.55"),
    "unit_price_range": _set("unit_price", "123456789012345.00"),  # for decimal(18,4)
    "status_unknown": _set("status", "refunded"),
    "created_at_zone": _created_without_zone,
    "updated_at_early": _updated_before_created,
    "updated_at_day": _updated_outside_day,
    "customer_id_bool": _set("customer_id", True),
    "customer_id_negative": _set("customer_id", -5),
    "customer_id_text": _set("customer_id", "123"),
    "field_absent": _absent_field,
}
KIND_NAMES = tuple(DIRTY_KINDS)


def spoiled(line: Line, kind: str, day: dt.date) -> Line:
    """A copy of the line with the error of a kind of ``DIRTY_KINDS``."""
    copy = dict(line)
    DIRTY_KINDS[kind](copy, day)
    return copy
