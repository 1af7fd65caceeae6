"""What sales lands: the shop's order lines, and the exchange rates that they need."""

from __future__ import annotations

from feira.core.contracts import contract
from feira.core.landing.land import Companion, LandedFeed
from feira.sales.rates import rates_for

RATES = "rates"

LANDED = LandedFeed(
    name="sales",
    contract=contract("sales.landing"),
    version="updated_at",
    companions=(
        Companion(RATES, "created_at", lambda feed, dates, day: rates_for(dates, day, feed.rates)),
    ),
)
