"""The API over HTTP: recommendations by the shortest way, and beside them health, metrics and OpenAPI."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import orjson
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feira.recommendations.serving import openapi, requests, shown
from feira.recommendations.serving.bodies import read_object
from feira.recommendations.serving.events import (
    RETRY_SECONDS,
    Events,
    NoKafkaError,
    UnavailableError,
    parse_events,
)
from feira.recommendations.serving.looked_at import Lake, Versions
from feira.recommendations.serving.metrics import Metrics
from feira.recommendations.serving.pages import create_pages
from feira.recommendations.serving.reading import Lists
from feira.recommendations.serving.requests import BASKET, EVENTS, PATH, PREFIX, RefusedError
from feira.recommendations.serving.served import Answer, Offer
from feira.recommendations.serving.store import Options

SWAPPED: Final = 0.02
_JSON = b"application/json"
_PROBLEM = b"application/problem+json"


class Recommendations:
    """The ASGI application: the hot routes itself, all others by FastAPI.

    :param options: of ``serving.store``
    :param read_file: as ``reading.Lists`` takes it
    :param kafka: of ``events.kafka_from_env``
    :param swapped: the share of places that a shown list has swapped
    :param seed: of these draws; None where they are to be others at each start
    :param lake: what the page for people is made of; without it there is none
    :param hosts: of ``create_pages``
    """

    def __init__(
        self,
        options: Options,
        read_file: Callable[[], bytes],
        kafka: Mapping[str, Any] | None = None,
        swapped: float = SWAPPED,
        seed: int | None = None,
        lake: Lake | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        self.metrics = Metrics()
        self.lists = Lists(options, read_file, self.metrics.failed)
        self.events = Events(kafka, self.metrics.posted)
        self._swapped, self._draws = swapped, Random(seed)
        self.looked_at = None if lake is None else Versions(options, lake)
        self.pages = None if self.looked_at is None else create_pages(self.looked_at, hosts)
        self._others: ASGIApp = _others(self)
        self._posts = {BASKET.encode(): self._go_with, EVENTS.encode(): self._take}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._others(scope, receive, send)
        elif not (path := scope["raw_path"]).startswith(PREFIX):
            page = self.pages is not None and (path + b"/").startswith(b"/ui/")
            await (self._page if page else self._others)(scope, receive, send)
        elif scope["method"] == "GET":
            await self._recommend(scope, send)
        elif scope["method"] == "POST" and (post := self._posts.get(path)):
            await post(scope, receive, send)
        else:
            allowed = b"GET, POST" if path in self._posts else b"GET"
            body = requests.problem(405, f"{allowed.decode()} is answered here")
            await _send(send, 405, _PROBLEM, body, (b"allow", allowed))

    async def _recommend(self, scope: Scope, send: Send) -> None:
        began = time.perf_counter()
        try:
            asked = requests.parse(scope["raw_path"], scope["query_string"])
        except RefusedError as error:
            await self._refuse(send, PATH, error)
            return
        answer = await self.lists.answer(asked.slot, asked.user, asked.n, asked.excluded)
        body = _body(asked.user, asked.slot, answer)
        if asked.shown:
            self._show(asked.user, answer, body)
        await _send(send, 200, _JSON, orjson.dumps(body))
        seconds = time.perf_counter() - began
        self.metrics.answered(PATH, seconds, slot=asked.slot, source=answer.source)

    def _show(self, user: str, answer: Answer, body: dict[str, Any]) -> None:
        """Makes an answer one that is shown, with all that its impressions are to name."""
        body["arm"] = shown.arm_of(user)
        places = shown.swapped(answer.offers, self._swapped, self._draws)
        body["items"] = [
            _offer(offer) | {"position": position, "probability": probability}
            for position, (offer, probability) in enumerate(places, 1)
        ]

    async def _go_with(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            body = await read_object(scope, receive)
            asked = requests.parse_basket(scope["query_string"], body)
        except RefusedError as error:
            await self._refuse(send, BASKET, error)
            return
        answer = await self.lists.with_basket(asked.items, asked.n, asked.excluded)
        await _send(send, 200, _JSON, orjson.dumps(_body(None, "new", answer)))
        seconds = time.perf_counter() - began
        self.metrics.answered(BASKET, seconds, slot="new", source=answer.source)

    async def _take(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            self.events.require_up()
            given = await read_object(scope, receive)
            messages = parse_events(given, datetime.now(UTC))
            self.events.send(messages)
        except RefusedError as error:
            await self._refuse(send, EVENTS, error)
            return
        except NoKafkaError as error:
            # Not a word of later: who sends them again would do so for ever.
            await _send(send, 501, _PROBLEM, requests.problem(501, str(error)))
            status = 501
        except UnavailableError as error:
            body = requests.problem(503, f"{error} Send the events again, with the same ids.")
            wait = (b"retry-after", str(RETRY_SECONDS).encode())
            await _send(send, 503, _PROBLEM, body, wait)
            status = 503
        else:
            await _send(send, 202, _JSON, orjson.dumps({"accepted": len(messages)}))
            status = 202
        self.metrics.answered(EVENTS, time.perf_counter() - began, status=status)

    async def _page(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        assert self.pages is not None
        try:
            await self.pages(scope, receive, noted)
        finally:
            known = {getattr(route, "path", "") for route in self.pages.routes}
            route = scope["path"] if scope["path"] in known else "/ui/{path}"
            self.metrics.answered(route, time.perf_counter() - began, status=status)

    async def _refuse(self, send: Send, route: str, error: RefusedError) -> None:
        self.metrics.refused.labels(route, error.label).inc()
        body = requests.problem(error.status, "The request is not understood", error)
        await _send(send, error.status, _PROBLEM, body)


def _body(user: str | None, slot: str, answer: Answer) -> dict[str, Any]:
    return {
        "user_id": user,
        "slot": slot,
        "version": answer.version,
        "source": answer.source,
        **({} if answer.segment is None else {"segment": answer.segment}),
        "items": [_offer(each) for each in answer.offers],
    }


def _offer(offer: Offer) -> dict[str, Any]:
    if offer.reason_item is None:
        return {"item": offer.item, "reason": offer.reason}
    return {"item": offer.item, "reason": offer.reason, "reason_item": offer.reason_item}


async def _send(
    send: Send, status: int, kind: bytes, body: bytes, *more: tuple[bytes, bytes]
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _others(app: Recommendations) -> FastAPI:
    lists, metrics = app.lists, app.metrics

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await lists.start()
        await app.events.start()
        yield
        await app.events.stop()
        if app.looked_at is not None:
            await app.looked_at.client.aclose()
        await lists.stop()

    api = FastAPI(title="Feira recommendations", version="1", lifespan=lifespan)

    @api.get("/health")
    async def health() -> dict[str, Any]:
        """The API answers; whether Valkey does, and what is served and what is there for want of it."""
        return {
            "status": "ok",
            "valkey": "up" if lists.up else "down",
            "kafka": app.events.state,
            "version": lists.version,
            "file_version": lists.file_version,
        }

    @api.get("/metrics")
    async def shown() -> Response:
        """Metrics in the form of Prometheus."""
        await lists.look()
        metrics.up.set(lists.up)
        metrics.version_read.set(lists.version is not None)
        metrics.file_read.set(lists.file_version is not None)
        metrics.kafka_up.set(app.events.up)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    generated = api.openapi

    def described() -> dict[str, Any]:
        document = generated()
        document["paths"] |= openapi.paths()
        if app.pages is not None:
            of_pages = app.pages.openapi()
            document["paths"] |= of_pages["paths"]
            document.setdefault("components", {}).setdefault("schemas", {}).update(
                of_pages["components"]["schemas"]
            )
        return document

    api.openapi = described  # type: ignore[method-assign]
    return api
