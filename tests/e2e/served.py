"""What the shop API serves, asked by a client of its own, and the switches that change it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import orjson
import requests

from oracle import Landing

Line = dict[str, Any]
_SPACE = " \t\r\n"
_DECODER = json.JSONDecoder()


def line_texts(answer: str) -> list[bytes]:
    """The text of each element of an answer's ``lines``, line breaks between tokens as spaces."""
    found: list[bytes] = []
    at = _past(answer, 0, "{")
    while True:
        key, at = _DECODER.raw_decode(answer, at)
        at = _past(answer, at, ":")
        if key == "lines":
            at = _past(answer, at, "[")
            while answer[at] != "]":
                start = at
                _, at = _DECODER.raw_decode(answer, at)
                found.append(answer[start:at].replace("\r", " ").replace("\n", " ").encode())
                at = (
                    _past(answer, at, ",")
                    if answer[_past(answer, at)] == ","
                    else _past(answer, at)
                )
            at += 1
        else:
            _, at = _DECODER.raw_decode(answer, at)
        at = _past(answer, at)
        if answer[at] == "}":
            return found
        at = _past(answer, at, ",")


def _past(answer: str, at: int, token: str = "") -> int:
    """The place behind white space, the token and the white space that follows it."""
    while answer[at] in _SPACE:
        at += 1
    if not token:
        return at
    assert answer[at] == token, f"{token} is due at {at}, not {answer[at : at + 20]!r}"
    return _past(answer, at + 1)


class Shop:
    """The shop API as the check sees it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = requests.Session()
        self._http.trust_env = False

    def lines(self, day: date) -> list[Line]:
        """All lines that the API serves for a day now."""
        return [line for answer in self._pages(day) for line in orjson.loads(answer)["lines"]]

    def texts(self, day: date) -> list[bytes]:
        """The same lines as the JSON text that is served, whatever it holds."""
        return [text for answer in self._pages(day) for text in line_texts(answer.decode())]

    def _pages(self, day: date) -> Iterator[bytes]:
        found, cursor = 0, None
        while True:
            params = {"date": str(day), "limit": "10000"} | ({"cursor": cursor} if cursor else {})
            response = self._answer("sales", params)
            answer = orjson.loads(response)
            found, cursor = found + len(answer["lines"]), answer["next_cursor"]
            yield response
            if cursor is None:
                assert found == answer["total"], f"{day}: the API's own total is off"
                return

    def rates(self, lines: list[Line]) -> list[dict[str, str]]:
        """Rates for every order date of the lines and the week before it."""
        dates = {str(line.get("created_at"))[:10] for line in lines}
        days = sorted(date.fromisoformat(text) for text in dates if text[:1] in "12")
        if not days:
            return []
        params = {
            "from": str(days[0] - timedelta(days=9)),
            "to": str(days[-1] + timedelta(days=1)),
        }
        found: list[dict[str, str]] = self._get("fx", params)["rates"]
        return found

    def override(self, day: date, **change: Any) -> None:
        """Replaces what a day serves: withdraw, replace, add, empty."""
        self._put(f"_overrides/{day}", change)

    def fault(self, name: str, **options: Any) -> None:
        """Turns a fault on."""
        self._put(f"_faults/{name}", options)

    def clear(self) -> None:
        """Turns every fault off; overrides stay, since they are what the shop now says."""
        self._http.delete(f"{self.url}/_faults", timeout=30).raise_for_status()

    def _get(self, path: str, params: dict[str, str]) -> Any:
        return orjson.loads(self._answer(path, params))

    def _answer(self, path: str, params: dict[str, str]) -> bytes:
        answer = self._http.get(f"{self.url}/{path}", params=params, timeout=120)
        answer.raise_for_status()
        return answer.content

    def _put(self, path: str, body: dict[str, Any]) -> None:
        answer = self._http.put(f"{self.url}/{path}", json=body, timeout=120)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text}"


class Served:
    """Every landing that the platform was given cause to make, as the API served it."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.landings: dict[date, dict[int, Landing]] = defaultdict(dict)

    def record(self, day: date, version: int) -> None:
        """Remembers what the API serves for the day now as that landing version."""
        lines, texts = self.shop.lines(day), self.shop.texts(day)
        self.landings[day][version] = Landing(str(day), version, texts, self.shop.rates(lines))

    def all(self) -> list[Landing]:
        """All of them, by day and version."""
        return [by[v] for _, by in sorted(self.landings.items()) for v in sorted(by)]
