"""Columns of texts as numbers: what is the same in many rows is looked at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NULL, UNKNOWN = -1, -2

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Coded:
    """A column: of each row a code, and of each code the place of its text among the known ones; ``UNKNOWN`` where
    it is none of them, ``NULL`` where there is no text. All int32."""

    codes: Numbers
    numbers: Numbers

    def __getitem__(self, row: int) -> int:
        return int(self.numbers[self.codes[row]])

    def of(self, rows: slice) -> Coded:
        return Coded(self.codes[rows], self.numbers)


def encoded(column: pa.Array) -> pa.DictionaryArray:
    """The column with each text once."""
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def coded(column: pa.Array, known: pa.Array) -> Coded:
    """The column, by the places of the known texts."""
    column = encoded(column)
    # Where there is no text none is looked up: that takes as long as there are known ones.
    numbers = pc.index_in(
        column.dictionary, value_set=known if len(column.dictionary) else known[:0]
    )
    numbers = numbers.fill_null(UNKNOWN)
    if column.dictionary.null_count:
        numbers = pc.if_else(column.dictionary.is_null(), NULL, numbers)
    # The last is of rows without a code.
    return Coded(
        codes_of(column, len(numbers)), np.append(numbers.to_numpy(), NULL).astype(np.int32)
    )


def texts(column: pa.DictionaryArray, rows: Numbers) -> pa.StringArray:
    """The texts of some rows."""
    return column.take(pa.array(rows)).dictionary_decode().cast(pa.string())


def codes_of(column: pa.DictionaryArray, of_null: int) -> Numbers:
    """Of each row the place of its text in the column's dictionary, int32."""
    if column.indices.null_count == len(column):
        return np.full(len(column), of_null, np.int32)
    codes = column.indices.cast(pa.int32())
    return np.asarray((codes.fill_null(of_null) if codes.null_count else codes).to_numpy())
