"""Jars are fetched by the proxy that the environment names, with its login, and directly where it says so."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from feira_local.stack import ivy
from feira_local.stack.errors import StackError
from feira_local.stack.proxy import java_properties

JAR = ("org.example:a:1", False)
MIRROR = "http://nexus.test/maven"
PASSWORD = 'p@s:s/#% "\\$x'
LOGIN = "me%40corp:p%40s%3As%2F%23%25%20%22%5C%24x"


class Proxy:
    """What a proxy was asked for, with the logins that it was given."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.asked: list[str] = []
        self.logins: set[str] = set()


@contextmanager
def proxy(*, login: str | None = None, tunnels: int = 403) -> Iterator[Proxy]:
    """A proxy that has every file, opens no tunnel, and asks for a login where it has one."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            found.asked.append(f"{self.command} {self.path}")
            given = self.headers.get("Proxy-Authorization", "").removeprefix("Basic ")
            found.logins.add(base64.b64decode(given).decode("latin-1"))
            denied = login is not None and login not in found.logins
            self.send_response(407 if denied else tunnels if self.command == "CONNECT" else 200)
            if denied:
                self.send_header("Proxy-Authenticate", 'Basic realm="x"')
            body = b"" if denied or self.command == "CONNECT" else b"a jar"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_GET = do_HEAD = do_CONNECT = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Proxy(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy_of_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("FEIRA_MAVEN_MIRROR", raising=False)


def fetched(scratch: Path) -> list[str]:
    """The jars that Ivy has retrieved, once it has ended."""
    process = ivy.start(scratch, [JAR], poms=False, excludes=())
    process.wait(60)
    # What every user of the machine sees.
    assert isinstance(process.args, list)
    assert not [word for word in process.args if "s:s" in str(word) or "corp" in str(word)]
    return sorted(path.name for path in scratch.glob("out/*.jar"))


def test_a_jar_comes_by_a_proxy_with_a_login_that_nobody_else_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = f"me@corp:{PASSWORD}"
    with proxy(login=login) as found:
        monkeypatch.setenv("HTTP_PROXY", f"http://{LOGIN}@{found.address}/")
        monkeypatch.setenv("FEIRA_MAVEN_MIRROR", MIRROR)
        assert fetched(tmp_path / "0") == ["a-1.jar"]
    assert found.logins == {"", login}
    assert f"GET {MIRROR}/org/example/a/1/a-1.jar" in found.asked
    holders = [path for path in (tmp_path / "0").iterdir() if path.is_file()]
    told = [path for path in holders if "me@corp" in path.read_text(errors="replace")]
    assert [(path.name, path.stat().st_mode & 0o777) for path in told] == [("java.options", 0o600)]


def test_a_tunnel_is_asked_for_with_the_login_and_its_refusal_is_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = f"me@corp:{PASSWORD}"
    with proxy(login=login) as found:
        monkeypatch.setenv("https_proxy", f"{LOGIN}@{found.address}")
        assert fetched(tmp_path / "0") == []
    assert found.logins == {"", login}
    assert set(found.asked) == {"CONNECT repo1.maven.org:443"}
    line = ivy.error_line(tmp_path / "0" / "ivy.log")
    assert 'Unable to tunnel through proxy. Proxy returns "HTTP/1.0 403' in line


@pytest.mark.parametrize("mirror", [MIRROR, "https://nexus.test/maven"])
def test_a_login_that_is_missing_is_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.setenv("FEIRA_MAVEN_MIRROR", mirror)
    with proxy(login="me:secret") as found:
        monkeypatch.setenv("ALL_PROXY", f"http://{found.address}")
        assert fetched(tmp_path / "0") == []
    line = ivy.error_line(tmp_path / "0" / "ivy.log")
    assert line == "Your proxy requires authentication."


@pytest.mark.parametrize(
    ("mirror", "env", "asked"),
    [
        ("https://a.test/m", {"HTTP_PROXY": "http://p:1"}, {}),
        ("http://a.test/m", {"HTTPS_PROXY": "http://p:1"}, {}),
        ("https://a.test/m", {"HTTPS_PROXY": ""}, {}),
        ("https://a.test/m", {"HTTPS_PROXY": "p"}, {"https": ("p", "3128")}),
        ("https://a.test/m", {"HTTPS_PROXY": " http://p:1 "}, {"https": ("p", "1")}),
        ("https://a.test/m", {"HTTPS_PROXY": "http://[::1]:8"}, {"https": ("::1", "8")}),
        (
            "http://a.test/m",
            {"HTTP_PROXY": "http://p:1", "all_proxy": "q:2"},
            {"http": ("p", "1")},
        ),
        ("http://a.test/m", {"all_proxy": "q:2"}, {"http": ("q", "2")}),
        ("http://a.test/m", {"http_proxy": "p:1", "NO_PROXY": "b.test, a.test"}, {}),
        ("http://a.test/m", {"http_proxy": "p:1", "NO_PROXY": ".test"}, {}),
        ("http://a.test/m", {"http_proxy": "p:1", "no_proxy": "*"}, {}),
        ("http://10.1.2.3/m", {"http_proxy": "p:1", "no_proxy": "10.0.0.0/8"}, {}),
        ("http://a.test:81/m", {"http_proxy": "p:1", "no_proxy": "a.test:81"}, {}),
        ("http://a.test/m", {"http_proxy": "p:1", "no_proxy": "a.test:81"}, {"http": ("p", "1")}),
        ("http://a.test/m", {"http_proxy": "p:1", "no_proxy": "b.test"}, {"http": ("p", "1")}),
        ("http://a.test/m", {"http_proxy": "socks5://p:1", "no_proxy": "a.test"}, {}),
    ],
)
def test_java_goes_the_way_that_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
    mirror: str,
    env: dict[str, str],
    asked: dict[str, tuple[str, str]],
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    expected = {
        f"{scheme}.proxy{part}": value
        for scheme, parts in asked.items()
        for part, value in zip(("Host", "Port"), parts, strict=True)
    }
    assert java_properties(mirror) == expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://proxy:80 80", "'http://proxy:80 80'"),
        ("http://:3128", "'http://:3128'"),
        ("http://proxy:99999", "'http://proxy:99999'"),
        ("http://proxy:0", "'http://proxy:0'"),
        ("https://proxy:3128", "'https://proxy:3128'"),
        ("pro xy", "'pro xy'"),
        ("http://me:s3cret/@proxy:3128", "not shown"),
        ("http://me:s3cret%40proxy:3128", "not shown"),
        ("http://me:s3cret%0A@proxy:3128", "not shown"),
        ("socks5h://me:s3cret@proxy:1080", "not shown"),
        ("http://me:s3cret@[::1", "not shown"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_java_cannot_be_told_of_is_refused_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, url: str, shown: str
) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(StackError) as refused:
        ivy.start(tmp_path / "0", [JAR], poms=False, excludes=())
    message = str(refused.value)
    assert message.startswith(f"{variable} is no proxy of HTTP")
    assert shown in message and "http://HOST:PORT" in message
    assert "s3cret" not in message


@pytest.mark.parametrize(
    ("mirror", "shown"),
    [
        ("nexus/maven", "'nexus/maven'"),
        ("http:///maven", "'http:///maven'"),
        ("ftp://nexus/maven", "'ftp://nexus/maven'"),
        ("me:s3cret@nexus/maven", "not shown"),
        ("https://me:s3cret@[::1/maven", "not shown"),
    ],
)
def test_a_mirror_that_is_no_url_is_refused_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str, shown: str
) -> None:
    monkeypatch.setenv("FEIRA_MAVEN_MIRROR", mirror)
    with pytest.raises(StackError, match="FEIRA_MAVEN_MIRROR is no URL") as refused:
        ivy.start(tmp_path / "0", [JAR], poms=False, excludes=())
    assert shown in str(refused.value) and "s3cret" not in str(refused.value)


def test_a_mirror_may_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "mirror" / "org" / "example" / "a" / "1" / "a-1.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"a jar")
    monkeypatch.setenv("FEIRA_MAVEN_MIRROR", (tmp_path / "mirror").as_uri())
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    assert fetched(tmp_path / "0") == ["a-1.jar"]
