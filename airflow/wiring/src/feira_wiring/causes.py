"""Why a DAG file did not import, and at which line of whose file, out of Python's traceback."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+)', re.MULTILINE)
_LIMIT = 400


@dataclass(frozen=True)
class Cause:
    """The exception in one line; ``at`` is the absolute file where it came from, ``line`` its line."""

    text: str
    at: str | None = None
    line: int | None = None


def cause_of(traceback: str, top: Path) -> Cause:
    """The last exception of a traceback, and the deepest line of it that lies under ``top``.

    A text that is no traceback is the cause itself.
    """
    # Of exceptions raised from one another, Python writes the last one last.
    last = re.split(r"^Traceback \(most recent call last\):\n", traceback, flags=re.MULTILINE)[-1]
    own = None
    for frame in _FRAME.finditer(last):
        if Path(frame["file"]).is_relative_to(top):
            own = frame
    lines = last.strip("\n").splitlines()
    # Below the frames, which are indented; a message may have several lines.
    if frames := [number for number, line in enumerate(lines) if _FRAME.match(line)]:
        start = frames[-1] + 1
        while start < len(lines) - 1 and lines[start].startswith(("    ", "  [Previous line")):
            start += 1
        lines = lines[start:]
    text = shown(" ".join(lines)) or "unknown error"
    if len(text) > _LIMIT:
        text = text[:_LIMIT] + " …"
    return Cause(text, own["file"] if own else None, int(own["line"]) if own else None)


def shown(text: str) -> str:
    """A text on one line, without the prefix that Airflow puts before the name of a DAG file's module."""
    return re.sub(r"\s+", " ", re.sub(r"\bunusual_prefix_[0-9a-f]{40}_", "", text)).strip()
