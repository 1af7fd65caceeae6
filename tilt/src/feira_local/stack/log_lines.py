"""A service's log, followed line by line."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_POLL_SECONDS = 0.2


def follow(path: Path, lines: int) -> Iterator[str]:
    """The last lines of a log, and from there each line when it has ended; without end.

    A log that is full goes on in a new file of its name.
    """
    file = path.open("rb")
    try:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 500 * lines - 4000))
        *ended, rest = file.read().split(b"\n")
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


def _is_replaced(path: Path, file: BinaryIO) -> bool:
    """Whether the path leads to another file by now, or this one was emptied."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return not os.path.samestat(there, os.fstat(file.fileno())) or there.st_size < file.tell()


def _text(line: bytes) -> str:
    return line.decode(errors="replace").removesuffix("\r")
