"""`feira sql` shows whatever PostgreSQL answers, or says in one sentence why not."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest

from feira_local.cli import output
from feira_local.cli.data import unique_names, warehouse_rows
from feira_local.stack import postgres
from feira_local.stack.errors import StackError


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    with (
        postgres.temporary_server(tmp_path_factory.mktemp("pg")) as dsns,
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
        ("SELECT '{\"a\": [1]}'::json", "{'a': [1]}"),
        ("SELECT NULL", "None"),
    ],
)
def test_odd_values_are_shown_and_are_valid_json(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str], query: str, shown: str
) -> None:
    rows = warehouse_rows(connection, query, None, 10)
    assert shown in str(next(iter(rows[0].values())))
    output.print_json(rows)
    printed = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert len(printed) == 1


def test_columns_of_one_name_are_all_there(connection: psycopg.Connection) -> None:
    rows = warehouse_rows(connection, 'SELECT 1 AS a, 2 AS a, 3 AS "a (2)", 4 AS a', None)
    assert list(rows[0].values()) == [1, 2, 3, 4]
    assert unique_names(["a", "a", "a (2)"]) == ["a", "a (3)", "a (2)"]
    assert warehouse_rows(connection, "SELECT", None) == [{}]


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
        warehouse_rows(connection, query, None)
    assert len(str(refused.value).splitlines()) == 1


def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal() -> None:
    assert output.printable("\x1b[31mred\u202e\nnext é") == r"\x1b[31mred\u202e\nnext é"
