"""A service on a busy machine is slow or starting; only one that gives no good answer is unhealthy."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from feira_local.stack import health
from feira_local.stack.config import StackConfig
from feira_local.stack.health import Health, ask
from feira_local.stack.lifecycle import Stack
from feira_local.stack.report import ServiceReport, StackReport
from feira_local.stack.services import CommandCheck, HttpCheck, Service, TcpCheck

OLD = 0.0


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Stack.of(StackConfig.from_env({"FEIRA_HOME": str(tmp_path)})).services[0]


@contextmanager
def answers(status: int, body: object) -> Iterator[str]:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/health"


def heartbeat(age: float, status: str) -> dict[str, dict[str, str]]:
    at = datetime.fromtimestamp(time.time() - age, UTC).isoformat()
    return {"scheduler": {"status": status, "latest_scheduler_heartbeat": at}}


def of_scheduler(service: Service, body: object, started: float) -> Health:
    with answers(200, body) as url:
        return ask(replace(service, health=HttpCheck(url, component="scheduler")), started)


def test_a_good_answer_is_healthy_and_a_late_one_slow(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answers(200, {}) as url:
        assert ask(replace(service, health=HttpCheck(url)), OLD) == Health("healthy")
    monkeypatch.setattr(health, "PROMPT_SECONDS", 0.0)
    with answers(200, {}) as url:
        found = ask(replace(service, health=HttpCheck(url)), OLD)
    assert (found.state, found.works) == ("slow", True)


def test_a_late_heartbeat_is_slow_until_a_minute_is_over(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert of_scheduler(service, heartbeat(1, "healthy"), OLD).state == "healthy"
    late = of_scheduler(service, heartbeat(25, "unhealthy"), OLD)
    assert (late.state, late.note) == ("slow", "last heartbeat 25 s ago")
    assert of_scheduler(service, heartbeat(90, "unhealthy"), OLD).state == "unhealthy"


def test_the_heartbeat_of_an_earlier_process_does_not_count(service: Service) -> None:
    now = time.time()
    assert of_scheduler(service, heartbeat(20, "healthy"), now - 5).state == "starting"
    assert of_scheduler(service, heartbeat(200, "healthy"), now - 190).state == "unhealthy"
    assert of_scheduler(service, {}, now).state == "starting"


@pytest.mark.parametrize(("age", "state"), [(1.0, "starting"), (500.0, "unhealthy")])
def test_a_service_that_gives_no_good_answer_is_starting_at_first_and_unhealthy_later(
    service: Service, age: float, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.time() - age
    with answers(503, {}) as url:
        found = ask(replace(service, health=HttpCheck(url)), started)
    assert found == Health(state, f"{url} answers 503")  # type: ignore[arg-type]
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        refused = ask(replace(service, health=TcpCheck("127.0.0.1", port)), started)
        assert (refused.state, refused.note) == (state, "takes no connections")
        silent.listen()
        found = ask(replace(service, health=HttpCheck(f"http://127.0.0.1:{port}/")), started)
        assert found.state == state
        assert "no answer within" in found.note
    hung = ask(replace(service, health=CommandCheck(("sleep", "5"))), started)
    assert hung.state == state
    assert ask(replace(service, health=CommandCheck(("false",))), started).state == state


def test_a_command_asks_with_the_services_settings_and_none_of_the_callers(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By either pg_isready would ask nobody.
    monkeypatch.setenv("PGSERVICE", "production")
    monkeypatch.setenv("PGSSLMODE", "required")
    asks = CommandCheck(("sh", "-c", 'test "$PGSERVICE$PGSSLMODE$FEIRA_SERVICE" = "$0"', "it"))
    assert ask(replace(service, name="it", health=asks), OLD) == Health("healthy")


@pytest.mark.parametrize(
    ("state", "healthy"),
    [("healthy", True), ("slow", True), ("starting", False), ("unhealthy", False)],
)
def test_a_stack_with_a_slow_service_is_healthy(state: str, healthy: bool) -> None:
    one = ServiceReport("s3", state, "", 1, 1.0, 0, None, 0, ())
    assert StackReport(True, (one,), 0).healthy is healthy
    assert StackReport(False, (one,), 0).healthy is False
