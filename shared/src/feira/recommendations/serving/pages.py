"""The page for people, ``/ui``: what a customer bought beside its lists, versions side by side, products, the gate.

It shows what single customers bought. Lists are read from Valkey, and what only a person looks at from the
version's folder in the lake, so that Valkey holds no more about people than the lists need.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.middleware.trustedhost import TrustedHostMiddleware
from valkey.exceptions import ValkeyError

from feira.core.errors import first_line
from feira.recommendations.serving import layout
from feira.recommendations.serving.looked_at import LakeError, Versions

PREFIX: Final = "/ui"
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
        ((ValkeyError, OSError), "Valkey does not answer, so no list can be shown"),
        ((LakeError,), "The lake does not answer"),
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
        except (LakeError, ValueError) as error:
            problem = f"names and purchases cannot be read: {first_line(error)}"
        return {
            "user": user,
            "version": version,
            "problem": problem,
            "bought": [row | {"name": names.get(row["item"])} for row in bought],
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
        q: Annotated[str, Query(max_length=128, pattern=r"\S")], version: VersionName
    ) -> dict[str, Any]:
        """Products of which the number begins so, or the name has every word; at most 20."""
        found = await known.products(version, q)
        return {"items": [{"item": each.item, "name": each.name} for each in found]}

    @api.get(f"{PREFIX}/api/product")
    async def product(item: Item, version: VersionName) -> dict[str, Any]:
        """What goes with a product, best first."""
        served, (value,) = await known.of(version, layout.with_key(version, item))
        names = await known.names(version)
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
