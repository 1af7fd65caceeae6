"""What sales publishes, and what counts as sold."""

from __future__ import annotations

from feira.core.published_table import Measure, PublishedTable

SOLD = "status IN ('completed', 'shipped')"

PUBLISHED = PublishedTable(
    name="sales",
    table="sales.fact",
    extracts="sales.order_lines",
    version="updated_at",
    event_date="order_date",
    ledger="sales.load_ledger",
    measures=(Measure("revenue", "amount_usd", counts=SOLD, unit="USD"),),
    noted_key="order_id",
)
