"""US dollar rates by currency and weekday, computed from a seed for any day alone."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np

# Dollars for one unit, about where the markets stood at the end of 2010.
LEVELS = {"GBP": 1.56, "EUR": 1.33, "BRL": 0.58, "JPY": 0.012}
# A sum of waves looks like a random walk and needs no history: period in days, swing as a share.
WAVES = (
    (1900.0, 0.05), (730.0, 0.03), (260.0, 0.015), (97.0, 0.008), (31.0, 0.004), (11.3, 0.002),
    (4.7, 0.001),
)  # fmt: skip


class FxRates:
    """The rates of one seed; the same day and currency always have the same rate."""

    def __init__(self, seed: int) -> None:
        draw = np.random.Generator(np.random.PCG64([seed, 3]))
        self._phases = {c: (2 * math.pi * draw.random(len(WAVES))).tolist() for c in LEVELS}

    def rates(self, first: dt.date, last: dt.date) -> list[dict[str, str]]:
        """``rate_date``, ``currency`` and ``usd_rate`` for each weekday, both ends included."""
        days = (first + dt.timedelta(days=n) for n in range((last - first).days + 1))
        return [
            {"rate_date": str(day), "currency": currency, "usd_rate": self.rate(day, currency)}
            for day in days
            if day.weekday() < 5
            for currency in (*LEVELS, "USD")
        ]

    def rate(self, day: dt.date, currency: str) -> str:
        """Dollars for one unit of the currency on the day, with 8 decimals."""
        if currency == "USD":
            return "1.00000000"
        waves = zip(WAVES, self._phases[currency], strict=True)
        turn = 2 * math.pi * day.toordinal()
        swing = sum(size * math.sin(turn / period + phase) for (period, size), phase in waves)
        return f"{LEVELS[currency] * math.exp(swing):.8f}"
