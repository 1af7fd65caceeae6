"""Interactions are read as they are written; what is none is counted under its rule, or the file refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.recommendations.files import read_table
from feira.recommendations.interactions import InteractionsError, day_of
from feira.recommendations.reading import Columns, Reading, coded, read_interactions

Rows = set[tuple[str, str, date]]


def rows(read: Reading) -> Rows:
    found = read.interactions
    return {
        (str(found.user_ids[user]), str(found.item_ids[item]), day_of(day))
        for user, item, day in zip(found.users, found.items, found.days, strict=True)
    }


def csv(folder: Path, *lines: str, header: str = "user,item,time", name: str = "a.csv") -> Path:
    (folder / name).write_text("".join(f"{line}\n" for line in (header, *lines)))
    return folder / name


def counts(read: Reading) -> dict[str, int]:
    return {it.rule: it.lines for it in read.left_out}


D1, D2 = date(2010, 12, 1), date(2010, 12, 2)


def test_a_csv_its_gzip_and_a_parquet_of_the_same_rows_are_the_same(tmp_path: Path) -> None:
    lines = ["1,x,2010-12-01T23:59:59Z", "2,y,2010-12-02", '1,"y, ""z""",2010-12-02 00:00:01.5']
    plain = csv(tmp_path, *lines)
    packed = tmp_path / "packed"  # by what it holds, not by its name
    packed.write_bytes(
        gzip.compress(plain.read_bytes()[:30]) + gzip.compress(plain.read_bytes()[30:])
    )
    table = pa.table(
        {
            "user": pa.array([1, 2, 1], pa.int64()),
            "item": pa.array(["x", "y", 'y, "z"']).dictionary_encode(),
            "time": pa.array(
                [datetime(2010, 12, 1, 23, 59), datetime(2010, 12, 2), datetime(2010, 12, 2)]
            ),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    expected = {("1", "x", D1), ("2", "y", D2), ("1", 'y, "z"', D2)}
    for path in (plain, packed, tmp_path / "a.parquet"):
        read = read_interactions(path, Columns())
        assert rows(read) == expected
        assert (read.lines, read.left_out, read.duplicates) == (3, (), 0)


def test_a_folder_is_all_of_its_files_and_a_row_in_two_of_them_counts_once(tmp_path: Path) -> None:
    csv(tmp_path, "1,x,2010-12-01", "1,x,2010-12-01T05:00:00", name="a.csv")
    csv(tmp_path, "x,2010-12-01,1", "y,2010-12-02,1", header="item,time,user", name="b.csv")
    (tmp_path / ".hidden").write_text("no interactions")
    read = read_interactions(tmp_path, Columns())
    assert rows(read) == {("1", "x", D1), ("1", "y", D2)}
    assert (read.lines, read.duplicates) == (4, 2)


def test_a_folder_as_spark_and_hive_write_it_is_read_whole(tmp_path: Path) -> None:
    folder = tmp_path / "_sales"  # what is named is meant
    for name, user in {
        "day=2010-12-01/part-0.csv": "1",
        "day=2010-12-01/hour=1/part-0.csv": "2",
        "day=2010-12-02/part-0.csv": "",
        "part-1.csv": "3",
        "_temporary/0/part-9.csv": "4",
        "day=2010-12-01/_SUCCESS": "5",
        "day=2010-12-01/.part-0.csv.crc": "6",
        ".ipynb_checkpoints/part-1.csv": "7",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        csv(folder, f"{user},x,2010-12-01", name=name)
    read = read_interactions(folder, Columns())
    assert rows(read) == {("1", "x", D1), ("2", "x", D1), ("3", "x", D1)}
    first = "day=2010-12-02/part-0.csv, row 2: ''"
    assert [(it.rule, it.lines, it.first) for it in read.left_out] == [("user_missing", 1, first)]


def test_what_in_a_folder_is_no_data_is_refused_by_name_and_not_left_out(tmp_path: Path) -> None:
    csv(_made(tmp_path / "a"), "1,x,2010-12-01")
    (tmp_path / "a" / "back").symlink_to(tmp_path / "a", target_is_directory=True)
    assert "a/back is no file" in refused(tmp_path / "a")
    csv(_made(tmp_path / "b"), "1,x,2010-12-01")
    (_made(tmp_path / "b" / "notes") / "README").write_text("Sales of a week.\n")
    assert "b/notes/README has no column 'user'" in refused(tmp_path / "b")
    csv(_made(tmp_path / "c"), "1,x", header="user,item")
    assert "c/a.csv has no column 'time'; it has user, item." in refused(tmp_path / "c")
    (_made(tmp_path / "d") / "_SUCCESS").touch()
    assert "d has no files; those whose names begin with _ or ." in refused(tmp_path / "d")


NAMES = [
    *("Café\u00a0crème", "山田\u3000太郎", "👨\u200d👩\u200d👧", "نمی\u200cخواهم", "co\u00adop", "\u200eabc\u202e"),
    # Unassigned, private and not yet in the Unicode of any Python.
    *("\u0378", "\ue000", "\U000e0fff", "a\ufeff", "a\u2009b", "e\u0301"),
]  # fmt: skip


def test_a_name_may_have_whatever_is_no_control_character(tmp_path: Path) -> None:
    path = csv(tmp_path, *(f"{name},{name},2010-12-01" for name in NAMES))
    read = read_interactions(path, Columns())
    assert (rows(read), read.left_out) == ({(name, name, D1) for name in NAMES}, ())


@pytest.mark.parametrize(
    "character", [*map(chr, (0, 1, 7, 8, 0x1B, 0x7F, 0x80, 0x9B, 0x9F)), "\u2028", "\u2029"]
)
def test_a_name_with_a_control_character_or_a_line_break_is_unreadable(
    character: str, tmp_path: Path
) -> None:
    path = csv(tmp_path, f"a{character}b,x,2010-12-01", f"1,a{character}b,2010-12-01")
    said = refused(path)
    assert "item_unreadable 1, first a.csv, row 3: 'a\\" in said and "user_unreadable 1" in said
    assert said.isprintable()


def test_each_bad_line_is_counted_once_under_the_first_rule_that_it_breaks(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "1,x,2010-12-01,1",
        ",x,2010-12-01,1",
        "NaN,x,never,1",
        "1,null,2010-12-01,1",
        "1,x",
        "1,x,2010-02-30,1",
        "1",
        "1,x,,1",
        "1,x,2010-12-01,-2",
        "1,x,2010-12-01,0",
        "1,x,2010-12-01,nan",
        "1,x,2010-12-01,many",
        "1,POST,2010-12-01,1",
        f"1,{'y' * 1001},2010-12-01,1",
        "1,x,2010-12-01,inf",
        "1,x,2010-12-02,0.5",
        header="user,item,time,amount",
    )
    path.write_bytes(path.read_bytes() + b"1,\xff,2010-12-01,1\n")
    read = read_interactions(path, Columns(quantity="amount", items=re.compile("[a-z]+")))
    assert rows(read) == {("1", "x", D1), ("1", "x", D2)}
    assert counts(read) == {
        "user_missing": 2,
        "item_missing": 1,
        "line_unreadable": 2,
        "time_unreadable": 1,
        "time_missing": 1,
        "quantity_not_positive": 2,
        "quantity_missing": 1,
        "quantity_unreadable": 2,
        "item_not_wanted": 1,
        "item_unreadable": 2,
    }
    assert read.lines == 17 == len(rows(read)) + sum(counts(read).values())
    first = {it.rule: it.first for it in read.left_out}
    assert first["line_unreadable"] == "a.csv, row 6: '1,x'"
    assert first["time_unreadable"] == "a.csv, row 7: '2010-02-30'"  # below a line that was skipped
    assert first["time_missing"] == "a.csv, row 9: ''"
    assert first["user_missing"] == "a.csv, row 3: ''"


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2010-12-01", D1),
        ("2010-12-01 08:26", D1),
        ("2010-12-01T23:30:00-02:00", D2),
        ("2010-12-02T00:30:00+0100", D1),
        ("2010-12-01T08:26:00.123456Z", D1),
        ("1969-12-31T23:59:59Z", date(1969, 12, 31)),
        # Outside the years that 64 bits of nanoseconds have.
        ("1600-01-01", date(1600, 1, 1)),
        ("0001-01-01", date.min),
        ("9999-12-31 23:59:59.999999999z", date.max),
        ("1500-02-28 23:30:00.5 -0130", date(1500, 3, 1)),
        ("2600-03-01T00:30+01", date(2600, 2, 28)),
        ("1500-02-28T23:30:00.5 -0130", date(1500, 3, 1)),
        # Where 64 bits of nanoseconds begin and end, and an offset leads over it.
        ("1677-09-21T00:12:43.145224193", date(1677, 9, 21)),
        ("1677-09-21 00:12:43.5", date(1677, 9, 21)),
        ("1677-09-21T00:12:44+23:59", date(1677, 9, 20)),
        ("1678-01-01T00:00:00+00:01", date(1677, 12, 31)),
        ("2262-04-11T23:47:16.854775807", date(2262, 4, 11)),
        ("2262-04-11T23:00:00-23:59", date(2262, 4, 12)),
        ("2262-04-12T00:10:00+01:00", date(2262, 4, 11)),
        # Where another reads them.
        ("1700-01-01T00:30:00+01:00", date(1699, 12, 31)),
        ("1699-12-31T23:30:00.25-01", date(1700, 1, 1)),
        ("2199-12-31T23:59:59-00:01", date(2200, 1, 1)),
        ("2200-01-01T00:00:00Z", date(2200, 1, 1)),
    ],
)
def test_a_time_is_of_its_utc_day(text: str, day: date, tmp_path: Path) -> None:
    assert rows(read_interactions(csv(tmp_path, f"1,x,{text}"), Columns())) == {("1", "x", day)}


# Of 2010-12-01 in UTC, in every form that names no zone.
WITHOUT_ZONE = [
    *("2010-12-01", "2010-12-01T00:00", "2010-12-01 23:59", "2010-12-01T01:00:00"),
    *("2010-12-01 23:30:00", "2010-12-01T23:59:59.9", "2010-12-01 00:00:00,000000001"),
    *("2010-12-01T23:30:00.123456", "2010-12-01 01:00:00.123456789"),
]


@pytest.mark.parametrize(
    ("zoned", "day"),
    [
        ("2010-12-01T20:00:00-08:00", D2),
        ("2010-12-02T01:00:00+0200", D1),
        ("2010-12-02 01:00+02", D1),
        ("2010-12-01T23:30:00.5 -0100", D2),
        ("2010-12-02T08:26:00Z", D2),
        ("2010-12-02 08:26:00.123456 z", D2),
    ],
)
def test_a_zone_is_of_its_own_line_alone(zoned: str, day: date, tmp_path: Path) -> None:
    texts = [zoned, *WITHOUT_ZONE, zoned, *WITHOUT_ZONE[::-1], "1677-01-01 00:30+01", "2010-12-01"]
    days = [day, *[D1] * len(WITHOUT_ZONE), day, *[D1] * len(WITHOUT_ZONE), date(1676, 12, 31), D1]
    lines = [f'{n:02d},x,"{text}"' for n, text in enumerate(texts)]
    expected = {(f"{n:02d}", "x", it) for n, it in enumerate(days)}
    table = pa.table({"user": [it[:2] for it in lines], "item": ["x"] * len(texts), "time": texts})
    pq.write_table(table, tmp_path / "a.parquet")
    for path in (csv(tmp_path, *lines), tmp_path / "a.parquet"):
        assert rows(read_interactions(path, Columns())) == expected


ZONES = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59)).map(
    lambda it: it // timedelta(minutes=1)
)


