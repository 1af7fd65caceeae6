"""The API over HTTP: recommendations by the shortest way, and beside them health, metrics and OpenAPI."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Receive, Scope, Send

from feira.recommendations.serving import openapi, requests
from feira.recommendations.serving.bodies import read_object
from feira.recommendations.serving.metrics import Metrics
from feira.recommendations.serving.reading import Answer, Lists
from feira.recommendations.serving.requests import BASKET, PATH, PREFIX, RefusedError
from feira.recommendations.serving.store import Options

_JSON = b"application/json"
_PROBLEM = b"application/problem+json"


class Recommendations:
    """The ASGI application: the hot route itself, all others by FastAPI."""

    def __init__(self, options: Options, read_file: Callable[[], bytes]) -> None:
        self.metrics = Metrics()
        self.lists = Lists(options, read_file, self.metrics.failed)
        self._others: ASGIApp = _others(self.lists, self.metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (path := scope["raw_path"]).startswith(PREFIX):
            await self._others(scope, receive, send)
        elif scope["method"] == "GET":
            await self._recommend(scope, send)
        elif path == BASKET.encode() and scope["method"] == "POST":
            await self._go_with(scope, receive, send)
        else:
            allowed = b"GET, POST" if path == BASKET.encode() else b"GET"
            body = requests.problem(405, f"{allowed.decode()} is answered here")
            await _send(send, 405, _PROBLEM, body, allowed)

    async def _recommend(self, scope: Scope, send: Send) -> None:
        began = time.perf_counter()
        try:
            asked = requests.parse(scope["raw_path"], scope["query_string"])
        except RefusedError as error:
            await self._refuse(send, PATH, error)
            return
        answer = await self.lists.answer(asked.slot, asked.user, asked.n, asked.excluded)
        await _send(send, 200, _JSON, _body(asked.user, asked.slot, answer))
        self.metrics.answered(PATH, asked.slot, answer.source, time.perf_counter() - began)

    async def _go_with(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            body = await read_object(scope, receive)
            asked = requests.parse_basket(scope["query_string"], body)
        except RefusedError as error:
            await self._refuse(send, BASKET, error)
            return
        answer = await self.lists.with_basket(asked.items, asked.n, asked.excluded)
        await _send(send, 200, _JSON, _body(None, "new", answer))
        self.metrics.answered(BASKET, "new", answer.source, time.perf_counter() - began)

    async def _refuse(self, send: Send, route: str, error: RefusedError) -> None:
        self.metrics.refused.labels(route, error.name).inc()
        body = requests.problem(error.status, "The request is not understood", error)
        await _send(send, error.status, _PROBLEM, body)


def _body(user: str | None, slot: str, answer: Answer) -> bytes:
    return orjson.dumps(
        {
            "user_id": user,
            "slot": slot,
            "version": answer.version,
            "source": answer.source,
            **({} if answer.segment is None else {"segment": answer.segment}),
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

    def described() -> dict[str, Any]:
        document = generated()
        document["paths"] |= openapi.paths()
        return document

    api.openapi = described  # type: ignore[method-assign]
    return api
