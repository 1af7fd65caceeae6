"""The lists of a version's Parquet file, of each slot by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feira.recommendations.serving.lists_file import lists_of
from feira.recommendations.serving.packing import ListsError
from valkey_server import SCHEMA, InSegments, rows_with, some_lists

LISTS = some_lists("x", 9)


@pytest.mark.parametrize("row_group", [1, 4, 9, 10, 1_000])
def test_each_slot_has_its_rows_wherever_the_file_is_cut(tmp_path: Path, row_group: int) -> None:
    whole = pa.Table.from_batches([rows_with(LISTS, InSegments({"BAG": ["x-p0", "x-q"]}, {}))])
    pq.write_table(whole, tmp_path / "lists.parquet", row_group_size=row_group)
    with (tmp_path / "lists.parquet").open("rb") as file:
        found = lists_of(file)
        sides = {slot: found.rows(slot) for slot in ("again", "new")}
        # They are read side by side.
        first = {slot: next(side) for slot, side in sides.items()}
        read = {slot: pa.Table.from_batches([first[slot], *side]) for slot, side in sides.items()}
    assert (found.items, found.segments) == (
        sorted({*whole["item"].to_pylist(), *whole["reason_item"].drop_null().to_pylist()}),
        ["BAG"],
    )
    for slot, table in read.items():
        assert table.to_pylist() == [row for row in whole.to_pylist() if row["slot"] == slot]


@pytest.mark.parametrize(
    ("slot", "message"), [("soon", "of slot soon"), (None, "1 rows are of no")]
)
def test_a_row_of_no_slot_is_refused(tmp_path: Path, slot: Any, message: str) -> None:
    given = rows_with(LISTS, InSegments({}, {})).to_pylist()
    given[-1]["slot"] = slot
    pq.write_table(pa.Table.from_pylist(given, SCHEMA), tmp_path / "lists.parquet")
    with (tmp_path / "lists.parquet").open("rb") as file, pytest.raises(ListsError, match=message):
        list(lists_of(file).rows("new"))
