"""Casts of texts: what Redshift reads is cast, what PostgreSQL alone reads is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import psycopg
import pytest

Run = Callable[[str], list[tuple[Any, ...]]]

POSTGRESQLS = [
    ("1_000", "INT"),
    ("0x1F", "SMALLINT"),
    ("0b11", "BIGINT"),
    ("NaN", "DECIMAL(12,2)"),
    ("-infinity", "NUMERIC(12,2)"),
    ("1_0.5", "DECIMAL(12,2)"),
    ("0x1F", "FLOAT8"),
    ("0x1p3", "REAL"),
    ("tru", "BOOLEAN"),
    ("infinity", "DATE"),
    ("-infinity", "TIMESTAMP"),
    ("J2451187", "DATE"),
    ("Infinity", "TIMESTAMPTZ"),
    ("allballs", "TIME"),
]


@pytest.mark.parametrize(("text", "type_"), POSTGRESQLS)
def test_a_text_that_postgresql_alone_reads_is_not_cast(run: Run, text: str, type_: str) -> None:
    run("CREATE TABLE t (a varchar(20), b char(20))")
    run(f"INSERT INTO t VALUES ('{text}', '{text}')")
    for query in (
        f"SELECT CAST('{text}' AS {type_})",
        f"SELECT '{text}'::{type_}",
        f"SELECT a::{type_} FROM t",
        f"SELECT CAST(b AS {type_}) FROM t",
        f"SELECT CAST(a || '' AS {type_}) FROM t",
        f"SELECT CONVERT({type_}, a) FROM t",
    ):
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match=re.escape(text)):
            run(query)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("' 12 '::int", 12),
        ("'1.255'::decimal(12,2)", Decimal("1.26")),
        ("'1e2'::decimal(12,2)", Decimal("100.00")),
        ("'NaN'::float8 = 'NaN'::float8", True),
        ("'-Infinity'::real < 0", True),
        ("'Yes'::boolean", True),
        ("'January 8, 1999'::date", date(1999, 1, 8)),
        ("'20080215'::date", date(2008, 2, 15)),
        ("'04:05 PM'::time", time(16, 5)),
        ("TIMESTAMP 'epoch' + 7 * INTERVAL '1 second'", datetime(1970, 1, 1, 0, 0, 7)),
        ("'today'::date = TRUNC(GETDATE())", True),
        ("DATEDIFF(day, 'yesterday'::date, 'tomorrow'::date)", 2),
        ("'now'::timestamp = SYSDATE", True),
        ("NULL::varchar::int", None),
    ],
)
def test_a_text_that_redshift_reads_is_cast(run: Run, sql: str, expected: object) -> None:
    assert run(f"SELECT {sql}") == [(expected,)]


def test_a_cast_gives_its_column_no_name_of_ours(run: Run) -> None:
    run("CREATE TABLE t (a varchar(9)); INSERT INTO t VALUES ('7')")
    run("CREATE TABLE u AS SELECT a::int, a::decimal(4,1) AS b FROM t")
    assert run("SELECT \"column\", type FROM pg_table_def WHERE tablename = 'u' ORDER BY 1") == [
        ("a", "integer"),
        ("b", "numeric(4,1)"),
    ]
