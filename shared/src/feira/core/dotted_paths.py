"""Dotted paths into JSON, as ``data.items``. A key may hold dots itself, as OData's ``@odata.nextLink`` does."""

from __future__ import annotations

from collections.abc import Iterator


def first_keys(path: str) -> Iterator[tuple[str, str]]:
    """The keys that a path may begin with, the longest first, each with the path below it; "" is below the whole."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        yield ".".join(parts[:end]), ".".join(parts[end:])


def joined(walked: str, part: str) -> str:
    """The path that was walked, and one part more."""
    return f"{walked}.{part}" if walked else part
