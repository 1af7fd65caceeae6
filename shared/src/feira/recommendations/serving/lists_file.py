"""A version's lists as they are in the lake: Parquet files, read twice and never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feira.recommendations.serving.packing import COLUMNS

_ROWS = 500_000
_TEXTS = [name for name in COLUMNS if name != "position"]


def lists_of(
    file: IO[bytes], goes_with: IO[bytes] | None = None
) -> tuple[Iterator[pa.RecordBatch], list[str], Iterator[pa.RecordBatch]]:
    """The rows; the items in order, those that are reasons or go with others among them; and what goes with
    what: as ``publish`` takes the three."""
    lists = pq.ParquetFile(file, read_dictionary=_TEXTS)
    items = _distinct(lists, ["item", "reason_item"])
    if goes_with is None:
        return lists.iter_batches(_ROWS, columns=list(COLUMNS)), sorted(items), iter(())
    beside = pq.ParquetFile(goes_with)
    items |= _distinct(beside, ["goes_with"])
    return lists.iter_batches(_ROWS, columns=list(COLUMNS)), sorted(items), beside.iter_batches()


def _distinct(parquet: pq.ParquetFile, columns: list[str]) -> set[str]:
    found: set[str] = set()
    for batch in parquet.iter_batches(_ROWS, columns=columns):
        for column in batch.columns:
            texts = column.flatten() if pa.types.is_list(column.type) else column
            # A dictionary may hold more than its batch.
            found.update(pc.unique(texts).drop_null().to_pylist())
    return found