@st.composite
def times(draw: st.DrawFn) -> tuple[str, date | None]:
    """A text of ISO 8601, and the day in UTC that the standard library finds; None where it is of no year from 1 to
    9999."""
    at = draw(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)))
    precision = draw(st.sampled_from(["minutes", "seconds", "milliseconds", "microseconds"]))
    text = at.isoformat(draw(st.sampled_from("T ")), precision)
    minutes = draw(st.none() | ZONES)
    if minutes is None:
        return draw(st.sampled_from([text, text[:10], text.replace(".", ",")])), at.date()
    sign, hour, minute = "-+"[minutes >= 0], abs(minutes) // 60, abs(minutes) % 60
    forms = [f"{sign}{hour:02d}{minute:02d}", f"{sign}{hour:02d}:{minute:02d}"]
    if not minute:
        forms.append(f"{sign}{hour:02d}")
    if not minutes:
        forms += ["Z", "z"]
    zone = draw(st.sampled_from(["", " "])) + draw(st.sampled_from(forms))
    try:
        return text + zone, (at - timedelta(minutes=minutes)).date()
    except OverflowError:
        return text + zone, None


@settings(max_examples=60, deadline=None)
@given(st.lists(times(), min_size=1, max_size=30))
def test_every_time_is_of_the_day_of_the_standard_library_whatever_stands_around_it(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, date | None]]
) -> None:
    lines = [f'{n},x,"{text}"' for n, (text, _) in enumerate(written)]
    path = csv(tmp_path_factory.getbasetemp(), *lines, "last,x,2010-12-01")
    read = read_interactions(path, Columns())
    expected = {(str(n), "x", day) for n, (_, day) in enumerate(written) if day is not None}
    assert rows(read) == expected | {("last", "x", D1)}
    outside = sum(day is None for _, day in written)
    assert counts(read) == ({"time_unreadable": outside} if outside else {})


