"""Waiting for a service: through refused connections and errors, up to a deadline."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from raw_server import Dripping, http_answer, raw_server
from werkzeug.serving import make_ssl_devcert

from answering import answering
from feira_provider.hooks.missing import MissingConnectionError
from feira_provider.hooks.paged_api import PagedApiHook
from feira_provider.sensors.http_available import HttpAvailableSensor
from feira_provider.triggers.http_available import HttpAvailableTrigger, ask


class Answers(BaseHTTPRequestHandler):
    """Answers 503 as often as ``refusals`` says, then 200; 401 to whom it does not know. ``moved`` is where it sends
    everybody instead, and ``asked`` who came with which key."""

    refusals = 0
    moved = ""
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        type(self).asked.append((self.headers["Host"], self.headers["X-Api-Key"]))
        if self.moved and self.path == "/health":
            self.send_response(302)
            self.send_header("Location", self.moved)
            self.end_headers()
            return
        known = self.headers["Authorization"] == "Bearer sesame" and self.path == "/health"
        status = (503 if type(self).refusals > 0 else 200) if known else 401
        type(self).refusals -= 1
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def connect(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    connection = {
        "conn_type": "http",
        "host": "127.0.0.1",
        "port": port,
        "extra": {"Authorization": "Bearer sesame"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(connection))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The service, and the connection ``api`` that leads to it; its port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    connect(monkeypatch, server.server_port)
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_service_that_never_ends_its_answer_is_not_available_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("feira_provider.triggers.http_available._TIMEOUT", 0.3)
    drips = Dripping(b"HTTP/1.1 200 OK\r\n", b"X")
    with raw_server(drips) as slow:
        connect(monkeypatch, int(slow.url.rpartition(":")[2]))
        sensor = HttpAvailableSensor(task_id="wait", http_conn_id="api")
        assert sensor.poke({}) is False
    assert drips.left == [True]


def test_a_redirect_is_no_answer_of_the_service_and_no_key_goes_where_it_leads(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"X-Api-Key": "sesame"}
    connection = {"conn_type": "http", "host": "127.0.0.1", "port": server, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(connection))
    monkeypatch.setattr(Answers, "moved", f"http://localhost:{server}/login")
    monkeypatch.setattr(Answers, "asked", asked := [])
    assert HttpAvailableSensor(task_id="wait", http_conn_id="api").poke({}) is False
    answer = "302, a redirect, which is not followed"
    assert event(waiting(time.time())) == {"status": "timeout", "message": answer}
    assert asked == [(f"127.0.0.1:{server}", "sesame")] * 2


MOVED = "302, a redirect, which is not followed"
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "drip", "answer"),
    [
        (http_answer(b"x" * 2**21), b"", "200"),
        (ENDLESS, b"1\r\nx\r\n", "200"),
        (http_answer(b"no gzip", "Content-Encoding: gzip"), b"", "200"),
        (http_answer(b"half", length=40), b"", "200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /gr\xf6\xdfe\r\n\r\n", b"", MOVED),
        (b"HTTP/1.1 302 Found\r\nLocation: http://[x/\r\n\r\n", b"", MOVED),
        (
            b"HTTP/1.1 307 Moved\r\nLocation: http://x:99999/\r\n\r\n",
            b"",
            MOVED.replace("302", "307"),
        ),
        (
            b"HTTP/1.1 503 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            b"",
            "UnreadableAnswerError: InvalidHeader",
        ),
        (b"SSH-2.0-x\r\n", b"", "ConnectionError"),
    ],
)
def test_the_status_alone_says_whether_a_service_is_up(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, drip: bytes, answer: str
) -> None:
    def answered(connection: socket.socket, over: threading.Event) -> None:
        if drip:
            Dripping(sent, drip)(connection, over)
        else:
            connection.sendall(sent)

    with raw_server(answered) as service:
        connect(monkeypatch, int(service.url.rpartition(":")[2]))
        assert ask("api", "health") == (f"{service.url}/health", answer)
        late = {"status": "timeout", "message": answer}
        assert event(waiting(time.time())) == ({"status": "available"} if answer == "200" else late)


@pytest.mark.parametrize(("host", "endpoint"), [("", "/health"), ("/", "health"), ("/", "/health")])
def test_slashes_where_address_and_path_meet_are_one(
    server: int, monkeypatch: pytest.MonkeyPatch, host: str, endpoint: str
) -> None:
    extra = {"Authorization": "Bearer sesame"}
    connection = {"conn_type": "http", "host": f"http://127.0.0.1:{server}{host}", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(connection))
    monkeypatch.setattr(Answers, "refusals", 1)
    sensor = HttpAvailableSensor(
        task_id="wait", http_conn_id="api", endpoint=endpoint, deferrable=True
    )
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute({})
    assert sensor.poke({}) is True
    assert event(deferred.value.trigger) == {"status": "available"}


def waiting(deadline: float) -> HttpAvailableTrigger:
    return HttpAvailableTrigger("api", "health", 0.01, deadline)


def event(trigger: HttpAvailableTrigger) -> Any:
    async def first() -> Any:
        return (await anext(trigger.run())).payload

    return asyncio.run(first())


class Holds(Answers):
    """Answers ``/live`` at once, and whatever else when somebody has asked for that. ``done`` is in which order."""

    live: ClassVar[threading.Event]
    done: ClassVar[list[str]]

    def do_GET(self) -> None:
        if self.path != "/live":
            self.live.wait(60)
        self.done.append(self.path)
        self.live.set()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


class Busy(ThreadingHTTPServer):
    request_queue_size = 128


def test_services_that_hang_keep_none_waiting_that_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feira_provider.triggers.http_available._TIMEOUT", 120)
    monkeypatch.setattr(Holds, "live", threading.Event(), raising=False)
    monkeypatch.setattr(Holds, "done", done := [], raising=False)

    async def fired(endpoint: str) -> Any:
        trigger = HttpAvailableTrigger("api", endpoint, 0.01, time.time() + 600)
        return (await anext(trigger.run())).payload

    async def all_of_them() -> list[Any]:
        # More than the event loop's own threads are on any machine.
        hung = [asyncio.create_task(fired("hung")) for _ in range(40)]
        await asyncio.sleep(0)
        return await asyncio.gather(fired("live"), *hung)

    with Busy(("127.0.0.1", 0), Holds) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connect(monkeypatch, server.server_port)
        assert asyncio.run(all_of_them()) == [{"status": "available"}] * 41
        server.shutdown()
    assert done == ["/live", *["/hung"] * 40]


NO_ANSWER = "none: no answer came, or the triggerer had no thread free to ask"


def test_a_question_that_hangs_takes_one_thread_and_is_not_blamed_on_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the connection's secrets back end does not answer, or the look-up of the host's name."""
    place = "feira_provider.triggers.http_available."
    monkeypatch.setattr(f"{place}_TIMEOUT", 0.05)
    over = threading.Event()
    asked: list[str] = []

    def hanging(conn_id: str, endpoint: str) -> tuple[str, str]:
        asked.append(endpoint)
        over.wait(60)
        return endpoint, "200"

    monkeypatch.setattr(f"{place}ask", hanging)
    found = event(HttpAvailableTrigger("api", "health", 0, time.time() + 1))
    over.set()
    assert (found, asked) == ({"status": "timeout", "message": NO_ANSWER}, ["health"])


