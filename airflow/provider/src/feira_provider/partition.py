"""The templated ``partition`` of operators."""

from __future__ import annotations


def is_stated(partition: str) -> bool:
    """Whether it was rendered to a partition: of a run without a key Jinja makes nothing, or ``None`` as text."""
    return partition not in ("", "None")
