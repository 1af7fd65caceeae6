"""What a report says. Every message and file is made from one ``DayReport`` and holds nothing else."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict

from feira.core.warehouse.outcome import DayOutcome

TOP_PRODUCTS = 5
# Not a secret and not an address: it only makes the identifiers ours.
_NAMESPACE = uuid.UUID("6a1d2f0e-6d2b-4c2e-9a53-1f3f0f1c7a10")

Unit = Literal["USD", "orders", "lines", "units"]
Figure = Literal[
    "revenue",
    "orders",
    "sold_lines",
    "cancelled_amount",
    "landed_lines",
    "valid_lines",
    "quarantined_lines",
    "rule",
    "product_revenue",
    "product_units",
]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProductSales(_Frozen):
    """What one product sold on the day: units, and US dollars."""

    sku: str
    description: str | None
    units: int
    revenue: Decimal


class DayFigures(_Frozen):
    """The figures of a day; once any of them is another, a correction is due.

    Sales are by order date, lines by extract day. Amounts are US dollars with four decimals. A figure
    that joins needs a default: the ledger holds the figures of reports that did not know it.
    """

    revenue: Decimal
    orders: int
    sold_lines: int
    cancelled_amount: Decimal
    landed_lines: int
    valid_lines: int
    quarantined_lines: int
    broken_rules: dict[str, int]
    """Lines that break each rule; a line may break several."""
    top_products: tuple[ProductSales, ...]
    """At most ``TOP_PRODUCTS``, greatest revenue first."""


class Sources(_Frozen):
    """Where a day's figures come from: its landing, and by extract day a hash of its fact rows."""

    landing_version: int
    contract_version: str
    extracts: dict[date, str]
    load_sequence: int = 0
    """The newest load when they were looked at; 0 where that was not noted yet."""


class DayRevenue(_Frozen):
    """US dollars of one order date."""

    day: date
    revenue: Decimal


class Change(_Frozen):
    """A figure that changed since the last report. ``item`` is the rule or the product, where the
    figure is one of several; None stands for a product that is not among the first."""

    figure: Figure
    item: str | None
    before: Decimal | int | None
    after: Decimal | int | None


class Correction(_Frozen):
    """Why a day is reported again."""

    changes: tuple[Change, ...]
    cause: str


class DayReport(_Frozen):
    """A day's report, or with ``correction`` its correction."""

    day: date
    version: int
    outcome: DayOutcome
    figures: DayFigures
    sources: Sources
    revenue_by_day: tuple[DayRevenue, ...]
    """Order dates around the day, oldest first; dates without an order are left out."""
    snapshot_id: int
    correction: Correction | None = None
    recommendations_of: date | None = None
    """The day of the chart of recommendations that goes with it; None where there was none. No figure of the
    day: it corrects nothing."""

    @property
    def figures_hash(self) -> str:
        """SHA-256 of the day's figures, in hexadecimal."""
        return hashlib.sha256(canonical(self.figures).encode()).hexdigest()

    @property
    def report_id(self) -> str:
        """The same for the same day, version and figures, however often it is made or sent."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.day} {self.version} {self.figures_hash}"))

    @property
    def title(self) -> str:
        """``Sales of 2010-12-01``, or ``Correction 2 of sales of 2010-12-01``."""
        if self.correction is None:
            return f"Sales of {self.day}"
        return f"Correction {self.version - 1} of sales of {self.day}"


def canonical(model: BaseModel) -> str:
    """A model as JSON that is equal for equal content."""
    return json.dumps(model.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
