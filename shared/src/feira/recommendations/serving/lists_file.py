"""A version's lists as they are in the lake: Parquet files, read twice and never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feira.recommendations.serving.layout import SLOTS
from feira.recommendations.serving.packing import COLUMNS, ListsError

_ROWS = 500_000
_TEXTS = [name for name in COLUMNS if name != "position"]


@dataclass(frozen=True)
class ListsFiles:
    """What a version's lists are, as ``publish`` takes it.

    :param rows: of a slot, of the columns ``packing.COLUMNS``
    :param items: in order, those that are reasons or go with others among them
    :param goes_with: rows of ``goes_with.ROWS``
    :param segments: in order
    :param segment_users: rows of ``segments.ROWS``
    """

    rows: Callable[[str], Iterator[pa.RecordBatch]]
    items: list[str]
    goes_with: Iterator[pa.RecordBatch]
    segments: list[str]
    segment_users: Iterator[pa.RecordBatch]


def lists_of(
    file: IO[bytes], goes_with: IO[bytes] | None = None, users: IO[bytes] | None = None
) -> ListsFiles:
    """Raises ListsError where a row is of no slot."""
    lists = pq.ParquetFile(file, read_dictionary=_TEXTS)
    slots = _distinct(lists, ["slot"])
    if not slots <= {*SLOTS}:
        raise ListsError(f"lists: there are rows of slot {', '.join(sorted(slots - {*SLOTS}))}.")
    items = _distinct(lists, ["item", "reason_item"])
    with_items: Iterator[pa.RecordBatch] = iter(())
    if goes_with is not None:
        beside = pq.ParquetFile(goes_with)
        items |= _distinct(beside, ["goes_with"])
        with_items = beside.iter_batches()
    return ListsFiles(
        rows=partial(_of_slot, lists),
        items=sorted(items),
        goes_with=with_items,
        segments=sorted(_distinct(lists, ["segment"])),
        segment_users=iter(())
        if users is None
        else pq.ParquetFile(users, read_dictionary=["segment"]).iter_batches(_ROWS),
    )


def _of_slot(lists: pq.ParquetFile, slot: str) -> Iterator[pa.RecordBatch]:
    """The rows of a slot; groups of rows that hold none of it are not read."""
    place = lists.schema_arrow.get_field_index("slot")
    groups = [
        group
        for group in range(lists.num_row_groups)
        if (of := lists.metadata.row_group(group).column(place).statistics) is None
        or not of.has_min_max
        or of.min <= slot <= of.max
    ]
    for batch in lists.iter_batches(_ROWS, row_groups=groups, columns=list(COLUMNS)):
        column = batch.column("slot")
        if column.null_count:
            raise ListsError(f"lists: {column.null_count:,} rows are of no slot.")
        is_its = pc.equal(column.dictionary, slot).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(is_its[column.indices.to_numpy()])
        # They are in order of slots.
        yield batch.slice(rows[0], len(rows)) if len(rows) else batch.slice(0, 0)


def _distinct(parquet: pq.ParquetFile, columns: list[str]) -> set[str]:
    found = pa.array([], pa.string())
    for batch in parquet.iter_batches(_ROWS, columns=columns):
        for column in batch.columns:
            texts = column.flatten() if pa.types.is_list(column.type) else column
            found = pc.unique(pa.concat_arrays([found, _texts_of(texts)]))
    return set(found.to_pylist())


def _texts_of(column: pa.Array) -> pa.Array:
    """The distinct texts of a column."""
    if not pa.types.is_dictionary(column.type):
        return pc.unique(column).drop_null()
    # A dictionary may hold more than its batch.
    used = np.zeros(len(column.dictionary), bool)
    used[column.indices.drop_null().to_numpy()] = True
    return column.dictionary.filter(pa.array(used))
