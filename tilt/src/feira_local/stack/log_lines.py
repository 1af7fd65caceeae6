"""A service's log: its last lines, and what follows them line by line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_POLL_SECONDS = 0.2
_BLOCK = 64 * 1024


def tail(path: os.PathLike[str], lines: int) -> list[str]:
    """The last lines of a log, the last of which may not have ended; none where there is no log."""
    try:
        with open(path, "rb") as file:
            *ended, rest = _end(file, lines).split(b"\n")
    except OSError:
        return []
    return [_text(line) for line in ([*ended, rest] if rest else ended)[-lines:]]


def follow(path: Path, lines: int) -> Iterator[str]:
    """The last lines of a log, and from there each line when it has ended; without end.

    A log that is full goes on in a new file of its name.
    """
    file = path.open("rb")
    try:
        *ended, rest = _end(file, lines).split(b"\n")
        yield from map(_text, ended[-lines:])
        while True:
            # Asked first: what is read after it is all that the old file has.
            replaced = _is_replaced(path, file)
            if more := file.read():
                *ended, rest = (rest + more).split(b"\n")
                yield from map(_text, ended)
            elif replaced:
                if rest:
                    yield _text(rest)
                file.close()
                file, rest = path.open("rb"), b""
            else:
                time.sleep(_POLL_SECONDS)
    finally:
        file.close()


def _end(file: BinaryIO, lines: int) -> bytes:
    """The end of a log with at least so many whole lines, where it has them; leaves the file at its end."""
    end = at = file.seek(0, os.SEEK_END)
    blocks: list[bytes] = []
    breaks = 0
    while at and breaks <= lines:
        start = max(0, at - _BLOCK)
        file.seek(start)
        blocks.append(file.read(at - start))
        breaks += blocks[-1].count(b"\n")
        at = start
    file.seek(end)
    return b"".join(reversed(blocks))


def _is_replaced(path: Path, file: BinaryIO) -> bool:
    """Whether the path leads to another file by now, or this one was emptied."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return not os.path.samestat(there, os.fstat(file.fileno())) or there.st_size < file.tell()


def _text(line: bytes) -> str:
    return line.decode(errors="replace").removesuffix("\r")
