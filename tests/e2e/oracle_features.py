"""The independent check of the features of recommendations: plain loops over sold lines and events.

It shares no code with the platform. What is sold comes from the oracle's fact of the landings up to the day,
the events from Kafka's messages.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import isclose
from typing import Any, NamedTuple

import pandas as pd

from oracle_rules import line_kind

HALF_LIFE = 14
PRIOR = 20
WINDOW = 28

Row = dict[str, Any]
Rows = dict[Any, Row]


class Shown(NamedTuple):
    """Which place of which list an impression was of."""

    list_version: str
    arm: str
    position: int
    slot: str
    probability: float = 1.0


class Event(NamedTuple):
    """A user's event, on its UTC day; ``impression`` is that which was clicked."""

    user_id: str
    session_id: str
    sku: str
    event_type: str
    day: dt.date
    event_id: str = ""
    at: dt.datetime = dt.datetime.min
    impression: str | None = None
    shown: Shown | None = None


class Sold(NamedTuple):
    """A completed or shipped line as it was known at the end of the day; of a guest without a user."""

    user_id: str | None
    order_id: str
    line_number: int
    sku: str
    description: str | None
    order_date: dt.date
    amount_usd: Decimal
    line_kind: str


def sold_lines(fact: pd.DataFrame, day: dt.date) -> list[Sold]:
    """Those of a fact that was made of the landings up to the day."""
    rows: Iterable[Any] = fact.itertuples(index=False)
    return [
        Sold(
            None if pd.isna(row.customer_id) else str(int(row.customer_id)),
            row.order_id,
            int(row.line_number),
            row.sku,
            None if pd.isna(row.description) else row.description,
            row.order_date,
            row.amount_usd,
            row.line_kind,
        )
        for row in rows
        if row.status in ("completed", "shipped") and row.order_date <= day
    ]


def interactions(sold: Iterable[Sold]) -> set[tuple[str, str, dt.date]]:
    """User, product and day."""
    return {
        (line.user_id, line.sku, line.order_date)
        for line in sold
        if line.user_id is not None and line.line_kind == "product"
    }


def user_features(sold: list[Sold], events: list[Event], day: dt.date) -> Rows:
    """By user."""
    found: Rows = {}
    orders: dict[str, set[tuple[str, dt.date]]] = defaultdict(set)
    spent: dict[str, Decimal] = defaultdict(Decimal)
    for line in sold:
        if line.user_id is not None:
            orders[line.user_id].add((line.order_id, line.order_date))
            spent[line.user_id] += line.amount_usd
    sessions = _sessions(events, day, lambda event: event.user_id)
    views = {days: _views(events, day, days, lambda event: event.user_id) for days in (7, WINDOW)}
    late = _sessions([e for e in events if _within(e.day, day, 7)], day, lambda e: e.user_id)
    rate = _rate(sessions)
    for user in orders.keys() | {event.user_id for event in events}:
        row: Row = {
            "lifetime_usd": spent[user],
            "orders": len({order for order, _ in orders[user]}),
            "days_since_order": min(((day - at).days for _, at in orders[user]), default=None),
        }
        for days in (28, 90):
            recent = {(order, at) for order, at in orders[user] if _within(at, day, days)}
            row[f"orders_{days}d"] = len({order for order, _ in recent})
            row[f"order_days_{days}d"] = len({at for _, at in recent})
        viewed, bought = sessions.get(user, (0, 0))
        row |= {
            "views_7d": views[7][user],
            "views_28d": views[WINDOW][user],
            "sessions_7d": late.get(user, (0, 0))[0],
            "sessions_28d": viewed,
            "buying_sessions_28d": bought,
            "purchase_propensity": rate(viewed, bought),
        }
        found[user] = row
    return found


def item_features(sold: list[Sold], events: list[Event], day: dt.date) -> Rows:
    """By product."""
    products = [line for line in sold if line.line_kind == "product"]
    seen = [event for event in events if line_kind(event.sku) == "product"]
    newest: dict[str, tuple[Any, str]] = {}
    for line in products:
        at = (line.order_date, line.order_id, line.line_number)
        if line.description is not None and at >= newest.get(line.sku, (at, ""))[0]:
            newest[line.sku] = (at, line.description)
    taken = interactions(sold)
    worth: dict[str, float] = defaultdict(float)
    buyers = Counter(sku for _, sku in {(user, sku) for user, sku, _ in taken})
    for _, sku, bought_on in taken:
        worth[sku] += 0.5 ** ((day - bought_on).days / HALF_LIFE)
    sessions = _sessions(seen, day, lambda event: event.sku)
    views = _views(seen, day, WINDOW, lambda event: event.sku)
    carts = Counter(event.sku for event in seen if event.event_type == "add_to_cart")
    rate = _rate(sessions)
    return {
        sku: {
            "category": _last_word(newest[sku][1]) if sku in newest else None,
            "popularity": worth[sku],
            "buyers": buyers[sku],
            "views_28d": views[sku],
            "cart_adds_28d": carts[sku],
            "sessions_28d": sessions.get(sku, (0, 0))[0],
            "buying_sessions_28d": sessions.get(sku, (0, 0))[1],
            "conversion": rate(*sessions.get(sku, (0, 0))),
        }
        for sku in {line.sku for line in products} | {event.sku for event in seen}
    }


