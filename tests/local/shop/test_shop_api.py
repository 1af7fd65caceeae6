"""The shop API: paging, days it does not serve, parameters it refuses, exchange rates."""

from __future__ import annotations

import base64
import datetime as dt
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from feira_local.shop.app import create_app
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings

TODAY = dt.date(2011, 3, 10)
DAY = "2011-03-02"


@pytest.fixture(scope="module")
def source() -> GeneratedSource:
    return GeneratedSource(GeneratorSettings(lines_per_day=600), today=lambda: TODAY)


@pytest.fixture(scope="module")
def api(source: GeneratedSource, tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    state: Path = tmp_path_factory.mktemp("state")
    return TestClient(
        create_app(source, FxRates(7), state, today=lambda: TODAY), base_url="http://127.0.0.1"
    )


def pages(api: TestClient, limit: int) -> list[dict[str, Any]]:
    found, cursor = [], None
    while True:
        cursor_part: dict[str, str] = {} if cursor is None else {"cursor": cursor}
        answer = api.get("/sales", params={"date": DAY, "limit": limit, **cursor_part})
        assert answer.status_code == 200
        found.append(answer.json())
        cursor = found[-1]["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [3, 7, 100, 599, 10_000])
def test_paging_shows_every_line_once_and_as_many_as_the_total(
    api: TestClient, source: GeneratedSource, limit: int
) -> None:
    found = pages(api, limit)
    lines = [line for page in found for line in page["lines"]]
    day = dt.date.fromisoformat(DAY)
    assert lines == source.lines(day, 0, source.total(day))
    assert {page["total"] for page in found} == {len(lines)}
    assert {page["date"] for page in found} == {DAY}
    # One fewer where the line at the border is served twice: a version is on one page only.
    assert all(limit - 1 <= len(page["lines"]) <= limit for page in found[:-1])
    texts = [{str(line) for line in page["lines"]} for page in found]
    assert all(not one & other for one, other in combinations(texts, 2))


def test_a_day_that_fills_its_last_page_has_no_empty_page_after_it(
    api: TestClient, source: GeneratedSource
) -> None:
    total = source.total(dt.date.fromisoformat(DAY))
    assert [len(page["lines"]) for page in pages(api, total)] == [total]


def test_health_names_the_first_and_the_last_day(api: TestClient) -> None:
    assert api.get("/health").json() == {
        "status": "ok",
        "first_day": "2010-12-01",
        "last_day": "2011-03-09",
    }


def test_a_closed_day_is_an_empty_page(api: TestClient) -> None:
    assert api.get("/sales", params={"date": "2010-12-25"}).json() == {
        "date": "2010-12-25",
        "total": 0,
        "lines": [],
        "next_cursor": None,
    }


@pytest.mark.parametrize("day", ["2011-03-10", "2011-03-11", "2010-11-30", "9999-12-31"])
def test_an_unfinished_day_and_one_outside_the_data_are_not_found(
    api: TestClient, day: str
) -> None:
    answer = api.get("/sales", params={"date": day})
    assert answer.status_code == 404
    assert day in answer.json()["detail"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"date": "2011-3-2"},
        {"date": "1291161600"},
        {"date": "2011-02-30"},
        {"date": DAY, "limit": "0"},
        {"date": DAY, "limit": "10001"},
        {"date": DAY, "cursor": "no cursor"},
        {"date": DAY, "cursor": base64.urlsafe_b64encode(b"2011-03-02/-5").decode()},
    ],
)
def test_a_bad_parameter_is_refused(api: TestClient, params: dict[str, str]) -> None:
    answer = api.get("/sales", params=params)
    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_the_cursor_of_another_day_is_refused(api: TestClient) -> None:
    cursor = api.get("/sales", params={"date": "2011-03-03", "limit": 5}).json()["next_cursor"]
    answer = api.get("/sales", params={"date": DAY, "limit": 5, "cursor": cursor})
    assert answer.status_code == 422
    assert "2011-03-03" in answer.json()["detail"]


def rates(api: TestClient, first: str, last: str) -> dict[tuple[str, str], str]:
    answer = api.get("/fx", params={"from": first, "to": last})
    assert answer.status_code == 200
    assert (answer.json()["from"], answer.json()["to"]) == (first, last)
    return {(r["rate_date"], r["currency"]): r["usd_rate"] for r in answer.json()["rates"]}


def test_weekdays_have_a_rate_for_each_currency_and_weekends_none(api: TestClient) -> None:
    week = rates(api, "2010-11-22", "2010-11-28")
    assert {day for day, _ in week} == {f"2010-11-{n}" for n in range(22, 27)}
    assert {currency for _, currency in week} == {"GBP", "EUR", "USD", "BRL", "JPY"}
    assert len(week) == 25
    assert {rate for (_, currency), rate in week.items() if currency == "USD"} == {"1.00000000"}
    assert all(Decimal(rate).as_tuple().exponent == -8 for rate in week.values())
    assert Decimal("1.2") < Decimal(week["2010-11-22", "GBP"]) < Decimal(2)


def test_a_rate_is_the_same_in_every_range_and_moves_from_day_to_day(api: TestClient) -> None:
    year, day = rates(api, "2010-03-01", "2011-03-01"), rates(api, "2010-12-01", "2010-12-01")
    assert day.items() <= year.items()
    pounds = [rate for (_, currency), rate in year.items() if currency == "GBP"]
    assert len(set(pounds)) == len(pounds)


def test_a_day_that_is_not_finished_has_no_rate(api: TestClient) -> None:
    assert {day for day, _ in rates(api, "2011-03-09", "2011-03-11")} == {"2011-03-09"}


@pytest.mark.parametrize(
    "params",
    [
        {"from": "2010-12-02", "to": "2010-12-01"},
        {"from": "2000-01-01", "to": "2010-01-01"},
        {"from": "2010-12-01"},
        {"from": "x", "to": "2010-12-01"},
    ],
)
def test_a_range_that_is_backwards_or_too_long_is_refused(
    api: TestClient, params: dict[str, str]
) -> None:
    assert api.get("/fx", params=params).status_code == 422


def test_other_seeds_have_other_rates() -> None:
    day = dt.date(2010, 12, 1)
    assert FxRates(7).rate(day, "EUR") == FxRates(7).rate(day, "EUR") != FxRates(8).rate(day, "EUR")
