"""A quote that nothing closes costs its own line; what RFC 4180 has for a value of several lines is one."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feira.recommendations import files
from feira.recommendations.files import read_table
from feira.recommendations.interactions import InteractionsError
from feira.recommendations.reading import Columns, read_interactions

NAMES = ("user", "item", "time")
Rows = list[tuple[str, ...]]
Broken = list[tuple[int, str]]


def read(path: Path, content: str | bytes, delimiter: str = ",") -> tuple[Rows, Broken]:
    """The rows, and row number and text of each line that is none."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    table = read_table(path, NAMES, delimiter)
    columns = (table.values(name).to_pylist() for name in NAMES)
    rows = [tuple(it.decode() for it in row) for row in zip(*columns, strict=True)]
    assert table.lines == len(rows) + len(table.unreadable)
    return rows, [(it.row, it.text) for it in table.unreadable]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("searched", "broken"),
    [
        ({10: '"red mug', 9990: '"blue" mug'}, [10]),
        ({10: '"red mug', 9990: '"blue mug'}, [10, 9990]),
        ({10: '"red mug', 9990: '"blue mug"'}, [10]),
        ({10: '"red mug'}, [10]),
        ({0: '"a ""red"" mug', 9999: '"b'}, [0, 9999]),
        ({10: '"red" mug', 11: 'a 12" mug', 12: '"" mug', 13: '"a ""b"" "c'}, []),
    ],
)
def test_a_quote_that_nothing_closes_costs_its_own_line(
    searched: dict[int, str], broken: list[int], end: str, tmp_path: Path
) -> None:
    lines = [f"u{n % 200}\ti{n}\t2021-01-01\t{searched.get(n, 'mug')}" for n in range(10_000)]
    content = end.join(["user\titem\ttime\tquery", *lines])
    rows, unreadable = read(tmp_path / "a.tsv", content, "\t")
    assert unreadable == [(n + 2, lines[n]) for n in broken]
    must = [(f"u{n % 200}", f"i{n}", "2021-01-01") for n in range(10_000) if n not in broken]
    assert rows == must
    found = read_interactions(tmp_path / "a.tsv", Columns(), "\t")
    assert (found.lines, len(found.interactions)) == (10_000, 10_000 - len(broken))
    assert sum(it.lines for it in found.left_out) == len(broken)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [3, 70_000, 5_000_000])
def test_a_value_of_several_lines_is_read_whatever_its_size(
    size: int, packed: bool, tmp_path: Path
) -> None:
    value = ('2,x,2010-12-01\r\n\n"red" mug\r' * (size // 20 + 1))[:size]
    quoted = value.replace('"', '""')
    lines = ["user,item,time,title", f'1,x,2010-12-01,"{quoted}"', f'3,"{quoted}",2010-12-01,mug']
    content = "\r\n".join(lines).encode()
    rows, unreadable = read(tmp_path / "a", gzip.compress(content, 1) if packed else content)
    assert rows == [("1", "x", "2010-12-01"), ("3", value, "2010-12-01")]
    assert unreadable == []


def test_what_is_no_row_of_several_lines_costs_the_first_and_the_others_are_read(
    tmp_path: Path,
) -> None:
    content = (
        "\ufeffuser,item,time,title\n"
        '1,"x\n'  # of three fields, were it one
        '2",2010-12-01\n'
        '3,x,2010-12-01,"mug\n'
        '4,x,2010-12-01,"mug" red\n'
        '5,x,2010-12-01,"mug\n'
        "\n"
        '6,x,2010-12-01,red"\n'
        '7,x,2010-12-01,"mug\n'
        "8,x,2010-12-01,mug"
    )
    rows, unreadable = read(tmp_path / "a.csv", content)
    assert [row[0] for row in rows] == ["4", "5", "8"]
    assert unreadable == [
        (2, '1,"x'),
        (3, '2",2010-12-01'),
        (4, '3,x,2010-12-01,"mug'),
        (7, '7,x,2010-12-01,"mug'),
    ]


def test_a_line_that_is_no_row_and_no_utf_8_is_left_out_alone(tmp_path: Path) -> None:
    content = b"user,item,time\n1,x,2010-12-01\n1,caf\xe9\n2,x,2010-12-01\n\xe9,\xe9,\xe9,\xe9\n"
    rows, unreadable = read(tmp_path / "a.csv", content)
    assert [row[0] for row in rows] == ["1", "2"]
    assert unreadable == [(3, "1,caf\\xe9"), (5, "\\xe9,\\xe9,\\xe9,\\xe9")]


@pytest.mark.parametrize("rest", ["", '" x,more\n1,x,2010-12-01,y\n'])
def test_a_header_with_a_quote_that_nothing_closes_is_refused(rest: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f'user,item,time,"title\n1,x,2010-12-01,y\n{rest}')
    with pytest.raises(InteractionsError, match=r"a\.csv has no header of CSV: "):
        read_interactions(tmp_path / "a.csv", Columns())
    (tmp_path / "b.csv").write_text('user,item,time,"title\nof ""it"""\n1,x,2010-12-01,y\n')
    assert len(read_interactions(tmp_path / "b.csv", Columns()).interactions) == 1


def small(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(files, "_PART", 64)
    patched.setattr(files, "_BLOCK", 1024)
    patched.setattr(files, "_LONGEST", 2048)


def test_quotes_are_looked_at_over_the_parts_of_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small(monkeypatch)
    value = "a\nb" * 330
    lines = [f"{n},x,2010-12-01," + ('"mug' if n % 100 == 7 else "mug") for n in range(1000)]
    lines[5] = lines[995] = f'5,x,2010-12-01,"{value}"'
    rows, unreadable = read(tmp_path / "a.csv", "\n".join(["user,item,time,title", *lines]))
    assert [text for _, text in unreadable] == [lines[n] for n in range(7, 1000, 100)]
    assert len(rows) == 990
    for long in ("x" * 5000, f'"{"x" * 5000}'):
        with pytest.raises(InteractionsError, match="cannot be read: straddling object"):
            read(tmp_path / "b.csv", "\n".join(["user,item,time,title", *lines[:6], long]))


PARTS = ['"', '""', "a", ",", ",", '"y"', ' "', "é", "\n", "\n1,2,3\n", '"a\nb"', '\n"a","b,c",d\n']


@given(st.lists(st.sampled_from(PARTS), max_size=30).map("".join))
@settings(max_examples=150, deadline=None)
def test_rows_are_those_of_one_line_and_else_those_of_a_strict_reader(
    tmp_path_factory: pytest.TempPathFactory, content: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "quotes.csv"
    rows, unreadable = read(path, f"user,item,time\n{content}")
    left, must, broken = content.split("\n"), [], []
    while left:
        taken = next((n for n in range(1, len(left) + 1) if _row(left[:n])), 0)
        if taken:
            must.append(_row(left[:taken]))
        elif left[0]:
            broken.append(left[0])
        left = left[max(1, taken) :]
    assert rows == must and [text for _, text in unreadable] == broken


def _row(lines: list[str]) -> tuple[str, ...] | None:
    """What these lines are, where they are one row and none that begins with the next line's."""
    text = "\n".join(lines)
    strict = len(lines) > 1
    if not strict and len([*csv.reader([text, '"'])]) == 1:
        return None  # a quote is open at its end
    try:
        found = [*csv.reader(io.StringIO(text, newline=""), strict=strict)]
    except csv.Error:
        return None
    return tuple(found[0]) if len(found) == 1 and len(found[0]) == len(NAMES) else None
