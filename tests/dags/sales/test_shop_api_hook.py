"""The hook against the real simulator: whole days, bounded retries, and errors that name the place."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
from fastapi import FastAPI, Response
from fsspec.implementations.local import LocalFileSystem

from feira.core.errors import PermanentError
from feira.core.landing.land import LandedFeed, Page, land_day
from feira.core.landing.store import LandingStore
from feira.sales.landing import LANDED
from feira.sales.rates import RatesNotServedError
from feira_airflow.sales.shop_api import ShopApiHook
from feira_local.shop.app import create_app
from feira_local.shop.fx import FxRates
from feira_local.shop.generator import GeneratedSource, GeneratorSettings
from feira_provider.hooks.paged_api import PagedApiError, PagedApiRefusedError
from sales_lines import line
from shop_server import served
from temporary_postgres import free_port

TODAY = dt.date(2011, 3, 10)
DAY = dt.date(2011, 3, 2)
SOURCE = GeneratedSource(GeneratorSettings(lines_per_day=300), today=lambda: TODAY)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    state = tmp_path_factory.mktemp("shop")
    with served(create_app(SOURCE, FxRates(7), state, today=lambda: TODAY)) as url:
        yield url


@pytest.fixture
def url(simulator: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The simulator without faults, as the connection ``shop_api`` names it."""
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_API", simulator)
    yield simulator
    requests.delete(f"{simulator}/_faults", timeout=10).raise_for_status()


def fault(url: str, name: str, **options: Any) -> None:
    requests.put(f"{url}/_faults/{name}", json=options, timeout=10).raise_for_status()


def faults_on(url: str) -> dict[str, Any]:
    found = requests.get(f"{url}/_faults", timeout=10).json()["faults"]
    return {each["name"]: each["state"] for each in found if each["on"]}


def hook(**options: Any) -> ShopApiHook:
    return ShopApiHook(**{"page_size": 100, "attempts": 3, "max_delay": 0.001} | options)


def lines(pages: list[Page]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for page in pages for line in page.lines]


