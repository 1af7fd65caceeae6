"""Lists that are shown as a shop would show them: asked of the API, and what was seen and clicked posted back to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from typing import Any

import pandas as pd
import requests

from served_lists import api_url, ask
from until import until

PLACES = 10
MOST_EVENTS = 100
# When lists are shown, and how long before the API would refuse it that is begun: it takes events for a day.
LAST_SECOND, POSTING = time(23, 59, 59), timedelta(minutes=1)
Event = dict[str, Any]
# Arm, position (0: all), slot ('': both): impressions and clicks.
Counts = dict[tuple[str, int, str], tuple[int, int]]


def day_to_show(now: datetime) -> date | None:
    """The day before, whose last second the API takes still; None where it will not before all is posted."""
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    return now.date() - timedelta(days=1) if tomorrow - now > POSTING else None


def show_and_click(users: Iterable[str], the_day: date) -> list[Event]:
    """Shows each user the first ten of its list *new*, at the end of the day; of every second one the first two are
    clicked, the first of them twice. All that was posted, once Kafka has it."""
    at = datetime.combine(the_day, LAST_SECOND, UTC).isoformat()
    posted: list[Event] = []
    for number, user in enumerate(users):
        found = ask("GET", user, {"slot": "new", "n": str(PLACES), "shown": "true"})
        impressions = [
            {
                "event_id": f"shown-{user}-{place['position']}",
                "occurred_at": at,
                "user_id": user,
                "session_id": f"shown-{user}",
                "event_type": "impression",
                "sku": place["item"],
                "slot": found["slot"],
                "list_version": found["version"],
                "arm": found["arm"],
                "position": place["position"],
                "probability": place["probability"],
            }
            for place in found["items"]
        ]
        posted += impressions
        for click, of in enumerate((0, 1, 0) if number % 2 == 0 else ()):
            posted.append(
                impressions[of]
                | {
                    "event_id": f"clicked-{user}-{click}",
                    "event_type": "click",
                    "impression_id": impressions[of]["event_id"],
                }
            )
    before = _stored()
    for start in range(0, len(posted), MOST_EVENTS):
        ask("POST", "events", {}, {"events": posted[start : start + MOST_EVENTS]})
    until(lambda: _stored() >= before + len(posted), 60, poll=0.2)
    return posted


def _stored() -> int:
    """How many events the API has brought to Kafka."""
    with requests.Session() as session:
        session.trust_env = False
        text = session.get(f"{api_url()}/metrics", timeout=10).text
    found = re.search(r'_events_total\{outcome="stored"\} (\d+)', text)
    return int(found[1]) if found else 0


def counted(posted: list[Event]) -> Counts:
    """What was shown and clicked, by arm, position and slot; an impression's second click adds nothing."""
    clicked = {event.get("impression_id") for event in posted}
    shown, clicks = Counter[tuple[str, int, str]](), Counter[tuple[str, int, str]]()
    for event in posted:
        if event["event_type"] == "impression":
            for key in product((event["arm"],), (event["position"], 0), (event["slot"], "")):
                shown[key] += 1
                clicks[key] += event["event_id"] in clicked
    return {key: (shown[key], clicks[key]) for key in shown}


def measured_differs(posted: list[Event], version: str, live: pd.DataFrame) -> list[str]:
    """The day's rows of live_figures of the version that was shown, its CTR and their impressions, against what was
    posted."""
    ours = {event["list_version"] for event in posted}
    if ours != {version}:
        return [f"{ours} were shown, and {version} is served"]
    rows: Any = live[(live["list_version"] == version) & (live["figure"] == "ctr")]
    held = {
        (row.arm, row.position, row.slot if isinstance(row.slot, str) else ""): (
            row.impressions,
            round(row.value * row.impressions, 6),
        )
        for row in rows.itertuples(index=False)
    }
    must = counted(posted)
    if held == must:
        return []
    wrong = sorted(key for key in held.keys() | must.keys() if held.get(key) != must.get(key))
    return [
        f"{version} was shown and clicked {must.get(key)} times at {key}, measured: {held.get(key)}"
        for key in wrong[:3]
    ]