@pytest.mark.parametrize(
    "text",
    [
        *("20101201", "2010", "2010-12", "01/12/2010", "1291193160", "2010-W48-3", "2010-13-01"),
        *("2010-12-01T25:00:00", "2010-12-01T08:26:00+99:00", "2010-12-01 8am", "9999999-01-01"),
        "２０１０-12-01",
        *("0000-01-01", "1500-02-29", "9999-12-31T23:00:00-01:00", "0001-01-01T00:00:00+00:01"),
    ],
)
def test_what_could_be_read_as_more_than_one_time_is_no_time(text: str, tmp_path: Path) -> None:
    read = read_interactions(csv(tmp_path, f"1,x,{text}", "1,x,2010-12-01"), Columns())
    assert counts(read) == {"time_unreadable": 1}


@settings(max_examples=30, deadline=None)
@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), st.sampled_from(["s", "ms", "us"]))
def test_numbers_since_1970_are_times_where_their_unit_is_given(
    tmp_path_factory: pytest.TempPathFactory, at: datetime, unit: Any
) -> None:
    seconds = (at - datetime(1970, 1, 1)) // (datetime(1970, 1, 2) - datetime(1970, 1, 1)) * 86_400
    number = (seconds + 86_399) * {"s": 1, "ms": 1000, "us": 10**6}[unit]
    path = csv(tmp_path_factory.getbasetemp(), f"1,x,{number}", "1,x,soon")
    read = read_interactions(path, Columns(time_unit=unit))
    assert rows(read) == {("1", "x", at.date())}
    assert counts(read) == {"time_unreadable": 1}