@pytest.mark.parametrize(
    ("asked_before", "message"),
    [(False, NO_ANSWER), (True, "503")],
)
def test_a_deadline_is_kept_where_no_thread_is_free_and_nothing_is_asked_after_it(
    monkeypatch: pytest.MonkeyPatch, asked_before: bool, message: str
) -> None:
    place = "feira_provider.triggers.http_available."
    monkeypatch.setattr(f"{place}_THREADS", threads := ThreadPoolExecutor(1))
    over = threading.Event()
    trigger = HttpAvailableTrigger("api", "health", 0, time.time() + 600)
    asked: list[str] = []

    def taken() -> None:
        """From here on no thread is free, and the deadline is near."""
        threads.submit(over.wait, 60)
        monkeypatch.setattr(f"{place}_TIMEOUT", 0.05)
        trigger.deadline = time.time() + 0.1

    def answered(conn_id: str, endpoint: str) -> tuple[str, str]:
        asked.append(endpoint)
        if len(asked) == 1:
            taken()
        return endpoint, "503"

    monkeypatch.setattr(f"{place}ask", answered)
    if not asked_before:
        taken()
    assert event(trigger) == {"status": "timeout", "message": message}
    over.set()
    threads.shutdown()
    assert asked == ["health"] * asked_before


def test_it_fires_when_the_service_has_come_up(server: int) -> None:
    Answers.refusals = 3
    assert event(waiting(time.time() + 30)) == {"status": "available"}
    assert Answers.refusals == -1


