"""JSON as far as Spark's parser reads it: RFC 8259, within the limits of Jackson's StreamReadConstraints."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

MOST_DIGITS = 1000
"""Of a number, in whole part, fraction and exponent together."""
MOST_LEVELS = 999
"""Of objects and arrays, the outermost among them. Spark takes 1,000, and reads a line within an array."""
MOST_NAME = 50_000
"""Characters of a key, and below of a text, in UTF-16 as Java counts them."""
MOST_TEXT = 20_000_000
_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
_LONG_NUMBER = re.compile(rb"[-+.0-9eE]{%d}" % (MOST_DIGITS + 1))
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_STEPS = {**dict.fromkeys(b"[{", 1), **dict.fromkeys(b"]}", -1)}
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]|[\]}]', re.DOTALL)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_ROOM = threading.Lock()


def strict_json(text: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value of a JSON text; a number beyond a double is infinite.

    ``pairs`` makes an object of its keys and values, where the last of a duplicate key is not to be taken.
    Many times slower than orjson. Raises ValueError for what is no JSON by RFC 8259, is beyond a limit or
    has half a surrogate pair.
    """
    if too_deep(text):
        raise ValueError(f"more than {MOST_LEVELS} levels")
    if what := _too_long(text):
        raise ValueError(what)
    decoded = text.decode()
    found = with_room(
        lambda: json.loads(
            decoded,
            object_pairs_hook=pairs,
            parse_constant=_no_number,
            parse_int=_whole,
            parse_float=lambda number: float(_short(number)),
        )
    )
    # Not by the values: one may be gone, that a later one of its key has replaced.
    if _HALF.search(_PAIR.sub(b"", text.replace(b"\\\\", b"  "))):
        raise ValueError("half a surrogate pair")
    return found


def near_a_limit(text: bytes) -> bool:
    """Whether a JSON text may be beyond a limit, found faster than ``strict_json`` knows whether it is."""
    return len(text) > MOST_LEVELS and (
        too_deep(text)
        or (
            len(text.translate(None, _NO_DIGITS)) > MOST_DIGITS
            and _LONG_NUMBER.search(text) is not None
        )
        or _too_long(text) is not None
    )


def too_deep(text: bytes) -> bool:
    """Whether a JSON text has more than MOST_LEVELS."""
    if text.count(b"{") + text.count(b"[") <= MOST_LEVELS:
        return False
    brackets = b"".join(_pieces(text)[::2]).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MOST_LEVELS


def cut_below(text: bytes, level: int) -> bytes:
    """A JSON text with empty lists in the places of objects and arrays that are within ``level`` others, each as
    long as what it replaces."""
    kept, depth, start, opened = [], 0, 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in b"[{":
            depth += 1
            if depth == level + 1:
                kept += [text[start : token.start()], b"["]
                start, opened = len(text), token.end()
        elif token[0] in b"]}":
            if depth == level + 1:
                kept.append(b"%b]" % (b" " * (token.start() - opened)))
                start = token.end()
            depth -= 1
    return b"".join([*kept, text[start:]])


def with_room(read: Callable[[], T]) -> T:
    """What ``read`` makes of a JSON text of about MOST_LEVELS, wherever it is called.

    Up to Python 3.11 a parser of C counts its levels as calls of Python, which has room for 1,000 in all.
    """
    try:
        return read()
    except RecursionError:
        with _ROOM:
            limit = sys.getrecursionlimit()
            sys.setrecursionlimit(limit + 2 * MOST_LEVELS)
            try:
                return read()
            finally:
                sys.setrecursionlimit(limit)


def _pieces(text: bytes) -> list[bytes]:
    """A JSON text parted at its quotes: what is outside of texts and what is in one, by turns.

    A quote or a backslash that is escaped is a point.
    """
    return text.replace(b"\\\\", b".").replace(b'\\"', b".").split(b'"')


def _too_long(text: bytes) -> str | None:
    if len(text) <= MOST_NAME:
        return None
    pieces = _pieces(text)
    for written, after in zip(pieces[1::2], pieces[2::2], strict=False):
        # In UTF-8 as in escapes a character takes no fewer bytes than UTF-16 has units.
        if len(written) <= MOST_NAME:
            continue
        what, most = ("key", MOST_NAME) if after.lstrip()[:1] == b":" else ("text", MOST_TEXT)
        value = json.loads(b'"%b"' % written) if len(written) > most else ""
        if len(value.encode("utf-16-le", "surrogatepass")) > 2 * most:
            return f"a {what} of more than {most:,} characters"
    return None


def _whole(text: str) -> float:
    """An int of 64 bits, and beyond them a double, as orjson has it."""
    number = int(_short(text))
    return number if -(2**63) <= number < 2**64 else float(text)


def _short(text: str) -> str:
    if len(text) > MOST_DIGITS and sum(map(str.isdigit, text)) > MOST_DIGITS:
        raise ValueError(f"a number of more than {MOST_DIGITS} digits")
    return text


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
