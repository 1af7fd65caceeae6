"""A JSON answer, read without touching the text of its records."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, overload

import msgspec
import orjson

from feira.core.dotted_paths import first_keys, joined
from feira.core.landing.strict_json import MOST_LEVELS, cut_below, too_deep, with_room
from feira.core.repeated_keys import repeated_key

_TOO_DEEP = f"nested too deep, in more than {MOST_LEVELS} levels"
# What orjson says where a text ends before its value does.
_CUT_OFF = ("unexpected end of data", "Input is a zero-length")
# A text, or what stands for a number or a word: what is neither white space nor parts a body.
_SCALAR = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*"?|[^ \t\n\r"\[\]{},:]+', re.DOTALL)
_PLAIN_TEXT = re.compile(rb'"[ !#-\[\]-~]*"')


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
        """The parsed record; raises ValueError where it cannot be read, or its value held, as that of 1e400."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        try:
            return with_room(lambda: msgspec.json.decode(self.raw[index]))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"record {range(len(self))[index] + 1}: {error}") from error


def read_json(content: bytes) -> Any:
    """The whole body, parsed. Raises NotJsonError, and TypeError for a duplicate key."""
    _check_text(content)
    if too_deep(content):
        raise NotJsonError(_TOO_DEEP)

    def read() -> Any:
        body = msgspec.json.decode(content)
        _refuse_duplicates(content)
        return body

    try:
        return with_room(read)
    except msgspec.MsgspecError as error:
        raise _not_json(content, error) from error


def read_page(content: bytes, records_at: str, *, unreadable: bool = False) -> tuple[Any, Records]:
    """The body with ``Records`` in the place of its list at the dotted path, and these.

    Only what stands beside the records is parsed. A record of any JSON type is taken.

    :param unreadable: take a record that cannot be read too, as it came: of more than MOST_LEVELS, or in
        which a text or number is none (half a surrogate pair, bytes that are no UTF-8, NaN). Its quotes,
        brackets, commas and colons must be JSON's, or where it ends is unknown; and in a text must be no
        line break, since it could not be landed as a line
    :raises NotJsonError: where the body is no JSON, or a record or what stands beside them has more than
        MOST_LEVELS
    :raises LookupError: where it has no such place
    :raises TypeError: where no list is there, or a key beside the records is a duplicate
    """
    try:
        return _readable_page(content, records_at)
    except NotJsonError as error:
        if not unreadable:
            raise
        return _page_of_any_records(content, records_at, error)


def _page_of_any_records(
    content: bytes, records_at: str, problem: NotJsonError
) -> tuple[Any, Records]:
    """As ``read_page``, with records that cannot be read; raises ``problem`` where they cannot be told apart, or
    something else cannot be read either."""
    # Each place in it is the same place in the body.
    readable = cut_below(_SCALAR.sub(_readable, content), _levels_of_records(records_at))
    try:
        _, found, listed = with_room(lambda: _split(readable, records_at, ""))
    except msgspec.DecodeError as error:
        now = _not_json(readable, error)
        raise (now if now.cut_off else problem) from None
    except (LookupError, TypeError):
        raise problem from None
    # Two lists that read alike here may differ in the body.
    if readable.count(listed) > 1:
        raise problem
    start = end = readable.index(listed)
    raw = []
    for record in found.raw:
        begin = readable.index(record, end + 1)
        end = begin + len(record)
        raw.append(content[begin:end])
    try:
        body, records = _readable_page(_but_for(content, start, listed), records_at)
    except NotJsonError:
        raise problem from None
    records.raw = raw
    return body, records


def _readable(scalar: re.Match[bytes]) -> bytes:
    """A text or number as it is, or where it is none another of its length; but a text keeps line breaks."""
    text = scalar[0]
    if _PLAIN_TEXT.fullmatch(text) or b"\n" in text or b"\r" in text:
        return text
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        inside = len(text) - 2
        return b'"%b"' % (b" " * inside) if text.startswith(b'"') else b"1" * len(text)
    return text


def _readable_page(content: bytes, records_at: str) -> tuple[Any, Records]:
    _check_text(content)
    try:
        try:
            return _read_page(content, records_at)
        except RecursionError:
            content = cut_below(content, _levels_of_records(records_at))
            return with_room(lambda: _read_page(content, records_at))
    except msgspec.ValidationError as error:
        raise TypeError(str(error)) from error
    except msgspec.DecodeError as error:
        raise _not_json(content, error) from error


def _levels_of_records(records_at: str) -> int:
    # A record is within as many levels as its path has parts, and one more.
    return MOST_LEVELS + len(records_at.split(".")) + 1


def _read_page(content: bytes, records_at: str) -> tuple[Any, Records]:
    body, records, listed = _split(content, records_at, "")
    for number, raw in enumerate(records.raw, start=1):
        if too_deep(raw):
            raise NotJsonError(f"record {number} is {_TOO_DEEP}")
    beside = _without(content, listed)
    if too_deep(beside):
        raise NotJsonError(f"what stands beside the records is {_TOO_DEEP}")
    _refuse_duplicates(beside)
    return body, records


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
    return _but_for(content, start, listed)


def _but_for(content: bytes, start: int, listed: bytes) -> bytes:
    """The body with an empty list in the place of the one that begins there and is as long as ``listed``."""
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
