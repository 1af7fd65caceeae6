"""Which rows differ, where the figures of lake and warehouse do: asked only then."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import merge
from itertools import groupby
from typing import Any

from feira.core.warehouse.apply import shown

NAMED = 3
KeyedRow = tuple[Any, ...]
"""A row of ``rows_by_key``: a hash of its key, the key's values, and a hash of the row."""


def differing_keys(lake: Iterable[KeyedRow], warehouse: Iterable[KeyedRow]) -> str:
    """The first keys whose rows differ, and how many more there are; empty where none does.

    Both sides come in the order of ``rows_by_key``, are read once, side by side, and not kept.
    """
    sides = (
        (("lake", row) for row in lake),
        (("warehouse", row) for row in warehouse),
    )
    named: list[str] = []
    count = 0
    for key, group in groupby(merge(*sides, key=_place), key=lambda each: each[1][:-1]):
        found = list(group)
        if len(found) == 2 and found[0][1] == found[1][1] and found[0][0] != found[1][0]:
            continue
        count += 1
        if count <= NAMED:
            only = {side for side, _ in found}
            where = f", in the {only.pop()} only" if len(only) == 1 else ""
            named.append(f"({', '.join(map(shown, key[1:]))}{where})")
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return f"key{'s' * (count > 1)} {', '.join(named)}{more}" if named else ""


def _place(each: tuple[str, KeyedRow]) -> Any:
    return each[1][0]
