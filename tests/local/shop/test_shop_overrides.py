"""Overrides and extra fields: what a day shows after its correction, and after a restart."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from feira_local.shop.app import create_app
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings

TODAY = dt.date(2011, 3, 10)
DAY = "2011-03-02"
SOURCE = GeneratedSource(GeneratorSettings(lines_per_day=400, dirty_share=0), today=lambda: TODAY)
LINES = SOURCE.lines(dt.date.fromisoformat(DAY), 0, 10_000)
ADDED = {**LINES[0], "order_id": "late-1", "quantity": 99}


def shop(state: Path) -> TestClient:
    return TestClient(
        create_app(SOURCE, FxRates(7), state, today=lambda: TODAY), base_url="http://127.0.0.1"
    )


def all_lines(api: TestClient, limit: int = 10_000) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    params: dict[str, Any] = {"date": DAY, "limit": limit}
    while True:
        answer = api.get("/sales", params=params).json()
        lines += answer["lines"]
        params["cursor"] = answer["next_cursor"]
        if params["cursor"] is None:
            assert len(lines) == answer["total"]
            return lines


def key(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in ("order_id", "line_number")}


def put(api: TestClient, **override: object) -> dict[str, Any]:
    answer = api.put(f"/_overrides/{DAY}", json=override)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("limit", [3, 33, 10_000])
def test_withdrawn_replaced_and_added_lines_show_at_every_page_size(
    tmp_path: Path, limit: int
) -> None:
    api = shop(tmp_path)
    withdrawn = [LINES[at] for at in (0, 1, 2, 50, 200, len(LINES) - 1)]
    replaced = {**LINES[100], "quantity": 7, "unit_price": "1.23"}
    put(api, withdraw=[key(line) for line in withdrawn], replace=[replaced], add=[ADDED])
    gone = [key(line) for line in withdrawn]
    expected = [
        replaced if key(line) == key(replaced) else line for line in LINES if key(line) not in gone
    ]
    assert all_lines(api, limit) == [*expected, ADDED]


def test_the_answer_tells_what_the_override_met(tmp_path: Path) -> None:
    strange = {"order_id": "nobody", "line_number": 1}
    answer = put(shop(tmp_path), withdraw=[key(LINES[0]), strange], replace=[LINES[9]], add=[ADDED])
    assert answer["withdrawn"] >= 1
    assert answer["replaced"] >= 1
    assert (answer["added"], answer["not_held"]) == (1, [strange])
    assert answer["total"] == len(LINES) - answer["withdrawn"] + 1


def test_a_replacement_for_a_line_that_the_day_does_not_hold_does_not_show(tmp_path: Path) -> None:
    api = shop(tmp_path)
    put(api, replace=[ADDED])
    assert all_lines(api) == LINES


def test_an_emptied_day_is_a_closed_day_until_it_is_given_back(tmp_path: Path) -> None:
    api = shop(tmp_path)
    put(api, empty=True)
    assert all_lines(api) == []
    put(api, empty=True, add=[ADDED])
    assert all_lines(api) == [ADDED]
    assert api.delete(f"/_overrides/{DAY}").status_code == 204
    assert all_lines(api) == LINES


def test_overrides_are_kept_over_a_restart(tmp_path: Path) -> None:
    put(shop(tmp_path), withdraw=[key(LINES[0])], add=[ADDED])
    again = shop(tmp_path)
    shown = all_lines(again)
    assert shown[-1] == ADDED
    assert LINES[0] not in shown
    assert list(again.get("/_overrides").json()["overrides"]) == [DAY]
    assert again.get(f"/_overrides/{DAY}").json()["add"] == [ADDED]
    assert again.delete("/_overrides").status_code == 204
    assert again.get(f"/_overrides/{DAY}").status_code == 404
    assert all_lines(shop(tmp_path)) == LINES


def test_an_added_line_may_break_every_rule_but_must_carry_its_key(tmp_path: Path) -> None:
    api = shop(tmp_path)
    put(api, add=[{"order_id": "x", "line_number": 0, "quantity": "seven"}])
    assert all_lines(api)[-1]["quantity"] == "seven"
    for bad in (
        {"sku": "1"},
        {"order_id": "x", "line_number": "1"},
        {"order_id": 4, "line_number": 1},
    ):
        assert api.put(f"/_overrides/{DAY}", json={"add": [bad]}).status_code == 422


@pytest.mark.parametrize(
    ("day", "status"), [("2011-03-10", 404), ("2010-11-30", 404), ("1299024000", 422)]
)
def test_a_day_outside_the_data_takes_no_override(tmp_path: Path, day: str, status: int) -> None:
    assert shop(tmp_path).put(f"/_overrides/{day}", json={"empty": True}).status_code == status


def test_the_channel_is_on_every_line_when_asked_for_and_after_a_restart(tmp_path: Path) -> None:
    api = shop(tmp_path)
    assert api.put("/_extra_fields", json={"fields": ["channel"]}).json() == {"fields": ["channel"]}
    lines = all_lines(shop(tmp_path))
    assert {line["channel"] for line in lines} == {"web", "shop", "app"}
    by_order = {line["order_id"]: line["channel"] for line in lines}
    assert all(by_order[line["order_id"]] == line["channel"] for line in lines)
    assert api.put("/_extra_fields", json={"fields": []}).status_code == 200
    assert all_lines(api) == LINES
    assert api.put("/_extra_fields", json={"fields": ["colour"]}).status_code == 422