def test_the_pages_cover_the_day_in_the_apis_order(url: str) -> None:
    total = SOURCE.total(DAY)
    pages = list(hook().pages(DAY))
    assert lines(pages) == SOURCE.lines(DAY, 0, total)
    assert [page.number for page in pages] == list(range(1, -(-total // 100) + 1))
    assert {page.total for page in pages} == {total}
    assert [len(page.lines) for page in pages[:-1]] == [100] * (len(pages) - 1)


def test_a_closed_day_is_one_page_without_lines(url: str) -> None:
    assert list(hook().pages(dt.date(2010, 12, 25))) == [Page(1, 0, [])]


def test_rates_come_with_both_ends(url: str) -> None:
    assert hook().rates(dt.date(2011, 2, 28), DAY) == FxRates(7).rates(dt.date(2011, 2, 28), DAY)


@pytest.mark.parametrize(
    ("day", "reason"),
    [(TODAY, "the day is not finished"), (dt.date(2009, 1, 1), "outside the data")],
)
def test_a_day_that_the_api_has_not_is_refused_at_once(url: str, day: dt.date, reason: str) -> None:
    # A retry would meet this fault and fail otherwise.
    with pytest.raises(
        PagedApiRefusedError, match=f"sales of {day}, page 1: .*{reason}"
    ) as failure:
        list(hook().pages(day))
    assert failure.value.status == 404
    assert isinstance(failure.value, PermanentError), "it would be asked for again"


def test_a_request_that_the_api_refuses_is_not_repeated(url: str) -> None:
    with pytest.raises(
        PagedApiRefusedError, match=r"page 1: .*/sales\?date=.*answered 422"
    ) as failure:
        list(hook(page_size=20_000).pages(DAY))
    assert failure.value.status == 422
    assert "tries" not in str(failure.value)


@pytest.mark.parametrize("status", [500, 503])
def test_fewer_server_errors_than_tries_are_overcome(url: str, status: int) -> None:
    fault(url, "server_error", count=2, status=status)
    assert lines(list(hook().pages(DAY))) == SOURCE.lines(DAY, 0, SOURCE.total(DAY))
    assert faults_on(url) == {}


def test_every_page_has_its_own_tries(url: str) -> None:
    pages = hook().pages(DAY)
    found = []
    for _ in range(-(-SOURCE.total(DAY) // 100)):
        fault(url, "server_error", count=2)
        found.append(next(pages))
    assert lines(found) == SOURCE.lines(DAY, 0, SOURCE.total(DAY))


def test_server_errors_without_end_are_an_error_with_url_status_and_page(url: str) -> None:
    pages = hook().pages(DAY)
    next(pages)
    fault(url, "server_error", count=10, status=502)
    with pytest.raises(PagedApiError) as failure:
        next(pages)
    message = str(failure.value)
    assert message.startswith(f"sales of {DAY}, page 2: {url}/sales?date={DAY}&limit=100&cursor=")
    assert " 502 " in message and " 3 tries" in message
    assert f"{url}/health" in message
    assert not isinstance(failure.value, PermanentError)
    assert faults_on(url)["server_error"]["count"] == 7, "there were not three tries"


def test_a_password_in_the_host_is_in_no_message(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = url.replace("http://", "http://svc:hunter2@")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_API", json.dumps({"conn_type": "http", "host": secret}))
    fault(url, "server_error", count=3)
    with pytest.raises(PagedApiError) as down:
        list(hook().pages(DAY))
    assert str(down.value).endswith(f"Its health is at {url}/health.")

    class Odd(ShopApiHook):
        def get_json(self, *arguments: Any, **options: Any) -> Any:
            super().get_json(*arguments, **options)
            return {"detail": "no rates"}

    with pytest.raises(PagedApiRefusedError) as odd:
        Odd(page_size=100).rates(DAY, DAY)
    assert str(odd.value).startswith(f"{url}/fx, ")
    for error in (down.value, odd.value):
        assert "hunter2" not in str(error)


def test_rates_are_tried_again_too(url: str) -> None:
    fault(url, "server_error", count=2, calls=["fx"])
    assert hook().rates(DAY, DAY)
    fault(url, "server_error", count=3, calls=["fx"])
    with pytest.raises(PagedApiError, match=rf"rates .*{DAY} .*{DAY}: {url}/fx\?.* 500 .*3 tries"):
        hook().rates(DAY, DAY)


def test_an_api_that_hangs_is_given_up_after_the_timeout(url: str) -> None:
    fault(url, "hang", seconds=20, count=2)
    with pytest.raises(PagedApiError, match=rf"page 1: {url}/sales .*\(ReadTimeout\)"):
        list(hook(timeout=0.3, attempts=2).pages(DAY))
    assert faults_on(url) == {}, "there were not two tries"


def test_nobody_listening_is_an_error_that_names_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_API", nowhere)
    with pytest.raises(
        PagedApiError,
        match=rf"page 1: {nowhere}/sales .*3 tries.*{nowhere}/health",
    ):
        list(hook().pages(DAY))


# What the simulator never says, said by an app of three lines.


@pytest.fixture
def oddity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An API whose every answer is the body that the test puts in ``answers``."""
    answers: list[bytes] = []
    app = FastAPI()

    @app.get("/sales")
    @app.get("/fx")
    def answer() -> Response:
        body = answers.pop(0) if len(answers) > 1 else answers[0]
        return Response(body, media_type="application/json")

    with served(app) as base:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP_API", base)
        yield answers


@pytest.mark.parametrize(
    "unreadable",
    [
        orjson.dumps(line()).replace(b"WHITE HANGING", b"WHITE \\ud83d"),
        orjson.dumps(line()).replace(b"WHITE HANGING", b"WHITE \xed\xa0\x80"),
        orjson.dumps(line(country={"a": []})).replace(b"[]", b"[" * 998 + b"]" * 998),
        orjson.dumps(line()).replace(b":6,", b":NaN,"),
    ],
    ids=["half a pair", "no UTF-8", "1,000 levels", "NaN"],
)
def test_a_line_that_cannot_be_read_is_landed_among_the_others(
    oddity: list[bytes], tmp_path: Path, unreadable: bytes
) -> None:
    good = [orjson.dumps(line(line_number=number)) for number in range(2, 5)]
    served = [*good[:2], unreadable, good[2]]
    oddity.append(b'{"total": 4, "lines": [%b], "next_cursor": null}' % b", ".join(served))
    store = LandingStore(LocalFileSystem(), str(tmp_path), "sales")
    declared = LandedFeed("sales", LANDED.table, LANDED.version)
    manifest, _ = land_day(declared, hook(), store, DAY, requested_by="run-1")
    assert manifest.total == 4
    packed = store.files.cat_file(f"{store.folder(DAY, 1)}/{manifest.files[0].name}")
    assert gzip.decompress(packed).split(b"\n") == [*served, b""]


def test_a_cursor_that_points_back_to_its_own_page_is_an_error(oddity: list[bytes]) -> None:
    oddity.append(b'{"total": 9, "lines": [{}], "next_cursor": "again"}')
    pages = hook().pages(DAY)
    next(pages)
    with pytest.raises(PagedApiError, match=rf"of {DAY}, page 2: .*points back"):
        next(pages)


def test_a_cursor_that_points_back_to_an_older_page_is_an_error(oddity: list[bytes]) -> None:
    oddity += [
        b'{"total": 9, "lines": [{}], "next_cursor": "%s"}' % cursor
        for cursor in (b"a", b"b", b"a")
    ]
    pages = hook().pages(DAY)
    assert [next(pages).number, next(pages).number] == [1, 2]
    with pytest.raises(PagedApiError, match=rf"of {DAY}, page 3: .*points back"):
        next(pages)


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (b'{"lines": [], "next_cursor": null}', "'total'"),
        (b'{"total": 0, "next_cursor": null}', "'lines'"),
        (b'{"total": 0, "lines": []}', "'next_cursor'"),
        (b'{"total": null, "lines": [], "next_cursor": null}', "'total'"),
        (b'{"total": true, "lines": [], "next_cursor": null}', "'total'"),
        (b'{"total": -1, "lines": [], "next_cursor": null}', "'total'"),
        (b'{"total": "9", "lines": [], "next_cursor": null}', "'total'"),
        (b'{"total": 1.5, "lines": [], "next_cursor": null}', "'total'"),
        (b'{"total": 1, "lines": {"a": 1}, "next_cursor": null}', "lines: object"),
        (b"[]", "array has no .lines."),
    ],
)
def test_an_answer_without_a_part_is_an_error_that_names_it(
    oddity: list[bytes], body: bytes, missing: str
) -> None:
    oddity.append(body)
    with pytest.raises(PagedApiRefusedError, match=rf"page 1: .*no usable .*{missing}"):
        list(hook().pages(DAY))


@pytest.mark.parametrize(
    "body",
    [
        b'{"success": false, "message": "quota"}',
        b"[]",
        b"null",
        b'{"rates": {"GBP": "1.5"}}',
        b'"x"',
    ],
)
def test_rates_that_are_another_answer_are_shown_with_their_url(
    oddity: list[bytes], body: bytes
) -> None:
    oddity.append(body)
    with pytest.raises(PagedApiRefusedError) as failure:
        hook().rates(DAY, DAY)
    assert isinstance(failure.value, PermanentError), "it would be asked for again"
    for part in ("/fx", str(DAY), "must hold from, to and rates", body.decode()):
        assert part in str(failure.value)


def test_days_whose_rates_the_api_refuses_are_told_from_another_answer(url: str) -> None:
    with pytest.raises(RatesNotServedError, match=r"/fx.*422"):
        hook().rates(dt.date(1900, 1, 1), DAY)


def test_a_body_that_is_no_json_is_not_asked_for_again_and_names_cause_and_position(
    oddity: list[bytes],
) -> None:
    oddity += [b'{"total": NaN, "lines": [{"quantity": 1}], "next_cursor": null}', b"unreachable"]
    with pytest.raises(PagedApiRefusedError, match=r"page 1: .*column \d+") as failure:
        list(hook().pages(DAY))
    assert "NaN" in str(failure.value) and len(oddity) == 1, "it was asked for again"


def test_lines_come_as_they_were_served_whatever_they_are(oddity: list[bytes]) -> None:
    oddity.append(
        b'{"total": 4, "lines": [{"a" :1.10,"a":2}, "oops",\n null, '
        + b"[" * 300
        + b"]" * 300
        + b'], "next_cursor": null}'
    )
    (page,) = hook().pages(DAY)
    assert page.lines == [b'{"a" :1.10,"a":2}', b'"oops"', b"null", b"[" * 300 + b"]" * 300]


def test_an_answer_that_was_cut_off_is_asked_for_again(oddity: list[bytes]) -> None:
    oddity += [b'{"total": 1, "li', b'{"total": 0, "lines": [], "next_cursor": null}']
    assert list(hook().pages(DAY)) == [Page(1, 0, [])]