@pytest.mark.parametrize(
    ("number", "unit", "day"),
    [
        ("1291161599999999999", "ns", date(2010, 11, 30)),
        ("1291161600000000000", "ns", D1),
        ("-1", "ns", date(1969, 12, 31)),
        ("-62135596800000000000", "ns", date.min),
        ("253402300799999999999", "ns", date.max),
        ("+1291161599999999999", "ns", date(2010, 11, 30)),
        ("253402300799999999", "us", date.max),
        ("1291161599.5", "s", date(2010, 11, 30)),
        ("1.2911616e9", "s", D1),
        ("0001291161600", "s", D1),
    ],
)
def test_an_integer_since_1970_is_of_its_day_to_the_nanosecond(
    number: str, unit: Any, day: date, tmp_path: Path
) -> None:
    read = read_interactions(csv(tmp_path, f"1,x,{number}"), Columns(time_unit=unit))
    assert rows(read) == {("1", "x", day)}


@pytest.mark.parametrize(
    "number", ["-62135596801", "253402300800", "9" * 999, "-" + "9" * 30, "1e300", "inf", "0x10"]
)
def test_a_number_that_is_of_no_year_from_1_to_9999_is_no_time(number: str, tmp_path: Path) -> None:
    read = read_interactions(csv(tmp_path, f"1,x,{number}", "1,x,0"), Columns(time_unit="s"))
    assert counts(read) == {"time_unreadable": 1}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(
                st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z"]),
                min_size=1,
                max_size=5,
            ),
            st.sampled_from(["x", "y", "a,b", 'say "z"', "ü 日本"]),
            st.dates(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_whatever_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, written: Sequence[tuple[str, str, date]]
) -> None:
    quoted = ['"{}","{}",{}'.format(*(str(it).replace('"', '""') for it in row)) for row in written]
    path = csv(tmp_path_factory.getbasetemp(), *quoted, "0,0,2000-01-01")
    expected = {row for row in written if row[0].lower() not in ("nan", "null", "none", "<na>")}
    read = read_interactions(path, Columns())
    assert rows(read) == expected | {("0", "0", date(2000, 1, 1))}
    assert (
        read.lines
        == len(written) + 1
        == len(read.interactions) + read.duplicates + sum(counts(read).values())
    )


