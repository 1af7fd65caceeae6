"""The page for people, ``/ui``: what a customer bought beside its lists, versions side by side, products, the gate.

It shows what single customers bought. Lists are read from Valkey, and what only a person looks at from the
version's folder in the lake, so that Valkey holds no more about people than the lists need.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import pyarrow.parquet as pq
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.middleware.trustedhost import TrustedHostMiddleware
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from feira.core.errors import first_line
from feira.recommendations.serving import layout
from feira.recommendations.serving.served import (
    NONE,
    POPULAR,
    Answer,
    Offer,
    Served,
    version_in,
)
from feira.recommendations.serving.store import Options

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

PREFIX: Final = "/ui"
LISTED: Final = 20
_SECONDS = 2.0
# Of the versions that are looked at: the three that are kept, and one that has just come.
_REMEMBERED = 4
_FOLDER = Path(__file__).parent / "page"
_HEADERS = {
    # A script and a style of its own, its own answers, and nothing else.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

VersionName = Annotated[str, Query(max_length=64)]
Item = Annotated[str, Query(min_length=1, max_length=layout.LONGEST_ITEM)]


@dataclass(frozen=True)
class Lake:
    """The folder of the lake that has one of each version."""

    files: AbstractFileSystem
    folder: str


class Versions:
    """What the page shows of the versions that are kept."""

    def __init__(self, options: Options, lake: Lake) -> None:
        self.client = Valkey(
            **{**options, "socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
        )
        self._lake = lake
        self._read: dict[str, Served] = {}
        self._names: dict[str, dict[str, str]] = {}

    async def all(self) -> dict[str, Any]:
        """The versions that are complete, the newest first, and which is served."""
        live = await self.client.get(layout.LIVE)
        members = [name.decode() for name in await self.client.smembers(layout.VERSIONS)]
        names = sorted(members, key=layout.age, reverse=True)
        metas = await self.client.mget([layout.meta_key(it) for it in names]) if names else []
        served = None if live is None else live.decode("utf-8", "replace")
        return {
            "served": served,
            "versions": [
                {"version": name, "served": name == served}
                for name, meta in zip(names, metas, strict=True)
                if layout.complete(meta) is not None
            ],
        }

    async def of(self, version: str) -> Served:
        """A version; raises HTTPException where it is not kept."""
        if version not in self._read:
            found = await version_in(self.client, version)
            if found is None:
                raise HTTPException(404, f"{version[:64]!r} is no complete version in Valkey.")
            self._read[version] = found
            for old in list(self._read)[:-_REMEMBERED]:
                del self._read[old]
        return self._read[version]

    async def names(self, version: str) -> dict[str, str]:
        """The names of products; none of a version that has no file of them."""
        if version not in self._names:
            found = await self._table(version, "names.parquet")
            self._names[version] = {row["sku"]: row["name"] for row in found}
            for old in list(self._names)[:-_REMEMBERED]:
                del self._names[old]
        return self._names[version]

    async def bought(self, version: str, user: str) -> list[dict[str, Any]]:
        """What a user had, newest first: the row groups alone are read that can hold it."""
        return await self._table(version, "purchases.parquet", [("user_id", "=", user)])

    async def lists(self, version: str, user: str) -> dict[str, Answer]:
        """What the user is offered of that version, by slot."""
        served = await self.of(version)
        value = await self.client.get(layout.user_key(version, user))
        return {slot: _answer(served, slot, value) for slot in layout.SLOTS}

    async def gate(self, version: str) -> dict[str, Any]:
        """What the gate found: ``verdict`` is None where it has not judged, or its file is none."""
        layout.require_version(version)
        problem = None
        try:
            content = await asyncio.to_thread(
                self._lake.files.cat_file, f"{self._lake.folder}/{version}/gate.json"
            )
            found = json.loads(content)
            figures = [
                *found["figures"],
                *(each for name in ("estimates", "drift") for each in found.get(name, [])),
            ]
            if isinstance(found["verdict"], str) and all(isinstance(it, dict) for it in figures):
                return {"verdict": found["verdict"], "figures": figures, "problem": None}
            problem = "gate.json is no verdict of the gate"
        except FileNotFoundError:
            pass
        except (KeyError, TypeError, ValueError):
            problem = "gate.json is no verdict of the gate"
        return {"verdict": None, "figures": [], "problem": problem}

    async def _table(self, version: str, name: str, filters: Any = None) -> list[dict[str, Any]]:
        layout.require_version(version)

        def read() -> list[dict[str, Any]]:
            path = f"{self._lake.folder}/{version}/{name}"
            with self._lake.files.open(path, "rb") as file:
                return list(pq.read_table(file, filters=filters).to_pylist())

        try:
            return await asyncio.to_thread(read)
        except FileNotFoundError:
            return []


def _answer(served: Served, slot: str, value: bytes | None) -> Answer:
    found = None if value is None else served.answer(slot, value, LISTED, frozenset())
    if found is not None:
        return found
    items = served.everyone.get(slot, [])[:LISTED]
    source = POPULAR if items else NONE
    return Answer(served.version, source, [Offer(item, layout.POPULAR) for item in items])


def create_pages(known: Versions, hosts: Iterable[str]) -> FastAPI:
    """The page and what it asks for, all below ``/ui``.

    :param hosts: the names under which it is asked for, beside those of this machine
    """
    api = FastAPI(title="Feira recommendations", docs_url=None, openapi_url=None)
    # A foreign page whose name is made to resolve to loopback is refused here.
    api.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", *hosts])

    @api.middleware("http")
    async def with_headers(request: Request, call_next: Callable[[Request], Any]) -> Response:
        answer: Response = await call_next(request)
        answer.headers.update(_HEADERS)
        return answer

    for kinds, status in (
        ((ValkeyError, TimeoutError), "Valkey does not answer, so no list can be shown"),
        ((OSError,), "The lake does not answer"),
        ((IndexError, ValueError), "What is kept of the version is damaged"),
    ):
        for kind in kinds:
            api.add_exception_handler(kind, _unavailable(status))
    api.add_exception_handler(HTTPException, _refused)
    api.add_exception_handler(layout.VersionNameError, _unknown)
    api.add_exception_handler(RequestValidationError, _invalid)

    for path, name, kind in (
        (PREFIX, "index.html", "text/html"),
        (f"{PREFIX}/page.js", "page.js", "text/javascript"),
        (f"{PREFIX}/room.js", "room.js", "text/javascript"),
        (f"{PREFIX}/page.css", "page.css", "text/css"),
    ):
        api.get(path, include_in_schema=False)(_file(_FOLDER / name, kind))

    @api.get(f"{PREFIX}/api/versions")
    async def versions() -> dict[str, Any]:
        """The versions of the lists that are complete in Valkey, the newest first."""
        return await known.all()

    @api.get(f"{PREFIX}/api/user")
    async def user(
        user: Annotated[str, Query(min_length=1, max_length=layout.LONGEST_USER)],
        version: VersionName,
    ) -> dict[str, Any]:
        """What a customer bought, and what a version offers it in both slots."""
        lists = await known.lists(version, user)
        problem, names, bought = None, {}, []
        try:
            names = await known.names(version)
            bought = await known.bought(version, user)
        except (OSError, ValueError) as error:
            problem = f"names and purchases cannot be read: {first_line(error)}"
        return {
            "user": user,
            "version": version,
            "problem": problem,
            "bought": [
                {
                    "item": row["item"],
                    "name": names.get(row["item"]),
                    "days": row["days"],
                    "last": row["last"].isoformat(),
                }
                for row in bought
            ],
            "lists": {
                slot: {
                    "source": answer.source,
                    "segment": answer.segment,
                    "items": [
                        {
                            "item": each.item,
                            "name": names.get(each.item),
                            "reason": each.reason,
                            "reason_item": each.reason_item,
                            "reason_name": names.get(each.reason_item or ""),
                        }
                        for each in answer.offers
                    ],
                }
                for slot, answer in lists.items()
            },
        }

    @api.get(f"{PREFIX}/api/products")
    async def products(
        q: Annotated[str, Query(min_length=1, max_length=128)], version: VersionName
    ) -> dict[str, Any]:
        """Products of which the number begins so, or the name has every word; at most 20."""
        items = (await known.of(version)).items
        names = await known.names(version)
        words = q.casefold().split()
        found = [
            item
            for item in items
            if item.casefold().startswith(q.strip().casefold())
            or (words and all(word in names.get(item, "").casefold() for word in words))
        ]
        found.sort(
            key=lambda item: (item.casefold() != q.strip().casefold(), names.get(item, item))
        )
        return {"items": [{"item": it, "name": names.get(it)} for it in found[:LISTED]]}

    @api.get(f"{PREFIX}/api/product")
    async def product(item: Item, version: VersionName) -> dict[str, Any]:
        """What goes with a product, best first."""
        served = await known.of(version)
        names = await known.names(version)
        value = await known.client.get(layout.with_key(version, item))
        return {
            "item": item,
            "name": names.get(item),
            "goes_with": [
                {
                    "item": (other := served.items[number]),
                    "name": names.get(other),
                    "similarity": similarity,
                }
                for number, similarity in layout.unpacked_with(value or b"")
            ],
        }

    @api.get(f"{PREFIX}/api/gate")
    async def gate(version: VersionName) -> dict[str, Any]:
        """The gate's verdict of a version with its figures; null where it has not been judged."""
        return await known.gate(version)

    return api


def _file(path: Path, kind: str) -> Callable[[], Response]:
    content = path.read_bytes()

    def answer() -> Response:
        return Response(content, media_type=f"{kind}; charset=utf-8")

    return answer


def _problem(status: int, title: str, detail: str) -> Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(json.dumps(body), status, media_type="application/problem+json")


def _unavailable(what: str) -> Callable[[Request, Exception], Response]:
    def answer(_: Request, error: Exception) -> Response:
        return _problem(503, what, f"{what}: {first_line(error)}.")

    return answer


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _problem(error.status_code, "Not found", error.detail)


def _unknown(_: Request, error: Exception) -> Response:
    return _problem(404, "Not found", str(error))


def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return _problem(422, "The request is not understood", f"{first['loc'][-1]}: {first['msg']}.")
