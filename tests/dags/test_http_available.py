"""Waiting for a service: through refused connections and errors, up to a deadline."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from feira_airflow.triggers.http_available import HttpAvailableTrigger


class Answers(BaseHTTPRequestHandler):
    """Answers 503 as often as ``refusals`` says, then 200."""

    refusals = 0

    def do_GET(self) -> None:
        status = 503 if type(self).refusals > 0 else 200
        type(self).refusals -= 1
        self.send_response(status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/health"
    server.shutdown()
    server.server_close()


def event(trigger: HttpAvailableTrigger) -> Any:
    async def first() -> Any:
        return (await anext(trigger.run())).payload

    return asyncio.run(first())


def test_it_fires_when_the_service_has_come_up(url: str) -> None:
    Answers.refusals = 3
    assert event(HttpAvailableTrigger(url, 0.01, time.time() + 30)) == {"status": "available"}
    assert Answers.refusals == -1


def test_at_the_deadline_it_says_what_the_last_answer_was(url: str) -> None:
    Answers.refusals = 10**6
    assert event(HttpAvailableTrigger(url, 0.01, time.time())) == {
        "status": "timeout",
        "message": "503",
    }


def test_nobody_listening_is_not_yet_and_not_an_error() -> None:
    found = event(HttpAvailableTrigger("http://127.0.0.1:9/health", 0.01, time.time()))
    assert found["status"] == "timeout"
    assert "ClientConnectorError" in found["message"]


def test_a_trigger_is_made_again_from_what_it_serializes() -> None:
    path, arguments = HttpAvailableTrigger("http://x/health", 5, 123.0).serialize()
    assert path == "feira_airflow.triggers.http_available.HttpAvailableTrigger"
    assert HttpAvailableTrigger(**arguments).serialize() == (path, arguments)
