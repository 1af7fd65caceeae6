"""What was posted to the API is itself counted by hand, and held against figures that are wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Any

import pandas as pd
import pytest

from feira.user_events.incoming import message
from shown_lists import LAST_SECOND, POSTING, counted, day_to_show, measured_differs


def impression(user: str, arm: str, position: int) -> dict[str, Any]:
    return {
        "event_id": f"{user}{position}",
        "event_type": "impression",
        "arm": arm,
        "position": position,
        "slot": "new",
        "list_version": "v",
    }


def click(of: dict[str, Any]) -> dict[str, Any]:
    return of | {"event_id": "c", "event_type": "click", "impression_id": of["event_id"]}


SHOWN = [impression("1", "a", 1), impression("1", "a", 2), impression("2", "b", 1)]
POSTED = [*SHOWN, click(SHOWN[0]), click(SHOWN[0])]
MUST = {
    ("a", 1, "new"): (1, 1), ("a", 1, ""): (1, 1),
    ("a", 2, "new"): (1, 0), ("a", 2, ""): (1, 0),
    ("a", 0, "new"): (2, 1), ("a", 0, ""): (2, 1),
    ("b", 1, "new"): (1, 0), ("b", 1, ""): (1, 0),
    ("b", 0, "new"): (1, 0), ("b", 0, ""): (1, 0),
}  # fmt: skip


def test_two_clicks_of_an_impression_are_one() -> None:
    assert counted(POSTED) == MUST


def measured() -> pd.DataFrame:
    rows = [
        {"list_version": "v", "figure": "ctr", "arm": arm, "position": position,
         "slot": slot or None, "impressions": shown, "value": clicks / shown}
        for (arm, position, slot), (shown, clicks) in MUST.items()
    ]  # fmt: skip
    return pd.DataFrame(
        [*rows, rows[0] | {"figure": "conversion"}, rows[0] | {"list_version": "w"}]
    )


def test_what_was_measured_otherwise_is_named() -> None:
    assert measured_differs(POSTED, "v", measured()) == []
    assert measured_differs(POSTED, "w", measured())
    (problem,) = measured_differs(POSTED, "v", measured()[1:])
    assert "('a', 1, 'new')" in problem
    for column, value in (("value", 0.75), ("impressions", 3), ("arm", "c")):
        wrong = measured()
        wrong.loc[4, column] = value
        assert "('a', 0, 'new')" in measured_differs(POSTED, "v", wrong)[0]


@pytest.mark.parametrize("posted", [[], SHOWN])
def test_that_nothing_was_measured_is_a_difference(posted: list[dict[str, Any]]) -> None:
    assert measured_differs(posted, "v", measured()[:0])


@pytest.mark.parametrize("at", [time(), time(12), time(23, 49), time(23, 55), time(23, 58, 59)])
def test_what_is_shown_on_the_day_before_is_taken_at_any_time_of_day(at: time) -> None:
    now = datetime.combine(date(2026, 3, 1), at, UTC)
    the_day = day_to_show(now)
    assert the_day == date(2026, 2, 28)
    event = {
        "event_id": "e",
        "occurred_at": datetime.combine(the_day, LAST_SECOND, UTC).isoformat(),
        "user_id": "1",
        "session_id": "s",
        "event_type": "impression",
        "sku": "A",
        "slot": "new",
        "list_version": "v",
        "arm": "a",
        "position": 1,
        "probability": 1.0,
    }
    assert message(event, now + POSTING)


def test_a_days_last_minute_is_waited_out() -> None:
    assert day_to_show(datetime(2026, 3, 1, 23, 59, 30, tzinfo=UTC)) is None
