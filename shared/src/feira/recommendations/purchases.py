"""What each user had, newest first: what a person sees beside the lists."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from feira.recommendations.history import History, places_within

MOST = 50

ROWS = pa.schema(
    [
        ("user_id", pa.string()),
        ("item", pa.string()),
        ("days", pa.int32()),
        ("last", pa.date32()),
    ]
)
# Rows of one user are looked for in the row groups whose statistics allow it.
ROW_GROUP = 20_000


def rows(history: History) -> Iterator[pa.RecordBatch]:
    """Of each user the ``MOST`` items that it had last, in order of user, then newest first, then more
    popular: on how many days, and the last of them."""
    items = max(len(history.item_ids), 1)
    pairs, place, days = np.unique(
        history.users.astype(np.int64) * items + history.items,
        return_inverse=True,
        return_counts=True,
    )
    last = np.full(len(pairs), np.iinfo(np.int32).min, dtype=np.int32)
    np.maximum.at(last, place, history.days)
    users, had = pairs // items, pairs % items
    order = np.lexsort((had, -last, users))
    order = order[places_within(users[order]) < MOST]
    users = users[order]
    user_names = pa.array(history.user_ids, pa.string())
    item_names = pa.array(history.item_ids, pa.string())
    for start in range(0, len(order), ROW_GROUP):
        rows = order[start : start + ROW_GROUP]
        columns = [
            user_names.take(pa.array(users[start : start + ROW_GROUP])),
            item_names.take(pa.array(had[rows])),
            pa.array(days[rows], pa.int32()),
            pa.array(last[rows]).cast(pa.date32()),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=ROWS)
