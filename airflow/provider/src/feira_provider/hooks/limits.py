"""How long, how often and how much a paged API is asked: stated in code, or in the connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Limits:
    """The limits of ``PagedApiHook``, which describes them; each may stand in a connection's extra."""

    attempts: int = 5
    timeout: float = 20.0
    total_timeout: float = 60.0
    max_bytes: int = 256 * 2**20
    max_delay: float = 10.0
    max_retry_after: float = 120.0
    max_pages: int = 100_000

    @classmethod
    def of(cls, given: Mapping[str, Any], extra: Mapping[str, Any], where: str) -> Limits:
        """Those ``given``, else those of a connection's ``extra``, else the defaults.

        :param where: the connection's name, for the message
        :raises ValueError: for a limit that is no number over 0, or no whole one where it counts
        """
        stated: dict[str, Any] = {}
        for field in fields(cls):
            value, place = given.get(field.name), "the argument"
            if value is None:
                value, place = extra.get(field.name), f"connection {where}: the extra field"
            # An empty field of the connection's form.
            if value is None or value == "":
                continue
            stated[field.name] = _number(value, f"{place} {field.name}", whole=field.type == "int")
        stated.setdefault("total_timeout", 3 * stated.get("timeout", cls.timeout))
        return cls(**stated)


NAMES = frozenset(field.name for field in fields(Limits))


def _number(value: Any, what: str, *, whole: bool) -> float:
    try:
        number = int(str(value)) if whole else float(value)
    except (TypeError, ValueError):
        number = 0
    # Not true of NaN either, nor of what counts for ever.
    if isinstance(value, bool) or not 0 < number < float("inf"):
        kind = "whole number" if whole else "number"
        raise ValueError(f"{what} is {value!r}; it must be a {kind} over 0.")
    return number
