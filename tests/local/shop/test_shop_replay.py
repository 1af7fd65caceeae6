"""The replay of Online Retail files: each row an order line, unchanged where it breaks a rule."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from pathlib import Path

import orjson
import pytest

from feira_local.shop.replay import ReplaySource
from feira_local.shop.source import SourceError

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
REAL_DATA = Path(
    os.environ.get(
        "FEIRA_REAL_DATA", Path(__file__).parents[4] / "shared" / "data" / "online_retail"
    )
)


def write_day(folder: Path, day: str, *rows: str) -> None:
    with gzip.open(folder / f"{day}.csv.gz", "wt", encoding="utf-8") as file:
        file.write(HEADER + "".join(f"{row}\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_day(
        tmp_path,
        "2010-12-01",
        "536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
        "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527.0,United Kingdom",
        '536365,71053,"LANTERN, WHITE",6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom',
        "536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom",
    )
    write_day(
        tmp_path,
        "2010-12-03",
        "536600,,NO CODE,0,2010-12-03 10:00:00,-11062.06,x17.5,",
        "536601,22139,MUG,two,some day,abc,1.0,France",
    )
    return tmp_path


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def test_a_row_becomes_an_order_line(folder: Path) -> None:
    assert ReplaySource(folder).lines(day("2010-12-01"), 0, 1) == [
        {
            "order_id": "536365",
            "line_number": 1,
            "sku": "85123A",
            "description": "WHITE HANGING HEART",
            "quantity": 6,
            "unit_price": "2.55",
            "currency": "GBP",
            "status": "completed",
            "customer_id": 17850,
            "country": "United Kingdom",
            "created_at": "2010-12-01T08:26:00Z",
            "updated_at": "2010-12-01T08:26:00Z",
        }
    ]


def test_lines_are_numbered_within_their_invoice_even_where_it_is_interleaved(folder: Path) -> None:
    lines = ReplaySource(folder).lines(day("2010-12-01"), 0, 10)
    assert [(line["order_id"], line["line_number"]) for line in lines] == [
        ("536365", 1),
        ("C536379", 1),
        ("536365", 2),
        ("536414", 1),
    ]


def test_an_invoice_that_starts_with_c_is_cancelled(folder: Path) -> None:
    lines = ReplaySource(folder).lines(day("2010-12-01"), 0, 10)
    assert [line["status"] for line in lines] == [
        "completed",
        "cancelled",
        "completed",
        "completed",
    ]


def test_an_empty_customer_and_an_empty_description_are_null(folder: Path) -> None:
    line = ReplaySource(folder).lines(day("2010-12-01"), 3, 1)[0]
    assert (line["customer_id"], line["description"], line["unit_price"]) == (None, None, "0.0")


def test_rows_that_break_rules_go_through_as_they_are(folder: Path) -> None:
    first, second = ReplaySource(folder).lines(day("2010-12-03"), 0, 10)
    assert (first["sku"], first["quantity"], first["unit_price"]) == ("", 0, "-11062.06")
    assert (first["customer_id"], first["country"]) == ("x17.5", None)
    assert (second["quantity"], second["unit_price"]) == ("two", "abc")
    assert second["updated_at"] == "some day"


def test_numbers_of_more_than_64_bits_are_text(tmp_path: Path) -> None:
    numbers = (2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**30, "9" * 5000)
    write_day(
        tmp_path, "2010-12-01", *(f"1,A,,{n},2010-12-01 08:00:00,1.0,{n}.0,UK" for n in numbers)
    )
    lines = ReplaySource(tmp_path).lines(day("2010-12-01"), 0, 10)
    expected = [*numbers[:2], *map(str, numbers[2:])]
    assert [line["quantity"] for line in lines] == expected
    assert [line["customer_id"] for line in lines] == expected
    assert orjson.loads(orjson.dumps(lines)) == lines


@pytest.mark.parametrize(
    ("named", "rows"),
    [
        ("after line 3", ['3,A,"MUG,1,2010-12-01 09:00:00,1.0,,UK', "4,A,B,1,2010-12-01,1,,UK"]),
        ("after line 3", ['3,A,"MUG,1,2010-12-01,1.0,,UK', '4,A,"A, B",1,2010-12-01,1.0,,UK']),
        ("after line 3", ['3,A,"MUG,1,2010-12-01,1.0,,UK', '4,A,PLATE 12",1,2010-12-01,1.0,,UK']),
        ("after line 4", ["3,A,B,1,2010-12-01,1.0,,UK", '4,A,"a" mug,1,2010-12-01,1.0,,UK']),
        ("after line 3", [f"3,A,{'x' * 200_000},1,2010-12-01,1.0,,UK"]),
        ("after line 3", ['3,A,B,1,2010-12-01,1.0,,UK,"note', '4,A,B,1,2010-12-01,1.0,,UK,"note']),
    ],
)
def test_a_quote_that_is_left_open_takes_no_rows_with_it(
    tmp_path: Path, named: str, rows: list[str]
) -> None:
    good = [f"{n},A,B,1,2010-12-01 08:00:00,1.0,,UK" for n in (1, 2)]
    write_day(tmp_path, "2010-11-30", *good)
    write_day(tmp_path, "2010-12-01", *good, *rows)
    source = ReplaySource(tmp_path)
    with pytest.raises(SourceError, match=rf"2010-12-01\.csv\.gz cannot be read: .*{named}: "):
        source.total(day("2010-12-01"))


@pytest.mark.parametrize("header", ['[{"a":"1","b":2}]', 'InvoiceNo,"StockCode', "a" * 200_000])
def test_a_header_that_is_none_is_named_by_its_file(tmp_path: Path, header: str) -> None:
    with gzip.open(tmp_path / "2010-12-01.csv.gz", "wt") as text:
        text.write(f"{header}\n1,A\n")
    with pytest.raises(SourceError, match=r"2010-12-01\.csv\.gz cannot be read: "):
        ReplaySource(tmp_path).total(day("2010-12-01"))


def test_a_mark_before_the_header_is_no_part_of_it(tmp_path: Path) -> None:
    write_day(tmp_path, "2010-12-01", "1,A,B,1,2010-12-01 08:00:00,1.0,,UK")
    file = tmp_path / "2010-12-01.csv.gz"
    plain = ReplaySource(tmp_path).lines(day("2010-12-01"), 0, 9)
    file.write_bytes(gzip.compress(b"\xef\xbb\xbf" + gzip.decompress(file.read_bytes())))
    assert ReplaySource(tmp_path).lines(day("2010-12-01"), 0, 9) == plain


def test_a_column_that_is_there_twice_is_named(tmp_path: Path) -> None:
    write_day(tmp_path, "2010-12-01", "1,A,B,1,2010-12-01 08:00:00,1.0,,UK,9")
    file = tmp_path / "2010-12-01.csv.gz"
    written = gzip.decompress(file.read_bytes()).replace(b"Country", b"Country,Quantity", 1)
    file.write_bytes(gzip.compress(written))
    with pytest.raises(SourceError, match="columns Quantity more than once"):
        ReplaySource(tmp_path).total(day("2010-12-01"))


def test_a_time_that_says_its_offset_is_that_time(tmp_path: Path) -> None:
    times = ("2011-07-01T08:26:00", "2011-07-01T08:26:00+05:00", "2011-07-01T08:26:00Z")
    write_day(tmp_path, "2011-07-01", *(f"{n},A,B,1,{it},1.0,,UK" for n, it in enumerate(times)))
    shown = ReplaySource(tmp_path).lines(day("2011-07-01"), 0, 9)
    assert [line["created_at"][11:] for line in shown] == ["07:26:00Z", "03:26:00Z", "08:26:00Z"]


@pytest.mark.parametrize("file_day", ["2010-12-01", "2011-06-02"])
def test_a_row_of_another_day_is_shown_with_its_files_day(tmp_path: Path, file_day: str) -> None:
    times = [f"{file_day} 12:00:00", "2011-01-15 12:00:00", "2031-06-01 12:00:00", "1970-01-01"]
    # Of the neighbours, and of the hour of summer that is the day before in UTC.
    around = [str(day(file_day) + dt.timedelta(days=days)) for days in (-1, 1)]
    times += [f"{near} {time}" for near in around for time in ("00:30:00", "23:30:00")]
    write_day(tmp_path, file_day, *(f"{n},A,,1,{it},1.0,,UK" for n, it in enumerate(times)))
    source = ReplaySource(tmp_path)
    shown = source.lines(day(file_day), 0, 99)
    assert [line["order_id"] for line in shown] == [str(n) for n in range(len(times))]
    assert [line["updated_at"] for line in shown[1:4]] == [
        "2011-01-15T12:00:00Z",
        "2031-06-01T11:00:00Z",
        # London had summer time all that winter.
        "1969-12-31T23:00:00Z",
    ]
    assert (source.first_day, source.last_day) == (day(file_day), day(file_day))


def test_a_file_that_is_named_by_no_day_is_named(folder: Path) -> None:
    write_day(folder, "2010-02-30")
    with pytest.raises(SourceError, match=r"2010-02-30\.csv\.gz .*Rename"):
        ReplaySource(folder)


def test_a_day_without_a_file_is_closed(folder: Path) -> None:
    source = ReplaySource(folder)
    assert (source.first_day, source.last_day) == (day("2010-12-01"), day("2010-12-03"))
    assert (source.total(day("2010-12-02")), source.lines(day("2010-12-02"), 0, 9)) == (0, [])


def test_a_summer_order_after_local_midnight_is_shown_on_the_utc_day_before(tmp_path: Path) -> None:
    night = "1,22139,MUG,1,2011-06-02 00:30:00,1.0,,UK"
    write_day(tmp_path, "2011-06-01", "0,22139,MUG,1,2011-06-01 12:00:00,1.0,,UK")
    write_day(tmp_path, "2011-06-02", night, "2,22139,MUG,1,2011-06-02 12:00:00,1.0,,UK")
    source = ReplaySource(tmp_path)
    first, second = (source.lines(day(text), 0, 9) for text in ("2011-06-01", "2011-06-02"))
    assert [line["updated_at"] for line in first] == [
        "2011-06-01T11:00:00Z",
        "2011-06-01T23:30:00Z",
    ]
    assert [line["updated_at"] for line in second] == ["2011-06-02T11:00:00Z"]


def test_a_folder_that_holds_no_day_files_is_named_with_what_to_do(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(SourceError, match=f"{folder.name}.*--data"):
            ReplaySource(folder)


def test_a_file_that_is_not_one_of_them_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "2010-12-01.csv.gz"
    broken.write_bytes(b"no gzip")
    with pytest.raises(SourceError, match="2010-12-01"):
        ReplaySource(tmp_path)
    broken.write_bytes(gzip.compress(b"a,b\n1,2\n"))
    with pytest.raises(SourceError, match=r"2010-12-01.*columns InvoiceNo"):
        ReplaySource(tmp_path)


@pytest.mark.skipif(
    not REAL_DATA.is_dir(),
    reason="the Online Retail files are not here; FEIRA_REAL_DATA names them",
)
def test_the_real_files_are_served_whole() -> None:
    source = ReplaySource(REAL_DATA)
    assert source.first_day == day("2010-12-01")
    for path in sorted(REAL_DATA.glob("*.csv.gz"))[:3]:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = sum(1 for _ in file) - 1
        assert source.total(day(path.name[:10])) == rows
    assert source.total(day("2010-12-04")) == 0
    lines = source.lines(day("2010-12-01"), 0, 5000)
    assert len({(line["order_id"], line["line_number"]) for line in lines}) == len(lines)
