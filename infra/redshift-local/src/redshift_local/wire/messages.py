"""Messages of the protocol: read from a stream, taken apart and put together.

PostgreSQL's documentation, chapter "Frontend/Backend Protocol", has their forms.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable

# A longer message is no statement that Redshift would take.
MAX_LENGTH = 64 * 1024 * 1024
_CHUNK = 1024 * 1024
CLEARTEXT_PASSWORD = 3
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST, VERSION_3 = 80877103, 80877104, 80877102, 196608

# The parts of an error by their letters.
SEVERITY, SEVERITY_UNTRANSLATED, CODE, MESSAGE, DETAIL, HINT = "S", "V", "C", "M", "D", "H"


class ProtocolError(Exception):
    """What came is no message of the protocol."""


class TooLongError(ProtocolError):
    """A message of this kind that is too long; the next one can be read."""

    def __init__(self, kind: bytes, length: int) -> None:
        super().__init__(f"A message of {length} bytes; {MAX_LENGTH} at most are taken")
        self.kind = kind


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """A message's kind, one letter, and its body. IncompleteReadError at the end of the stream."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!I", head[1:])
    if length < 4:
        raise ProtocolError(f"A message of {length} bytes; 4 is the least")
    if length > MAX_LENGTH:
        for begin in range(4, length, _CHUNK):
            await reader.readexactly(min(_CHUNK, length - begin))
        raise TooLongError(head[:1], length)
    return head[:1], await reader.readexactly(length - 4)


async def read_startup(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The first message, which has no kind: its code, and what follows it."""
    (length,) = struct.unpack("!I", await reader.readexactly(4))
    if not 8 <= length <= 10_000:
        raise ProtocolError(f"A first message of {length} bytes; 8 to 10,000 are taken")
    body = await reader.readexactly(length - 4)
    return struct.unpack("!I", body[:4])[0], body[4:]


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def texts(*values: str) -> bytes:
    """Each value with its zero byte."""
    return b"".join(value.encode() + b"\0" for value in values)


def split(body: bytes, count: int) -> tuple[list[str], bytes]:
    """``count`` texts from the body's beginning, and the rest of it."""
    found = []
    for _ in range(count):
        value, zero, body = body.partition(b"\0")
        if not zero:
            raise ProtocolError("A text without an end")
        found.append(value.decode())
    return found, body


def pairs(body: bytes) -> dict[str, str]:
    """Names and values of a startup message."""
    found = body.split(b"\0")
    names, values = found[::2], found[1::2]
    return {n.decode(): v.decode() for n, v in zip(names, values, strict=False) if n}


def error_parts(body: bytes) -> dict[str, str]:
    """The parts of an ErrorResponse or NoticeResponse by their letters."""
    return {part[:1].decode(): part[1:].decode() for part in body.split(b"\0") if part}


def error(parts: dict[str, str], kind: bytes = b"E") -> bytes:
    return message(kind, b"".join(texts(letter + value) for letter, value in parts.items()) + b"\0")


def refusal(text: str, code: str, *, hint: str = "", severity: str = "ERROR") -> bytes:
    """An ErrorResponse of this server's own."""
    parts = {SEVERITY: severity, CODE: code, MESSAGE: text}
    return error(parts | ({HINT: hint} if hint else {}))


def statuses(values: Iterable[tuple[str, str]]) -> bytes:
    return b"".join(message(b"S", texts(name, value)) for name, value in values)