def test_where_the_deadline_is_nearer_than_the_next_question_it_asks_once_more_then(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "refusals", 1)
    monkeypatch.setattr(Answers, "asked", asked := [])
    trigger = HttpAvailableTrigger("api", "health", 3600, time.time() + 600)
    slept: list[float] = []

    async def until_the_deadline(seconds: float) -> None:
        slept.append(seconds)
        trigger.deadline = time.time()

    asleep = SimpleNamespace(sleep=until_the_deadline)
    monkeypatch.setattr("feira_provider.triggers.http_available.asyncio", asleep)
    assert event(trigger) == {"status": "available"}
    assert len(asked) == 2 and [0 < seconds <= 600 for seconds in slept] == [True]


def test_at_the_deadline_it_says_what_the_last_answer_was(server: int) -> None:
    Answers.refusals = 10**6
    assert event(waiting(time.time())) == {"status": "timeout", "message": "503"}


def test_nobody_listening_is_not_yet_and_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, 9)
    found = event(waiting(time.time()))
    assert found["status"] == "timeout"
    assert found["message"] == "ConnectionError"


def test_a_trigger_is_made_again_from_what_it_serializes() -> None:
    path, arguments = HttpAvailableTrigger("api", "health", 5, 123.0).serialize()
    assert path == "feira_provider.triggers.http_available.HttpAvailableTrigger"
    assert HttpAvailableTrigger(**arguments).serialize() == (path, arguments)


def given(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    connection = {"conn_type": "paged_api", "host": "http://shop.invalid"} | fields
    monkeypatch.setenv("AIRFLOW_CONN_API", json.dumps(connection))


def looks() -> list[Any]:
    """What the first look says, and what the wait does."""
    return [sensor().poke({}), event(waiting(time.time()))]


UP = [True, {"status": "available"}]


@pytest.mark.parametrize("proxy_of", ["connection", "environment"])
def test_the_wait_goes_through_the_proxy_that_the_first_look_goes_through(
    monkeypatch: pytest.MonkeyPatch, proxy_of: str
) -> None:
    with answering({"http://shop.invalid/health": (200, b"")}) as proxy:
        given(monkeypatch)
        if proxy_of == "connection":
            given(monkeypatch, extra={"proxies": {"http": proxy.url}})
        else:
            monkeypatch.setenv("http_proxy", proxy.url)
        assert looks() == UP
        assert len(proxy.asked) == 2


@pytest.mark.parametrize("authority_of", ["connection", "environment"])
def test_the_wait_trusts_the_authority_that_the_first_look_trusts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority_of: str
) -> None:
    certificate, key = make_ssl_devcert(str(tmp_path / "server"), host="localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with raw_server(lambda connection, _: connection.sendall(http_answer(b"")), tls) as service:
        home = service.url.replace("127.0.0.1", "localhost")
        given(monkeypatch, host=home)
        if authority_of == "connection":
            given(monkeypatch, host=home, extra={"verify": certificate})
        else:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
        assert looks() == UP


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"login": "u"}, {"authorization": "Basic dTo="}),
        ({"login": "u:v", "password": "w"}, {"authorization": "Basic dTp2Onc="}),
        ({"password": "token"}, {"authorization": "Bearer token"}),
        ({"login": "u", "password": "\u20ac"}, {"authorization": "Basic dTrigqw="}),
        ({"extra": {"attempts": 5, "max_bytes": "1000", "X-Tenant": 42}}, {"x-tenant": "42"}),
    ],
)
def test_the_wait_sends_what_the_first_look_sends_and_no_limit(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], sent: dict[str, str]
) -> None:
    with answering({"/health": (200, b"")}) as service:
        given(monkeypatch, host=service.url, **fields)
        assert looks() == UP
    usual = {"host", "user-agent", "accept-encoding", "accept", "connection"}
    own = [{n: v for n, v in asked.items() if n not in usual} for asked in service.asked]
    assert own == [sent, sent]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"extra": {"X-Key": "secret\n"}}, "cannot be asked (InvalidHeader); check the connection api"),
        ({"extra": {"X-Key": ["secret"]}}, "Connection api cannot be used: the extra field X-Key"),
        ({"host": "https://localhost:9", "extra": {"verify": "/no.pem"}}, "path: /no.pem); check"),
    ],
)  # fmt: skip
def test_a_connection_that_cannot_be_used_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], words: str
) -> None:
    given(monkeypatch, **fields)
    with pytest.raises(AirflowFailException) as first:
        sensor().execute({})
    fired = event(waiting(time.time() + 60))
    assert fired["status"] == "error"
    with pytest.raises(AirflowFailException) as last:
        sensor().execute_complete({}, fired)
    for failure in (first, last):
        assert words in str(failure.value) and "secret" not in str(failure.value)


