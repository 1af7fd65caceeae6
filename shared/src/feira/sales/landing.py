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
