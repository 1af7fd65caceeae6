"""Faults on demand: each does what it says, only where it is asked to, and can be turned off."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from feira_local.shop.app import create_app
from feira_local.shop.faults import FAULTS
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_local.shop.source import SourceError

TODAY = dt.date(2011, 3, 10)
DAY, OTHER_DAY = "2011-03-02", "2011-03-03"
SOURCE = GeneratedSource(GeneratorSettings(lines_per_day=400, dirty_share=0), today=lambda: TODAY)


def shop(state: Path) -> TestClient:
    return TestClient(
        create_app(SOURCE, FxRates(7), state, today=lambda: TODAY), base_url="http://127.0.0.1"
    )


@pytest.fixture
def api(tmp_path: Path) -> TestClient:
    return shop(tmp_path)


def turn_on(api: TestClient, name: str, **options: object) -> None:
    answer = api.put(f"/_faults/{name}", json=options)
    assert answer.status_code == 200, answer.text
    assert answer.json()["on"] is True


def turn_off(api: TestClient, name: str) -> None:
    assert api.delete(f"/_faults/{name}").status_code == 204


def page(api: TestClient, number: int = 1, limit: int = 100, day: str = DAY) -> dict[str, Any]:
    params: dict[str, Any] = {"date": day, "limit": limit}
    for _ in range(number - 1):
        cursor = api.get("/sales", params=params).json()["next_cursor"]
        params["cursor"] = cursor
    found: dict[str, Any] = api.get("/sales", params=params).json()
    return found


def test_every_fault_explains_itself_and_starts_off(api: TestClient) -> None:
    faults = api.get("/_faults").json()["faults"]
    assert [fault["name"] for fault in faults] == list(FAULTS)
    assert all(fault["doc"] and not fault["on"] and fault["state"] is None for fault in faults)
    assert all(option["meaning"] for fault in faults for option in fault["options"].values())


def test_a_server_error_for_two_requests_is_over_after_two(api: TestClient) -> None:
    turn_on(api, "server_error", count=2, status=503)
    statuses = [api.get("/sales", params={"date": DAY}).status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert not api.get("/_faults").json()["faults"][0]["on"]


def test_a_server_error_shows_on_the_calls_it_names_only(api: TestClient) -> None:
    turn_on(api, "server_error", calls=["fx", "health"])
    assert api.get("/health").status_code == 500
    assert api.get("/fx", params={"from": DAY, "to": DAY}).status_code == 500
    assert api.get("/sales", params={"date": DAY}).status_code == 200


def test_a_fault_of_one_day_leaves_the_other_days_alone(api: TestClient) -> None:
    turn_on(api, "server_error", day=DAY)
    assert api.get("/sales", params={"date": DAY}).status_code == 500
    assert api.get("/sales", params={"date": OTHER_DAY}).status_code == 200
    turn_off(api, "server_error")
    assert api.get("/sales", params={"date": DAY}).status_code == 200


def test_a_hanging_request_does_not_keep_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(SOURCE, FxRates(7), tmp_path, today=lambda: TODAY)
    slept: list[float] = []

    async def ask() -> list[str]:
        answered: list[str] = []
        is_healthy = asyncio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            await is_healthy.wait()

        monkeypatch.setattr("feira_local.shop.app.asyncio", SimpleNamespace(sleep=sleep))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.put("/_faults/hang", json={"seconds": 0.2, "count": 1})

            async def sales() -> None:
                answer = await client.get("/sales", params={"date": DAY})
                answered.append(f"sales {answer.status_code}")

            async def health() -> None:
                await client.get("/health")
                answered.append("health")
                is_healthy.set()

            async with asyncio.timeout(60):
                await asyncio.gather(sales(), health())
        return answered

    assert asyncio.run(ask()) == ["health", "sales 200"]
    assert slept == [0.2]


def test_a_short_page_misses_lines_that_its_total_counts(api: TestClient) -> None:
    good = page(api, 2)
    turn_on(api, "short_page", missing=3, page=2)
    bad = page(api, 2)
    assert bad["lines"] == good["lines"][:-3]
    assert (bad["total"], bad["next_cursor"]) == (good["total"], good["next_cursor"])
    assert len(page(api, 1)["lines"]) == 100
    turn_off(api, "short_page")
    assert page(api, 2) == good


def test_a_repeated_page_shows_the_lines_before_it_and_moves_on(api: TestClient) -> None:
    first, second, third = (page(api, number) for number in (1, 2, 3))
    turn_on(api, "repeated_page")
    assert page(api, 2) == {**second, "lines": first["lines"]}
    assert page(api, 3) == third


def test_a_wrong_total_is_off_by_what_it_is_told(api: TestClient) -> None:
    good = page(api)
    turn_on(api, "wrong_total", by=-2)
    assert page(api) == {**good, "total": good["total"] - 2}


def test_a_renamed_field_has_its_new_name_in_every_line(api: TestClient) -> None:
    good = page(api)["lines"]
    turn_on(api, "renamed_field", field="unit_price", to="price")
    bad = page(api)["lines"]
    assert [line["price"] for line in bad] == [line["unit_price"] for line in good]
    assert not any("unit_price" in line for line in bad)


def test_an_extra_field_is_in_every_line(api: TestClient) -> None:
    turn_on(api, "extra_field", field="loyalty_tier", value="gold")
    assert {line["loyalty_tier"] for line in page(api)["lines"]} == {"gold"}


def test_an_absent_field_is_gone_from_every_line_or_from_a_share(api: TestClient) -> None:
    turn_on(api, "absent_field", field="currency")
    assert not any("currency" in line for line in page(api)["lines"])
    turn_on(api, "absent_field", field="currency", share=0.25)
    assert sum("currency" not in line for line in page(api)["lines"]) == 25


def test_bad_rows_spoil_the_stated_share_and_the_same_lines_each_time(api: TestClient) -> None:
    good = page(api)["lines"]
    turn_on(api, "bad_rows", share=0.1)
    bad = page(api)["lines"]
    assert sum(was != now for was, now in zip(good, bad, strict=True)) == 10
    assert page(api)["lines"] == bad
    turn_on(api, "bad_rows", share=0.1, kinds=["currency_unknown"])
    assert sum(line["currency"] == "XXX" for line in page(api)["lines"]) == 10
    turn_off(api, "bad_rows")
    assert page(api)["lines"] == good


def test_late_updates_show_lines_of_an_earlier_day_on_this_one(api: TestClient) -> None:
    earlier = page(api, day=DAY, limit=10_000)["lines"][:30]
    before = page(api, day=OTHER_DAY, limit=10_000)
    turn_on(api, "late_updates", day=OTHER_DAY, lines=30, status="cancelled")
    after = page(api, day=OTHER_DAY, limit=10_000)
    late = after["lines"][before["total"] :]
    assert after["total"] == before["total"] + 30 == len(after["lines"])
    assert [line["order_id"] for line in late] == [line["order_id"] for line in earlier]
    assert {line["status"] for line in late} == {"cancelled"}
    assert {line["updated_at"][:10] for line in late} == {OTHER_DAY}
    assert [line["created_at"] for line in late] == [line["created_at"] for line in earlier]
    assert page(api, limit=before["total"] + 10, number=2, day=OTHER_DAY)["lines"] == late[10:]
    turn_off(api, "late_updates")
    assert page(api, day=OTHER_DAY, limit=10_000) == before


def test_late_updates_pass_over_closed_days_and_find_nothing_before_the_first(
    api: TestClient,
) -> None:
    plain = (
        page(api, day="2010-12-26", limit=1)["total"],
        page(api, day="2010-12-01", limit=1)["total"],
    )
    turn_on(api, "late_updates", lines=5)
    assert page(api, day="2010-12-26", limit=1)["total"] == plain[0] + 5
    assert page(api, day="2010-12-01", limit=1)["total"] == plain[1]


def test_faults_are_kept_over_a_restart_and_all_go_at_once(tmp_path: Path) -> None:
    turn_on(shop(tmp_path), "server_error", day=DAY, count=3)
    turn_on(shop(tmp_path), "wrong_total")
    again = shop(tmp_path)
    assert again.get("/sales", params={"date": DAY}).status_code == 500
    state = shop(tmp_path).get("/_faults").json()["faults"][0]["state"]
    assert (state["day"], state["count"]) == (DAY, 2)
    assert again.delete("/_faults").status_code == 204
    assert not any(fault["on"] for fault in shop(tmp_path).get("/_faults").json()["faults"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("server_error", {"count": 0}),
        ("server_error", {"status": 200}),
        ("server_error", {"day": "soon"}),
        ("hang", {"seconds": -1}),
        ("bad_rows", {"share": 2}),
        ("bad_rows", {"kinds": ["no such kind"]}),
        ("short_page", {"mising": 1}),
    ],
)
def test_options_that_are_not_legal_are_refused(
    api: TestClient, name: str, options: dict[str, object]
) -> None:
    assert api.put(f"/_faults/{name}", json=options).status_code == 422
    assert not any(fault["on"] for fault in api.get("/_faults").json()["faults"])


def test_an_unknown_fault_is_not_found_and_the_known_ones_are_named(api: TestClient) -> None:
    for answer in (api.put("/_faults/flood", json={}), api.delete("/_faults/flood")):
        assert answer.status_code == 404
        assert "server_error" in answer.json()["detail"]


def test_state_that_cannot_be_read_is_named_with_its_file(tmp_path: Path) -> None:
    for content in ("{", "[]", '{"flood": {}}'):
        (tmp_path / "faults.json").write_text(content)
        with pytest.raises(SourceError, match=r"faults\.json"):
            shop(tmp_path)


def test_a_page_whose_name_resolves_to_loopback_neither_reads_nor_takes_a_fault(
    api: TestClient,
) -> None:
    turn_on(api, "server_error", calls=["health"], count=1)
    for name in ("evil.example.com", "evil.example.com:18010", "127.0.0.1.evil.example.com"):
        assert api.get("/health", headers={"Host": name}).status_code == 400
        assert api.put("/_faults/hang", json={}, headers={"Host": name}).status_code == 400
    faults = api.get("/_faults").json()["faults"]
    assert [fault["name"] for fault in faults if fault["on"]] == ["server_error"]
    for name, status in (("localhost:18010", 500), ("127.0.0.1:18010", 200), ("localhost", 200)):
        assert api.get("/health", headers={"Host": name}).status_code == status
