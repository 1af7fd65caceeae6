"""Of which fields and columns fact and marts are made: read from the contracts' descriptions, the steps and the
models by a person, and computed from none of them."""

from __future__ import annotations

_RATE = {"sales.currency", "sales.created_at", "fx.usd_rate", "fx.rate_date", "fx.currency"}
FACT_OF_THE_API: dict[str, set[str]] = {
    "order_id": {"sales.order_id"},
    "line_number": {"sales.line_number"},
    "sku": {"sales.sku"},
    "description": {"sales.description"},
    "quantity": {"sales.quantity"},
    "unit_price": {"sales.unit_price"},
    "currency": {"sales.currency"},
    "status": {"sales.status"},
    "customer_id": {"sales.customer_id"},
    "country": {"sales.country"},
    "created_at": {"sales.created_at"},
    "updated_at": {"sales.updated_at"},
    "order_date": {"sales.created_at"},
    "amount": {"sales.quantity", "sales.unit_price"},
    "fx_rate": _RATE,
    "fx_date": _RATE - {"fx.usd_rate"},
    "amount_usd": {"sales.quantity", "sales.unit_price"} | _RATE,
    "line_kind": {"sales.sku"},
    "extract_day": set(),
}
MARTS_OF_THE_FACT: dict[str, dict[str, set[str]]] = {
    "customer_lifetime_value": {
        "customer_id": {"customer_id"},
        "first_order_date": {"order_date"},
        "last_order_date": {"order_date"},
        "order_count": {"order_id"},
        "revenue": {"amount_usd"},
    },
    "daily_revenue": {
        "order_date": {"order_date"},
        "order_count": {"order_id", "status"},
        "line_count": {"status"},
        "revenue": {"amount_usd", "status"},
        "cancelled_amount": {"amount_usd", "status"},
    },
    "month_summary": {
        "order_month": {"order_date"},
        "status": {"status"},
        "order_count": set(),
        "line_count": set(),
        "average_order_value": {"amount_usd"},
        "max_order_value": {"amount_usd"},
        "revenue": {"amount_usd", "status"},
    },
    "product_performance": {
        "sku": {"sku"},
        "description": {"description"},
        "order_count": {"order_id", "status"},
        "units_sold": {"quantity", "status"},
        "revenue": {"amount_usd", "status"},
        "units_cancelled": {"quantity", "status"},
    },
}
