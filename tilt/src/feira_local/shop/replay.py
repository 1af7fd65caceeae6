"""The replay source: the UCI Online Retail files, one gzip CSV a day, shown as they are.

Data: Chen, D. (2015), Online Retail, UCI Machine Learning Repository, doi 10.24432/C5BW33.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from feira_local.shop.source import Line, SourceError

LONDON = ZoneInfo("Europe/London")
FILE_NAME = re.compile(r"(\d{4}-\d{2}-\d{2})\.csv\.gz")
COLUMNS = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID",
    "Country",
)  # fmt: skip


class ReplaySource:
    """Order lines of the files ``YYYY-MM-DD.csv.gz`` in a folder; a day without a file is closed.

    The files go by London days, the feed by UTC days: in summer the first hour of a file belongs
    to the day before. Rows that break rules go through as they are, each on a line of its own; one whose date is
    of another day than its file is shown with its file's day.
    """

    def __init__(self, folder: Path) -> None:
        """Raises SourceError where the folder holds no such files or the first is not one."""
        if not folder.is_dir():
            raise SourceError(
                f"replay data: {folder} is not a folder. "
                "Give the folder of the Online Retail day files with --data."
            )
        names = (FILE_NAME.fullmatch(path.name) for path in folder.iterdir())
        self._files = {_day_of(name): folder / name[0] for name in names if name is not None}
        if not self._files:
            raise SourceError(
                f"replay data: {folder} holds no files named YYYY-MM-DD.csv.gz. "
                "Put the Online Retail day files there, or give another folder with --data."
            )
        self._read = lru_cache(maxsize=8)(self._read_file)
        self._day = lru_cache(maxsize=8)(self._make_day)
        first = min(self._files)
        self._first_day = min((day for day, _ in self._read(first)), default=first)

    @property
    def first_day(self) -> dt.date:
        """The first UTC day that a file holds."""
        return self._first_day

    @property
    def last_day(self) -> dt.date:
        """The day of the last file."""
        return max(self._files)

    def total(self, day: dt.date) -> int:
        return len(self._day(day))

    def lines(self, day: dt.date, offset: int, limit: int) -> list[Line]:
        """The lines ``offset`` to ``offset + limit``, in file order."""
        return self._day(day)[offset : offset + limit]

    def _make_day(self, day: dt.date) -> list[Line]:
        files = [day]
        tomorrow = day + dt.timedelta(days=1)
        if dt.datetime.combine(tomorrow, dt.time(), LONDON).utcoffset():
            files.append(tomorrow)
        return [line for file in files for shown, line in self._read(file) if shown == day]

    def _read_file(self, file_day: dt.date) -> list[tuple[dt.date, Line]]:
        path = self._files.get(file_day)
        if path is None:
            return []
        try:
            with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as text:
                return _lines(csv.DictReader(text, restval="", strict=True), file_day)
        except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
            raise SourceError(
                f"replay data: {path} cannot be read: {error}. Fetch the file again, or remove it."
            ) from error


def _day_of(name: re.Match[str]) -> dt.date:
    try:
        return dt.date.fromisoformat(name[1])
    except ValueError:
        raise SourceError(
            f"replay data: {name[0]} is named by a day that does not exist. Rename the file, or remove it."
        ) from None


def _lines(rows: csv.DictReader[str], file_day: dt.date) -> list[tuple[dt.date, Line]]:
    """The rows of a file as order lines, each with the UTC day that shows it."""
    header = rows.fieldnames or ()
    if missing := [name for name in COLUMNS if name not in header]:
        raise ValueError(f"it lacks the columns {', '.join(missing)}")
    if twice := [name for name in COLUMNS if header.count(name) > 1]:
        raise ValueError(f"it has the columns {', '.join(twice)} more than once")
    numbers: Counter[str] = Counter()
    lines = []
    for row in _rows(rows):
        numbers[row["InvoiceNo"]] += 1
        lines.append(_line(row, numbers[row["InvoiceNo"]], file_day))
    return lines


def _rows(rows: csv.DictReader[str]) -> Iterator[dict[str, str]]:
    """Raises ValueError where a quote is left open: it would take the rows up to the next one into its field."""
    before = rows.line_num
    try:
        for row in rows:
            # What goes beyond the header is a list of texts.
            written = "".join(map("".join, row.values()))
            if "\n" in written or "\r" in written:
                raise csv.Error("a field goes on over the end of the line")
            yield row
            before = rows.line_num
    except csv.Error as error:
        raise ValueError(f"the row after line {before}: {error}; is a quote left open?") from error


def _line(row: dict[str, str], number: int, file_day: dt.date) -> tuple[dt.date, Line]:
    """The UTC day that shows the row, and the row as an order line."""
    day, time = _utc(row["InvoiceDate"], file_day)
    return day, {
        "order_id": row["InvoiceNo"],
        "line_number": number,
        "sku": row["StockCode"],
        "description": row["Description"] or None,
        "quantity": _integer(row["Quantity"]),
        "unit_price": row["UnitPrice"],
        "currency": "GBP",
        "status": "cancelled" if row["InvoiceNo"].startswith("C") else "completed",
        "customer_id": _integer(row["CustomerID"].removesuffix(".0"))
        if row["CustomerID"]
        else None,
        "country": row["Country"] or None,
        "created_at": time,
        "updated_at": time,
    }


def _utc(local: str, file_day: dt.date) -> tuple[dt.date, str]:
    """The UTC day that shows a London time, or one that says its offset, and the time in UTC as text; what is no
    time stays unchanged."""
    try:
        time = dt.datetime.fromisoformat(local)
        london = time.astimezone(LONDON) if time.tzinfo else time.replace(tzinfo=LONDON)
        utc = london.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return file_day, local
    day = utc.date() if london.date() == file_day else file_day
    return day, f"{utc:%Y-%m-%dT%H:%M:%SZ}"


def _integer(text: str) -> int | str:
    """The integer of 64 bits that the text writes; a text that writes none goes through as it is."""
    if not re.fullmatch(r"-?\d{1,19}", text):
        return text
    value = int(text)
    return value if -(2**63) <= value < 2**63 else text
