"""A key that a JSON object has twice, of which parsers differ in which counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


def repeated_key(pairs: Sequence[tuple[str, Any]]) -> str | None:
    """The first key that is there more than once; None where none is.

    ``pairs`` is what ``object_pairs_hook`` is given.
    """
    # Of most objects this is all; to count takes several times as long.
    if len(dict(pairs)) == len(pairs):
        return None
    times = Counter(name for name, _ in pairs)
    return next(name for name in times if times[name] > 1)
