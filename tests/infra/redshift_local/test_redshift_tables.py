"""Tables as Redshift makes them: types, bytes, identities, keys that are declared and enforced by nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Run = Callable[[str], list[tuple[Any, ...]]]


def _types(run: Run, table: str) -> list[str]:
    rows = run(
        "SELECT data_type || coalesce('(' || character_maximum_length::varchar || ')', "
        "CASE data_type WHEN 'numeric' THEN '(' || numeric_precision::varchar || ',' "
        "|| numeric_scale::varchar || ')' END, '') "
        f"FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
    )
    return [row[0] for row in rows]


def test_a_type_without_a_size_has_redshifts(run: Run) -> None:
    run(
        "CREATE TABLE t (a text, b varchar, c char, d bpchar, e numeric, f decimal(7), g varchar(max),"
        " h nvarchar(9), i double precision, j super, k varbyte(10), l character varying(4), m int8)"
    )
    assert _types(run, "t") == [
        "character varying(256)",
        "character varying(256)",
        "character(1)",
        "character(256)",
        "numeric(18,0)",
        "numeric(7,0)",
        "character varying(65535)",
        "character varying(9)",
        "double precision",
        "jsonb",
        "bytea",
        "character varying(4)",
        "bigint",
    ]


def test_a_bare_numeric_rounds_to_whole_numbers(run: Run) -> None:
    run("CREATE TABLE t (a numeric); INSERT INTO t VALUES (2.6)")
    assert [str(row[0]) for row in run("SELECT a FROM t")] == ["3"]


@pytest.mark.parametrize("made", ["columns", "like", "query", "into", "added", "widened"])
def test_lengths_count_bytes_however_the_table_was_made(run: Run, made: str) -> None:
    run("CREATE TABLE other (a varchar(4))")
    run(
        {
            "columns": "CREATE TABLE t (a varchar(4))",
            "like": "CREATE TABLE t (LIKE other)",
            "query": "CREATE TABLE t AS SELECT a FROM other",
            "into": "SELECT a INTO t FROM other",
            "added": "CREATE TABLE t (b int); ALTER TABLE t ADD COLUMN a varchar(4)",
            "widened": "CREATE TABLE t (a varchar(2)); ALTER TABLE t ALTER COLUMN a TYPE varchar(4)",
        }[made]
    )
    run("INSERT INTO t (a) VALUES ('éé'), ('abcd'), ('ab      ')")
    for text in ("ééa", "abcde"):
        with pytest.raises(psycopg.errors.StringDataRightTruncation) as refused:
            run(f"INSERT INTO t (a) VALUES ('{text}')")
        assert "value too long for type character varying(4)" in str(refused.value)
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        run("UPDATE t SET a = 'éée'")


def test_a_widened_column_keeps_one_check_of_its_new_size(run: Run) -> None:
    run("CREATE TABLE t (a varchar(2), b varchar(2))")
    run("ALTER TABLE t ALTER COLUMN a TYPE varchar(6)")
    run("ALTER TABLE t RENAME COLUMN a TO c")
    run("INSERT INTO t (c) VALUES ('ééé')")
    with pytest.raises(psycopg.errors.StringDataRightTruncation):
        run("INSERT INTO t (b) VALUES ('éé')")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12),
    size=st.integers(1, 12),
)
def test_a_text_fits_when_its_bytes_do(run: Run, text: str, size: int) -> None:
    literal = text.replace("\\", "\\\\").replace("'", "''")
    run(f"DROP TABLE IF EXISTS t; CREATE TABLE t (a varchar({size}))")
    insert = f"INSERT INTO t VALUES ('{literal}')"
    if len(text.encode()) <= size:
        run(insert)
        assert run("SELECT a FROM t") == [(text,)]
    elif len(text.rstrip(" ").encode()) > size:
        with pytest.raises(psycopg.errors.StringDataRightTruncation):
            run(insert)


def test_a_char_takes_characters_of_one_byte(run: Run) -> None:
    run("CREATE TABLE t (a char(3), b varchar(3))")
    run("INSERT INTO t VALUES ('abc', 'é')")
    for refused in (
        "INSERT INTO t (a) VALUES ('é')",
        "UPDATE t SET a = b",
        "SELECT b::char(3) FROM t",
        "SELECT CAST('é' AS char)",
    ):
        with pytest.raises(psycopg.errors.CharacterNotInRepertoire, match="ASCII char: c3a9"):
            run(refused)
    assert run("SELECT a, b FROM t") == [("abc", "é")]


def test_texts_are_sorted_by_their_bytes(run: Run) -> None:
    run("CREATE TABLE t (a varchar(3)); INSERT INTO t VALUES ('a'), ('B'), ('é'), ('-'), ('z')")
    assert [a for (a,) in run("SELECT a FROM t ORDER BY a")] == ["-", "B", "a", "z", "é"]
    assert run("SELECT MAX(a), MIN(UPPER(a)) FROM t WHERE a > 'Z'") == [("é", "A")]


def test_keys_are_declared_and_not_enforced_but_no_key_is_null(run: Run) -> None:
    run(
        "CREATE TABLE parent (a int);"
        "CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE, c int REFERENCES parent (a), d int,"
        " UNIQUE (b, c), CONSTRAINT fk FOREIGN KEY (d) REFERENCES parent (a));"
        "INSERT INTO t VALUES (1, 2, 3, 4), (1, 2, 3, 4)"
    )
    assert run("SELECT COUNT(*) FROM t") == [(2,)]
    with pytest.raises(psycopg.errors.NotNullViolation):
        run("INSERT INTO t (b) VALUES (1)")
    run("ALTER TABLE parent ADD PRIMARY KEY (a); INSERT INTO parent VALUES (1), (1)")


def test_storage_is_said_and_changes_nothing(run: Run) -> None:
    run(
        "CREATE TABLE t (id bigint IDENTITY(1,1) ENCODE az64 NOT NULL, s varchar(10) ENCODE lzo DISTKEY,"
        " n int ENCODE raw DEFAULT 7) BACKUP NO DISTSTYLE KEY COMPOUND SORTKEY (id, n);"
        "CREATE TABLE u DISTSTYLE ALL SORTKEY (s) AS SELECT s FROM t;"
        "CREATE TABLE v (a int) DISTSTYLE AUTO SORTKEY AUTO ENCODE AUTO;"
        "CREATE TABLE w (a int) INTERLEAVED SORTKEY (a);"
        "ALTER TABLE t ALTER DISTKEY s; ALTER TABLE t ALTER DISTSTYLE EVEN; ALTER TABLE t ALTER SORTKEY (n);"
        "INSERT INTO t (s) VALUES ('a'), ('a')"
    )
    assert run("SELECT id, s, n FROM t ORDER BY 1") == [(1, "a", 7), (2, "a", 7)]


_INFO = 'SELECT diststyle, sortkey1, sortkey_num FROM svv_table_info WHERE "table" = '


@pytest.mark.parametrize(
    ("statements", "stored"),
    [
        ("CREATE TABLE u AS SELECT a, b FROM t", ("AUTO(ALL)", None, 0)),
        ("CREATE TABLE u DISTKEY (b) SORTKEY (b, a) AS SELECT a, b FROM t LIMIT 1", ("KEY(b)", "b", 2)),
        ("CREATE TABLE u DISTSTYLE EVEN AS SELECT a, b FROM t", ("EVEN", None, 0)),
        ("CREATE TABLE u (a int, b int); ALTER TABLE u ALTER SORTKEY (b)", ("AUTO(ALL)", "b", 1)),
        ("CREATE TABLE u (a int, b int SORTKEY); ALTER TABLE u ALTER COMPOUND SORTKEY (a, b)", ("AUTO(ALL)", "a", 2)),
        ("CREATE TABLE u (a int SORTKEY); ALTER TABLE u ALTER SORTKEY NONE", ("AUTO(ALL)", None, 0)),
        ("CREATE TABLE u (a int, b int) DISTSTYLE ALL; ALTER TABLE u ALTER DISTKEY b", ("KEY(b)", None, 0)),
        ("CREATE TABLE u (a int DISTKEY); ALTER TABLE u ALTER DISTSTYLE EVEN", ("EVEN", None, 0)),
        ("CREATE TABLE u (a int, b int) DISTKEY (a); ALTER TABLE u ALTER DISTSTYLE KEY DISTKEY b", ("KEY(b)", None, 0)),
        ("CREATE TABLE u (LIKE t)", ("KEY(a)", "b", 2)),
        ('CREATE TABLE "it\'s" (a int) DISTSTYLE ALL; CREATE TABLE u (LIKE "it\'s")', ("ALL", None, 0)),
        ("CREATE TABLE #v (LIKE t); CREATE TABLE u (LIKE #v)", ("KEY(a)", "b", 2)),
        ("CREATE TABLE u SORTKEY (a) AS SELECT a FROM t; CREATE TABLE v AS SELECT 1 AS a; DROP TABLE u; "
         "ALTER TABLE v RENAME TO u", ("AUTO(ALL)", None, 0)),
    ],
)  # fmt: skip
def test_the_system_views_show_storage_as_it_was_declared(
    run: Run, statements: str, stored: tuple[Any, ...]
) -> None:
    run("CREATE TABLE t (a int PRIMARY KEY, b int UNIQUE) DISTKEY (a) SORTKEY (b, a)")
    run("INSERT INTO t VALUES (1, 2), (3, 4)")
    run(statements)
    assert run(f"{_INFO}'u'") == [stored]
    assert run("SELECT COUNT(*) FROM pg_constraint WHERE conname = 'redshift like'") == [(0,)]


def test_a_query_of_a_stored_table_keeps_its_rows_and_types(run: Run) -> None:
    run("CREATE TABLE t (a varchar(3), b numeric(5,1)); INSERT INTO t VALUES ('x', 1), ('y', 2)")
    run("CREATE TABLE u DISTKEY (a) AS SELECT a, b FROM t ORDER BY b DESC LIMIT 1")
    assert run("SELECT a, b FROM u") == [("y", 2)]
    assert _types(run, "u") == ["character varying(3)", "numeric(5,1)"]
    with pytest.raises(psycopg.errors.UndefinedColumn):
        run("CREATE TABLE v SORTKEY (z) AS SELECT a FROM t")
    assert run("SELECT COUNT(*) FROM svv_tables WHERE table_name = 'v'") == [(0,)]


def test_an_identity_takes_no_value_unless_it_is_by_default(run: Run) -> None:
    run(
        "CREATE TABLE t (a int IDENTITY(0, 5), b int); INSERT INTO t (b) VALUES (1), (2);"
        "CREATE TABLE u (a int GENERATED BY DEFAULT AS IDENTITY(10, -1), b int);"
        "INSERT INTO u (b) VALUES (1), (2); INSERT INTO u VALUES (99, 3)"
    )
    assert run("SELECT a FROM t ORDER BY b") == [(0,), (5,)]
    assert run("SELECT a FROM u ORDER BY b") == [(10,), (9,), (99,)]
    with pytest.raises(psycopg.errors.GeneratedAlways):
        run("INSERT INTO t VALUES (7, 3)")


def test_like_takes_defaults_when_asked(run: Run) -> None:
    run(
        "CREATE TABLE t (a int DEFAULT 3 NOT NULL, b int);"
        "CREATE TEMP TABLE plain (LIKE t); CREATE TABLE #stage (LIKE t INCLUDING DEFAULTS);"
        "INSERT INTO #stage (b) VALUES (1)"
    )
    assert run("SELECT a, b FROM #stage") == [(3, 1)]
    with pytest.raises(psycopg.errors.NotNullViolation):
        run("INSERT INTO plain (b) VALUES (1)")


def test_a_temporary_table_ends_with_its_session(run: Run, redshift_dsn: str) -> None:
    run("CREATE TABLE #t (a int); SELECT 1 AS a INTO #u; INSERT INTO #t SELECT a FROM #u")
    assert run('SELECT a FROM "#t"') == [(1,)]
    with psycopg.connect(redshift_dsn) as other, pytest.raises(psycopg.errors.UndefinedTable):
        other.execute('SELECT * FROM "#t"')


def test_names_have_no_case_in_quotes_or_without(run: Run) -> None:
    run('CREATE TABLE "Orders" ("OrderId" int, "select" int); INSERT INTO ORDERS VALUES (1, 2)')
    assert run('SELECT orderid, "ORDERID", "SELECT" FROM orders') == [(1, 1, 2)]


def test_truncate_commits_the_transaction_that_it_stands_in(run: Run) -> None:
    run("CREATE TABLE t (a int); INSERT INTO t VALUES (1); CREATE TABLE u (a int)")
    run("BEGIN; INSERT INTO u VALUES (1); TRUNCATE t; ROLLBACK")
    assert run("SELECT (SELECT COUNT(*) FROM t), (SELECT COUNT(*) FROM u)") == [(0, 1)]


def test_a_materialized_view_is_as_of_its_refresh(run: Run) -> None:
    run(
        "CREATE TABLE t (a int); CREATE MATERIALIZED VIEW v BACKUP NO DISTSTYLE EVEN SORTKEY (n)"
        " AUTO REFRESH YES AS SELECT COUNT(*) AS n FROM t; INSERT INTO t VALUES (1)"
    )
    assert run("SELECT n FROM v") == [(0,)]
    assert run("REFRESH MATERIALIZED VIEW v; SELECT n FROM v") == [(1,)]
    run("DROP MATERIALIZED VIEW v")


def test_a_late_binding_view_names_its_schemas(run: Run) -> None:
    run("CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM public.t WITH NO SCHEMA BINDING")
    assert run("SELECT * FROM v") == []


def test_changes_of_a_table(run: Run) -> None:
    run(
        "CREATE SCHEMA IF NOT EXISTS s; CREATE TABLE s.t (a int);"
        "ALTER TABLE s.t ADD COLUMN b varchar(3) ENCODE zstd DEFAULT 'x' NOT NULL;"
        "ALTER TABLE s.t RENAME COLUMN a TO c; ALTER TABLE s.t RENAME TO u;"
        "INSERT INTO s.u (c) VALUES (1); COMMENT ON TABLE s.u IS 'said'; ANALYZE s.u (c)"
    )
    assert run("SELECT c, b FROM s.u") == [(1, "x")]
    run(
        "ALTER TABLE s.u DROP COLUMN b CASCADE; VACUUM FULL s.u TO 99 PERCENT BOOST; DROP SCHEMA s CASCADE"
    )


def test_of_a_varchar_alone_the_size_is_changed(run: Run) -> None:
    run("CREATE TABLE t (a int, b char(3), c varchar(3))")
    for column in ("a", "b"):
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=f'type of column "{column}"'):
            run(f"ALTER TABLE t ALTER COLUMN {column} TYPE varchar(10)")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        run("ALTER TABLE t ALTER COLUMN z TYPE varchar(10)")
    run("ALTER TABLE t ALTER COLUMN c TYPE varchar(10)")
    assert _types(run, "t") == ["integer", "character(3)", "character varying(10)"]


def test_settings_that_change_nothing_are_kept_for_show(run: Run) -> None:
    assert run("SHOW query_group") == [("default",)]
    assert run("SET query_group TO 'nightly'; SHOW query_group") == [("nightly",)]
    assert run("RESET query_group; SHOW query_group") == [("default",)]
    assert run("SHOW server_version") == [("8.0.2",)]
    assert run("SET search_path TO public, pg_catalog; SHOW search_path") == [
        ("public, pg_catalog",)
    ]
    run("SET enable_case_sensitive_identifier TO off; RESET ALL")