def test_a_connection_that_is_not_there_is_not_waited_for() -> None:
    with pytest.raises(AirflowFailException, match="no connection nowhere"):
        HttpAvailableSensor(task_id="wait", http_conn_id="nowhere").poke({})
    fired = event(HttpAvailableTrigger("nowhere", "health", 0.01, time.time() + 60))
    assert fired["status"] == "error" and "no connection nowhere" in fired["message"]


def test_a_secrets_back_end_that_fails_is_waited_for_as_a_service_is(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answers, "refusals", 0)
    tries = [MissingConnectionError("Connection api could not be read: it fails.")]

    def read(cls: type[PagedApiHook], conn_id: str) -> Any:
        if tries:
            raise tries.pop()
        return found(conn_id)

    found = PagedApiHook.get_connection
    monkeypatch.setattr(PagedApiHook, "get_connection", classmethod(read))
    assert event(waiting(time.time() + 30)) == {"status": "available"}
    tries.append(MissingConnectionError("Connection api could not be read: it fails."))
    fired = event(waiting(time.time()))
    assert fired["status"] == "timeout" and "could not be read" in fired["message"]


def in_a_worker(mode: str, **options: Any) -> Any:
    """The sensor's first look is its last: the wait is over when it has begun."""
    found = HttpAvailableSensor(
        task_id="wait",
        http_conn_id="api",
        timeout=0,
        poke_interval=0,
        mode=mode,
        deferrable=False,
        **options,
    )
    started = SimpleNamespace(get_first_reschedule_date=lambda _: None)
    found.execute({"ti": started})  # type: ignore[typeddict-item]


def in_the_triggerer(**options: Any) -> Any:
    found = HttpAvailableSensor(
        task_id="wait", http_conn_id="api", timeout=0, poke_interval=0, deferrable=True, **options
    )
    with pytest.raises(TaskDeferred) as deferred:
        found.execute({})
    resumed(found, event(deferred.value.trigger))


def resumed(found: HttpAvailableSensor, fired: Any) -> Any:
    """What Airflow calls when the trigger has fired."""
    return found.resume_execution("execute_complete", {"event": fired}, {})


WAYS = [partial(in_a_worker, "poke"), partial(in_a_worker, "reschedule"), in_the_triggerer]
SOFT = [({}, False), ({"soft_fail": True}, True), ({"never_fail": True}, True)]


@pytest.mark.parametrize("wait", WAYS)
@pytest.mark.parametrize(("options", "skipped"), SOFT)
def test_a_timeout_has_the_url_and_the_last_answer_wherever_the_sensor_waits(
    server: int,
    monkeypatch: pytest.MonkeyPatch,
    wait: Callable[..., Any],
    options: dict[str, bool],
    skipped: bool,
) -> None:
    monkeypatch.setattr(Answers, "refusals", 10**6)
    with pytest.raises(AirflowSkipException if skipped else AirflowSensorTimeout) as end:
        wait(**options)
    assert str(end.value) == (
        f"http://127.0.0.1:{server}/health was not available for 0 s; its last answer: 503. Start the service, then "
        "clear this task."
    )


