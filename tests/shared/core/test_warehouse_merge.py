"""What a merge finds unchanged, and which keys it refuses: on a real PostgreSQL, with either warehouse's SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from feira.core.contracts.ddl import Dialect
from feira.core.warehouse.merge import STAGED, Gone, LoadRefusedError, Merge
from feira.core.warehouse.staged import Merged, merge_staged, stage
from feira_local.stack.postgres import Dsns
from watched_columns import watch

TABLE = "sales.kept"
Rows = Iterable[tuple[Any, ...]]


def table(connection: psycopg.Connection, columns: str, rows: Rows = ()) -> None:
    """The table with those columns and rows."""
    connection.execute(f"CREATE TABLE {TABLE} ({columns})")
    for row in rows:
        connection.execute(f"INSERT INTO {TABLE} VALUES ({', '.join(['%s'] * len(row))})", row)


def loaded(
    connection: psycopg.Connection, rows: Rows, dialect: Dialect = "postgres", gone: Gone = "kept"
) -> Merged:
    """Merges rows of ``id`` and ``v``, and of their mark, into the table."""
    return merged(connection, Merge(TABLE, ("id",), ("id", "v"), gone), rows, dialect)


def merged(
    connection: psycopg.Connection, merge: Merge, rows: Rows, dialect: Dialect = "postgres"
) -> Merged:
    """Merges rows of the merge's columns, and of their mark."""
    with connection.transaction(), connection.cursor() as cursor:

        def fill(targets: object) -> None:
            for row in rows:
                cursor.execute(f"INSERT INTO {STAGED} VALUES ({', '.join(['%s'] * len(row))})", row)

        return merge_staged(cursor, merge, stage(cursor, merge, fill, None, "a test", dialect))


