"""A version's lists as they are in the lake: one Parquet file, read twice and never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feira.recommendations.serving.packing import COLUMNS

_ROWS = 500_000
_TEXTS = [name for name in COLUMNS if name != "position"]


def lists_of(file: IO[bytes]) -> tuple[Iterator[pa.RecordBatch], list[str]]:
    """The rows, and the items in order, those that are reasons among them: as ``publish`` takes both."""
    parquet = pq.ParquetFile(file, read_dictionary=_TEXTS)
    return parquet.iter_batches(_ROWS, columns=list(COLUMNS)), _items(parquet)


def _items(parquet: pq.ParquetFile) -> list[str]:
    found: set[str] = set()
    for batch in parquet.iter_batches(_ROWS, columns=["item", "reason_item"]):
        for column in batch.columns:
            # A dictionary may hold more than its batch.
            found.update(pc.unique(column).drop_null().to_pylist())
    return sorted(found)
