"""What Valkey holds of a version of lists, and what the API of recommendations answers."""

from __future__ import annotations

import time
from typing import Any

import requests
from valkey import Valkey

from feira_local.stack.config import HOST
from feira_local.stack.state import running_config
from feira_local.valkey.local import valkey_options
from oracle_lists import LENGTH, Offer, published_lists

SAMPLE = 20
Lists = dict[tuple[str, str], list[Offer]]


def valkey() -> Valkey:
    return Valkey(**valkey_options(running_config()))


def published(version: str) -> tuple[Lists, dict[str, str], dict[str, Any]]:
    """A version as Valkey holds it."""
    return published_lists(values_of(version), version)


def values_of(version: str) -> dict[bytes, bytes]:
    """All keys of a version."""
    with valkey() as client:
        keys = sorted(client.scan_iter(match=f"reco:{version}:*", count=10_000))
        values: list[bytes] = client.mget(keys)
    return dict(zip(keys, values, strict=True))


def answer(user: str, slot: str = "new", n: int = LENGTH) -> dict[str, Any]:
    """What the API says."""
    return ask("GET", user, {"slot": slot, "n": str(n)})


def from_valkey(user: str, slot: str = "new", n: int = LENGTH) -> dict[str, Any]:
    """What the API says of a user that has a list or a segment, once it reads Valkey: a read that a busy machine
    holds up for more than 20 ms has it answer from memory for some time. After ten seconds whatever it says."""
    for _ in range(40):
        found = answer(user, slot, n)
        if found["source"] in ("own", "segment"):
            break
        time.sleep(0.25)
    return found


def api_url() -> str:
    return f"http://{HOST}:{running_config().ports.own['recommendations']}"


def ask(method: str, path: str, query: dict[str, str], body: Any = None) -> dict[str, Any]:
    """The API's answer below ``/recommendations``."""
    with requests.Session() as session:
        session.trust_env = False
        found = session.request(
            method, f"{api_url()}/recommendations/{path}", params=query, json=body, timeout=10
        )
    found.raise_for_status()
    read: dict[str, Any] = found.json()
    return read


def version_differs(version: str, lists: Lists) -> list[str]:
    """The API's answers to some users against the lists of this version, whole."""
    problems = []
    for slot, user in sorted(lists)[:: max(len(lists) // SAMPLE, 1)]:
        if not user or slot == "segment":
            continue
        found = from_valkey(user, slot)
        items = [(it["item"], it["reason"], it.get("reason_item")) for it in found["items"]]
        if (found["version"], found["source"], items) != (version, "own", lists[slot, user]):
            problems.append(f"{slot} of {user}: the API answers {str(found)[:200]}")
    return problems
