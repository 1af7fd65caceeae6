"""Columns of texts as numbers: what is the same in many rows is looked at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NULL, UNKNOWN = -1, -2

Numbers = npt.NDArray[Any]


def encoded(column: pa.Array) -> pa.DictionaryArray:
    """The column with each text once."""
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def is_constant(column: pa.DictionaryArray) -> bool:
    """Whether it is known without a look at the rows that all are alike."""
    nulls = column.indices.null_count
    return nulls == len(column) or (not nulls and len(column.dictionary) == 1)


def places(column: pa.Array, known: pa.Array) -> Numbers:
    """Each row's place among the known texts; ``UNKNOWN`` where it is none of them, ``NULL`` where it is null."""
    coded = encoded(column)
    of_texts = pc.index_in(coded.dictionary, value_set=known).fill_null(UNKNOWN)
    if is_constant(coded):
        # Most columns of most batches are so.
        all_null = coded.indices.null_count == len(coded)
        return np.broadcast_to(np.int32(NULL if all_null else of_texts[0].as_py()), len(coded))
    found: Numbers = of_texts.to_numpy()
    if coded.indices.null_count:
        found = np.append(found, np.int32(NULL))
    indices: Numbers = coded.indices.fill_null(len(coded.dictionary)).to_numpy()
    return np.take(found, indices)


def numbers_of(column: pa.DictionaryArray) -> Numbers:
    """Numbers that are the same in two rows where the text is; ``NULL`` where it is null."""
    distinct = pc.unique(column.dictionary)
    if len(distinct) < len(column.dictionary):
        return places(column, distinct)
    return _without_null(column.indices)


def texts(column: pa.DictionaryArray, rows: Numbers) -> list[str]:
    """The texts of some rows; None where they are null."""
    found: list[str] = column.take(pa.array(rows)).dictionary_decode().to_pylist()
    return found


def _without_null(numbers: pa.Array) -> Numbers:
    return np.asarray((numbers.fill_null(NULL) if numbers.null_count else numbers).to_numpy())
