"""The JSON body of a request: whole and strict, or refused."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
from starlette.types import Receive, Scope

from feira.core.repeated_keys import repeated_key
from feira.recommendations.serving.requests import RefusedError

MOST_BYTES: Final = 256 * 1024


async def read_object(scope: Scope, receive: Receive) -> dict[str, Any]:
    """The object that the body is.

    :raises RefusedError: where it is none, is too long, or has a key twice; or where its type is not stated
        as JSON: a page of another origin can send other types without being asked for leave
    """
    kind = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise RefusedError("content-type", kind, "application/json", 415)
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if message["type"] != "http.request" or len(body) > MOST_BYTES:
            raise RefusedError(
                "body", f"{len(body):,} bytes", f"at most {MOST_BYTES:,} bytes of JSON", 413
            )
    try:
        orjson.loads(body)
        # The strict one keeps the last of duplicate keys, and this one would take NaN.
        found = json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        raise RefusedError("body", "nested too deep", "a JSON object") from None
    except ValueError as error:
        raise RefusedError("body", str(error), "a JSON object") from None
    if not isinstance(found, dict):
        raise RefusedError("body", type(found).__name__, "a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (again := repeated_key(pairs)) is not None:
        raise ValueError(f"duplicate key {again!r}")
    return dict(pairs)