def parquet(path: Path, **columns: Any) -> Path:
    usual = {"user": pa.array([1]), "item": pa.array([1]), "time": pa.array([D1])}
    pq.write_table(pa.table(usual | columns), path)
    return path


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("user", pa.array([2.0, float("nan"), None]), {"user_missing": 2}),
        (
            "user",
            pa.array([b"a", b"\xff", None], pa.large_binary()),
            {"user_unreadable": 1, "user_missing": 1},
        ),
        ("item", pa.array([Decimal("1.5"), None, Decimal(2)]), {"item_missing": 1}),
        ("item", pa.nulls(3), {"item_missing": 3}),
        ("time", pa.array([datetime(2010, 12, 1, tzinfo=UTC), None, None]), {"time_missing": 2}),
        ("time", pa.array([1291193160, 2, None]), {"time_unreadable": 2, "time_missing": 1}),
    ],
    ids=["NaN", "bytes", "decimals", "nulls", "instants", "numbers"],
)
def test_a_parquet_file_of_any_plain_type_is_read_by_the_same_rules(
    column: str, values: pa.Array, expected: dict[str, int], tmp_path: Path
) -> None:
    usual: dict[str, Any] = {"user": ["1"] * 3, "item": ["1"] * 3, "time": [D1] * 3}
    folder = tmp_path / "folder"
    folder.mkdir()
    pq.write_table(pa.table(usual | {column: values}), folder / "a.parquet")
    parquet(folder / "b.parquet")
    assert counts(read_interactions(folder, Columns())) == expected


def test_a_uuid_of_parquet_is_its_text_and_its_bytes_alone_are_refused(tmp_path: Path) -> None:
    ids = [UUID(int=5), UUID("0348f186-8b7a-4117-bed9-21d11f2c9da2"), UUID(int=5)]
    held = [it.bytes for it in ids] + [None]
    others = {"item": pa.array(["x"] * 4), "time": pa.array([D1] * 4)}
    path = parquet(tmp_path / "a.parquet", user=pa.array(held, pa.uuid()), **others)
    read = read_interactions(path, Columns())
    assert rows(read) == {(str(it), "x", D1) for it in ids}
    assert [(it.rule, it.first) for it in read.left_out] == [
        ("user_missing", "a.parquet, row 4: 'None'")
    ]
    said = refused(parquet(tmp_path / "b.parquet", user=pa.array(held, pa.binary(16)), **others))
    assert "'user' is of type fixed_size_binary[16]" in said and "Write it as text" in said


@pytest.mark.parametrize("two", [("user", "item"), ("item", "time"), ("time", "quantity")])
def test_one_column_is_not_two_things(two: tuple[str, str], tmp_path: Path) -> None:
    path = csv(tmp_path, "1,x,2010-12-01,3,y", header="user,item,time,quantity,both")
    said = refused(path, **dict.fromkeys(two, "both"))
    assert said.startswith(f"The column 'both' is named for both {two[0]} and {two[1]};")


def test_a_row_is_counted_from_the_header_on_without_blank_lines(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "",
        '1,"x',
        'y",2010-12-01',
        "",
        "2,x",
        "",
        "3,x,never",
        "4,x,2010-12-01",
        header="\nuser,item,time",
    )
    read = read_interactions(path, Columns())
    assert {it.rule: it.first for it in read.left_out} == {
        "item_unreadable": r"a.csv, row 2: 'x\ny'",
        "line_unreadable": "a.csv, row 3: '2,x'",
        "time_unreadable": "a.csv, row 4: 'never'",
    }


