"""The API of recommendations in this process, asked as uvicorn asks it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from feira.recommendations.serving import baked
from feira.recommendations.serving.app import Recommendations
from valkey_server import ValkeyServer

FILE = baked.Baked(version="baked", everyone={"new": ["f0", "f1"]}).model_dump_json().encode()


class Api:
    """The application, asked as uvicorn asks it."""

    def __init__(self, app: Recommendations) -> None:
        self.app = app

    async def send(
        self,
        path: str,
        method: str = "GET",
        content: bytes = b"",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        raw, _, query = path.partition("?")
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "root_path": "",
        }
        await self.app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), body

    async def get(self, path: str) -> dict[str, Any]:
        status, _, body = await self.send(path)
        assert status == 200
        found: dict[str, Any] = json.loads(body)
        return found

    async def seen(self, path: str) -> tuple[str | None, str, list[str]]:
        """Version, source and items."""
        found = await self.get(f"/recommendations/{path}")
        return found["version"], found["source"], [each["item"] for each in found["items"]]

    async def until(self, path: str, expected: object) -> None:
        """Returns once it answers so."""
        async with asyncio.timeout(60):
            while await self.seen(path) != expected:
                await asyncio.sleep(0.005)

    async def failures(self) -> dict[str, float]:
        """How often Valkey failed, by kind, of each that has. Whoever asks for `/metrics` reads Valkey."""
        return {
            sample.labels["kind"]: sample.value
            for family in self.app.metrics.failures.collect()
            for sample in family.samples
            if sample.name == "feira_recommendations_valkey_failures_total" and sample.value
        }


@asynccontextmanager
async def running(
    server: ValkeyServer, read_file: Callable[[], bytes] = lambda: FILE, **options: Any
) -> AsyncIterator[Api]:
    """``options`` are those of the application."""
    app = Recommendations(server.options, read_file, **options)
    await app.lists.start()
    try:
        yield Api(app)
    finally:
        await app.lists.stop()
