"""Every way in which a line can break the sales contract, by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from feira_local.shop.source import Line

# Absent in single lines only; a field that a whole page lacks is drift, a fault of its own.
ABSENT_FIELDS = ("sku", "quantity", "unit_price", "currency", "status", "created_at")


@dataclass(frozen=True)
class DirtyKind:
    """One way to spoil a line: ``spoil`` changes it in place, given the day that shows it."""

    name: str
    meaning: str
    spoil: Callable[[Line, dt.date], None]


def _set(field: str, value: object) -> Callable[[Line, dt.date], None]:
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


DIRTY_KINDS: tuple[DirtyKind, ...] = (
    DirtyKind("sku_blank", "sku is spaces", _set("sku", "  ")),
    DirtyKind("sku_null", "sku is null", _set("sku", None)),
    DirtyKind("sku_number", "sku is a JSON number", _set("sku", 85123)),
    DirtyKind("order_id_blank", "order_id is empty", _set("order_id", "")),
    DirtyKind("line_number_zero", "line_number is 0", _set("line_number", 0)),
    DirtyKind("currency_unknown", "currency is XXX, which has no rate", _set("currency", "XXX")),
    DirtyKind("currency_null", "currency is null", _set("currency", None)),
    DirtyKind("quantity_zero", "quantity is 0", _set("quantity", 0)),
    DirtyKind("quantity_negative", "quantity below 0 on a completed line", _negative_completed),
    DirtyKind("quantity_text", "quantity is a JSON string", _quantity_text),
    DirtyKind("unit_price_number", "unit_price is a JSON number", _set("unit_price", 2.55)),
    DirtyKind("unit_price_decimals", "unit_price has 6 decimals", _set("unit_price", "2.551234")),
    DirtyKind("unit_price_word", "unit_price is no number", _set("unit_price", "abc")),
    DirtyKind("unit_price_negative", "unit_price is below 0", _set("unit_price", "-2.55")),
    DirtyKind(
        "unit_price_range",
        "unit_price does not fit decimal(18,4)",
        _set("unit_price", "123456789012345.00"),
    ),
    DirtyKind("status_unknown", "status is none of the five", _set("status", "refunded")),
    DirtyKind("created_at_zone", "created_at carries no zone", _created_without_zone),
    DirtyKind("updated_at_early", "updated_at is before created_at", _updated_before_created),
    DirtyKind("updated_at_day", "updated_at is outside the day", _updated_outside_day),
    DirtyKind("customer_id_bool", "customer_id is true", _set("customer_id", True)),
    DirtyKind("customer_id_negative", "customer_id is -5", _set("customer_id", -5)),
    DirtyKind("customer_id_text", "customer_id is a JSON string", _set("customer_id", "123")),
    DirtyKind("field_absent", "a required field is absent in this line", _absent_field),
)
KIND_NAMES = tuple(kind.name for kind in DIRTY_KINDS)


def spoiled(line: Line, kind: DirtyKind, day: dt.date) -> Line:
    """A copy of the line with the kind's error."""
    copy = dict(line)
    kind.spoil(copy, day)
    return copy
