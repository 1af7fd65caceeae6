"""What Spark's JSON parser takes of a line, and how much of it: on every Python, wherever it is called."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from feira.core.landing.lines import LandedLines
from feira.core.landing.strict_json import (
    MOST_LEVELS,
    cut_below,
    near_a_limit,
    strict_json,
    too_deep,
)


def lists(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def objects(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


def far_below(call: Callable[[], Any], frames: int) -> Any:
    """What a call gives that has as many frames of Python above it."""
    return call() if not frames else far_below(call, frames - 1)


@pytest.mark.parametrize("nested", [lists, objects])
@pytest.mark.parametrize("frames", [0, 300])
def test_a_line_may_have_999_levels_however_deep_it_is_called(
    nested: Callable[[int], bytes], frames: int
) -> None:
    assert MOST_LEVELS == 999
    limit = sys.getrecursionlimit()
    far_below(lambda: strict_json(nested(999)), frames)
    for levels in (1000, 1024, 100_000):
        assert near_a_limit(nested(levels))
        with pytest.raises(ValueError, match="more than 999 levels"):
            far_below(partial(strict_json, nested(levels)), frames)
    assert not near_a_limit(nested(999))
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"' + b"[{" * 2000 + b'"}',
        rb'["\"' + b"[" * 2000 + rb'\\"]',
        b"[" + b",".join([b"[]"] * 2000) + b"]",
        lists(999)[:-1] + b"," + lists(998) + b"]",
    ],
)
def test_brackets_of_texts_and_beside_one_another_are_no_levels(text: bytes) -> None:
    assert not too_deep(text)
    strict_json(text)


def test_what_is_not_closed_is_no_json_and_no_crash() -> None:
    for text in (
        b"[" * 999,
        b"[" * 100_000,
        b'{"a":' * 999,
        b'["' + b"[" * 2000,
        b'"' + b"\\" * 60_001,
    ):
        with pytest.raises(ValueError):
            strict_json(text)


@pytest.mark.parametrize(
    ("character", "units"), [("k", 1), ("\u00e9", 1), ("\U0001f600", 2), (r"\u0041", 1), (r"\"", 1)]
)
def test_a_key_may_have_50_000_characters_as_java_counts_them(character: str, units: int) -> None:
    def line(units_of_key: int) -> bytes:
        return f'{{"a":[{{"{character * (units_of_key // units)}" :1}}]}}'.encode()

    strict_json(line(50_000))
    assert not near_a_limit(line(50_000))
    assert near_a_limit(line(50_002))
    with pytest.raises(ValueError, match="a key of more than 50,000 characters"):
        strict_json(line(50_002))


def test_a_text_may_have_20_000_000_characters() -> None:
    strict_json(b'{"a":["%b"]}' % (b"x" * 20_000_000))
    strict_json(b'{"a":"%b"}' % ("\u00e9".encode() * 12_000_000))
    for text in (b"x" * 20_000_001, "\U0001f600".encode() * 10_000_001):
        with pytest.raises(ValueError, match="a text of more than 20,000,000 characters"):
            strict_json(b'{"a":["%b"]}' % text)


def test_what_lies_too_deep_is_cut_out() -> None:
    assert cut_below(b'[1,[2,[3,"[["],{"a":[[4]]}],[[]]]', 2) == (
        b"[1,[2,[      ],[         ]],[[]]]"
    )
    assert cut_below(b"[1,[2,[3", 2) == b"[1,[2,["
    assert cut_below(lists(5), 5) == lists(5)


def test_a_line_is_told_by_its_key_however_deep_it_is() -> None:
    seen = LandedLines(None, ("id",))
    deep = b'{"id":7,"x":' + lists(998) + b"}"
    assert far_below(lambda: seen.identity_of(deep), 300) == b"[7]"
    with pytest.raises(msgspec.DecodeError, match="999 levels"):
        seen.identity_of(b'{"id":7,"x":' + lists(999) + b"}")


def test_keys_are_compared_by_all_their_digits() -> None:
    seen = LandedLines(None, ("id",))

    def identity(number: str) -> bytes | None:
        return seen.identity_of(f'{{"id":{number}}}'.encode())

    for one, other in (
        ("0.1234567890123456789", "0.1234567890123456788"),
        ("1e400", "1e401"),
        ("9007199254740993.5", "9007199254740993.25"),
        ("0.5", '"0.5"'),
    ):
        assert identity(one) != identity(other)
    for one, other in (("0.5", "0.50"), ("1", "1.0"), ("10", "1e1"), ("0", "-0.0")):
        assert identity(one) == identity(other)
