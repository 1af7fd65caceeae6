"""What a request for recommendations may ask, and how one that asks otherwise is answered (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson

from feira.recommendations.serving.layout import SLOTS
from feira.recommendations.serving.packing import LONGEST_USER

PATH: Final = "/recommendations/{user_id}"
PREFIX: Final = b"/recommendations/"
MOST_ITEMS: Final = 100
MOST_EXCLUDED: Final = 100
LONGEST_ITEM: Final = 128
_SHOWN = 80

LIMITS: Final = {
    "user_id": f"a text of 1 to {LONGEST_USER} characters in UTF-8",
    "slot": " or ".join(SLOTS),
    "n": f"a whole number, 1 to {MOST_ITEMS}",
    "exclude": f"at most {MOST_EXCLUDED} items with commas between them, each of 1 to {LONGEST_ITEM} "
    "characters",
}


@dataclass(frozen=True)
class Asked:
    """A request that is understood."""

    user: str
    slot: str = "new"
    n: int = 20
    excluded: frozenset[str] = frozenset()


class RefusedError(Exception):
    """A request that is not: ``name`` is the parameter's, where it is one that is known."""

    def __init__(self, name: str, value: str, limit: str) -> None:
        super().__init__(f"{name} is {value[:_SHOWN]!r}; it is {limit}.")
        self.name, self.value, self.limit = name, value[:_SHOWN], limit


def parse(raw_path: bytes, query: bytes) -> Asked:
    """What is asked. Raises RefusedError naming parameter, value and limit."""
    segment = raw_path[len(PREFIX) :]
    try:
        user = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        user = ""
    if not 1 <= len(user) <= LONGEST_USER or b"/" in segment:
        raise _refused("user_id", segment.decode("latin-1"))
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise RefusedError("query", query.decode("latin-1"), "a query in UTF-8") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name == "exclude":
            found["excluded"] = found.get("excluded", frozenset()) | _excluded(value)
        elif name not in ("slot", "n"):
            known = ", ".join(each for each in LIMITS if each != "user_id")
            raise RefusedError("parameter", name, f"one of {known}")
        elif name in found:
            raise RefusedError(name, f"{found[name]}, {value}", "stated once")
        elif name == "slot":
            found["slot"] = _slot(value)
        else:
            found["n"] = _count(value)
    if len(excluded := found.get("excluded", ())) > MOST_EXCLUDED:
        raise RefusedError("exclude", f"{len(excluded)} items", LIMITS["exclude"])
    return Asked(user, **found)


def problem(status: int, title: str, refused: RefusedError | None = None) -> bytes:
    """An answer of type ``application/problem+json``."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status}
    if refused is not None:
        body["detail"] = str(refused)
        body["errors"] = [{"name": refused.name, "value": refused.value, "limit": refused.limit}]
    return orjson.dumps(body)


def _slot(value: str) -> str:
    if value not in SLOTS:
        raise _refused("slot", value)
    return value


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 3):
        raise _refused("n", value)
    if not 1 <= (n := int(value)) <= MOST_ITEMS:
        raise _refused("n", value)
    return n


def _excluded(value: str) -> frozenset[str]:
    items = value.split(",") if value else []
    for item in items:
        if not 1 <= len(item) <= LONGEST_ITEM:
            raise _refused("exclude", item)
    return frozenset(items)


def _refused(name: str, value: str) -> RefusedError:
    return RefusedError(name, value, LIMITS[name])