def refused(path: Path, **columns: Any) -> str:
    with pytest.raises(InteractionsError) as error:
        read_interactions(path, Columns(**columns))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    good = gzip.compress(
        b"user,item,time\n" + b"".join(b"%d,x,2010-12-01\n" % it for it in range(99))
    )
    damaged = bytearray(good)
    damaged[60] ^= 0xFF
    bodies = {
        "short.csv.gz": (good[:-20], "cut short or damaged"),
        "no-end.csv.gz": (good[:-8], "cut short or damaged"),
        "damaged.csv.gz": (bytes(damaged), "cut short or damaged"),
        "tail.csv.gz": (good + b"more", "cut short or damaged"),
        "empty.csv": (b"", "is empty"),
        "empty.csv.gz": (gzip.compress(b"\n\n"), "is empty"),
        "header.csv": (b"user,item,time\n", "none of 0 lines is an interaction"),
        "open-header.csv": (b"user,item,time", "none of 0 lines is an interaction"),
        "short.parquet": (b"PAR1 and no more", "cannot be read"),
        "twice.csv": (b"user,item,user,time\n", "more than one column 'user'"),
        "nothing.csv": (
            b"user,item,time\nnan,x,2010-12-01\n",
            "user_missing 1, first nothing.csv, row 2",
        ),
    }
    for name, (body, message) in bodies.items():
        (tmp_path / name).write_bytes(body)
        assert name in (said := refused(tmp_path / name)) and message in said, said
    assert "does not exist" in refused(tmp_path / "nowhere.csv")
    assert "has no files" in refused(_made(tmp_path / "none"))
    assert "is no file" in refused(Path("/dev/null"))
    nested = parquet(tmp_path / "nested.parquet", item=pa.array([["x"]]))
    assert "'item' is of type list" in refused(nested)
    other = csv(tmp_path, "1,x,2010-12-01", name="other.csv")
    assert "no column 'uid'; it has user, item, time" in refused(other, user="uid")


HEADER = "user,item,time\n"


def _others() -> Iterator[tuple[str, bytes, str]]:
    text = (HEADER + "1,x,2010-12-01\n").encode()
    archive, tape, table = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as into:
        into.writestr("a.csv", text)
    with tarfile.open(fileobj=tape, mode="w") as packed:
        packed.addfile(tarfile.TarInfo("a.csv"))
    pq.write_table(pa.table({"user": [1]}), table)
    yield "a.xlsx", archive.getvalue(), "a ZIP archive or an Excel workbook"
    yield "none.zip", archive.getvalue()[-22:], "a ZIP archive"
    yield "a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99), "an Excel workbook"
    yield "a.csv", bz2.compress(text), "packed with bzip2"
    yield "a.xz", lzma.compress(text), "packed with xz"
    for codec in ("zstd", "lz4"):
        held = io.BytesIO()
        with pa.CompressedOutputStream(held, codec) as stream:
            stream.write(text)
            stream.flush()
            yield f"a.{codec}", held.getvalue(), f"packed with {codec}"
    yield "a.tar", tape.getvalue(), "an archive of 7z, RAR or tar"
    yield "a.gz", gzip.compress(text), "packed with gzip twice"
    yield "a.parquet", table.getvalue(), "a Parquet file that is packed with gzip"
    for bits in ("16", "32"):
        little, big = (HEADER.encode(f"utf-{bits}-{order}e") for order in "lb")
        yield "little.csv", "\ufeff".encode(f"utf-{bits}-le") + little, f"is text in UTF-{bits};"
        yield "big.csv", "\ufeff".encode(f"utf-{bits}-be") + big, f"is text in UTF-{bits};"
        yield "unmarked.csv", little, "its header has zero bytes"
        yield "unmarked.csv", big, "its header has zero bytes"


