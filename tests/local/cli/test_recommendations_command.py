"""`feira recommendations evaluate` on files: what it prints, and what it refuses in one sentence."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from feira_local import cli
from feira_local.cli import app

ROWS = [
    *("a,x,2010-12-01", "a,y,2010-12-02", "b,x,2010-12-01", "b,y,2010-12-03", "c,z,2010-12-01"),
    *(
        "a,x,2010-12-09",
        "b,z,2010-12-10",
        "b,w,2010-12-10",
        ",x,2010-12-01",
        "a,x,2010-12-09T10:00Z",
    ),
]


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv.gz"
    path.write_bytes(gzip.compress("\n".join(["who,what,when", *ROWS]).encode()))
    return path


def run(path: Path, *options: str) -> tuple[int, str, str]:
    """The exit code, standard output, and the error as `feira` prints it."""
    columns = ("--user", "who", "--item", "what", "--time", "when")
    done = CliRunner().invoke(app, ["recommendations", "evaluate", str(path), *columns, *options])
    if done.exception is None or isinstance(done.exception, SystemExit):
        return done.exit_code, done.stdout, done.stderr
    assert isinstance(done.exception, Exception)
    return done.exit_code, done.stdout, cli._message(done.exception)


def test_the_whole_table_is_printed_for_each_slot_with_what_was_left_out(sales: Path) -> None:
    code, output, error = run(sales, "--cut", "2010-12-08")
    assert (code, error) == (0, "")
    lines = [line.split() for line in output.splitlines()]
    assert ["lines", "10"] in lines and ["interactions", "8"] in lines
    assert ["duplicates", "1", "of", "a", "user,", "item", "and", "day"] in lines
    assert [
        "user_missing",
        "1",
        "left",
        "out,",
        "first",
        "in",
        "sales.csv.gz,",
        "row",
        "10:",
        "''",
    ] in lines
    assert re.findall(r"^\w+: \d+ users?$", output, re.MULTILINE) == [
        "again: 1 user",
        "new: 1 user",
        "all: 2 users",
    ]
    for slot in re.split(r"users?\n", output)[1:]:
        for name in ("popularity", "frequency", "item-item", "EASE", "ALS", "TIFU-KNN"):
            assert name in slot
    assert "% interval" in output


def test_with_json_the_figures_and_their_intervals_are_plain_values(sales: Path) -> None:
    code, output, error = run(sales, "--cut", "2010-12-08", "--json", "--only", "own frequency")
    assert (code, error) == (0, "")
    found = json.loads(output)
    assert found["left_out"] == [
        {"rule": "user_missing", "lines": 1, "first": "sales.csv.gz, row 10: ''"}
    ]
    assert (found["lines"], found["duplicates"], found["cut"]) == (10, 1, "2010-12-08")
    again, new, everything = found["slots"]
    assert [it["users"] for it in (again, new, everything)] == [1, 1, 2]
    baseline, own = again["rows"]
    assert (baseline["candidate"], own["candidate"]) == ("recent popularity", "own frequency")
    assert own["hit_rate"] == {"value": 1, "low": 1, "high": 1}
    assert new["rows"][1]["ndcg"]["value"] == 0  # b's z could have been found, w could not
    assert new["rows"][1]["novelty"]["value"] is None


def test_names_that_were_read_as_one_are_counted(sales: Path, tmp_path: Path) -> None:
    rows = [
        "1,8,2010-12-01",
        "1.0,9,2010-12-01",
        "2.0,8,2010-12-01",
        "2,9,2010-12-09",
        "1,8.0,2010-12-09",
    ]
    path = tmp_path / "sales.csv"
    path.write_text("\n".join(["who,what,when", *rows]))
    options = ("--cut", "2010-12-08", "--only", "own frequency")
    _, output, _ = run(path, *options)
    lines = [re.split(r"  +", line.strip()) for line in output.splitlines()]
    assert [line for line in lines if line[0] == "read_as_one"] == [
        ["read_as_one", "2", "of users: 12345.0 and 12345, and such"],
        ["read_as_one", "1", "of items: 12345.0 and 12345, and such"],
    ]
    _, output, _ = run(path, *options, "--json")
    assert json.loads(output)["read_as_one"] == {"users": 2, "items": 1}
    _, output, _ = run(sales, *options)
    assert "read_as_one" not in output


def test_a_name_that_a_terminal_would_obey_is_printed_as_its_code_points(tmp_path: Path) -> None:
    path = tmp_path / "b\u202es.csv"
    names = "\n".join(f"\u202e{it}" for it in ROWS)
    path.write_text(f"who,what,when\n{names}\n\u202ea,\u202eb,\u202ec\n", encoding="utf-8")
    options = ("--cut", "2010-12-08", "--only", "own frequency")
    code, output, error = run(path, *options)
    assert (code, error) == (0, "") and "\u202e" not in output
    assert r"first in b\u202es.csv, row 12: '\u202ec'" in output
    code, output, error = run(path, *options, "--json")
    (unreadable,) = json.loads(output)["left_out"]
    assert unreadable["first"] == "b\u202es.csv, row 12: '\\u202ec'"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cut", "2010-12-01"], "must be a day from 2010-12-02 to 2010-12-10"),
        (["--cut", "tomorrow"], "'tomorrow' is not a day"),
        (
            ["--item", "sku"],
            "no column 'sku'; it has who, what, when. Name its columns with --user",
        ),
        (
            ["--item", "who"],
            "The column 'who' is named for both user and item; each is a column of its own. Name its",
        ),
        (["--only", "oracle"], "'oracle' is no candidate; there is recent popularity, popularity"),
        (["--items", "(x"], "'(x' is no regular expression"),
        (["--items", "q"], "none of 10 lines is an interaction (item_not_wanted 9"),
        (["--delimiter", "--"], "The delimiter '--' is none"),
        (["--time-unit", "s"], "time_unreadable 9, first sales.csv.gz, row 2: '2010-12-01'"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence(
    options: list[str], message: str, sales: Path
) -> None:
    code, output, error = run(sales, *options)
    assert (code, output) == (1, "")
    assert message in error and "not foreseen" not in error and "\n" not in error


def test_a_new_module_of_commands_needs_no_other_file() -> None:
    names = [it.name or it.callback.__name__ for it in app.registered_commands if it.callback]
    names += [str(it.name) for it in app.registered_groups]
    assert "recommendations" in names and "recommendations" not in cli.FIRST
    assert len(set(names)) == len(names), "two modules bring a command of the same name"
