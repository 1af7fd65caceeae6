"""`feira sql` shows whatever PostgreSQL answers, or says in one sentence why not."""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterator
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pyspark.errors import AnalysisException
from pyspark.sql import Row
from rich.console import Console

from feira_local.cli import output, reading
from feira_local.cli.data import lake_rows, unique_names, warehouse_rows
from feira_local.stack.errors import StackError
from temporary_postgres import temporary_server

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    with (
        temporary_server(tmp_path_factory.mktemp("pg")) as dsns,
        psycopg.connect(dsns.reader, autocommit=True) as opened,
    ):
        yield opened


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT '10000-01-01'::date", "10000-01-01"),
        ("SELECT 'infinity'::timestamptz", "infinity"),
        ("SELECT '-infinity'::date", "-infinity"),
        ("SELECT '0044-03-15 BC'::date", "0044-03-15 BC"),
        ("SELECT '24:00'::time", "24:00:00"),
        ("SELECT '1 year 2 mons'::interval", "1 year 2 mons"),
        ("SELECT '\\x00ff'::bytea", "\\x00ff"),
        ("SELECT ARRAY['infinity'::date]", "['infinity']"),
        ("SELECT daterange('10000-01-01', 'infinity')", "10000-01-01"),
        ("SELECT 'NaN'::numeric", "NaN"),
        ("SELECT 'NaN'::float8", "nan"),
        ("SELECT ROW('infinity'::date, NULL)", "infinity"),
        ("SELECT '{\"a\": [1]}'::json", '{"a": [1]}'),
        (
            'SELECT \'{"a": 0.12345678901234567890, "a": 1}\'::json',
            '0.12345678901234567890, "a": 1}',
        ),
        ("SELECT '[12345678901234567890.123, 1e400]'::jsonb", "[12345678901234567890.123, 1000"),
        ("SELECT ARRAY['0.10000000000000000001'::jsonb]", "['0.10000000000000000001']"),
        ("SELECT repeat('9', 5000)::jsonb", "9" * 5000),
        ("SELECT (repeat('[', 3000) || repeat(']', 3000))::json", "[" * 3000 + "]" * 3000),
        ("SELECT NULL", "None"),
        ("SELECT 12; -- a dozen", "12"),
        ("SELECT 12 /* a */;\n/* dozen */", "12"),
    ],
)
def test_odd_values_are_shown_and_are_valid_json(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str], query: str, shown: str
) -> None:
    rows = warehouse_rows(connection, query, 10)
    assert shown in str(next(iter(rows[0].values())))
    output.print_json(rows)
    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert len(printed) == 1


def test_columns_of_one_name_are_all_there(connection: psycopg.Connection) -> None:
    rows = warehouse_rows(connection, 'SELECT 1 AS a, 2 AS a, 3 AS "a (2)", 4 AS a', 10)
    assert list(rows[0].values()) == [1, 2, 3, 4]
    assert unique_names(["a", "a", "a (2)"]) == ["a", "a (3)", "a (2)"]
    assert warehouse_rows(connection, "SELECT", 10) == [{}]


def test_no_more_rows_are_fetched_than_are_shown(connection: psycopg.Connection) -> None:
    query = "SELECT 1 / (100000 - n) AS one FROM generate_series(99999, 200000) AS n"
    assert warehouse_rows(connection, query, 1) == [{"one": 1}]
    with pytest.raises(StackError, match="division by zero"):
        warehouse_rows(connection, query, 2)
    assert warehouse_rows(connection, "SELECT 2 AS two", 10) == [{"two": 2}]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT 1/0", "division by zero"),
        ("SELECT nothing", 'column "nothing" does not exist'),
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("CREATE TABLE t ()", "read-only transaction"),
        ("SET work_mem = '1MB'", "refused the query"),
    ],
)
def test_a_refusal_is_one_line(connection: psycopg.Connection, query: str, reason: str) -> None:
    with pytest.raises(StackError, match=reason) as refused:
        warehouse_rows(connection, query, 10)
    assert len(str(refused.value).splitlines()) == 1


def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal() -> None:
    assert output.printable("\x1b[31mred\u202e\nnext é") == r"\x1b[31mred\u202e\nnext é"


def shown(rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, *, width: int = 0) -> str:
    """What is printed without a terminal, or on one of that width."""
    console = Console(
        width=width or 80, force_terminal=bool(width), color_system=None, markup=False,
        emoji=False, file=StringIO(),
    )  # fmt: skip
    monkeypatch.setattr(output, "console", console)
    monkeypatch.setattr(sys, "stdout", console.file)
    output.print_rows(rows)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [0, 30])
