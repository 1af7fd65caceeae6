"""Datasets of long lines: what is in memory is limited by bytes, and what does not fit is named."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from fsspec.implementations.local import LocalFileSystem

from feira_provider.contracts.check import CheckResult, check
from feira_provider.contracts.lines import CsvRows, Seen, ndjson_batches
from feira_provider.contracts.rules import read_rules
from feira_provider.datasets.files import DatasetError

COLUMNS: list[dict[str, Any]] = [
    {"name": "id", "logicalType": "integer", "required": True},
    {"name": "body", "logicalType": "string"},
    *({"name": f"c{number}", "logicalType": "number"} for number in range(8)),
]
DOCUMENT: dict[str, Any] = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "x",
    "version": "1.0.0",
    "status": "active",
    "schema": [{"name": "x", "properties": COLUMNS}],
}
CONTRACT = yaml.safe_dump(DOCUMENT)


def written(lines: list[tuple[Any, str]], file_format: str) -> bytes:
    if file_format == "ndjson":
        rows = [{"id": id_, "body": body} | {f"c{n}": n for n in range(8)} for id_, body in lines]
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    header = ",".join(str(column["name"]) for column in COLUMNS)
    return "".join([f"{header}\n", *(f"{i},{b},0,1,2,3,4,5,6,7\n" for i, b in lines)]).encode()


def stream_of(body: bytes) -> Any:
    return io.BufferedReader(io.BytesIO(body))


def checked(tmp_path: Path, body: bytes, file_format: str, memory_limit: str) -> CheckResult:
    (tmp_path / f"x.{file_format}").write_bytes(body)
    (tmp_path / "scratch").mkdir()
    return check(
        read_rules(CONTRACT, "x.odcs.yaml"),
        [str(tmp_path / f"x.{file_format}")],
        file_format,
        LocalFileSystem(),
        tmp_path / "quarantine.parquet",
        scratch=tmp_path / "scratch",
        memory_limit=memory_limit,
    )


@pytest.mark.parametrize("file_format", ["ndjson", "csv"])
@pytest.mark.parametrize(("count", "size"), [(400, 25_000), (10, 1_000_000)])
def test_long_lines_are_judged_and_kept_in_a_little_memory(
    tmp_path: Path, file_format: str, count: int, size: int
) -> None:
    lines: list[tuple[Any, str]] = [(n, "x" * size) for n in range(count)]
    lines[3] = ("none", "y" * size)
    found = checked(tmp_path, written(lines, file_format), file_format, "150MB")
    assert (found.rows, found.invalid, found.failures) == (count, 1, [])
    (kept,) = pq.read_table(tmp_path / "quarantine.parquet").to_pylist()
    assert (kept["row_number"], kept["broken"]) == (4, ["id.type"])
    row = json.loads(kept["line"]) if file_format == "ndjson" else kept["row"]
    assert row["body"] == "y" * size


@pytest.mark.parametrize("file_format", ["ndjson", "csv"])
def test_a_line_that_does_not_fit_is_named_with_the_limit(tmp_path: Path, file_format: str) -> None:
    body = written([(1, ""), (2, "x" * 20_000_000)], file_format)
    with pytest.raises(DatasetError, match="memory_limit, which is 30MB") as refused:
        checked(tmp_path, body, file_format, "30MB")
    line = {"ndjson": 2, "csv": 3}[file_format]
    length = len(body.splitlines(keepends=True)[line - 1])
    assert f"has {length:,} characters ({tmp_path}/x.{file_format}, line {line})" in str(
        refused.value
    )
    assert "Raise memory_limit" in str(refused.value)


def test_a_batch_ends_after_16_mb() -> None:
    ids = [(n, "x" * 5_000_000) for n in range(5)]
    stream = stream_of(written(ids, "ndjson"))
    seen = Seen()
    batches = list(ndjson_batches(stream, "u", 1, seen))
    assert [batch.num_rows for batch in batches] == [4, 1]
    assert batches[1].column("__n").to_pylist() == [5]
    assert seen.fields == {column["name"] for column in COLUMNS}
    stream = stream_of(written(ids, "csv"))
    rows = CsvRows(stream, "u", ",", seen)
    assert [batch.column("__0").to_pylist() for batch in rows.batches(1)] == [list("0123"), ["4"]]


def test_a_line_that_is_too_long_is_named_by_its_number_in_its_file() -> None:
    stream = stream_of(b"{}\n{" + b" " * 34_000_000 + b"}\n")
    with pytest.raises(DatasetError, match=r"^u: line 2 is longer"):
        list(ndjson_batches(stream, "u", 100, Seen()))


def test_a_record_of_csv_that_is_too_long_costs_its_first_line() -> None:
    wide = '"' + ("x" * 9_000_000 + "\n") * 2 + '"'
    body = f"a,b\n{wide},{wide}\n1,2\n".encode()
    rows = CsvRows(stream_of(body), "u", ",", Seen())
    kept = [row for batch in rows.batches(1) for row in batch.to_pylist()]
    assert (kept[0]["__0"], kept[0]["__fault"]) == (None, "line")
    assert (kept[-1]["__0"], kept[-1]["__1"]) == ("1", "2")
