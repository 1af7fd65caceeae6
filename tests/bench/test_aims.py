"""Which aims are met by what was measured of the API."""

from __future__ import annotations

from typing import Any

import pytest

from aims import recommendation_aims


def asked(rate: int, p99: float, **sources: int) -> dict[str, Any]:
    return {"valkey": "up", "rate": rate, "p99_ms": p99, "cpu_us": 200.0, "sources": sources}


@pytest.mark.parametrize(
    ("second", "state"),
    [
        (asked(2000, 4.9, own=9), "met"),
        (asked(2000, 5.1, own=9), "short"),
        # What is popular was answered from memory, and says nothing of the hot path.
        (asked(2000, 4.9, own=8, popular=1), "short"),
    ],
)
def test_the_hot_path_is_where_every_answer_is_the_users_own_list(
    second: dict[str, Any], state: str
) -> None:
    found = recommendation_aims({"scales": {"api": 1}, "api": [asked(500, 1.0, own=9), second]})
    (aim,) = (each for each in found if "hot path" in each.aim)
    assert aim.state == state and "1.0 ms at 500/s" in aim.measured
    (within_10,) = (each for each in found if "Valkey up: 10 ms" in each.aim)
    assert within_10.state == "met"
