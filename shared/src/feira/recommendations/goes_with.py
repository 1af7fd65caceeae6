"""Which items go with an item: for a guest's basket, and for whoever looks at a product."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from feira.recommendations.history import HISTORY_CAP, History
from feira.recommendations.metrics import greatest, rounded

LENGTH = 20
MOST_ITEMS = 50_000
# What one customer alone had together says little of two items, and would show a guest what that customer had.
FEWEST_USERS = 2
# Of two items that few had a cosine is often 1: so many users more count as having had each of them alone.
DAMPING = 10

ROWS = pa.schema(
    [
        ("item", pa.string()),
        ("goes_with", pa.list_(pa.string())),
        ("similarity", pa.list_(pa.float32())),
    ]
)
_BLOCK = 256


def rows(history: History) -> Iterator[pa.RecordBatch]:
    """Of each of the most popular items those that go with it, best first, in the order of popularity.

    An item's similarity to another is the damped cosine: the users that had both, by the root of the product
    of how many had each (plus ``DAMPING``). Pairs that fewer than ``FEWEST_USERS`` had are none; an item
    without any has no row. Of equal similarities (to nine decimals) the more popular item is first.
    """
    items = min(len(history.item_ids), MOST_ITEMS)
    seen = history.capped(HISTORY_CAP).seen()[:, :items]
    names = history.item_ids[:items]
    of_item = 1 / np.sqrt(np.asarray(seen.sum(axis=0)).ravel() + DAMPING)
    by_item = seen.T.tocsr()
    for start in range(0, items, _BLOCK):
        both = (by_item[start : start + _BLOCK] @ seen).tocsr()
        found = []
        for row in range(both.shape[0]):
            of_row = slice(both.indptr[row], both.indptr[row + 1])
            others, users = both.indices[of_row], both.data[of_row]
            is_pair = (users >= FEWEST_USERS) & (others != start + row)
            others, users = others[is_pair], users[is_pair]
            values = rounded(users * of_item[others] * of_item[start + row])
            best = greatest(values, others, LENGTH)
            if len(best):
                named = (names[start + row], names[others[best]], values[best])
                found.append(dict(zip(ROWS.names, named, strict=True)))
        if found:
            yield pa.RecordBatch.from_pylist(found, schema=ROWS)
