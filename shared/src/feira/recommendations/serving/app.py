"""The API over HTTP: recommendations by the shortest way, and beside them health, metrics and OpenAPI."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Receive, Scope, Send

from feira.recommendations.serving import reading, requests
from feira.recommendations.serving.layout import BOUGHT_BEFORE, GOES_WITH, POPULAR, SLOTS
from feira.recommendations.serving.packing import LONGEST_USER
from feira.recommendations.serving.reading import Answer, Lists
from feira.recommendations.serving.requests import PATH, PREFIX, RefusedError
from feira.recommendations.serving.store import Options

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.5)
_JSON = b"application/json"
_PROBLEM = b"application/problem+json"


class Metrics:
    """What Prometheus is shown; no label has a user's id or an item."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        labels = ("route", "slot", "source")
        self.seconds = Histogram(
            "feira_recommendations_request_seconds",
            "From a request to its answer, in the API",
            labels,
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.refused = Counter(
            "feira_recommendations_requests_refused_total",
            "Requests that were not understood, by parameter",
            ("route", "parameter"),
            registry=self.registry,
        )
        self.failures = Counter(
            "feira_recommendations_valkey_failures_total",
            "Reads of Valkey that gave nothing: timeout, error, or damaged lists",
            ("kind",),
            registry=self.registry,
        )
        self.up = Gauge(
            "feira_recommendations_valkey_up",
            "Whether Valkey answers",
            registry=self.registry,
        )
        self._of: dict[tuple[str, str], Any] = {}

    def answered(self, slot: str, source: str, seconds: float) -> None:
        """Counts an answer."""
        child = self._of.get((slot, source))
        if child is None:
            child = self._of[slot, source] = self.seconds.labels(PATH, slot, source)
        child.observe(seconds)

    def failed(self, kind: str) -> None:
        """Counts a failure of Valkey."""
        self.failures.labels(kind).inc()


class Recommendations:
    """The ASGI application: the hot route itself, all others by FastAPI."""

    def __init__(self, options: Options, read_file: Callable[[], bytes]) -> None:
        self.metrics = Metrics()
        self.lists = Lists(options, read_file, self.metrics.failed)
        self._others: ASGIApp = _others(self.lists, self.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["raw_path"].startswith(PREFIX):
            await self._others(scope, receive, send)
        elif scope["method"] != "GET":
            await _send(
                send, 405, _PROBLEM, requests.problem(405, "GET alone is answered here"), b"GET"
            )
        else:
            await self._recommend(scope, send)

    async def _recommend(self, scope: Scope, send: Send) -> None:
        began = time.perf_counter()
        try:
            asked = requests.parse(scope["raw_path"], scope["query_string"])
        except RefusedError as error:
            self.metrics.refused.labels(PATH, error.name).inc()
            body = requests.problem(422, "The request is not understood", error)
            await _send(send, 422, _PROBLEM, body)
            return
        answer = await self.lists.answer(asked.slot, asked.user, asked.n, asked.excluded)
        await _send(send, 200, _JSON, _body(asked, answer))
        self.metrics.answered(asked.slot, answer.source, time.perf_counter() - began)


def _body(asked: requests.Asked, answer: Answer) -> bytes:
    return orjson.dumps(
        {
            "user_id": asked.user,
            "slot": asked.slot,
            "version": answer.version,
            "source": answer.source,
            "items": [
                {"item": each.item, "reason": each.reason}
                if each.reason_item is None
                else {
                    "item": each.item,
                    "reason": each.reason,
                    "reason_item": each.reason_item,
                }
                for each in answer.offers
            ],
        }
    )


async def _send(
    send: Send, status: int, kind: bytes, body: bytes, allow: bytes | None = None
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if allow is not None:
        headers.append((b"allow", allow))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _others(lists: Lists, metrics: Metrics) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await lists.start()
        yield
        await lists.stop()

    api = FastAPI(title="Feira recommendations", version="1", lifespan=lifespan)

    @api.get("/health")
    async def health() -> dict[str, Any]:
        """The API answers; whether Valkey does, and what is served and what is there for want of it."""
        return {
            "status": "ok",
            "valkey": "up" if lists.up else "down",
            "version": lists.version,
            "file_version": lists.file_version,
        }

    @api.get("/metrics")
    async def shown() -> Response:
        """Metrics in the form of Prometheus."""
        metrics.up.set(lists.up)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    generated = api.openapi

    def openapi() -> dict[str, Any]:
        document = generated()
        # The hot route is not FastAPI's, which therefore does not know it.
        document["paths"].setdefault(PATH, {"get": _operation()})
        return document

    api.openapi = openapi  # type: ignore[method-assign]
    return api


def _operation() -> dict[str, Any]:
    """The hot route in OpenAPI."""
    text: dict[str, Any] = {"type": "string"}
    schemas: dict[str, dict[str, Any]] = {
        "user_id": text | {"minLength": 1, "maxLength": LONGEST_USER},
        "slot": text | {"enum": list(SLOTS), "default": "new"},
        "n": {"type": "integer", "minimum": 1, "maximum": requests.MOST_ITEMS, "default": 20},
        "exclude": {
            "type": "array",
            "items": text | {"minLength": 1, "maxLength": requests.LONGEST_ITEM},
            "maxItems": requests.MOST_EXCLUDED,
        },
    }
    offer = {
        "type": "object",
        "required": ["item", "reason"],
        "properties": {
            "item": text,
            "reason": text | {"enum": [BOUGHT_BEFORE, GOES_WITH, POPULAR]},
            "reason_item": text | {"description": f"Of {GOES_WITH}: what it goes with."},
        },
    }
    sources = [reading.OWN, reading.POPULAR, reading.FILE, reading.NONE]
    answer = {
        "type": "object",
        "required": ["user_id", "slot", "version", "source", "items"],
        "properties": {
            "user_id": text,
            "slot": schemas["slot"],
            "version": {"type": ["string", "null"]},
            "source": text | {"enum": sources},
            "items": {"type": "array", "items": offer},
        },
    }
    return {
        "summary": "What is offered to a user, best first",
        "operationId": "recommendations",
        "parameters": [
            {
                "name": name,
                "in": "path" if name == "user_id" else "query",
                "required": name == "user_id",
                "description": limit,
                "schema": schemas[name],
                # One parameter with commas, or several.
                **({"style": "form", "explode": False} if name == "exclude" else {}),
            }
            for name, limit in requests.LIMITS.items()
        ],
        "responses": {
            "200": {
                "description": "The list, whatever state Valkey is in; `source` says where it is from.",
                "content": {"application/json": {"schema": answer}},
            },
            "422": {
                "description": "A parameter that is not understood, with its limit.",
                "content": {"application/problem+json": {"schema": {"type": "object"}}},
            },
        },
    }