def first_look(deferrable: bool, **options: Any) -> Any:
    HttpAvailableSensor(
        task_id="wait", http_conn_id="api", timeout=0, deferrable=deferrable, **options
    ).execute({})


def later_look(**options: Any) -> Any:
    waited = HttpAvailableSensor(task_id="wait", http_conn_id="api", deferrable=True, **options)
    resumed(waited, event(waiting(time.time() + 60)))


@pytest.mark.parametrize(
    "wait", [partial(first_look, False), partial(first_look, True), later_look]
)
@pytest.mark.parametrize("options", [{}, {"soft_fail": True}, {"never_fail": True}])
@pytest.mark.parametrize("stated", [None, {"extra": {"trust_env": "perhaps"}}])
def test_a_connection_that_cannot_be_used_ends_the_wait_the_same_wherever_it_is_found(
    monkeypatch: pytest.MonkeyPatch,
    wait: Callable[..., Any],
    options: dict[str, bool],
    stated: dict[str, Any] | None,
) -> None:
    if stated is not None:
        given(monkeypatch, **stated)
    kind = AirflowSkipException if options.get("never_fail") else AirflowFailException
    with pytest.raises(kind) as end:
        wait(**options)
    words = "There is no connection api" if stated is None else "Connection api cannot be used"
    assert str(end.value).startswith(words)


@pytest.mark.parametrize("wait", WAYS)
def test_a_connection_that_cannot_be_read_is_waited_for_to_the_timeout(
    monkeypatch: pytest.MonkeyPatch, wait: Callable[..., Any]
) -> None:
    def read(cls: type[PagedApiHook], conn_id: str) -> Any:
        raise MissingConnectionError(f"Connection {conn_id} could not be read: it fails.")

    monkeypatch.setattr(PagedApiHook, "get_connection", classmethod(read))
    with pytest.raises(AirflowSensorTimeout) as end:
        wait()
    assert str(end.value).startswith(
        "health was not available for 0 s; its last answer: Connection api could not be read: it fails. Start"
    )


def test_a_connection_that_is_gone_when_the_wait_is_over_hides_no_answer() -> None:
    with pytest.raises(AirflowSensorTimeout, match=r"^health was .* its last answer: 503\. Start"):
        resumed(sensor(), {"status": "timeout", "message": "503"})


def test_a_password_in_the_host_is_in_no_message(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, host=f"http://svc:secret@127.0.0.1:{server}")
    place = f"http://127.0.0.1:{server}/health"
    assert ask("api", "health") == (place, "401")
    with pytest.raises(AirflowSensorTimeout) as late:
        sensor().execute_complete({}, {"status": "timeout", "message": "401"})
    assert str(late.value).startswith(f"{place} was not available")


def sensor() -> HttpAvailableSensor:
    return HttpAvailableSensor(task_id="wait", http_conn_id="api", timeout=60, deferrable=True)


def test_the_sensor_asks_as_its_connection_says(server: int) -> None:
    Answers.refusals = 1
    assert sensor().poke({}) is False
    assert sensor().poke({}) is True


def test_a_service_that_is_up_needs_no_wait(server: int) -> None:
    Answers.refusals = 0
    sensor().execute({})


def test_a_service_that_is_down_is_waited_for_without_a_worker(server: int) -> None:
    Answers.refusals = 1
    with pytest.raises(TaskDeferred) as deferred:
        sensor().execute({})
    trigger = deferred.value.trigger
    assert isinstance(trigger, HttpAvailableTrigger)
    assert (trigger.http_conn_id, trigger.endpoint) == ("api", "health")
    assert 50 < trigger.deadline - time.time() <= 60


def test_a_wait_that_was_in_vain_is_not_tried_again_and_names_the_url(server: int) -> None:
    with pytest.raises(
        AirflowSensorTimeout, match=rf"http://127\.0\.0\.1:{server}/health .*60 s; .*503\."
    ):
        sensor().execute_complete({}, {"status": "timeout", "message": "503"})
