"""A JSON answer, read without touching the text of its records."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, overload

import msgspec
import orjson

from feira.core.dotted_paths import first_keys, joined
from feira.core.repeated_keys import repeated_key

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]')


# What orjson says where a text ends before its value does.
_CUT_OFF = ("unexpected end of data", "Input is a zero-length")


class NotJsonError(ValueError):
    """A body is no JSON; the message is the parser's cause and position.

    ``cut_off`` where nothing is wrong with it but that it ends too early.
    """

    def __init__(self, message: str, *, cut_off: bool = False) -> None:
        super().__init__(message)
        self.cut_off = cut_off


class Records(Sequence[Any]):
    """A list of a JSON body: ``raw`` holds each element's text as it came; one is parsed when asked for."""

    def __init__(self, raw: list[bytes]) -> None:
        self.raw = raw

    def __len__(self) -> int:
        return len(self.raw)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """The parsed record; raises ValueError where its value cannot be held, as that of 1e400."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        try:
            return msgspec.json.decode(self.raw[index])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError(f"record {range(len(self))[index] + 1}: {error}") from error


def read_json(content: bytes) -> Any:
    """The whole body, parsed. Raises NotJsonError, and TypeError for a duplicate key."""
    _check_text(content)
    try:
        body = msgspec.json.decode(content)
        _refuse_duplicates(content)
        return body
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _not_json(content, error) from error


def read_page(content: bytes, records_at: str) -> tuple[Any, Records]:
    """The body with ``Records`` in the place of its list at the dotted path, and these.

    Only what stands beside the records is parsed. A record of any JSON type is taken.

    :raises NotJsonError: where the body is no JSON
    :raises LookupError: where it has no such place
    :raises TypeError: where no list is there, or a key beside the records is a duplicate
    """
    _check_text(content)
    try:
        body, records, listed = _split(content, records_at, "")
        _refuse_duplicates(_without(content, listed))
        return body, records
    except (msgspec.DecodeError, RecursionError) as error:
        if isinstance(error, msgspec.ValidationError):
            raise TypeError(str(error)) from error
        refused = _not_json(content, error)
        if isinstance(error, RecursionError):
            record = _record_before(content, str(refused), records_at)
            refused = NotJsonError(f"record {record} is nested too deep: {refused}")
        raise refused from error


def _split(content: Any, path: str, walked: str) -> tuple[Any, Records, bytes]:
    kind = _kind(content)
    if not path:
        if kind != "array":
            raise TypeError(f"{walked or 'body'}: {kind} is no list")
        records = Records(
            [bytes(raw) for raw in msgspec.json.decode(content, type=list[msgspec.Raw])]
        )
        return records, records, bytes(content)
    part, _, rest = path.partition(".")
    if kind == "object":
        return _split_object(content, path, walked)
    if kind != "array" or not part.isdecimal():
        # Reads it, so that what is no JSON is reported as that.
        msgspec.json.decode(content, type=msgspec.Raw)
        raise TypeError(f"{walked or 'body'}: {kind} has no {part!r}")
    elements = msgspec.json.decode(content, type=list[msgspec.Raw])
    place = range(len(elements))[int(part)]
    below, records, listed = _split(elements[place], rest, joined(walked, part))
    inside = [below if at == place else msgspec.json.decode(raw) for at, raw in enumerate(elements)]
    return inside, records, listed


def _split_object(content: Any, path: str, walked: str) -> tuple[Any, Records, bytes]:
    fields: dict[str, Any] = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    missing: Exception = KeyError(path)
    for key, rest in first_keys(path):
        if key not in fields:
            continue
        try:
            below, records, listed = _split(fields[key], rest, joined(walked, key))
        except (LookupError, TypeError) as error:
            missing = error
        else:
            inside = {
                name: below if name == key else msgspec.json.decode(raw)
                for name, raw in fields.items()
            }
            return inside, records, listed
    raise missing


def _without(content: bytes, listed: bytes) -> bytes:
    """The body with an empty list in the place of the first that reads so; ``listed`` is in it."""
    # Looked for by its beginning: to look for a megabyte takes longer than to parse it.
    beginning = listed[:64]
    start = content.index(beginning)
    while not content.startswith(listed, start):
        start = content.index(beginning, start + 1)
    return b"%b[]%b" % (content[:start], content[start + len(listed) :])


def _refuse_duplicates(content: bytes) -> None:
    """Raises TypeError where an object has a key twice: parsers differ in which of the two counts."""

    def unique(pairs: list[tuple[str, Any]]) -> None:
        if (again := repeated_key(pairs)) is not None:
            raise TypeError(f"{again!r}: a duplicate key")

    json.loads(content, object_pairs_hook=unique, parse_int=len, parse_float=len)


def _kind(content: Any) -> str:
    first = bytes(memoryview(content)[:64]).lstrip()[:1]
    names = {
        b"{": "object",
        b"[": "array",
        b'"': "string",
        b"n": "null",
        b"t": "true",
        b"f": "false",
    }
    return names.get(first, "number")


def _check_text(content: bytes) -> None:
    # msgspec skips over texts that it does not parse.
    try:
        content.decode()
    except UnicodeDecodeError as error:
        cut_off = error.reason == "unexpected end of data" and error.end == len(content)
        raise NotJsonError(str(error), cut_off=cut_off) from error


def _not_json(content: bytes, error: Exception) -> NotJsonError:
    """The cause with line and column: orjson names both, and takes less than msgspec."""
    try:
        orjson.loads(content)
    except orjson.JSONDecodeError as better:
        return NotJsonError(str(better), cut_off=better.msg.startswith(_CUT_OFF))
    return NotJsonError(str(error))


def _record_before(content: bytes, cause: str, records_at: str) -> int:
    """The number, from 1, of the record in which the position lies that a cause ends with."""
    found = re.search(r"\(char (\d+)\)$", cause)
    end = int(found[1]) if found else len(content)
    at_depth = len(records_at.split(".")) + 1 if records_at else 1
    depth, record = 0, 1
    for token in _TOKEN.finditer(content, 0, end):
        match token[0]:
            case b"[" | b"{":
                depth += 1
                if depth == at_depth:
                    record = 1
            case b"]" | b"}":
                depth -= 1
            case b"," if depth == at_depth:
                record += 1
    return record
