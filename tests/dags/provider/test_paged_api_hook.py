"""Paging by cursor, number and link; bounded retries; and answers that no client should follow."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_api import ScriptedApi, scripted_api

from feira_provider.hooks.paged_api import PagedApiError, PagedApiHook, shown
from feira_provider.hooks.paging import CursorPaging, LinkPaging, PageNumberPaging, Paging


class Hook(PagedApiHook):
    """The hook, with a clock that only notes how long it was asked to wait."""

    def __init__(self, **options: Any) -> None:
        super().__init__("api", **({"attempts": 3} | options))
        self.waited: list[float] = []

    def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    with scripted_api() as scripted:
        monkeypatch.setenv("AIRFLOW_CONN_API", scripted.url)
        yield scripted


def connection(monkeypatch: pytest.MonkeyPatch, api: ScriptedApi, extra: dict[str, Any]) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_API", json.dumps({"conn_type": "http", "host": api.url, "extra": extra})
    )


def records(hook: PagedApiHook, paging: Paging, **parameters: str) -> list[Any]:
    pages = hook.api_pages("orders", paging, parameters=parameters)
    return [record for page in pages for record in page.records]


def test_a_cursor_is_followed_to_its_end_and_the_other_parameters_stay(api: ScriptedApi) -> None:
    api.says({"data": {"rows": [1, 2], "next": "b"}}).says({"data": {"rows": [3], "next": None}})
    paging = CursorPaging("data.rows", "data.next", "after")
    assert records(Hook(), paging, limit="2") == [1, 2, 3]
    assert api.asked == [{"limit": "2"}, {"limit": "2", "after": "b"}]


@pytest.mark.parametrize("end", [{"next_cursor": None}, {"next_cursor": ""}, {}])
def test_null_an_empty_text_and_no_field_end_the_pages(api: ScriptedApi, end: Any) -> None:
    api.says({"items": [1], **end})
    assert records(Hook(), CursorPaging()) == [1]


@pytest.mark.parametrize("pages", [1.5, True, None, "many", [2], -1, "-1", "1_0", "", 0, "0"])
def test_what_is_no_number_of_pages_is_an_error_and_not_the_end(
    api: ScriptedApi, pages: Any
) -> None:
    api.says({"items": [1], "pages": pages})
    with pytest.raises(PagedApiError, match=r"page 1: .* 200: .*no usable pages: "):
        records(Hook(), PageNumberPaging(pages_at="pages"))


@pytest.mark.parametrize("cursor", [False, True, 1.5, {"after": 1}, [1]])
def test_what_is_no_cursor_is_an_error_and_not_the_end(api: ScriptedApi, cursor: Any) -> None:
    api.says({"items": [1], "next_cursor": cursor})
    with pytest.raises(PagedApiError, match=r"next_cursor: .* is no cursor"):
        records(Hook(), CursorPaging())


@pytest.mark.parametrize("link", [False, {"href": "/orders"}, [], 0])
def test_what_is_no_link_is_an_error_and_not_the_end(api: ScriptedApi, link: Any) -> None:
    api.says({"items": [1], "next": link})
    with pytest.raises(PagedApiError, match=r"next: .* no URL"):
        records(Hook(), LinkPaging("items", "next"))


def test_page_numbers_end_with_an_empty_page(api: ScriptedApi) -> None:
    for page in ([1, 2], [3], []):
        api.says({"items": page})
    assert records(Hook(), PageNumberPaging()) == [1, 2, 3]
    assert [asked["page"] for asked in api.asked] == ["1", "2", "3"]


def test_page_numbers_end_where_the_body_says(api: ScriptedApi) -> None:
    api.says({"items": [1], "pages": 2}).says({"items": [2], "pages": 2})
    paging = PageNumberPaging(first_page=0, pages_at="pages")
    assert records(Hook(), paging) == [1, 2]
    assert [asked["page"] for asked in api.asked] == ["0", "1"]


def test_links_of_the_header_are_followed(api: ScriptedApi) -> None:
    link = f'<{api.url}/orders?page=2>; rel="next", <{api.url}/orders?page=9>; rel="last"'
    api.says([1], headers={"Link": link}).says([2])
    assert records(Hook(), LinkPaging(), limit="1") == [1, 2]
    assert api.asked == [{"limit": "1"}, {"page": "2"}]


@pytest.mark.parametrize("relation", ['"Next"', "next", '"last Next"', '"next"; rel="prev"'])
def test_a_link_is_followed_however_its_relation_is_written(
    api: ScriptedApi, relation: str
) -> None:
    api.says([1], headers={"Link": f"</orders?page=2>; title=a; rel={relation}"}).says([2])
    assert records(Hook(), LinkPaging()) == [1, 2]


def test_the_next_link_may_write_the_origin_in_another_way(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = api.url.replace("127.0.0.1", "localhost")
    monkeypatch.setenv("AIRFLOW_CONN_API", home)
    away = home.replace("localhost", "someone@LOCALHOST")
    api.says([1], headers={"Link": f"<{away}/orders?page=2>; rel=next"}).says([2])
    assert records(Hook(), LinkPaging()) == [1, 2]


def test_a_link_that_is_no_url_matters_only_where_it_would_be_followed(api: ScriptedApi) -> None:
    api.says([1], headers={"Link": "<http://[x/y>; rel=last"})
    assert records(Hook(), LinkPaging()) == [1]
    api.answers.clear()
    api.says([1], headers={"Link": "<http://[x/y>; rel=next"})
    with pytest.raises(PagedApiError, match=r"page 1: .* 200: .*IPv6"):
        records(Hook(), LinkPaging())
    api.answers.clear()
    api.says([1], headers={"Link": f"<{api.url}0000/y>; rel=next"})
    with pytest.raises(PagedApiError, match=r"page 1: .* 200: .*link .*no URL"):
        records(Hook(), LinkPaging())


@pytest.mark.parametrize("link", ["http://{home}@127.0.0.1:9/x", "http://127.0.0.1:9\\@{home}/x"])
def test_a_user_in_a_link_does_not_make_it_ours(api: ScriptedApi, link: str) -> None:
    api.says({"rows": [1], "next": link.format(home=api.url.removeprefix("http://"))})
    with pytest.raises(PagedApiError, match="another origin"):
        records(Hook(), LinkPaging("rows", "next"))
    api.answers.clear()
    api.says("", 302, {"Location": link.format(home=api.url.removeprefix("http://"))})
    with pytest.raises(PagedApiError, match="another origin"):
        records(Hook(), CursorPaging())
    assert len(api.asked) == 2


def test_a_redirect_is_judged_as_it_will_be_followed(api: ScriptedApi) -> None:
    """Quoted anew, what stands before the @ is a user."""
    api.says("", 302, {"Location": f"{api.url}\\@127.0.0.1:9/x"})
    with pytest.raises(PagedApiError, match="another origin"):
        records(Hook(), CursorPaging())


def test_links_of_the_body_may_be_relative(api: ScriptedApi) -> None:
    api.says({"rows": [1], "next": "/orders?page=2"}).says({"rows": [2]})
    assert records(Hook(), LinkPaging("rows", "next")) == [1, 2]


def test_credentials_do_not_follow_a_link_to_another_host(api: ScriptedApi) -> None:
    api.says({"rows": [1], "next": "http://127.0.0.1:9/orders"})
    with pytest.raises(
        PagedApiError,
        match=r"/orders .*200: .* http://127\.0\.0\.1:9/orders, another origin.*connection api",
    ):
        records(Hook(), LinkPaging("rows", "next"))


def test_a_redirect_within_the_origin_is_followed(api: ScriptedApi) -> None:
    api.says("", 307, {"Location": "/orders?moved=1"}).says({"items": [1]})
    assert records(Hook(), CursorPaging(), limit="1") == [1]
    assert api.asked == [{"limit": "1"}, {"moved": "1"}]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_do_not_follow_a_redirect_to_another_host(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    connection(monkeypatch, api, {"X-Api-Key": "f00d"})
    api.says({"items": [1], "next_cursor": "b"})
    with scripted_api() as elsewhere:
        elsewhere.says({"items": [2]})
        api.says("", status, {"Location": f"{elsewhere.url}/orders?signature=5ea1"})
        with pytest.raises(
            PagedApiError,
            match=rf"^orders, page 2: {api.url}/orders\?cursor=b .*{status} .*{elsewhere.url}/orders, "
            "another origin.*connection api",
        ) as failure:
            records(Hook(), CursorPaging())
        assert elsewhere.asked == []
    assert "5ea1" not in str(failure.value)
    assert (failure.value.page, failure.value.status, failure.value.transient) == (2, status, False)
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("//127.0.0.1:9/orders", "http://127.0.0.1:9/orders, another origin"),
        ("https:/orders", "https:/+orders, another origin"),
        ("http://[orders", "no URL"),
    ],
)
def test_a_redirect_is_refused_however_it_says_where(
    api: ScriptedApi, location: str, place: str
) -> None:
    api.says("", 302, {"Location": location})
    with pytest.raises(PagedApiError, match=rf"page 1: {api.url}/orders .*302 .* {place};"):
        records(Hook(), CursorPaging())


@pytest.mark.parametrize("limit", [0, 3])
def test_redirects_without_end_stop_at_the_limit_and_are_not_tried_again(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    connection(monkeypatch, api, {"max_redirects": limit})
    api.says("", 302, {"Location": "/orders"})
    with pytest.raises(
        PagedApiError,
        match=rf"^orders, page 1: {api.url}/orders .*302 .*{api.url}/orders after {limit} redirects",
    ) as failure:
        records(Hook(), CursorPaging())
    assert (failure.value.status, failure.value.transient) == (302, False)
    assert len(api.asked) == limit + 1


def test_a_link_back_to_the_first_page_is_an_error(api: ScriptedApi) -> None:
    api.says({"rows": [1], "next": "/orders"})
    with pytest.raises(
        PagedApiError, match=rf"^orders, page 2: {api.url}/orders .*200: .*points back"
    ):
        records(Hook(), LinkPaging("rows", "next"))


def test_pages_without_end_stop_at_the_limit(api: ScriptedApi) -> None:
    api.says({"items": [1]})
    with pytest.raises(
        PagedApiError, match=r"page 7: .*/orders\?page=7 .*200: .*next page after 7; .*max_pages"
    ):
        records(Hook(max_pages=7), PageNumberPaging())
    assert len(api.asked) == 7


def test_faults_are_waited_out_with_a_random_delay_below_the_limit(api: ScriptedApi) -> None:
    api.says("", 500).says("", 503).says({"items": [1]})
    hook = Hook(max_delay=0.25)
    assert records(hook, CursorPaging()) == [1]
    assert len(hook.waited) == 2 and all(0 <= wait <= 0.25 for wait in hook.waited)


def test_retry_after_in_seconds_is_honoured(api: ScriptedApi) -> None:
    api.says("", 429, {"Retry-After": "30"}).says({"items": [1]})
    hook = Hook(max_delay=0.5)
    assert records(hook, CursorPaging()) == [1]
    assert 30 <= hook.waited[0] <= 30.5


def test_retry_after_as_a_date_is_honoured(api: ScriptedApi) -> None:
    date = email.utils.formatdate(time.time() + 40, usegmt=True)
    api.says("", 503, {"Retry-After": date}).says({"items": [1]})
    hook = Hook(max_delay=0.5)
    assert records(hook, CursorPaging()) == [1]
    assert 30 <= hook.waited[0] <= 41


@pytest.mark.parametrize(
    "text",
    ["soon", "-3", "1e9", f"Mon, 01 Jan 2035 00:00:00 +{'9' * 16}", "Mon, 01 Jan 9999 1:1:1 -9959"],
)
def test_a_retry_after_that_says_nothing_is_no_reason_to_fail(api: ScriptedApi, text: str) -> None:
    api.says("", 503, {"Retry-After": text}).says({"items": [1]})
    assert records(Hook(), CursorPaging()) == [1]


def test_a_retry_after_beyond_the_limit_fails_at_once_and_says_so(api: ScriptedApi) -> None:
    api.says("", 429, {"Retry-After": "3600"})
    hook = Hook()
    with pytest.raises(PagedApiError, match=r"429 .*3600 s \(limit 120 s\)") as failure:
        records(hook, CursorPaging())
    assert (hook.waited, failure.value.transient, failure.value.status) == ([], True, 429)


def test_a_fault_that_stays_names_url_page_and_status(api: ScriptedApi) -> None:
    api.says({"items": [1], "next_cursor": "b"}).says("", 502)
    with pytest.raises(
        PagedApiError,
        match=rf"^orders, page 2: {api.url}/orders\?limit=1&cursor=b .*502 .*3 tries",
    ) as failure:
        records(Hook(), CursorPaging(), limit="1")
    error = failure.value
    assert (error.page, error.status, error.transient) == (2, 502, True)
    assert len(api.asked) == 4


@pytest.mark.parametrize("stream", [False, True])
def test_a_body_that_cannot_be_unpacked_is_asked_for_again(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    connection(monkeypatch, api, {"stream": stream})
    api.says({"items": []}, headers={"Content-Encoding": "gzip"}).says({"items": [1]})
    assert records(Hook(), CursorPaging()) == [1]


@pytest.mark.parametrize(
    ("headers", "cause"),
    [
        ({"Content-Encoding": "gzip"}, "ContentDecodingError"),
        ({"Content-Length": "99"}, "ChunkedEncodingError"),
    ],
)
def test_a_body_that_stays_broken_names_url_page_and_status(
    api: ScriptedApi, headers: dict[str, str], cause: str
) -> None:
    api.says({"items": []}, headers=headers)
    with pytest.raises(
        PagedApiError,
        match=rf"^orders, page 1: {api.url}/orders\?limit=1 .*200 .*\({cause}\) .*3 tries",
    ) as failure:
        records(Hook(), CursorPaging(), limit="1")
    assert (failure.value.status, failure.value.transient) == (200, True)


def test_a_request_that_cannot_be_made_does_not_show_its_headers(
    api: ScriptedApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch, api, {"X-Api-Key": "f00d\n"})
    with pytest.raises(
        PagedApiError, match=r"page 1: .*/orders .*\(InvalidHeader\).*connection api"
    ) as failure:
        records(Hook(), CursorPaging())
    assert "f00d" not in str(failure.value) and not failure.value.transient


def test_a_refusal_is_not_asked_again(api: ScriptedApi) -> None:
    api.says({"detail": "no such shop"}, 403)
    with pytest.raises(PagedApiError, match=r"page 1: .*/orders .*403: no such shop") as error:
        records(Hook(), CursorPaging())
    assert not error.value.transient and len(api.asked) == 1


@pytest.mark.parametrize("body", [{}, {"items": None}, {"items": {"a": 1}}, [], "text", None])
def test_a_body_without_a_list_of_records_is_an_error(api: ScriptedApi, body: Any) -> None:
    api.says('"text"' if body == "text" else body)
    with pytest.raises(
        PagedApiError, match=r"page 1: .*/orders .*200 with application/json: .*no usable"
    ):
        records(Hook(), CursorPaging())


def test_secrets_in_a_url_stay_out_of_the_message(api: ScriptedApi) -> None:
    api.says("", 400)
    with pytest.raises(PagedApiError) as failure:
        records(Hook(), CursorPaging(), api_key="f00d", limit="1")
    assert "f00d" not in str(failure.value)
    assert "api_key=***&limit=1 answered 400" in str(failure.value)


def test_a_shown_url_has_no_user() -> None:
    assert shown("https://me:word@shop.test/x?a=%2F") == "https://shop.test/x?a=%2F"


@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    pages=st.lists(st.lists(st.integers(-(2**63), 2**64 - 1), max_size=3), min_size=1, max_size=6)
)
def test_whatever_the_pages_hold_every_record_comes_once_and_in_order(
    api: ScriptedApi, pages: list[list[int]]
) -> None:
    api.answers.clear()
    for number, page in enumerate(pages, 1):
        following = str(number) if number < len(pages) else None
        api.says({"items": page, "next_cursor": following})
    assert records(Hook(), CursorPaging()) == [record for page in pages for record in page]
