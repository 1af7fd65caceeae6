"""A session is what its connection says, whether that stands there as JSON has it, as a URL does, or as a form."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
import requests
from airflow.sdk.log import redact  # type: ignore[attr-defined]
from raw_server import Dripping, http_answer, raw_server
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from answering import answering
from feira_provider.hooks.paged_api import PagedApiError, PagedApiHook
from feira_provider.hooks.paging import CursorPaging
from feira_provider.triggers.http_available import ask

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


@pytest.mark.parametrize("extra", [{}, {"Authorization": None}, {"X-Key": "k"}])
@pytest.mark.parametrize("login", [None, ""])
def test_a_password_without_a_login_is_a_token_and_masked(
    connect: Any, login: str | None, extra: dict[str, Any]
) -> None:
    connect(login=login, password=SECRET, extra=extra)
    assert sent()["Authorization"] == f"Bearer {SECRET}"
    assert redact(f"{sent()}", "headers").count("***") == 1
    assert SECRET not in redact(f"{sent()}", "headers")


def test_a_token_goes_before_what_a_netrc_has(
    connect: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine shop.invalid login u password p\n")
    monkeypatch.setenv("NETRC", str(netrc))
    connect(password=SECRET)
    assert sent()["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
def test_an_authorization_that_is_stated_goes_before_the_token(connect: Any, name: str) -> None:
    connect(password=SECRET, extra={name: "ApiKey other"})
    assert sent()["Authorization"] == "ApiKey other"
    connect(password=SECRET)
    given = PagedApiHook("api").get_conn({name: "ApiKey given"})
    asked = given.prepare_request(requests.Request("GET", "http://shop.invalid/"))
    assert asked.headers["Authorization"] == "ApiKey given"


def test_an_auth_type_and_a_login_go_before_the_token_and_no_password_is_none(connect: Any) -> None:
    class Signed(requests.auth.AuthBase):
        def __call__(self, request: Any) -> Any:
            request.headers["Authorization"] = "Signed"
            return request

    connect(password=SECRET)
    signing = PagedApiHook("api", auth_type=Signed).get_conn()
    asked = signing.prepare_request(requests.Request("GET", "http://shop.invalid/"))
    assert asked.headers["Authorization"] == "Signed"
    connect(login="u", password="w")
    assert sent()["Authorization"] == "Basic dTp3"
    for password in (None, ""):
        connect(password=password)
        assert "Authorization" not in sent()


def test_a_token_is_not_sent_where_a_redirect_leads_to_another_host(connect: Any) -> None:
    """Neither by ``run``, which follows it, nor for pages, which do not."""
    with answering({"/": (200, b"")}) as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        moved = f"HTTP/1.1 302 x\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n".encode()
        with raw_server(lambda connection, _: connection.sendall(moved)) as home:
            connect(host=home.url, password=SECRET)
            assert PagedApiHook("api").run().status_code == 200
            assert "another origin" in str(refused())
        assert [each.count(f"Bearer {SECRET}".encode()) for each in home.asked] == [1, 1]
    assert ["authorization" in asked for asked in other.asked] == [False]


@pytest.mark.parametrize(
    "token", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\r\nX: y", f"{SECRET}€", " "]
)
def test_what_no_token_can_be_is_refused_and_not_quoted(connect: Any, token: str) -> None:
    connect(password=token)
    message = str(refused())
    assert message.startswith("Connection api cannot be used: its password is sent as a token")
    assert SECRET not in message
    connect(password=token, extra={"Authorization": "Bearer other"})
    assert sent()["Authorization"] == "Bearer other"


def pages(_: str) -> None:
    assert list(PagedApiHook("api", attempts=1).api_pages("orders", CursorPaging()))


def status(_: str) -> None:
    assert ask("api", "orders")[1] == "200"


@pytest.mark.parametrize("asked", [pages, status])
@pytest.mark.parametrize("key", ["http", "all", "http://shop.invalid", "all://shop.invalid"])
@pytest.mark.parametrize("no_proxy", [None, "shop.invalid"])
def test_a_connections_own_proxy_goes_before_the_environments(
    connect: Any,
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[str], None],
    key: str,
    no_proxy: str | None,
) -> None:
    answers = {"http://shop.invalid/orders": (200, b'{"items": []}')}
    with answering(answers) as own, answering(answers) as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, no_proxy or "")
        connect(extra={"proxies": {key: own.url}})
        asked("orders")
        assert (len(own.asked), len(other.asked)) == (1, 0)


@pytest.mark.parametrize(
    "extra", [{}, {"proxies": {}}, {"proxies": {"https": "http://proxy.invalid"}}]
)
@pytest.mark.parametrize("asked", [pages, status])
def test_where_a_connection_has_no_proxy_for_the_url_the_environments_is_taken(
    connect: Any,
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[str], None],
    extra: dict[str, Any],
) -> None:
    with answering({"http://shop.invalid/orders": (200, b'{"items": []}')}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        connect(extra=extra)
        asked("orders")
        assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("stated", "certificate"),
    [
        (["/c.pem", "/k.pem"], ("/c.pem", "/k.pem")),
        ("/both.pem", "/both.pem"),
        ("", None),
        (None, None),
    ],
)
def test_a_certificate_is_a_path_or_two(connect: Any, stated: Any, certificate: Any) -> None:
    connect(extra={"cert": stated})
    assert session().cert == certificate


@pytest.mark.parametrize(
    "stated",
    [[], ["/c.pem"], ["/c.pem", ""], ["/c.pem", None], ["/c", "/k", "/p"], {"c": "k"}, 5, True],
)
def test_what_is_no_certificate_is_refused_by_its_name(connect: Any, stated: Any) -> None:
    connect(extra={"cert": stated})
    assert str(refused()).startswith("Connection api cannot be used: the extra field cert must be")


def test_two_paths_of_a_certificate_that_are_not_there_are_no_traceback(connect: Any) -> None:
    connect(host="https://127.0.0.1:9", extra={"cert": ["/no/cert.pem", "/no/key.pem"]})
    assert "/no/cert.pem" in str(refused())


@pytest.mark.parametrize(
    "stated",
    [
        "paged-api://127.0.0.1:{port}/?timeout=5&attempts=1",
        "paged-api://127.0.0.1:{port}/http?timeout=&attempts=2&allow_redirects=true",
        '{{"conn_type": "paged_api", "host": "http://127.0.0.1:{port}", "extra": {{"timeout": ""}}}}',
        '{{"conn_type": "paged_api", "host": "http://127.0.0.1:{port}", "extra": {{"timeout": "2.5"}}}}',
        '{{"conn_type": "paged_api", "host": "http://127.0.0.1:{port}"}}',
    ],
)
def test_a_connection_that_works_is_tested_with_success(
    monkeypatch: pytest.MonkeyPatch, stated: str
) -> None:
    with raw_server(lambda connection, _: connection.sendall(http_answer(b""))) as server:
        port = server.url.rpartition(":")[2]
        monkeypatch.setenv("AIRFLOW_CONN_API", stated.format(port=port))
        assert PagedApiHook("api").test_connection() == (True, "Connection successfully tested")


def test_run_takes_its_limit_and_switches_as_they_are_meant(connect: Any) -> None:
    connect(extra={"timeout": "7", "allow_redirects": "false", "check_response": ""})
    hook = PagedApiHook("api")
    hook.get_conn()
    assert hook.merged_extra == {"timeout": 7.0, "allow_redirects": False, "check_response": True}
    hook.get_conn(extra_options={"timeout": (1, 2), "check_response": False})
    assert (hook.merged_extra["timeout"], hook.merged_extra["check_response"]) == ((1, 2), False)
    connect(extra={"timeout": "soon"})
    assert str(refused()).startswith("connection api: the extra field timeout is 'soon'")


@pytest.mark.parametrize("stated", [True, "true", "yes", "1"])
def test_a_look_up_by_srv_is_refused_and_not_left_out(connect: Any, stated: Any) -> None:
    connect(host="_http._tcp.shop.invalid", extra={"srv_lookup": stated})
    assert "Connection api" in (message := str(refused())) and "srv_lookup is true" in message
    passed, tested = PagedApiHook("api").test_connection()
    assert (passed, tested) == (False, message)


@pytest.mark.parametrize("stated", [False, "false", "", None])
def test_no_look_up_by_srv_is_no_header(connect: Any, stated: Any) -> None:
    connect(extra={"srv_lookup": stated})
    assert "srv_lookup" not in sent()


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
        ({"srv_lookup": "maybe"}, "srv_lookup is 'maybe'"),
        ({"allow_redirects": "maybe"}, "allow_redirects is 'maybe'"),
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
