"""The independent check: what the fact, the quarantine and the marts must hold for given landings.

It shares no code with the platform and runs without Spark. A test lands what the shop served, asks
`expected` for the outcome, and compares it with the platform's tables by `difference`.
"""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import pandas as pd

from oracle_compare import difference
from oracle_marts import (
    customer_lifetime_value,
    daily_revenue,
    month_summary,
    product_performance,
)
from oracle_rules import FactRow, Rates, read_line

__all__ = ["Expected", "Landing", "difference", "expected", "read_landing"]

GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Landing:
    """One version of one extract day: its lines in the API's order, and the rates landed with it.

    A line is its text as the API served it, or what it holds, which then stands for compact JSON.

    A rate has ``rate_date`` (ISO date), ``currency`` and ``usd_rate`` (decimal string).
    """

    day: str
    version: int
    lines: list[dict[str, Any]] | list[bytes]
    rates: list[dict[str, Any]]


@dataclass(frozen=True)
class Expected:
    """What the platform must hold once every landing is processed.

    Frames are sorted by their keys. Money is ``Decimal`` and days are ``date`` in object columns,
    times are ``datetime64[us, UTC]``, ``customer_id`` of the fact is ``Int64``.
    """

    fact: pd.DataFrame
    quarantine: pd.DataFrame
    month_summary: pd.DataFrame
    daily_revenue: pd.DataFrame
    product_performance: pd.DataFrame
    customer_lifetime_value: pd.DataFrame
    gates: dict[tuple[str, int], bool]


class HeldRow(NamedTuple):
    """One row of the quarantine."""

    extract_day: dt.date
    landing_version: int
    landing_order: int
    raw: str
    broken_rules: list[str]


@dataclass(frozen=True)
class _Judged:
    """A landing with each line either valid or held, in landing order."""

    valid: list[FactRow]
    held: list[HeldRow]

    @property
    def passed(self) -> bool:
        """At least 95 % of the lines are valid; an extract without lines passes."""
        return len(self.held) * 100 <= 5 * (len(self.valid) + len(self.held))


def expected(landings: Iterable[Landing]) -> Expected:
    """What must be in the tables after these landings, in whatever order they were processed.

    Raises:
        ValueError: one version of a day is given twice, or a landing has two rates for one
            currency and day.
    """
    days: dict[str, dict[int, _Judged]] = {}
    for landing in landings:
        versions = days.setdefault(landing.day, {})
        if landing.version in versions:
            raise ValueError(f"landing {landing.day} v{landing.version} is given twice")
        versions[landing.version] = _judge(landing)

    extracts: list[list[FactRow]] = []
    held: list[HeldRow] = []
    for day in sorted(days):
        versions = days[day]
        current = max((v for v, judged in versions.items() if judged.passed), default=None)
        if current is not None:
            extracts.append(versions[current].valid)
        # Later versions than the current one all failed: their rows stay to be looked at.
        for version in sorted(versions):
            if current is None or version >= current:
                held += versions[version].held

    fact = _fact_frame(_winners(extracts))
    return Expected(
        fact=fact,
        quarantine=pd.DataFrame(held, columns=list(HeldRow._fields)),
        month_summary=month_summary(fact),
        daily_revenue=daily_revenue(fact),
        product_performance=product_performance(fact),
        customer_lifetime_value=customer_lifetime_value(fact),
        gates={(d, v): days[d][v].passed for d in sorted(days) for v in sorted(days[d])},
    )


def read_landing(pages: Iterable[bytes | Iterable[bytes]]) -> list[dict[str, Any]]:
    """The objects of NDJSON pages in order; a page is its bytes (gzip or plain) or its lines."""
    lines: list[dict[str, Any]] = []
    for page in pages:
        content = page if isinstance(page, bytes) else b"\n".join(page)
        content = gzip.decompress(content) if content.startswith(GZIP) else content
        lines += [orjson.loads(line) for line in content.split(b"\n") if line.strip()]
    return lines


def _judge(landing: Landing) -> _Judged:
    day, rates = dt.date.fromisoformat(landing.day), Rates(landing.rates)
    judged = _Judged(valid=[], held=[])
    line: Any
    for order, line in enumerate(landing.lines):
        broken, row = read_line(line, day, rates)
        if row is None:
            raw = _text(line)
            judged.held.append(HeldRow(day, landing.version, order, raw, broken))
        else:
            judged.valid.append(row)
    return judged


def _winners(extracts: list[list[FactRow]]) -> list[FactRow]:
    """Each key's row with the greatest ``updated_at``; on a tie the last in landing order.

    Two days never tie: a valid line's ``updated_at`` lies in its own extract day.
    """
    best: dict[tuple[str, int], FactRow] = {}
    for row in (row for extract in extracts for row in extract):
        key = (row.order_id, row.line_number)
        if key not in best or row.updated_at >= best[key].updated_at:
            best[key] = row
    return [best[key] for key in sorted(best)]


def _fact_frame(rows: list[FactRow]) -> pd.DataFrame:
    fact = pd.DataFrame(rows, columns=list(FactRow._fields), dtype=object)
    for column in ("created_at", "updated_at"):
        fact[column] = fact[column].astype("int64").astype("datetime64[us, UTC]")
    return fact.astype({"line_number": "int64", "quantity": "int64", "customer_id": "Int64"})


def _text(line: Mapping[str, Any] | bytes) -> str:
    """The line as it was served, or as compact JSON."""
    if isinstance(line, bytes):
        return line.decode()
    try:
        return orjson.dumps(line).decode()
    except TypeError:  # an integer of more than 64 bits, which only the standard library writes
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))