@pytest.mark.parametrize(
    ("name", "body", "kind"), [pytest.param(*it, id=f"{it[0]} {it[2]}") for it in _others()]
)
def test_a_file_of_another_kind_is_refused_as_such_also_within_gzip(
    name: str, body: bytes, kind: str, tmp_path: Path
) -> None:
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(body))
    packed = refused(tmp_path / f"{name}.gz")
    assert kind in packed and packed.isprintable()
    if "gzip" not in kind:
        (tmp_path / name).write_bytes(body)
        assert refused(tmp_path / name) == packed.replace(f"{name}.gz", name)
    assert re.search(r"(Unpack|Save|Write) it[^.]*\.$", packed)


def test_a_csv_may_begin_as_the_names_of_other_kinds_do(tmp_path: Path) -> None:
    for first in ("PK", "PK345", "BZh", "7z", "Rar!", "PAR", "PK,xz"):
        path = csv(tmp_path, "0,1,x,2010-12-01", header=f"{first.split(',')[0]},user,item,time")
        assert rows(read_interactions(path, Columns())) == {("1", "x", D1)}


def test_columns_in_a_message_are_escaped_and_cut(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        b"\x1b[31m" + b"\x07\xff" * 400 + b",usr\xc3\xa9," + b"z" * 61 + b"\n"
    )
    said = refused(tmp_path / "a.csv").removeprefix(f"{tmp_path}/")
    binary = (r"\x1b[31m" + r"\x07\\xff" * 9)[:60]
    assert said == f"a.csv has no column 'user'; it has {binary}…, usré, {'z' * 60}…."
    (tmp_path / "a.csv").write_bytes(b",".join(b"\x01" * 400 for _ in range(400)))
    said = refused(tmp_path / "a.csv")
    assert (
        said.isprintable()
        and said.endswith("… and 380 more.")
        and len(said) < 600 + len(str(tmp_path))
    )


def test_a_number_of_parquet_is_the_same_name_of_whatever_type_it_is(tmp_path: Path) -> None:
    numbers = [0, 7, -1, 12_000, 2**53, 10**15 * 12]
    doubles, decimals = list(map(float, numbers)), list(map(Decimal, numbers))
    kinds = [
        pa.decimal128(19, 0),
        pa.decimal128(30, 12),
        pa.decimal64(18, 0),
        pa.decimal256(60, 40),
    ]
    written = [pa.array(numbers), pa.array(doubles), pa.array(doubles).dictionary_encode()]
    for number, users in enumerate([*written, *(pa.array(decimals, it) for it in kinds)]):
        many = {"item": ["x"] * len(numbers), "time": [D1] * len(numbers)}
        folder = _made(tmp_path / str(number))
        parquet(folder / "a.parquet", user=users, **many)
        assert rows(read_interactions(folder, Columns())) == {(str(it), "x", D1) for it in numbers}
    read = read_interactions(tmp_path, Columns())
    assert (len(read.interactions), read.users_as_one) == (len(numbers), 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1.5, 0.1, -0.0, 1e300]), ["1.5", "0.1", "0", str(int(1e300))]),
        (pa.array([1.5, 0.1, 16_777_216.0], pa.float32()), ["1.5", "0.1", "16777216"]),
        (pa.array([1.0, 2048.0], pa.float16()), ["1", "2048"]),
        (
            pa.array(map(Decimal, ("1.50", "0.00", "-20.00", "100.05")), pa.decimal128(9, 2)),
            ["1.5", "0", "-20", "100.05"],
        ),
        (pa.array(map(Decimal, ("1E-20", "0", "10")), pa.decimal128(38, 20)), ["0.00000000000000000001", "0", "10"]),
        (pa.array([Decimal("1.5"), None, Decimal(2)], pa.decimal32(5, 2)), ["1.5", "2"]),
    ],
    ids=["double", "float", "half", "decimal", "small", "decimal32"],
)  # fmt: skip
def test_a_number_of_parquet_has_the_fewest_digits(
    values: pa.Array, expected: list[str], tmp_path: Path
) -> None:
    many = {"user": pa.array(["1"] * len(values)), "time": pa.array([D1] * len(values))}
    read = read_interactions(parquet(tmp_path / "a.parquet", item=values, **many), Columns())
    assert rows(read) == {("1", it, D1) for it in expected}


