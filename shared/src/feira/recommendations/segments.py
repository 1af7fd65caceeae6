"""Categories of products, and segments: who has no list of its own is offered what is popular in a category."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feira.recommendations.history import History
from feira.recommendations.interactions import Ints
from feira.recommendations.metrics import Lists
from feira.recommendations.slots import Popular

CATEGORIES = pa.schema([("sku", pa.string()), ("category", pa.string())])
ROWS = pa.schema([("user_id", pa.string()), ("segment", pa.string())])
NO_CATEGORIES = CATEGORIES.empty_table()


@dataclass(frozen=True)
class Segments:
    """What is known of categories as of a day.

    :param users: as ``ROWS``, a row for each user that has a segment
    :param categories: as ``CATEGORIES``, a row for each product that has one
    """

    users: pa.Table
    categories: pa.Table


NO_SEGMENTS = Segments(ROWS.empty_table(), NO_CATEGORIES)


def segments_of(users: Iterable[pa.RecordBatch], categories: Iterable[pa.RecordBatch]) -> Segments:
    """Segments from batches of their columns, whatever else is in these."""
    return Segments(_table(users, ROWS), _table(categories, CATEGORIES))


def _table(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(
        [batch.select(schema.names).cast(schema) for batch in batches], schema
    )


def rows(segments: Segments, history: History) -> Iterator[pa.RecordBatch]:
    """As ``ROWS``, in the order of users: those that the history does not know and whose segment has a list."""
    listed = InCategories.of(segments.categories, history).names
    users, segment = segments.users["user_id"], segments.users["segment"]
    known = pc.is_in(users, value_set=pa.array(history.user_ids, pa.string()))
    kept = pc.and_(pc.invert(known), pc.is_in(segment, value_set=listed))
    yield from segments.users.filter(kept).sort_by("user_id").to_batches()


@dataclass(frozen=True)
class InCategories:
    """The categories of a history's items.

    :param names: the categories, in order
    :param of_items: of each item the place of its category in ``names``, -1 where it has none
    """

    names: pa.Array
    of_items: Ints

    @classmethod
    def of(cls, categories: pa.Table, history: History) -> InCategories:
        """Those of the items that are in the history: as ``CATEGORIES``, of any items."""
        items = pa.array(history.item_ids, pa.string())
        found = categories.filter(pc.is_in(categories["sku"], value_set=items)).combine_chunks()
        named = found["category"].combine_chunks()
        names = pc.unique(named).drop_null()
        names = names.take(pc.sort_indices(names))
        place = pc.index_in(items, value_set=found["sku"])
        codes = pc.index_in(named, value_set=names).take(place)
        return cls(names, codes.fill_null(-1).to_numpy().astype(np.int32))

    def popular(self, popularity: Popular, most: int) -> Lists:
        """A row a category: its ``most`` most popular items, -1 where there are no more."""
        items = popularity.order[self.of_items[popularity.order] >= 0]
        items = items[np.argsort(self.of_items[items], kind="stable")]
        rows = self.of_items[items]
        place = np.arange(len(rows)) - np.searchsorted(rows, rows)
        kept = place < most
        found = np.full((len(self.names), most), -1, dtype=np.int32)
        found[rows[kept], place[kept]] = items[kept]
        return found

    def most_bought(self, history: History) -> Ints:
        """Of each user the place of the category of most of its interactions, of equals the first by name; -2
        where none of its items has one."""
        count = max(len(self.names), 1)
        category = self.of_items[history.items]
        pairs = history.users[category >= 0].astype(np.int64) * count + category[category >= 0]
        pairs, bought = np.unique(pairs, return_counts=True)
        order = np.lexsort((pairs, -bought, pairs // count))
        users, first = np.unique(pairs[order] // count, return_index=True)
        found = np.full(len(history.user_ids), -2, dtype=np.int32)
        found[users] = pairs[order][first] % count
        return found
