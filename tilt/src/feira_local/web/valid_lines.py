"""The lines of a day that sales takes: by the rules of their landing's contract, of each key the newest version."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from feira.core.contracts import contract
from feira.core.landing.lines import utc_date
from feira.core.landing.manifest import FileManifest, ListedFile
from feira.sales.rates import RATES, rates_for
from feira_local.shop.fx import FxRates
from feira_local.shop.source import DaySource, Line

_PAGE = 5000


def valid_lines(source: DaySource, day: dt.date, fx: FxRates) -> tuple[list[Line], int]:
    """The day's lines as sales keeps them, and how many sales puts in quarantine.

    Of several versions of a key the greatest ``updated_at`` stays, on a tie the last. The lines are judged on disk,
    in a folder of their own.
    """
    lines = [*_lines(source, day)]
    with TemporaryDirectory(prefix="feira-orders-") as folder:
        refused = _refused(lines, day, fx, Path(folder))
    newest: dict[tuple[str, int], tuple[dt.datetime, Line]] = {}
    for number, line in enumerate(lines, start=1):
        if number in refused:
            continue
        key = line["order_id"], line["line_number"]
        updated = dt.datetime.fromisoformat(line["updated_at"])
        if key not in newest or updated >= newest[key][0]:
            newest[key] = updated, line
    return [line for _, line in newest.values()], len(refused)


def _refused(lines: list[Line], day: dt.date, fx: FxRates, folder: Path) -> frozenset[int]:
    """The numbers, from 1, of the lines that break a rule of the landing."""
    # With DuckDB, a second that nothing else of the command waits for.
    import pyarrow.parquet as pq
    from fsspec.implementations.local import LocalFileSystem

    from feira_provider.contracts.check import check
    from feira_provider.contracts.rules import landing_rules

    landing = contract("sales.landing")
    landed, rates, broken = (folder / name for name in ("lines", "rates", "broken.parquet"))
    # What no line has is drift, which stops a landing: no line is blamed for an optional field of that kind.
    fields = {column.name for column in landing.columns if column.required}
    ordered: set[dt.date] = set()
    for line in lines:
        fields.update(line)
        if isinstance(line.get("created_at"), str) and (on := utc_date(line["created_at"])):
            ordered.add(on)
    _write(landed, lines)
    _write(rates, rates_for(ordered, day, fx.rates))
    manifest = FileManifest(
        url=str(folder),
        files=(ListedFile(str(landed)),),
        companions={RATES: ListedFile(str(rates))},
        landing={"extract_day": str(day), "fields": sorted(fields)},
    )
    rules, files = landing_rules(landing), LocalFileSystem()
    check(rules, manifest.files, "ndjson", files, broken, scratch=folder, manifest=manifest)
    if not broken.exists():
        return frozenset()
    return frozenset(pq.read_table(broken, columns=["row_number"])["row_number"].to_pylist())


def _write(file: Path, rows: Iterable[object]) -> None:
    with file.open("w") as opened:
        opened.writelines(f"{json.dumps(row)}\n" for row in rows)


def _lines(source: DaySource, day: dt.date) -> Iterator[Line]:
    for start in range(0, source.total(day), _PAGE):
        yield from source.lines(day, start, _PAGE)
