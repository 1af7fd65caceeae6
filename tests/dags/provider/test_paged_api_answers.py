"""Answers that are no JSON, of another shape, too slow or too large: what is asked again, and what is said."""

from __future__ import annotations

import gzip
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response
from raw_server import Dripping, http_answer, raw_server
from requests import certs
from scripted_api import ScriptedApi, scripted_api
from werkzeug.serving import make_ssl_devcert

from feira_provider.hooks.json_api import Limits
from feira_provider.hooks.paged_api import ApiPage, PagedApiError, PagedApiHook
from feira_provider.hooks.paging import CursorPaging, LinkPaging, PageNumberPaging, Paging


class Hook(PagedApiHook):
    """The hook, without waiting between tries."""

    def __init__(self, **options: Any) -> None:
        super().__init__("api", **({"attempts": 3} | options))

    def _sleep(self, seconds: float) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    with scripted_api() as scripted:
        monkeypatch.setenv("AIRFLOW_CONN_API", scripted.url)
        yield scripted


def pages(hook: PagedApiHook, paging: Paging | None = None) -> list[ApiPage]:
    return list(hook.api_pages("orders", paging or CursorPaging()))


def refused(hook: PagedApiHook) -> PagedApiError:
    with pytest.raises(PagedApiError) as failure:
        pages(hook)
    return failure.value


WHOLE = '{"items": [{"note": "é"}], "next_cursor": null}'


@pytest.mark.parametrize(
    ("body", "kind", "cause"),
    [
        (b"\xef\xbb\xbf" + WHOLE.encode(), "application/json", "BOM"),
        (b'{"items": ["\\ud83d"]}', "application/json", "surrogate in string: line 1 column 13"),
        (b'{"items": [NaN]}', "application/json", "line 1 column 12"),
        (WHOLE.encode("latin-1"), "application/json", "byte 0xe9 in position 21"),
        (WHOLE.encode("utf-16"), "application/json", "byte 0xff in position 0"),
        (b"<html>Sign in</html>", "text/html", "line 1 column 1"),
        (gzip.compress(WHOLE.encode(), mtime=0), "application/gzip", "byte 0x8b in position 1"),
    ],
)
def test_a_whole_body_that_is_no_json_is_asked_for_once_and_says_what_came(
    api: ScriptedApi, body: bytes, kind: str, cause: str
) -> None:
    api.answers.append(Response(body, 200, media_type=kind))
    error = refused(Hook())
    assert len(api.asked) == 1
    assert (error.status, error.transient, error.page) == (200, False, 1)
    assert f"{api.url}/orders answered 200 with {kind}" in str(error) and cause in str(error)
    assert repr(body[:200].decode(errors="replace")) in str(error)
    assert "Is the API up" not in str(error)


def test_no_more_than_200_characters_of_a_body_are_shown(api: ScriptedApi) -> None:
    api.answers.append(Response("é" * 300, 200, media_type="text/html"))
    assert "é" * 200 + "'" in str(refused(Hook()))


PACKED = gzip.compress(WHOLE.encode(), mtime=0)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (http_answer(b""), "zero-length"),
        (http_answer(WHOLE.encode()[:-1]), "unexpected end of data: line 1 column 47"),
        (http_answer(WHOLE.encode()[:22]), "unexpected end of data"),
        (http_answer(WHOLE.encode()[:9], length=47), "cut off or garbled"),
        (http_answer(PACKED[:-20], "Content-Encoding: gzip"), "unexpected end of data"),
        (http_answer(PACKED[:-20], "Content-Encoding: gzip", length=len(PACKED)), "cut off"),
    ],
)
def test_a_body_that_is_cut_off_is_asked_for_again_and_named_as_that(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, cause: str
) -> None:
    with raw_server(lambda connection, _: connection.sendall(answer)) as server:
        monkeypatch.setenv("AIRFLOW_CONN_API", server.url)
        error = refused(Hook())
        assert len(server.asked) == 3
    assert cause in str(error) and "after 3 tries" in str(error)
    assert (error.status, error.transient) == (200, True)


