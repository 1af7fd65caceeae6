"""What sales lands: the shop's order lines, and the exchange rates that they need."""

from __future__ import annotations

from feira.core.landing.land import Companion, LandedFeed
from feira.sales.published import PUBLISHED
from feira.sales.rates import RATES, rates_for

LANDED = LandedFeed(
    name=PUBLISHED.name,
    table="sales.landing",
    version=PUBLISHED.version,
    companions=(
        Companion(RATES, "created_at", lambda feed, dates, day: rates_for(dates, day, feed.rates)),
    ),
)

# Which input of the contract's rules is the typed value of a field that is landed as text.
TYPED = {
    "unit_price": "unit_price_decimal",
    "created_at": "created_time",
    "updated_at": "updated_time",
}
