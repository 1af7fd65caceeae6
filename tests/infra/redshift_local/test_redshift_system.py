"""System tables and views under Redshift's names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from redshift_local.translation.translate import translate

Run = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def tables(run: Run) -> Run:
    run(
        'CREATE TABLE sold (id int NOT NULL, shop varchar(9) DISTKEY, "Day" date DEFAULT GETDATE(),'
        " price numeric(8,2), PRIMARY KEY (shop, id), UNIQUE (price)) SORTKEY (price, id);"
        "CREATE TABLE plain (a int) DISTSTYLE ALL; CREATE VIEW seen AS SELECT id FROM sold"
    )
    return run


def test_pg_table_def_shows_types_and_keys_of_the_search_path(tables: Run) -> None:
    assert tables(
        'SELECT "column", type, distkey, sortkey, "notnull" FROM pg_table_def WHERE tablename = \'sold\''
    ) == [
        ("id", "integer", False, 2, True),
        ("shop", "character varying(9)", True, 0, True),
        ("day", "date", False, 0, False),
        ("price", "numeric(8,2)", False, 1, False),
    ]
    assert tables("SET search_path TO nowhere; SELECT COUNT(*) FROM pg_catalog.pg_table_def") == [
        (0,)
    ]
    tables("RESET search_path")


def test_svv_views_list_tables_and_columns(tables: Run) -> None:
    assert tables(
        "SELECT table_name, table_type FROM svv_tables WHERE table_schema = 'public' ORDER BY 1"
    ) == [("plain", "BASE TABLE"), ("seen", "VIEW"), ("sold", "BASE TABLE")]
    assert tables(
        "SELECT column_name, data_type, character_maximum_length, is_nullable FROM svv_columns "
        "WHERE svv_columns.table_name = 'sold' ORDER BY ordinal_position"
    ) == [
        ("id", "integer", None, "NO"),
        ("shop", "character varying", 9, "NO"),
        ("day", "date", None, "YES"),
        ("price", "numeric", None, "YES"),
    ]
    assert tables(
        "SELECT database_name, table_type FROM pg_catalog.svv_redshift_tables WHERE table_name = 'plain'"
    ) == [("dev", "TABLE")]
    assert tables(
        "SELECT COUNT(*) FROM svv_redshift_columns c WHERE c.schema_name = 'public' AND c.table_name = 'sold'"
    ) == [(4,)]
    assert tables("SELECT COUNT(*) FROM svv_tables WHERE table_schema = 'redshift'") == [(0,)]


def test_svv_table_info_shows_how_tables_are_stored(tables: Run) -> None:
    assert tables(
        "SELECT \"table\", diststyle, sortkey1, sortkey_num FROM svv_table_info WHERE schema = 'public' ORDER BY 1"
    ) == [("plain", "ALL", None, 0), ("sold", "KEY(shop)", "price", 2)]


def test_the_information_schema_has_the_keys_that_were_declared(tables: Run) -> None:
    """As RedshiftSQLHook.get_table_primary_key asks for them."""
    assert tables(
        "SELECT kcu.column_name FROM information_schema.table_constraints tco "
        "JOIN information_schema.key_column_usage kcu ON kcu.constraint_name = tco.constraint_name "
        "AND kcu.constraint_schema = tco.constraint_schema WHERE tco.constraint_type = 'PRIMARY KEY' "
        "AND kcu.table_schema = 'public' AND kcu.table_name = 'sold' ORDER BY kcu.ordinal_position"
    ) == [("shop",), ("id",)]
    tables("ALTER TABLE sold RENAME COLUMN shop TO place")
    assert tables(
        "SELECT column_name FROM information_schema.key_column_usage WHERE table_name = 'sold' "
        "AND constraint_name = 'sold_primary_key' ORDER BY ordinal_position"
    ) == [("place",), ("id",)]


def test_a_materialized_view_is_a_view_whose_definition_says_what_it_is(tables: Run) -> None:
    """As dbt-redshift asks for them."""
    tables("CREATE MATERIALIZED VIEW kept AUTO REFRESH NO AS SELECT id, shop FROM sold")
    assert tables(
        "SELECT table_name, CASE WHEN view_definition ILIKE '%create materialized view%' THEN 'kept' ELSE 'asked' END "
        "FROM information_schema.views WHERE table_schema ILIKE 'PUBLIC' ORDER BY 1"
    ) == [("kept", "kept"), ("seen", "asked")]
    (definition,) = tables(
        "SELECT definition FROM pg_views WHERE schemaname = 'public' AND viewname = 'kept'"
    )[0]
    assert " ".join(definition.split()) == (
        "create materialized view public.kept as SELECT id, shop FROM sold;"
    )
    assert tables("SELECT COUNT(*) FROM pg_catalog.pg_views WHERE schemaname = 'redshift'") == [
        (0,)
    ]
    tables("DROP MATERIALIZED VIEW kept")


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_a_comment_on_a_view_is_one_on_either_kind(tables: Run, kind: str) -> None:
    tables(f"CREATE {kind} noted AS SELECT id FROM sold")
    described = (
        "SELECT description FROM pg_description WHERE objsubid = 0 "
        "AND classoid = 'pg_class'::regclass AND objoid = 'noted'::regclass"
    )
    tables("COMMENT ON VIEW noted IS 'it''s $$ kept; \\\\ here'")
    assert tables(described) == [("it's $$ kept; \\ here",)]
    tables("COMMENT ON VIEW noted IS ''")
    assert tables(described) == []
    with pytest.raises(psycopg.errors.UndefinedTable, match='"nowhere" does not exist'):
        tables("COMMENT ON VIEW nowhere IS 'x'")


def test_a_name_of_ones_own_comes_before_a_system_tables() -> None:
    (translated,) = translate("WITH svv_tables AS (SELECT 1 AS a) SELECT a FROM svv_tables")
    assert translated.statements == ("WITH svv_tables AS (SELECT 1 AS a) SELECT a FROM svv_tables",)
    (translated,) = translate("SELECT * FROM mine.svv_tables")
    assert "redshift" not in translated.statements[0]


def test_a_column_that_is_not_filled_is_an_error_and_no_answer(tables: Run) -> None:
    with pytest.raises(psycopg.errors.UndefinedColumn):
        tables("SELECT skew_rows FROM svv_table_info")