def test_headers_that_cannot_be_read_are_no_fault_of_the_connection_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = http_answer(b"{}", "Content-Length: 7")
    with raw_server(lambda connection, _: connection.sendall(answer)) as server:
        monkeypatch.setenv("AIRFLOW_CONN_API", server.url)
        error = refused(Hook())
        assert len(server.asked) == 3
    assert "InvalidHeader" in str(error) and "check the connection" not in str(error)
    assert error.transient


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"success": False, "message": "quota"}, "'items'"),
        ([{"id": 1}], "array has no 'items'"),
        ({"items": {"id": 1}}, "items: object is no list"),
    ],
)
def test_json_of_another_shape_says_what_came(api: ScriptedApi, body: Any, words: str) -> None:
    api.says(body)
    error = refused(Hook())
    assert words in str(error) and repr(json.dumps(body)) in str(error)
    assert (len(api.asked), error.transient) == (1, False)


def test_get_json_refuses_what_is_no_json_as_pages_do(api: ScriptedApi) -> None:
    api.says("oops")
    with pytest.raises(PagedApiError, match=r"^rates: .*JSON: .*line 1 column 1.*'oops'"):
        Hook().get_json("orders", {}, what="rates")
    assert len(api.asked) == 1


def test_records_that_are_no_objects_are_served_beside_their_text(api: ScriptedApi) -> None:
    api.says('{"items": ["oops", null, 1.10, {"a": 5, "a": 7}]}')
    (page,) = pages(Hook())
    assert page.raw == [b'"oops"', b"null", b"1.10", b'{"a": 5, "a": 7}']
    assert page.records == ["oops", None, 1.1, {"a": 7}]


def test_a_number_too_large_for_a_double_spoils_nothing_but_its_own_parsing(
    api: ScriptedApi,
) -> None:
    api.says('{"items": [{"id": 1}, {"p": 1e400}]}').says('{"items": []}')
    first, second = pages(Hook(), PageNumberPaging())
    assert (first.raw[1], second.raw) == (b'{"p": 1e400}', [])
    with pytest.raises(PagedApiError, match=r"page 1 .*/orders\?page=1: record 2: .*range"):
        _ = first.records


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", b"H"),
        (HEAD, b"X"),
        (HEAD + b"Content-Length: 100000\r\n\r\n{", b" "),
        (HEAD + b"Connection: close\r\n\r\n[", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 100000\r\n\r\n", b" "),
    ],
)
def test_an_answer_that_drips_ends_at_the_total_time_wherever_it_drips(
    monkeypatch: pytest.MonkeyPatch, first: bytes, drip: bytes
) -> None:
    drips = Dripping(first, drip)
    with raw_server(drips) as server:
        monkeypatch.setenv("AIRFLOW_CONN_API", server.url)
        error = refused(Hook(attempts=2, timeout=5, total_timeout=0.3))
    assert sum(b"/orders " in request for request in server.asked) == 2
    assert len(drips.left) >= 2 and all(drips.left)
    assert all(part in str(error) for part in ("0.3 s", "(total_timeout)", "2 tries"))
    assert error.transient


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("first", [HEAD, HEAD + b"Connection: close\r\n\r\n["])
def test_an_answer_that_drips_through_tls_ends_at_the_total_time_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: bytes
) -> None:
    # What a machine trusts is no more than a default for the connection's own `verify`.
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certs.where())
    certificate, key = make_ssl_devcert(str(tmp_path / "server"), host="127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    drips = Dripping(first, b"X")
    with raw_server(drips, tls) as server:
        api = {"conn_type": "http", "host": server.url, "extra": {"verify": False}}
        monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(api))
        error = refused(Hook(attempts=1, timeout=5, total_timeout=2))
    assert len(server.asked) == 1
    assert drips.left == [True]
    assert "2 s" in str(error) and "(total_timeout)" in str(error)


