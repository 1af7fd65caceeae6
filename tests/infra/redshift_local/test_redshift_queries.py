"""QUALIFY, TOP, MERGE and the rest that is a query of another form on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from redshift_local.translation.translate import translate

Run = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def days(run: Run) -> Run:
    run(
        "CREATE TABLE days (shop varchar(5), day int, sold int);"
        "INSERT INTO days VALUES ('a', 1, 5), ('a', 2, 7), ('a', 3, 6), ('b', 1, 9), ('b', 2, 8);"
        "CREATE TABLE shops (shop varchar(5), town varchar(9));"
        "INSERT INTO shops VALUES ('a', 'Lima'), ('b', 'Oslo')"
    )
    return run


_NEWEST = "ROW_NUMBER() OVER (PARTITION BY shop ORDER BY day DESC) = 1"


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (f"SELECT * FROM days QUALIFY {_NEWEST} ORDER BY shop", [("a", 3, 6), ("b", 2, 8)]),
        (
            f"SELECT shop, sold AS n FROM days QUALIFY {_NEWEST} ORDER BY n DESC",
            [("b", 8), ("a", 6)],
        ),
        (f"SELECT shop FROM days QUALIFY {_NEWEST} ORDER BY sold DESC", [("b",), ("a",)]),
        (f"SELECT sold FROM days WHERE day < 3 QUALIFY {_NEWEST} ORDER BY 1", [(7,), (8,)]),
        (
            "SELECT shop, day, RANK() OVER (PARTITION BY shop ORDER BY sold DESC) AS place FROM days "
            "QUALIFY place = 1 ORDER BY 1",
            [("a", 2, 1), ("b", 1, 1)],
        ),
        (
            "SELECT d.*, town FROM days d JOIN shops s ON d.shop = s.shop "
            "QUALIFY ROW_NUMBER() OVER (PARTITION BY town ORDER BY sold) = 1 ORDER BY town",
            [("a", 1, 5, "Lima"), ("b", 2, 8, "Oslo")],
        ),
        (
            "SELECT * FROM (SELECT shop, SUM(sold) AS n FROM days GROUP BY shop) AS x "
            "QUALIFY RANK() OVER (ORDER BY n DESC) = 1",
            [("a", 18)],
        ),
        (
            "SELECT shop, SUM(sold) AS n FROM days GROUP BY shop "
            "QUALIFY RANK() OVER (ORDER BY SUM(sold) DESC) = 2",
            [("b", 17)],
        ),
        (
            "WITH c AS (SELECT * FROM days QUALIFY RANK() OVER (ORDER BY sold DESC) <= 2) "
            "SELECT COUNT(*), MAX(sold) FROM c",
            [(2, 9)],
        ),
        (
            "SELECT DISTINCT shop FROM days QUALIFY RANK() OVER (ORDER BY sold DESC) <= 3 ORDER BY shop LIMIT 1",
            [("a",)],
        ),
        (
            "SELECT MAX(sold) FROM days UNION ALL (SELECT sold FROM days QUALIFY "
            "ROW_NUMBER() OVER (ORDER BY sold) = 1) ORDER BY 1",
            [(5,), (9,)],
        ),
        ("SELECT TOP 2 sold FROM days ORDER BY sold DESC", [(9,), (8,)]),
        ("SELECT shop FROM days MINUS SELECT 'a' ORDER BY 1", [("b",)]),
        ("SELECT shop FROM days WHERE shop ILIKE 'A' AND day = 1 LIMIT 1 OFFSET 0", [("a",)]),
        (
            "SELECT DISTINCT shop FROM days WHERE shop NOT LIKE 'a%' AND shop NOT ILIKE '!_' ESCAPE '!'",
            [("b",)],
        ),
        (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT SUM(i) FROM n",
            [(6,)],
        ),
        (
            "SELECT shop, COUNT(*) FROM days GROUP BY ROLLUP (shop) ORDER BY 1 NULLS FIRST",
            [(None, 5), ("a", 3), ("b", 2)],
        ),
        (
            "SELECT day, SUM(sold) OVER (ORDER BY day ROWS UNBOUNDED PRECEDING) FROM days WHERE shop = 'a' ORDER BY 1",
            [(1, 5), (2, 12), (3, 18)],
        ),
    ],
)
def test_a_query_has_redshifts_rows(days: Run, query: str, rows: list[tuple[Any, ...]]) -> None:
    assert days(query) == rows


def test_qualify_leaves_the_columns_names_as_they_are(
    days: Run, connection: psycopg.Connection[Any]
) -> None:
    (translated,) = translate(f'SELECT *, sold * 2 AS "Twice", shop FROM days QUALIFY {_NEWEST}')
    cursor = connection.execute(translated.statements[0].encode())
    assert [column.name for column in cursor.description or ()] == [
        "shop",
        "day",
        "sold",
        "twice",
        "shop",
    ]


def test_merge_updates_what_matches_and_inserts_what_does_not(days: Run) -> None:
    days(
        "CREATE TABLE fresh (shop varchar(5), day int, sold int); INSERT INTO fresh VALUES ('a', 1, 50), ('c', 1, 1)"
    )
    days(
        "MERGE INTO days USING fresh AS n ON days.shop = n.shop AND days.day = n.day "
        "WHEN MATCHED THEN UPDATE SET sold = n.sold + days.sold "
        "WHEN NOT MATCHED THEN INSERT (sold, shop, day) VALUES (n.sold, n.shop, n.day)"
    )
    assert days("SELECT shop, sold FROM days WHERE day = 1 ORDER BY 1") == [
        ("a", 55),
        ("b", 9),
        ("c", 1),
    ]


def test_merge_deletes_what_matches(days: Run) -> None:
    days(
        "CREATE TABLE fresh (shop varchar(5), day int, sold int); INSERT INTO fresh VALUES ('a', 1, 50), ('c', 1, 1)"
    )
    days(
        "MERGE INTO days USING fresh ON days.shop = fresh.shop WHEN MATCHED THEN DELETE "
        "WHEN NOT MATCHED THEN INSERT VALUES (fresh.shop, fresh.day, fresh.sold)"
    )
    assert days("SELECT shop, COUNT(*) FROM days GROUP BY 1 ORDER BY 1") == [("b", 2), ("c", 1)]


def test_merge_refuses_two_matches_for_one_row(days: Run) -> None:
    days("CREATE TABLE fresh (LIKE days); INSERT INTO fresh VALUES ('a', 1, 50), ('a', 1, 51)")
    with pytest.raises(psycopg.errors.CardinalityViolation):
        days(
            "MERGE INTO days USING fresh ON days.shop = fresh.shop AND days.day = fresh.day WHEN MATCHED THEN "
            "UPDATE SET sold = fresh.sold WHEN NOT MATCHED THEN INSERT VALUES (fresh.shop, fresh.day, fresh.sold)"
        )


def test_merge_that_removes_duplicates_replaces_what_matches(run: Run) -> None:
    run(
        "CREATE TABLE target (id int, name varchar(9)); CREATE TABLE source (id int, name varchar(9));"
        "INSERT INTO target VALUES (30, 'Tony'), (11, 'Alice'), (23, 'Bill'), (23, 'Nikki');"
        "INSERT INTO source VALUES (23, 'David'), (23, 'David'), (22, 'Clarence');"
        "MERGE INTO target USING source ON target.id = source.id REMOVE DUPLICATES"
    )
    assert run("SELECT * FROM target ORDER BY id") == [
        (11, "Alice"),
        (22, "Clarence"),
        (23, "David"),
        (30, "Tony"),
    ]


def test_rows_are_changed_by_other_tables(days: Run) -> None:
    days(
        "UPDATE days SET sold = 0 FROM shops WHERE days.shop = shops.shop AND town = 'Oslo';"
        "DELETE FROM days USING shops WHERE days.shop = shops.shop AND town = 'Lima' AND day > 1"
    )
    assert days("SELECT shop, sold FROM days ORDER BY 1, day") == [("a", 5), ("b", 0), ("b", 0)]


def test_a_cursor_reads_forward_in_its_transaction(days: Run) -> None:
    days("BEGIN; DECLARE c CURSOR FOR SELECT TOP 3 sold FROM days ORDER BY sold")
    assert days("FETCH NEXT FROM c") == [(5,)]
    assert days("FETCH FORWARD 1 FROM c") == [(6,)]
    assert days("FETCH ALL FROM c") == [(7,)]
    days("CLOSE c; COMMIT")


def test_a_locked_table_lets_no_other_session_read(
    days: Run, connection: psycopg.Connection[Any], redshift_dsn: str
) -> None:
    days("BEGIN; LOCK days, shops")
    with psycopg.connect(redshift_dsn, autocommit=True) as other:
        other.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT 1 FROM days")
    days("COMMIT")


def test_each_place_of_a_named_parameter_has_a_number() -> None:
    (translated,) = translate("SELECT :b::int + :a, :b FROM t WHERE x = ':c'")
    assert translated.parameters == ("b", "a", "b")
    assert translated.statements == ("SELECT CAST($1 AS INT) + $2, $3 FROM t WHERE x = ':c'",)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("select 1", "SELECT"),
        ("with x as (select 1) select * from x", "SELECT"),
        ("create table t as select 1", "CREATE TABLE AS"),
        ("create table t (a int)", "CREATE TABLE"),
        ("create materialized view v as select 1", "CREATE MATERIALIZED VIEW"),
        ("drop table if exists t", "DROP TABLE"),
        ("end", "COMMIT"),
        ("abort work", "ROLLBACK"),
        ("start transaction read only", "BEGIN"),
        ("explain select 1", "EXPLAIN"),
        ("insert into t values (1)", "INSERT"),
    ],
)
def test_a_statement_says_what_it_is(text: str, kind: str) -> None:
    assert [translated.kind for translated in translate(text)] == [kind]


def test_numbered_parameters_need_no_blank_between() -> None:
    (translated,) = translate("INSERT INTO t (a,b) VALUES ($1,$2)")
    assert translated.statements == ("INSERT INTO t (a, b) VALUES ($1, $2)",)