def test_names_and_values_that_rich_would_read_as_markup_are_shown_as_they_are(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"[/]": "[bold]x", ":cat:": "[k] :dog:", "\x1b[31m": "\r\nRevenue: 1"}]
    text = shown(rows, monkeypatch, width=width)
    for part in ("[/]", "[bold]x", ":cat:", "[k] :dog:", r"\x1b[31m", r"\r\nRevenue: 1"):
        assert part in text
    assert "\x1b[31m" not in text


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, "–"),
        (True, "true"),
        (b"\x00\xff", r"\x00ff"),
        ([None, 1, b"\x01"], r'[null, 1, "\\x01"]'),
        ({"a": [dt.date(2010, 12, 1)]}, '{"a": ["2010-12-01"]}'),
        (Row(q=1, r=Row(s=b"")), r'{"q": 1, "r": {"s": "\\x"}}'),
        ([Row("a", "a")(1, Row("b", "b")(2, 3))], '[{"a": 1, "a (2)": {"b": 2, "b (2)": 3}}]'),
        ({1: float("nan")}, '{"1": "nan"}'),
        ("é ü 😀", "é ü 😀"),
        ([Decimal("1E-7"), {"a": Decimal("NaN")}], '["0.0000001", {"a": "NaN"}]'),
    ],
)
def test_a_value_is_shown_as_json_would_show_it(
    value: object, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cell in shown([{"a": value}], monkeypatch).splitlines()[3]


SMALL = ("0.00000000", "-0.00000050", "12.30", "0.00000000000000000001")


def test_a_decimal_is_shown_with_the_digits_that_postgresql_writes(
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = ", ".join(f"{each}::numeric AS c{at}" for at, each in enumerate(SMALL))
    rows = warehouse_rows(connection, f"SELECT {columns}", 10)
    output.print_json(rows)
    assert tuple(json.loads(capsys.readouterr().out)[0].values()) == SMALL
    assert tuple(shown(rows, monkeypatch).splitlines()[3].split()) == SMALL


def test_a_text_of_megabytes_is_cut_and_its_length_named(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown([{"raw": "x" * 3_000_000}, {"raw": "y" * 1900}], monkeypatch)
    assert "… (3,000,000 characters)" in text
    assert "y" * 1900 in text
    assert len(text) < 30_000


def test_three_hundred_columns_are_all_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {f"column_{n}": "v" * 1000 for n in range(300)}
    for width in (0, 80):
        text = shown([row], monkeypatch, width=width)
        assert all(name in text for name in row)
        assert text.replace("\n", "").replace(" ", "").count("v" * 10) >= 300 * 80


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("CAST('+10000-01-01' AS date)", "+10000-01-01"),
        ("CAST('-0044-03-15' AS date)", "-0044-03-15"),
        ("CAST('+10000-01-01' AS timestamp_ntz)", "+10000-01-01 00:00:00"),
        ("INTERVAL '3' MONTH", "INTERVAL '3' MONTH"),
        ("INTERVAL '1 02:03:04' DAY TO SECOND", "INTERVAL '1 02:03:04' DAY TO SECOND"),
        ("array(CAST('+10000-01-01' AS date))", "[+10000-01-01]"),
        ("named_struct('a', INTERVAL '3' MONTH)", "{INTERVAL '3' MONTH}"),
        ("X'00FF'", bytearray(b"\x00\xff")),
        ("array(map('a', 1))", [{"a": 1}]),
        ("map(array(1), 2)", "{[1] -> 2}"),
        ("CAST(NULL AS date)", None),
    ],
)
def test_the_lake_shows_what_python_and_arrow_cannot_hold(
    spark: SparkSession, expression: str, text: object
) -> None:
    rows = lake_rows(spark, f"SELECT 1 AS `a.b`, {expression} AS a, 2 AS a", 10)
    assert rows == [{"a.b": 1, "a": text, "a (2)": 2}]


def test_spark_reads_no_file_and_puts_in_no_variable(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("key\n")
    with pytest.raises(AnalysisException, match="TABLE_OR_VIEW_NOT_FOUND"):
        lake_rows(spark, f"SELECT * FROM text.`{tmp_path / 'secrets'}`", 10)
    (row,) = lake_rows(spark, "SELECT '${env:PATH} ${spark.app.id}' AS text", 10)
    assert row == {"text": "${env:PATH} ${spark.app.id}"}


REFUSED_FUNCTIONS = {
    *("java_method", "reflect", "try_reflect", "python_worker_logs"),
    *("from_avro", "to_avro", "schema_of_avro", "from_protobuf", "to_protobuf"),
    *(
        "from_xml",
        "to_xml",
        "schema_of_xml",
        "xpath",
        "xpath_boolean",
        "xpath_double",
        "xpath_float",
    ),
    *("xpath_int", "xpath_long", "xpath_number", "xpath_short", "xpath_string"),
}


def test_every_function_of_spark_was_looked_at(spark: SparkSession) -> None:
    # One that is new in a version: does it reach a file, a URL, a log, a setting or a method? Then it belongs to
    # those of `reading` too.
    looked_at = (Path(__file__).parent / "spark_functions.txt").read_text().split()
    assert {name for (name,) in spark.sql("SHOW SYSTEM FUNCTIONS").collect()} == set(looked_at)
    assert {name for name in looked_at if reading.beside_computing(name)} == REFUSED_FUNCTIONS
