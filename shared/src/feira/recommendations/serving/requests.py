"""What a request for recommendations may ask, and how one that asks otherwise is answered (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson

from feira.recommendations.serving.layout import LONGEST_ITEM, LONGEST_USER, SLOTS

PATH: Final = "/recommendations/{user_id}"
PREFIX: Final = b"/recommendations/"
BASKET: Final = "/recommendations/basket"
EVENTS: Final = "/recommendations/events"
MOST_ITEMS: Final = 100
# Of a list that is shown, the share of the places with another of its items.
LEAST_SWAPPED: Final = 0.01
MOST_SWAPPED: Final = 0.05
MOST_EXCLUDED: Final = 100
MOST_IN_BASKET: Final = 50
# Of each route what a request is refused for, as RefusedError names it.
_QUERY, _BODY = ("query", "parameter", "n", "exclude"), ("content-type", "body")
REFUSED: Final = {
    PATH: ("user_id", "slot", "shown", *_QUERY),
    BASKET: ("items", *_BODY, *_QUERY),
    EVENTS: ("events", *_BODY),
}
_WHOLE_LIST: Final = (
    "not stated with shown=true, where positions are those of the whole list: leave out of the answer what is not "
    "to be seen, and send the impressions of the rest"
)
_SHOWN = 80

LIMITS: Final = {
    "user_id": f"a text of 1 to {LONGEST_USER} characters in UTF-8",
    "slot": " or ".join(SLOTS),
    "n": f"a whole number, 1 to {MOST_ITEMS}",
    "exclude": f"at most {MOST_EXCLUDED} items with commas between them, each of 1 to {LONGEST_ITEM} "
    "characters",
    "shown": "true or false; true of a list whose impressions are sent, without exclude",
    "items": f"a list of 1 to {MOST_IN_BASKET} items, each of 1 to {LONGEST_ITEM} characters",
}


@dataclass(frozen=True)
class Asked:
    """A request that is understood."""

    user: str
    slot: str = "new"
    n: int = 20
    excluded: frozenset[str] = frozenset()
    shown: bool = False


@dataclass(frozen=True)
class Basket:
    """Distinct items, and how many others are asked for."""

    items: tuple[str, ...]
    n: int = 20
    excluded: frozenset[str] = frozenset()


class RefusedError(Exception):
    """A request that is not: ``name`` is that of a parameter or field, where it is one that is known."""

    def __init__(self, name: str, value: str, limit: str, status: int = 422) -> None:
        super().__init__(f"{name} is {value[:_SHOWN]!r}; it is {limit}.")
        self.name, self.value, self.limit, self.status = name, value[:_SHOWN], limit, status

    @property
    def label(self) -> str:
        """What it is counted under: the name without the place in a list, of which there are many."""
        return self.name.partition("[")[0]


def parse(raw_path: bytes, query: bytes) -> Asked:
    """What is asked. Raises RefusedError naming parameter, value and limit."""
    segment = raw_path[len(PREFIX) :]
    try:
        user = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        user = ""
    if not 1 <= len(user) <= LONGEST_USER or b"/" in segment:
        raise _refused("user_id", segment.decode("latin-1"))
    asked = Asked(user, **_parameters(query, ("slot", "n", "exclude", "shown")))
    if asked.shown and asked.excluded:
        # With others left out a place of the answer is none of the list, which is what its judgement goes by.
        raise RefusedError("exclude", ",".join(sorted(asked.excluded)), _WHOLE_LIST)
    return asked


def parse_basket(query: bytes, body: dict[str, Any]) -> Basket:
    """The basket that is asked about. Raises RefusedError as ``parse``."""
    for name in body:
        if name != "items":
            raise RefusedError("body", name, "an object with items")
    items = body.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_IN_BASKET:
        found = f"{len(items)} items" if isinstance(items, list) else type(items).__name__
        raise RefusedError("items", found, LIMITS["items"])
    for item in items:
        if not isinstance(item, str) or not 1 <= len(item) <= LONGEST_ITEM:
            raise RefusedError("items", str(item), LIMITS["items"])
    return Basket(tuple(dict.fromkeys(items)), **_parameters(query, ("n", "exclude")))


def _parameters(query: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    """What the query states."""
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise RefusedError("query", query.decode("latin-1"), "a query in UTF-8") from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in known:
            raise RefusedError("parameter", name, f"one of {', '.join(known)}")
        if name == "exclude":
            excluded: set[str] = found.setdefault("excluded", set())
            excluded |= _excluded(value)
            if len(excluded) > MOST_EXCLUDED:
                raise RefusedError("exclude", f"{len(excluded)} items", LIMITS["exclude"])
        elif name in found:
            raise RefusedError(name, f"{found[name]}, {value}", "stated once")
        elif name == "slot":
            found["slot"] = _slot(value)
        elif name == "shown":
            found["shown"] = _shown(value)
        else:
            found["n"] = _count(value)
    if "excluded" in found:
        found["excluded"] = frozenset(found["excluded"])
    return found


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


def _shown(value: str) -> bool:
    if value not in ("true", "false"):
        raise _refused("shown", value)
    return value == "true"


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 3):
        raise _refused("n", value)
    if not 1 <= (n := int(value)) <= MOST_ITEMS:
        raise _refused("n", value)
    return n


def _excluded(value: str) -> set[str]:
    items = value.split(",") if value else []
    for item in items:
        if not 1 <= len(item) <= LONGEST_ITEM:
            raise _refused("exclude", item)
    return set(items)


def _refused(name: str, value: str) -> RefusedError:
    return RefusedError(name, value, LIMITS[name])
