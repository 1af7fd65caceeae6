"""A session is what its connection says, whether that stands there as JSON has it, as a URL does, or as a form."""

from __future__ import annotations

import base64
import json
import socket
from typing import Any

import pytest
import requests
from raw_server import Dripping, raw_server
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from feira_provider.hooks.paged_api import PagedApiError, PagedApiHook
from feira_provider.hooks.paging import CursorPaging

SECRET = "hunter2-secret"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the connection ``api``."""

    def connected(**fields: Any) -> None:
        fields = {"conn_type": "paged_api", "host": "shop.invalid"} | fields
        monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(fields))

    return connected


def session() -> requests.Session:
    return PagedApiHook("api").get_conn()


def sent() -> Any:
    return session().prepare_request(requests.Request("GET", "http://shop.invalid/")).headers


def refused(**options: Any) -> PagedApiError:
    def never(_: float) -> None:
        raise AssertionError("asked again")

    class Hook(PagedApiHook):
        _sleep = staticmethod(never)

    with pytest.raises(PagedApiError) as failure:
        list(Hook("api", attempts=3, **options).api_pages("orders", CursorPaging()))
    assert not failure.value.transient
    return failure.value


def test_a_number_is_sent_as_its_text_and_what_is_null_is_not_sent(connect: Any) -> None:
    connect(extra={"X-Tenant": 42, "X-Rate": 1.5, "X-None": None, "X-Team": "orders"})
    headers = sent()
    assert (headers["X-Tenant"], headers["X-Rate"], headers["X-Team"]) == ("42", "1.5", "orders")
    assert "X-None" not in headers


@pytest.mark.parametrize("value", [True, [SECRET], {"a": SECRET}, f"{SECRET} ż"])
def test_what_no_header_can_be_is_refused_by_its_name(connect: Any, value: Any) -> None:
    connect(extra={"X-Key": value})
    message = str(refused())
    assert "Connection api" in message and "X-Key" in message and SECRET not in message


@pytest.mark.parametrize(
    ("login", "password", "pair"),
    [
        ("u", None, "u:"),
        ("u", "", "u:"),
        ("u", "zażółć€", "u:zażółć€"),
        ("josé", "senhá", "josé:senhá"),
        ("u:v", "w", "u:v:w"),
    ],
)
def test_login_and_password_are_sent_in_utf8_and_no_password_is_an_empty_one(
    connect: Any, login: str, password: str | None, pair: str
) -> None:
    connect(login=login, password=password)
    assert sent()["Authorization"] == "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("stated", "verify"),
    [("false", False), ("False", False), (False, False), ("true", True), ("", True), (None, True),
     ("/etc/ca.pem", "/etc/ca.pem")],
)  # fmt: skip
def test_certificates_are_verified_unless_the_connection_says_otherwise(
    connect: Any, stated: Any, verify: Any
) -> None:
    connect(extra={"verify": stated})
    assert session().verify == verify


@pytest.mark.parametrize("blank", ["", None])
def test_a_blank_option_is_not_stated(connect: Any, blank: str | None) -> None:
    names = ("max_redirects", "trust_env", "verify", "cert", "proxies", "stream", "timeout")
    connect(extra=dict.fromkeys(names, blank))
    found, usual = session(), requests.Session()
    options = ("max_redirects", "trust_env", "verify", "proxies")
    assert {each: getattr(found, each) for each in options} == {
        each: getattr(usual, each) for each in options
    }
    assert found.headers == usual.headers and not found.cert


def test_switches_and_numbers_may_be_texts(connect: Any) -> None:
    connect(extra={"trust_env": "no", "max_redirects": "5", "proxies": ""})
    found = session()
    assert (found.trust_env, found.max_redirects, found.proxies) == (False, 5, {})


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"trust_env": "maybe"}, "trust_env is 'maybe'"),
        ({"max_redirects": "many"}, "max_redirects is 'many'"),
        ({"max_redirects": -1}, "max_redirects is -1"),
        ({"proxies": f"http://u:{SECRET}@proxy.invalid"}, "proxies must be an object"),
        ([SECRET], "extra must be a JSON object"),
    ],
)
def test_an_option_of_another_type_is_refused_by_its_name(
    connect: Any, extra: Any, words: str
) -> None:
    connect(extra=extra)
    message = str(refused())
    assert "Connection api" in message and words in message and SECRET not in message


@pytest.mark.parametrize(
    ("host", "extra", "words"),
    [
        ("https://127.0.0.1:9", {"verify": "/no/ca.pem"}, "/no/ca.pem"),
        ("https://127.0.0.1:9", {"cert": "/no/cert.pem"}, "/no/cert.pem"),
        ("http://shop..invalid", {}, "LocationParseError"),
        (f"http://{'a' * 70}.invalid", {}, "LocationParseError"),
        ("http://127.0.0.1:9", {"X-Key": f"{SECRET}\n"}, "InvalidHeader"),
        (f"http://u:{SECRET}@shop.invalid:port", {}, "InvalidURL"),
    ],
)
def test_what_cannot_be_asked_is_no_traceback_and_not_asked_again(
    connect: Any, host: str, extra: dict[str, Any], words: str
) -> None:
    connect(host=host, extra=extra)
    message = str(refused())
    assert "orders, page 1: " in message and words in message and SECRET not in message
    assert message.endswith("check the connection api.")


def test_a_host_that_is_no_url_is_not_quoted(connect: Any) -> None:
    connect(host=f"http://u:{SECRET}@[::1")
    assert str(refused()) == "Connection api cannot be used: its host is no URL."


@pytest.mark.parametrize(
    ("host", "base"),
    [
        ("::1", "http://[::1]:8080"),
        ("2001:db8::1", "http://[2001:db8::1]:8080"),
        ("[::1]", "http://[::1]:8080"),
        ("127.0.0.1", "http://127.0.0.1:8080"),
    ],
)
def test_a_bare_ipv6_address_has_brackets_in_a_url(connect: Any, host: str, base: str) -> None:
    connect(host=host, port=8080)
    hook = PagedApiHook("api")
    hook.get_conn()
    assert hook.url_of("/orders") == f"{base}/orders"


def test_a_connection_that_is_given_as_a_url_may_have_an_ipv6_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_API", "paged-api://[2001:db8::1]:8080/https?attempts=2")
    hook = PagedApiHook("api")
    hook.get_conn()
    assert hook.url_of("orders") == "https://[2001:db8::1]:8080/orders"


def test_pools_that_connect_in_a_way_of_their_own_go_on_doing_so_and_end_in_time(
    connect: Any,
) -> None:
    """As those of a SOCKS proxy do, which alone knows the way to the host."""
    drips = Dripping(b"HTTP/1.1 200 OK\r\n", b"X")
    with raw_server(drips) as server:
        port = int(server.url.rpartition(":")[2])

        class Tunnel(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return socket.create_connection(("127.0.0.1", port))

        class TunnelPool(HTTPConnectionPool):
            ConnectionCls = Tunnel

        adapter = HTTPAdapter()
        adapter.poolmanager.pool_classes_by_scheme = {"http": TunnelPool}
        connect()
        hook = PagedApiHook("api", attempts=1, total_timeout=0.3, timeout=5, adapter=adapter)
        with pytest.raises(PagedApiError, match=r"0\.3 s"):
            list(hook.api_pages("orders", CursorPaging()))
    assert b"\r\nHost: shop.invalid\r\n" in server.asked[0]
    assert drips.left == [True]
