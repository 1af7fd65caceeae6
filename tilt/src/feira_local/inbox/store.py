"""What was received as files, so that it outlives the service: messages one each, events a line each."""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

Channel = Literal["mail", "slack"]
_SUFFIX: dict[Channel, str] = {"mail": ".eml", "slack": ".json"}
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_ID = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-[0-9a-f]{8}")
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Now, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Received:
    """A message as it came. Its id sorts by the time of its arrival."""

    channel: Channel
    message_id: str
    content: bytes

    @property
    def at(self) -> datetime:
        """When it arrived, UTC."""
        stamp = self.message_id.rsplit("-", 1)[0]
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


class MessageStore:
    """Messages below a folder: ``mail/<id>.eml`` and ``slack/<id>.json``."""

    def __init__(self, folder: Path, now: Clock = utc_now) -> None:
        self._folder = folder
        self._now = now
        for channel in _SUFFIX:
            (folder / channel).mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)

    def add(self, channel: Channel, content: bytes) -> str:
        """Keeps a message and returns its id; once this returns, a crash does not lose it.

        Raises OSError where it cannot be written; nothing of it stays then.
        """
        message_id = f"{self._now().strftime(_STAMP)}-{secrets.token_hex(4)}"
        path = self._path(channel, message_id)
        making = path.with_suffix(".new")
        try:
            with making.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(making, path)
        except OSError:
            # Its id is never given again: nothing else would remove what a full disk has taken of it.
            making.unlink(missing_ok=True)
            raise
        return message_id

    def get(self, channel: Channel, message_id: str) -> Received | None:
        """One message; None where there is none, or the id is none."""
        if not _ID.fullmatch(message_id):
            return None
        try:
            return Received(channel, message_id, self._path(channel, message_id).read_bytes())
        except FileNotFoundError:
            return None

    def newest(
        self, limit: int, *, before: str | None = None, channel: Channel | None = None
    ) -> list[Received]:
        """Messages of one channel or both, newest first, that arrived before the one of that id."""
        known = sorted(
            (
                (path.stem, each)
                for each in _SUFFIX
                if channel in (None, each)
                for path in (self._folder / each).glob(f"*{_SUFFIX[each]}")
                if _ID.fullmatch(path.stem) and (before is None or path.stem < before)
            ),
            reverse=True,
        )
        found = (self.get(each, message_id) for message_id, each in known[:limit])
        return [message for message in found if message is not None]

    def count(self, channel: Channel) -> int:
        return sum(1 for _ in (self._folder / channel).glob(f"*{_SUFFIX[channel]}"))

    def _path(self, channel: Channel, message_id: str) -> Path:
        return self._folder / channel / f"{message_id}{_SUFFIX[channel]}"


class EventLog:
    """Events as lines of one file, which this process alone appends to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def append(self, line: bytes) -> None:
        """Adds one line, as one write; a power cut may lose it.

        Raises OSError where the disk does not take it whole; nothing of it stays then, which the next would join.
        """
        with self._path.open("ab", buffering=0) as file:
            before = file.tell()
            if file.write(line + b"\n") <= len(line):
                file.truncate(before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
