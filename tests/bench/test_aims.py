"""Which aims are met by what was measured of recommendations."""

from __future__ import annotations

from typing import Any

import pytest

from aims import recommendation_aims


def asked(rate: int, p99: float, **sources: int) -> dict[str, Any]:
    return {
        "valkey": "up",
        "rate": rate,
        "p99_ms": p99,
        "cpu_us": 200.0,
        "sources": sources,
        "statuses": {"200": sum(sources.values())},
    }


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


@pytest.mark.parametrize("valkey", ["up", "hanging", "dead"])
@pytest.mark.parametrize(
    "statuses", [{"500": 9}, {"200": 8, "connection lost": 1}, {"200": 8, "422": 1}]
)
def test_no_aim_of_the_api_is_met_by_answers_that_are_errors(
    valkey: str, statuses: dict[str, int]
) -> None:
    well = [asked(500, 0.5, own=9) | {"valkey": state} for state in ("up", "hanging", "dead")]
    found = {"scales": {"api": 1}, "api": well}
    assert {aim.state for aim in recommendation_aims(found) if "API" in aim.aim} == {"met"}
    found["api"] = [*well, asked(2000, 0.5, own=9) | {"valkey": valkey, "statuses": statuses}]
    judged = {aim.aim: aim for aim in recommendation_aims(found) if aim.measured}
    (short,) = (aim for aim in judged.values() if f"with Valkey {valkey}" in aim.aim)
    assert short.state == "short"
    assert all(f"{count} × {it}" in short.measured for it, count in statuses.items() if it != "200")
    # Where it is up the hot path and what a request costs fall short with it.
    assert sum(aim.state == "short" for aim in judged.values()) == (3 if valkey == "up" else 1)


def test_lists_of_one_slot_without_reasons_do_not_stand_for_the_lists_that_are_published() -> None:
    steps = {
        "lists item-item": {"seconds": 1.0, "users": 20_000},
        "method": {"seconds": 16.0, "users": 200_000},
    }
    found = {aim.aim: aim for aim in recommendation_aims({"scales": {"steps": 1}, "steps": steps})}
    (whole,) = (aim for name, aim in found.items() if name.startswith("Both slots with reasons"))
    assert (whole.state, whole.measured) == ("short", "12,500 a second")
    (part,) = (aim for name, aim in found.items() if "item-item: 15,000" in name)
    assert part.state == "met" and "*new* alone, without reasons" in part.aim