def held(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """The rows as their types' own functions write them: of a blank-padded text with its blanks."""
    return connection.execute(
        f"SELECT textin(bpcharout(id::bpchar)), v::text FROM {TABLE} ORDER BY 1, 2"
    ).fetchall()


@pytest.mark.parametrize(
    ("type_", "was", "now"),
    [
        ("jsonb", '{"p": 1}', '{"p": 1.00}'),
        ("json", '{"p": 1}', '{"p":1}'),
        ("double precision", "0", "-0"),
        ("real", "-0", "0"),
        ("numeric", "1.0", "1.00"),
        ("interval", "1 mon", "30 days"),
        ("integer", None, "7"),
        ("integer", "7", None),
    ],
)
def test_what_only_equals_the_targets_value_is_a_change(
    connection: psycopg.Connection, type_: str, was: str | None, now: str | None
) -> None:
    table(connection, f"id text PRIMARY KEY, v {type_}", [("a", was), ("b", was)])
    assert loaded(connection, [("a", now), ("b", was)]) == Merged(0, 1, 0)
    assert held(connection) == [("a", now), ("b", was)]
    assert loaded(connection, [("a", now), ("b", was)]) == Merged(0, 0, 0)


def test_blanks_at_a_texts_end_are_a_change_where_they_do_not_count(
    connection: psycopg.Connection,
) -> None:
    table(connection, "id text PRIMARY KEY, v bpchar", [("a", "HEART HOLDER  ")])
    assert loaded(connection, [("a", "HEART HOLDER")]) == Merged(0, 1, 0)
    assert connection.execute(f"SELECT octet_length(v) FROM {TABLE}").fetchall() == [(12,)]


@pytest.fixture
def as_redshift(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """Here blanks at the end of a VARCHAR do not count for ``=``, as on Redshift, until the test ends."""
    with connection.transaction(force_rollback=True):
        connection.execute(
            "CREATE FUNCTION sales.same(varchar, varchar) RETURNS boolean LANGUAGE sql IMMUTABLE "
            "RETURN rtrim($1) OPERATOR(pg_catalog.=) rtrim($2)"
        )
        connection.execute(
            "CREATE OPERATOR sales.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = sales.same)"
        )
        connection.execute("SET LOCAL search_path TO sales, pg_catalog")
        yield connection


@pytest.mark.parametrize(
    ("type_", "was", "now", "updated"),
    [
        ("varchar(20)", "HEART HOLDER  ", "HEART HOLDER", 1),
        ("varchar(20)", "", "  ", 1),
        ("varchar(20)", " é", " é", 0),
        ("varchar(20)", None, None, 0),
        ("varchar(20)", None, "", 1),
        ("char(9)", "acme", "acme", 0),
        ("double precision", "0", "-0", 1),
        ("double precision", "0.1", "0.1", 0),
        ("real", "-0", "0", 1),
        ("numeric(8,2)", "1.50", "1.50", 0),
        ("timestamptz", "2020-01-02 00:00:00+00", "2020-01-02 00:00:00+00", 0),
        # Nobody has said what equal means of it.
        ("interval", "1 mon", "1 mon", 1),
    ],
)
def test_redshifts_form_finds_the_same(
    as_redshift: psycopg.Connection, type_: str, was: str | None, now: str | None, updated: int
) -> None:
    table(as_redshift, f"id varchar(9), v {type_}", [("a", was), ("b", None)])
    assert loaded(as_redshift, [("a", now), ("b", None)], "redshift") == Merged(0, updated, 0)
    query = f"SELECT rtrim(format('%s|', v)), v IS NULL FROM {TABLE} WHERE id = 'a'"
    padded = now.ljust(9) if type_ == "char(9)" and now is not None else now
    assert as_redshift.execute(query).fetchall() == [(f"{padded or ''}|", now is None)]


def test_a_key_that_is_written_otherwise_is_as_it_comes(as_redshift: psycopg.Connection) -> None:
    table(as_redshift, "id varchar(9), v int", [("a ", 1), ("b", 1)])
    assert loaded(as_redshift, [("a", 1), ("b", 1)], "redshift") == Merged(0, 1, 0)
    assert held(as_redshift) == [("a", "1"), ("b", "1")]


def test_a_key_of_which_the_marked_row_is_written_otherwise_has_changed(
    connection: psycopg.Connection,
) -> None:
    table(connection, "id bpchar PRIMARY KEY, v int", [("1 ", 1)])
    rows = [("1 ", 1, "DELETE"), ("1", 1, "INSERT")]
    assert loaded(connection, rows, gone="marked") == Merged(0, 1, 0)
    assert held(connection) == [("1", "1")]


def test_staged_keys_that_are_equal_are_refused_by_name(connection: psycopg.Connection) -> None:
    table(connection, "id bpchar PRIMARY KEY, v int", [("0", 0)])
    with pytest.raises(LoadRefusedError) as refused:
        loaded(connection, [("1", 1), ("1 ", 2), ("2", 3)])
    message = str(refused.value)
    assert message.startswith(f"{TABLE}: of the 3 rows of a test, 1 keys of (id) are duplicate")
    assert "('1'), ('1 ')" in message and "'2'" not in message
    assert held(connection) == [("0", "0")]


@pytest.mark.parametrize("gone", ["kept", "absent", "marked"])
@pytest.mark.parametrize("dialect", ["postgres", "redshift"])
@pytest.mark.parametrize("value", [7, 6])
def test_several_rows_of_a_key_in_the_target_are_refused_by_name(
    connection: psycopg.Connection, gone: Gone, dialect: Dialect, value: int
) -> None:
    """Also where one of them is what the load brings: the other would stay."""
    before = [("a", 5), ("a", 6), ("b", 5), ("c", 1), ("c", 2)]
    table(connection, "id varchar(9), v int", before)
    mark = ["INSERT"] if gone == "marked" else []
    with pytest.raises(LoadRefusedError) as refused:
        loaded(connection, [("a", value, *mark), ("b", 6, *mark)], dialect, gone)
    message = str(refused.value)
    assert (
        f"{TABLE} has several rows of 1 of the keys of (id) that are to be loaded: ('a');"
        in message
    )
    assert held(connection) == [(key, str(number)) for key, number in before]


def test_several_rows_of_a_key_that_is_gone_are_all_deleted(connection: psycopg.Connection) -> None:
    table(connection, "id text, v int", [("a", 5), ("a", 6), ("b", 1)])
    assert loaded(connection, [("b", 1)], gone="absent") == Merged(0, 0, 2)
    connection.execute(f"INSERT INTO {TABLE} VALUES ('a', 1), ('a', 2)")
    assert loaded(connection, [("a", 1, "DELETE")], gone="marked") == Merged(0, 0, 2)
    assert held(connection) == [("b", "1")]


def test_no_more_keys_are_named_than_a_message_holds(connection: psycopg.Connection) -> None:
    table(connection, "id text, v int", [(f"k{n}", 0) for n in range(9) for _ in range(2)])
    with pytest.raises(
        LoadRefusedError, match=r"several rows of 9 .*\('k0'\), \('k1'\), \('k2'\), \('k3'\); "
    ):
        loaded(connection, [(f"k{n}", 1) for n in range(9)])
    with pytest.raises(LoadRefusedError, match=r"9 keys .*Duplicates: \('k0'\), \('k1'\)\.$"):
        loaded(connection, [(f"k{n}", 1) for n in range(9) for _ in range(2)])


@pytest.mark.parametrize(
    "key",
    ["number", "d", "kept", "h", "Number", "staged_rows", "staged_rows_part", "Staged_Rows_Number"],
)
@pytest.mark.parametrize("gone", ["kept", "absent", "marked"])
def test_a_column_may_have_any_name_that_no_load_makes(
    connection: psycopg.Connection, key: str, gone: Gone
) -> None:
    connection.execute(f'CREATE TABLE {TABLE} ("{key}" int, v int)')
    merge = Merge(TABLE, (key,), (key, "v"), gone)
    mark = ["INSERT"] if gone == "marked" else []
    assert merged(connection, merge, [(1, 1, *mark), (2, 2, *mark)]) == Merged(2, 0, 0)
    assert merged(connection, merge, [(1, 1, *mark), (2, 3, *mark)]) == Merged(0, 1, 0)
    with pytest.raises(LoadRefusedError, match=r"Duplicates: \(2\)\.$"):
        merged(connection, merge, [(2, 1, *mark), (2, 3, *mark)])
    connection.execute(f"INSERT INTO {TABLE} VALUES (1, 4)")
    with pytest.raises(LoadRefusedError, match=r"several rows of 1 of the keys .*: \(1\);"):
        merged(connection, merge, [(1, 1, *mark)])


def test_a_columns_name_that_is_the_loads_own_is_refused_by_name() -> None:
    marked = Merge(TABLE, ("id",), ("id",), "marked", mark="staged_rows_number")
    for merge in (Merge(TABLE, ("id",), ("id", "staged_rows_number")), marked):
        with pytest.raises(
            LoadRefusedError, match=r"a column is named staged_rows_number, .* Rename it"
        ):
            merge.require_usable()
    with pytest.raises(LoadRefusedError, match="a column is named staged_rows_number"):
        Merge(TABLE, ("id",), ("id", "Staged_Rows_Number")).require_usable("redshift")


@pytest.mark.parametrize(("type_", "key"), [("jsonb", '{"a": 1}'), ("int[]", "{1,2}")])
def test_keys_of_any_type_are_named_where_they_are_duplicates(
    connection: psycopg.Connection, type_: str, key: str
) -> None:
    table(connection, f"id {type_}, v int")
    shown = re.escape(str([1, 2] if type_ == "int[]" else {"a": 1}))
    with pytest.raises(LoadRefusedError, match=rf"Duplicates: \({shown}\)\.$"):
        loaded(connection, [(key, 1), (key, 2)])
    connection.execute(f"INSERT INTO {TABLE} VALUES (%s, 1), (%s, 2)", [key, key])
    with pytest.raises(LoadRefusedError, match=rf"several rows of 1 of .*: \({shown}\);"):
        loaded(connection, [(key, 1)])


@pytest.mark.parametrize(
    "type_",
    ["int", "numeric(8,2)", "text", "varchar(9)", "char(9)", "uuid", "date", "timestamptz"],
)
def test_a_key_whose_equal_values_are_identical_is_not_written_again(
    connection: psycopg.Connection, type_: str
) -> None:
    """Who watches it, or may not write it, would take that for another key."""
    key = {"uuid": str(UUID(int=7)), "date": "2020-01-02", "timestamptz": "2020-01-02 00:00+00"}
    table(connection, f"id {type_} PRIMARY KEY, v int", [(key.get(type_, "7"), 1)])
    watch(connection, TABLE, "id")
    assert loaded(connection, [(key.get(type_, "7"), 2)]) == Merged(0, 1, 0)
    (row,) = held(connection)
    assert row[1] == "2"


@pytest.fixture
def loosely_collated(
    connection: psycopg.Connection, postgres: Dsns
) -> Iterator[psycopg.Connection]:
    """The owner's connection, with the collation ``sales.loose`` until the test ends. Of a nondeterministic one a
    server without ICU knows no more than what its catalog says."""
    database = connection.info.dbname
    with (
        psycopg.connect(make_conninfo(postgres.superuser, dbname=database)) as owner,
        owner.transaction(force_rollback=True),
    ):
        owner.execute("CREATE COLLATION sales.loose (provider = libc, locale = 'C')")
        owner.execute(
            "UPDATE pg_collation SET collisdeterministic = FALSE WHERE collname = 'loose'"
        )
        yield owner


def test_a_text_is_exact_unless_its_collation_is_not_deterministic(
    loosely_collated: psycopg.Connection,
) -> None:
    texts = ("text", 'text COLLATE "C"', "varchar(9)", "char(9)", "int")
    loose = [f"{type_} COLLATE sales.loose" for type_ in ("text", "varchar(9)", "char(9)")]
    columns = {f"c{number}": type_ for number, type_ in enumerate((*texts, *loose))}
    table(loosely_collated, ", ".join(f"{name} {type_}" for name, type_ in columns.items()))
    merge = Merge(TABLE, [*columns], [*columns])
    with loosely_collated.cursor() as cursor:
        staged = stage(cursor, merge, lambda targets: None, 0, "a test")
        assert [each.is_exact() for each in staged.targets] == [True] * 5 + [False] * 3


def test_a_key_that_may_equal_one_that_is_written_otherwise_is_written_again(
    loosely_collated: psycopg.Connection,
) -> None:
    table(
        loosely_collated,
        "id text COLLATE sales.loose, part text, v int, PRIMARY KEY (id, part)",
        [("a", "b", 1)],
    )
    for column, written in (("id", True), ("part", False)):
        watch(loosely_collated, TABLE, column)
        merge = Merge(TABLE, ("id", "part"), ("id", "part", "v"))
        if written:
            with pytest.raises(psycopg.errors.RaiseException, match="a key was written"):
                merged(loosely_collated, merge, [("a", "b", 2)])
        else:
            assert merged(loosely_collated, merge, [("a", "b", 2)]) == Merged(0, 1, 0)


@pytest.mark.parametrize(
    ("type_", "was", "now"), [("numeric", "1.0", "1.00"), ("double precision", "0", "-0")]
)
def test_a_key_whose_equal_values_differ_is_as_it_comes(
    connection: psycopg.Connection, type_: str, was: str, now: str
) -> None:
    table(connection, f"id {type_} PRIMARY KEY, v int", [(was, 1)])
    assert loaded(connection, [(now, 1)]) == Merged(0, 1, 0)
    assert connection.execute(f"SELECT id::text FROM {TABLE}").fetchall() == [(now,)]
    assert loaded(connection, [(now, 1)]) == Merged(0, 0, 0)


def test_a_table_of_a_key_alone_is_merged_too(connection: psycopg.Connection) -> None:
    connection.execute(f"CREATE TABLE {TABLE} (id int PRIMARY KEY)")
    merge = Merge(TABLE, ("id",), ("id",))
    assert merged(connection, merge, [(1,), (2,)]) == Merged(2, 0, 0)
    assert merged(connection, merge, [(2,), (3,)]) == Merged(1, 0, 0)


def test_columns_that_differ_in_case_alone_are_one_on_redshift() -> None:
    merge = Merge(TABLE, ("Id",), ("Id", "Amount", "amount"))
    merge.require_usable()
    with pytest.raises(LoadRefusedError, match="a column is a duplicate"):
        merge.require_usable("redshift")