def user_categories(sold: list[Sold], events: list[Event], items: Rows, day: dt.date) -> Rows:
    """By user and category."""
    purchases: Counter[tuple[str, str]] = Counter()
    of_user: Counter[str] = Counter()
    views: Counter[tuple[str, str]] = Counter()
    for user, sku, _ in interactions(sold):
        if category := items[sku]["category"]:
            purchases[user, category] += 1
            of_user[user] += 1
    for event in events:
        category = items.get(event.sku, {}).get("category")
        if category and event.event_type == "view" and _within(event.day, day, WINDOW):
            views[event.user_id, category] += 1
    return {
        of: {
            "purchases": purchases[of],
            "share": purchases[of] / of_user[of[0]] if of_user[of[0]] else 0.0,
            "views_28d": views[of],
        }
        for of in purchases.keys() | views.keys()
    }


def features_differ(name: str, must: Rows, held: pd.DataFrame, key: list[str]) -> list[str]:
    """The rows of a table of features against what they must be; the first differences, by key."""
    rows = {
        tuple(row[column] for column in key) if len(key) > 1 else row[key[0]]: row
        for row in held.to_dict("records")
    }
    problems = [f"{name}: {sorted(map(str, rows.keys() ^ must.keys()))[:3]}"] * (
        rows.keys() != must.keys()
    )
    wrong = [
        f"{name} of {one}: {column} is {rows[one][column]!r}, must be {value!r}"
        for one in rows.keys() & must.keys()
        for column, value in must[one].items()
        if not _same(rows[one][column], value)
    ]
    if len(rows) != len(held):
        problems.append(f"{name}: {len(held)} rows of {len(rows)} keys")
    return problems + sorted(wrong)[:3]


def _same(held: Any, must: Any) -> bool:
    if must is None or pd.isna(held):
        return must is None and bool(pd.isna(held))
    if isinstance(must, float):
        # A decayed sum is kept to eighteen decimals: after some years there is nothing left of it.
        return isclose(held, must, rel_tol=1e-9, abs_tol=1e-15)
    return bool(held == must)


def _within(at: dt.date, day: dt.date, days: int) -> bool:
    return 0 <= (day - at).days < days


def _views(events: Iterable[Event], day: dt.date, days: int, of: Any) -> Counter[str]:
    return Counter(
        of(each) for each in events if each.event_type == "view" and _within(each.day, day, days)
    )


def _sessions(events: Iterable[Event], day: dt.date, of: Any) -> dict[str, tuple[int, int]]:
    """By user or product: its sessions with a view, and those of them with a purchase."""
    kinds: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for event in events:
        if _within(event.day, day, WINDOW):
            kinds[of(event), event.user_id, event.session_id].add(event.event_type)
    found: dict[str, tuple[int, int]] = {}
    for (one, _, _), seen in kinds.items():
        viewed, bought = found.get(one, (0, 0))
        has = "view" in seen
        found[one] = (viewed + has, bought + (has and "purchase" in seen))
    return found


def _rate(sessions: Mapping[str, tuple[int, int]]) -> Any:
    viewed = sum(each for each, _ in sessions.values())
    bought = sum(each for _, each in sessions.values())

    def rate(of: int, buying: int) -> float | None:
        return (buying + PRIOR * bought / viewed) / (of + PRIOR) if viewed else None

    return rate


def _last_word(description: str) -> str | None:
    """Of three letters or more, each with its marks."""
    word, letters, marks = "", 0, ""
    for character in reversed(unicodedata.normalize("NFC", description)):
        if character.isalpha():
            word, letters, marks = character + marks + word, letters + 1, ""
        elif unicodedata.category(character).startswith("M"):
            marks = character + marks
        elif letters:
            break
        else:
            marks = ""
    return word.upper() if letters >= 3 else None