def test_names_with_and_without_zeros_after_a_point_are_one_and_are_counted(tmp_path: Path) -> None:
    files = {
        "a": ["12345,1.0,2010-12-01", "007,1.50,2010-12-01", "0.0,1.5,2010-12-01"],
        "b": ["12345.0,1,2010-12-01", "7.0,2.,2010-12-01", "12345.00,2.0e1,2010-12-01"],
        "c": ["12345.0,1.0,2010-12-02", "-1.0,.0,2010-12-01", "00.0,2.0,2010-12-01"],
        "d": ["-1,1.2.0,2010-12-01", "٣.0,x.0,2010-12-01", "8.0,1.00.0,2010-12-01"],
    }
    expected = {
        *(("12345", "1", D1), ("007", "1.50", D1), ("0", "1.5", D1), ("7", "2.", D1)),
        *(("12345", "2.0e1", D1), ("12345", "1", D2), ("-1", ".0", D1), ("00.0", "2", D1)),
        *(("-1", "1.2.0", D1), ("٣.0", "x.0", D1), ("8", "1.00.0", D1)),
    }
    for order in ("abcd", "dcba"):
        folder = _made(tmp_path / order)
        for name, file in zip("0123", order, strict=True):
            csv(folder, *files[file], name=f"{name}.csv")
        read = read_interactions(folder, Columns())
        assert rows(read) == expected
        assert list(read.interactions.user_ids) == sorted({user for user, _, _ in expected})
        # 12345 is written in three ways and -1 in two, as the item 1 is.
        assert (read.users_as_one, read.items_as_one, read.duplicates) == (3, 1, 1)


def test_an_expression_of_items_is_asked_of_what_a_name_stands_for(tmp_path: Path) -> None:
    path = csv(tmp_path, "1,22423.0,2010-12-01", "1,22424,2010-12-01", "1,2.5,2010-12-01")
    read = read_interactions(path, Columns(items=re.compile("[0-9]{5}")))
    assert rows(read) == {("1", "22423", D1), ("1", "22424", D1)}
    assert [astuple(it) for it in read.left_out] == [("item_not_wanted", 1, "a.csv, row 4: '2.5'")]


def test_a_name_is_held_once_and_may_be_of_more_bytes_than_32_bits_count(tmp_path: Path) -> None:
    folder = _made(tmp_path / "folder")
    csv(folder, *["a,x,2010-12-01", "b,y,2010-12-01", " a,,2010-12-01"] * 99)
    csv(folder, "c,x,2010-12-01", name="b.csv")
    for kind in (pa.string(), pa.large_binary(), pa.string_view(), pa.dictionary("int8", "utf8")):
        columns = [pa.array(it).cast(kind) for it in (["a", "d"], ["x", None])]
        parquet(folder / f"{kind}.parquet", user=columns[0], item=columns[1], time=[D1, D1])
    for file in folder.iterdir():
        table = read_table(file, ["user", "item"], ",")
        for column in ("user", "item"):
            values = table.values(column)
            assert values.type == pa.dictionary(pa.int32(), pa.large_binary())
            assert len(values.dictionary) <= 3
    read = read_interactions(folder, Columns())
    assert rows(read) == {("a", "x", D1), ("b", "y", D1), ("c", "x", D1)}
    assert list(read.interactions.user_ids) == ["a", "b", "c"]  # d has no interaction
    assert (read.users_as_one, read.duplicates, counts(read)) == (0, 200, {"item_missing": 103})


def test_names_are_coded_by_their_parts_and_never_as_one_text() -> None:
    parts = [pa.array(["b", "a", "b"]), pa.array([], pa.string()), pa.array(["c", "a"])]
    names, positions = coded(parts)
    assert (list(names), list(positions)) == (["a", "b", "c"], [1, 0, 1, 2, 0])
    names, positions = coded([])
    assert (len(names), len(positions)) == (0, 0)
    # 2.1 GB of text, of which 32 KiB are in memory.
    long = pa.array(["x" * 2**15])
    lines = pa.DictionaryArray.from_arrays(pa.array([0] * 2**15, pa.int32()), long)
    names, positions = coded([lines, lines, parts[0]])
    assert (list(names), len(positions)) == (["a", "b", "x" * 2**15], 2**16 + 3)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
