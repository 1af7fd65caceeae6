"""Days that are loaded and agreed as sales_etl leaves them, and reports, for the tests of reporting."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg

from fact_rows import Row, difference, fact_row, whole
from feira.core.landing.manifest import Validation
from feira.core.landing.store import LandingStore
from feira.core.warehouse.apply import Difference
from feira.core.warehouse.load import Extract, load
from feira.core.warehouse.outcome import DayOutcome
from feira.core.warehouse.reconcile import reconcile_day, warehouse_figures
from feira.core.warehouse.side import Staging
from feira.sales.published import PUBLISHED
from feira.summary.files import ReportFiles
from feira.summary.model import (
    Change,
    Correction,
    DayFigures,
    DayReport,
    DayRevenue,
    ProductSales,
    Sources,
)
from feira.summary.prepare import Prepared, prepare_reports

D1, D2, D3 = dt.date(2010, 12, 1), dt.date(2010, 12, 2), dt.date(2010, 12, 3)


def line(order: str, day: dt.date, amount: str, seen: dt.date | None = None, **known: Any) -> Row:
    """A fact row of an order of ``day``, as the extract of ``seen`` (or the same day) showed it."""
    noon = dt.datetime.combine(seen or day, dt.time(12), dt.UTC)
    number = known.pop("line_number", 1)
    return fact_row(order, number, amount_usd=amount, order_date=day, updated_at=noon, **known)


@dataclass
class Shop:
    """A warehouse and a lake, brought from state to state as the pipeline does it."""

    connection: psycopg.Connection
    landings: LandingStore
    snapshots: int = 0
    versions: dict[dt.date, int] = field(default_factory=dict)
    fact: list[Row] = field(default_factory=list)
    """What the lake, and with it the warehouse, has."""
    staging: Staging | None = None

    @property
    def files(self) -> ReportFiles:
        return ReportFiles(self.landings.files, self.landings.lake)

    def run(
        self,
        day: dt.date,
        fact: list[Row],
        *,
        broken: dict[str, int] | None = None,
        valid: int | None = None,
        refetch: bool = False,
        agree: bool = True,
        by_difference: bool = False,
    ) -> None:
        """sales_etl of a day: afterwards the whole fact is ``fact``; ``broken`` lines by rule."""
        version = self.versions.get(day, 0) + 1 if refetch or day not in self.versions else None
        version = version or self.versions[day]
        self.versions[day] = version
        lines = valid if valid is not None else sum(row["extract_day"] == day for row in fact)
        total = lines + sum((broken or {}).values())
        self.landings.put_validation(
            Validation(
                dataset="sales",
                extract_day=day,
                version=version,
                contract_version="1.0.0",
                total=total,
                valid=lines,
                broken=broken or {},
                max_invalid_percent=100.0,
                passed=True,
            )
        )
        self.snapshots += 1
        found = self._since(fact) if by_difference else whole(self.snapshots, *fact)
        self.fact = fact
        uri = self.landings.manifest_uri(day, version)
        load(
            self.connection,
            PUBLISHED,
            Extract(day, version, uri, total, lines),
            lambda held: found,
            self.staging,
        )
        if agree:
            self.agree(day)

    def _since(self, fact: list[Row]) -> Difference:
        gone = [("DELETE", row) for row in self.fact if row not in fact]
        come = [("INSERT", row) for row in fact if row not in self.fact]
        return difference(self.snapshots, *gone, *come)

    def agree(self, day: dt.date) -> None:
        """The reconcile of a day; the lake is taken to hold what the warehouse holds."""
        reconcile_day(
            self.connection,
            PUBLISHED,
            day,
            self.versions[day],
            lambda snapshot, of, dates, rows: warehouse_figures(self.connection, PUBLISHED, dates),
        )

    def report(self, day: dt.date) -> list[Prepared]:
        """The task ``report`` of sales_summary."""
        return prepare_reports(self.connection, self.landings, self.files, day)


def sold_plainly(fact: Iterable[Row], day: dt.date) -> dict[str, Any]:
    """What a report says of a day's sales, by a loop over the fact's rows; ``top`` as SKU, revenue, units."""
    of_day = [row for row in fact if row["order_date"] == day]
    sold = [row for row in of_day if row["status"] in ("completed", "shipped")]
    earned: dict[str, Decimal] = defaultdict(Decimal)
    units: dict[str, int] = defaultdict(int)
    for row in sold:
        if row["line_kind"] == "product":
            earned[row["sku"]] += row["amount_usd"]
            units[row["sku"]] += row["quantity"]
    first = sorted((-amount, sku) for sku, amount in earned.items() if amount > 0)[:5]
    return {
        "revenue": sum((row["amount_usd"] for row in sold), Decimal(0)),
        "orders": len({row["order_id"] for row in sold}),
        "sold_lines": len(sold),
        "cancelled_amount": sum(
            (row["amount_usd"] for row in of_day if row["status"] == "cancelled"), Decimal(0)
        ),
        "top": [(sku, -amount, units[sku]) for amount, sku in first],
    }


def figures(**known: Any) -> DayFigures:
    """A day's figures, those of a small good day but for what is given."""
    values: dict[str, Any] = {
        "revenue": Decimal("1234.5678"),
        "orders": 3,
        "sold_lines": 7,
        "cancelled_amount": Decimal("-20.0000"),
        "landed_lines": 10,
        "valid_lines": 8,
        "quarantined_lines": 2,
        "broken_rules": {"sku_blank": 2},
        "top_products": (product("22423", "1000.0000", 5), product("85123A", "234.5678", 2)),
    }
    return DayFigures(**(values | known))


def product(
    sku: str, revenue: str, units: int = 1, description: str | None = "A THING"
) -> ProductSales:
    return ProductSales(sku=sku, description=description, units=units, revenue=Decimal(revenue))


def outcome(day: dt.date = D1, **known: Any) -> DayOutcome:
    """A ledger row that is in agreement."""
    values: dict[str, Any] = {
        "day": day,
        "landing_version": 1,
        "contract_version": "1.0.0",
        "landed_lines": 10,
        "valid_lines": 8,
        "quarantined_lines": 2,
        "fact_rows": 8,
        "inserted_rows": 8,
        "updated_rows": 0,
        "deleted_rows": 0,
        "snapshot_id": 7,
        "agreed": True,
        "sums": {"revenue": Decimal("1234.5678")},
    }
    return DayOutcome(**(values | known))


def report(day: dt.date = D1, **known: Any) -> DayReport:
    """A first report of a small good day, but for what is given."""
    stated = known.get("figures", figures())
    values: dict[str, Any] = {
        "day": day,
        "version": 1,
        "outcome": outcome(day),
        "figures": stated,
        "sources": sources(day),
        "revenue_by_day": (DayRevenue(day=day, revenue=stated.revenue),),
        "snapshot_id": 7,
    }
    return DayReport(**(values | known))


def naming(text: str) -> DayReport:
    """A correction with a text from outside wherever one may stand: product, stock code, rule, and what has changed."""
    change = Change(figure="product_units", item=text, before=1, after=12)
    return report(
        version=2,
        figures=figures(
            top_products=(product(text, "1200.0000", 12, text),), broken_rules={text: 3}
        ),
        correction=Correction(cause="x", changes=(change,)),
    )


def sources(day: dt.date = D1, **known: Any) -> Sources:
    values: dict[str, Any] = {
        "landing_version": 1,
        "contract_version": "1.0.0",
        "extracts": {day: "11"},
    }
    return Sources(**(values | known))
