"""An HTTP API that gives the answers a test has written for it, in turn, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response

from shop_server import served


@dataclass
class ScriptedApi:
    """Answers ``/orders``; the last answer is given again and again."""

    url: str = ""
    answers: list[Response] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    def says(
        self, body: Any, status: int = 200, headers: dict[str, str] | None = None
    ) -> ScriptedApi:
        """Adds an answer: JSON, or a text as it is."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers.append(Response(text, status, headers, "application/json"))
        return self


@contextmanager
def scripted_api() -> Iterator[ScriptedApi]:
    """The API, served on loopback."""
    api = ScriptedApi()
    app = FastAPI()

    @app.get("/orders")
    def orders(request: Request) -> Response:
        api.asked.append(dict(request.query_params))
        return api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]

    with served(app) as api.url:
        yield api
