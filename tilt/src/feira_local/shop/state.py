"""State that survives a restart: one JSON file a kind, replaced whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from feira_local.shop.source import SourceError


class StateFile:
    """A JSON object in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SourceError(
                f"state folder: {path.parent} cannot be made ({error.strerror}). "
                "Give another folder with --state."
            ) from error

    def read(self) -> dict[str, Any]:
        """The stored object, empty before the first write. Raises SourceError on anything else."""
        if not self.path.exists():
            return {}
        try:
            state = orjson.loads(self.path.read_bytes())
        except orjson.JSONDecodeError as error:
            raise self.unreadable(str(error)) from error
        if not isinstance(state, dict):
            raise self.unreadable("no JSON object")
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Replaces the file by rename, so a reader or a crash never sees half of it."""
        draft = self.path.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))
        os.replace(draft, self.path)

    def unreadable(self, reason: str) -> SourceError:
        """The error for content that this version cannot use."""
        return SourceError(
            f"state file {self.path}: {reason}. Delete it to start without its state."
        )
