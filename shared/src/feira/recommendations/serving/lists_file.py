"""A version's lists as they are in the lake: Parquet files, read twice and never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feira.recommendations.serving.packing import COLUMNS

_ROWS = 500_000
_TEXTS = [name for name in COLUMNS if name != "position"]


@dataclass(frozen=True)
class ListsFiles:
    """What a version's lists are, as ``publish`` takes it.

    :param rows: of the columns ``packing.COLUMNS``
    :param items: in order, those that are reasons or go with others among them
    :param goes_with: rows of ``goes_with.ROWS``
    :param segments: in order
    :param segment_users: rows of ``segments.ROWS``
    """

    rows: Iterator[pa.RecordBatch]
    items: list[str]
    goes_with: Iterator[pa.RecordBatch]
    segments: list[str]
    segment_users: Iterator[pa.RecordBatch]


def lists_of(
    file: IO[bytes], goes_with: IO[bytes] | None = None, users: IO[bytes] | None = None
) -> ListsFiles:
    lists = pq.ParquetFile(file, read_dictionary=_TEXTS)
    items = _distinct(lists, ["item", "reason_item"])
    with_items: Iterator[pa.RecordBatch] = iter(())
    if goes_with is not None:
        beside = pq.ParquetFile(goes_with)
        items |= _distinct(beside, ["goes_with"])
        with_items = beside.iter_batches()
    return ListsFiles(
        rows=lists.iter_batches(_ROWS, columns=list(COLUMNS)),
        items=sorted(items),
        goes_with=with_items,
        segments=sorted(_distinct(lists, ["segment"])),
        segment_users=iter(())
        if users is None
        else pq.ParquetFile(users, read_dictionary=["segment"]).iter_batches(_ROWS),
    )


def _distinct(parquet: pq.ParquetFile, columns: list[str]) -> set[str]:
    found: set[str] = set()
    for batch in parquet.iter_batches(_ROWS, columns=columns):
        for column in batch.columns:
            texts = column.flatten() if pa.types.is_list(column.type) else column
            # A dictionary may hold more than its batch.
            found.update(pc.unique(texts).drop_null().to_pylist())
    return found