def test_an_answer_that_drips_through_a_proxy_ends_at_the_total_time_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drips = Dripping(HEAD, b"X")
    with raw_server(drips) as proxy:
        extra = {"proxies": {"http": proxy.url}}
        api = {"conn_type": "http", "host": "http://shop.invalid", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(api))
        error = refused(Hook(attempts=1, timeout=5, total_timeout=0.3))
    assert proxy.asked[0].startswith(b"GET http://shop.invalid/orders ")
    assert drips.left == [True]
    assert "0.3 s" in str(error) and "(total_timeout)" in str(error)


@pytest.mark.parametrize(
    ("given", "extra", "expected"),
    [
        ({"timeout": 2}, {}, Limits(timeout=2, total_timeout=6)),
        ({"total_timeout": 7}, {}, Limits(total_timeout=7)),
        (
            {},
            {"timeout": "2.5", "attempts": "3"},
            Limits(attempts=3, timeout=2.5, total_timeout=7.5),
        ),
        ({"attempts": 2}, {"attempts": 9, "max_bytes": ""}, Limits(attempts=2)),
        (
            {"total_timeout": 7},
            {"timeout": 2, "X-Team": "orders"},
            Limits(timeout=2, total_timeout=7),
        ),
    ],
)
def test_a_limit_is_the_arguments_else_the_connections_else_the_default(
    given: dict[str, float], extra: dict[str, Any], expected: Limits
) -> None:
    assert Limits.of(given, extra, "orders_api") == expected


@pytest.mark.parametrize(
    "value", [0, -1, "many", "nan", "inf", True, [], "1.5", "1e3"], ids=lambda value: repr(value)
)
def test_a_limit_of_the_connection_that_is_none_names_connection_and_field(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "paged_api", "host": "shop.invalid", "extra": {"attempts": value}}
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_API", json.dumps(connection))
    with pytest.raises(PagedApiError) as caught:
        list(PagedApiHook("orders_api").api_pages("orders", CursorPaging("orders", "next")))
    assert "orders_api" in str(caught.value) and f"attempts is {value!r}" in str(caught.value)


def test_the_limits_of_a_connection_are_no_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"attempts": 3, "max_bytes": 10_000, "X-Team": "orders"}
    connection = {"conn_type": "paged_api", "host": "shop.invalid", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ORDERS_API", json.dumps(connection))
    headers = PagedApiHook("orders_api").get_conn().headers
    assert headers["X-Team"] == "orders"
    assert not {"attempts", "max_bytes"} & set(headers)


def test_a_session_that_met_its_time_limit_serves_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = http_answer(b'{"items": []}')
    drips = Dripping(HEAD)
    turns = iter([drips, lambda connection, _: connection.sendall(whole)])
    with raw_server(lambda connection, over: next(turns)(connection, over)) as server:
        monkeypatch.setenv("AIRFLOW_CONN_API", server.url)
        (page,) = pages(Hook(total_timeout=0.3))
    assert (page.raw, drips.left) == ([], [True])


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_over_the_limit_is_not_read_to_its_end_nor_asked_for_again(
    api: ScriptedApi, packed: bool
) -> None:
    body = b"[" + b" " * 300_000 + b"]"
    headers = {"Content-Encoding": "gzip"} if packed else None
    content = gzip.compress(body) if packed else body
    api.answers.append(Response(content, 200, headers, "application/json"))
    error = refused(Hook(max_bytes=100_000))
    assert "100,000 bytes" in str(error) and "(max_bytes)" in str(error)
    assert (len(api.asked), error.transient) == (1, False)


def test_of_several_link_headers_each_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    links = ("Link: </orders?page=9>; rel=last", "link: </orders?page=2>; rel=Next")
    answers = iter([http_answer(b"[1]", *links), http_answer(b"[2]")])
    with raw_server(lambda connection, _: connection.sendall(next(answers))) as server:
        monkeypatch.setenv("AIRFLOW_CONN_API", server.url)
        assert [page.records for page in pages(Hook(), LinkPaging())] == [[1], [2]]
        assert server.asked[1].startswith(b"GET /orders?page=2 ")


def test_a_limit_that_no_double_holds_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"timeout is 1000.*it must be a number over 0"):
        Limits.of({}, {"timeout": 10**400}, "orders_api")
