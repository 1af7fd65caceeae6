"""What Redshift refuses is refused wherever it stands; the same words as text or names are not."""

from __future__ import annotations

import pytest

from redshift_local.translation.errors import NotImitated, RedshiftError
from redshift_local.translation.translate import translate

# (statement or query, a part of the message, SQLSTATE)
QUERIES = [
    ("SELECT DISTINCT ON (a) a FROM t", "SELECT DISTINCT ON is not supported", "0A000"),
    ("SELECT COUNT(*) FILTER (WHERE a > 1) FROM t", 'at or near "FILTER"', "42601"),
    ("SELECT * FROM t, LATERAL (SELECT t.a) AS x", 'at or near "LATERAL"', "42601"),
    ("SELECT * FROM t CROSS JOIN LATERAL (SELECT t.a) AS x", 'at or near "LATERAL"', "42601"),
    ("SELECT a FROM t FOR UPDATE", "SELECT FOR UPDATE/SHARE is not supported", "0A000"),
    ("SELECT a FROM t FOR SHARE", "SELECT FOR UPDATE/SHARE is not supported", "0A000"),
    ("SELECT a IS DISTINCT FROM b FROM t", 'at or near "DISTINCT"', "42601"),
    ("SELECT a IS NOT DISTINCT FROM b FROM t", 'at or near "DISTINCT"', "42601"),
    ("SELECT * FROM (VALUES (1), (2)) AS v(a)", 'at or near "VALUES"', "42601"),
    ("SELECT ARRAY[1, 2]", "array", "0A000"),
    ("SELECT a::int[] FROM t", "array type", "0A000"),
    ("SELECT CAST('{1}' AS varchar(3)[])", "array type", "0A000"),
    ("SELECT a FROM t WHERE b = ANY($1)", "array parameters are not supported", "0A000"),
    ("SELECT a FROM t WHERE b = ANY(:days)", "array parameters are not supported", "0A000"),
    ("SELECT a FROM t WHERE b = ANY('{1,2}')", "array parameters are not supported", "0A000"),
    ("SELECT ROW(1, 2)", "row constructors are not supported", "0A000"),
    ("SELECT '1'::uuid", 'type "uuid" does not exist', "42704"),
    ("SELECT '{}'::json", 'type "json" does not exist', "42704"),
    ("SELECT '{}'::jsonb", 'type "jsonb" does not exist', "42704"),
    ("SELECT '1'::money", 'type "money" does not exist', "42704"),
    ("SELECT a::string FROM t", 'type "string" does not exist', "42704"),
    ("SELECT a::oid FROM t", 'type "oid" does not exist', "42704"),
    ("SELECT a::regproc FROM t", 'type "regproc" does not exist', "42704"),
    ("SELECT a::tinyint FROM t", 'type "tinyint" does not exist', "42704"),
    ("SELECT STRING_AGG(a, ',') FROM t", "function string_agg(…) does not exist", "42883"),
    ("SELECT ARRAY_AGG(a) FROM t", "function array_agg(…) does not exist", "42883"),
    ("SELECT \"string_agg\"(a, ',') FROM t", "function string_agg(…) does not exist", "42883"),
    (
        "SELECT pg_catalog.string_agg(a, ',') FROM t",
        "function string_agg(…) does not exist",
        "42883",
    ),
    ("SELECT GEN_RANDOM_UUID()", "function gen_random_uuid(…) does not exist", "42883"),
    ("SELECT FORMAT('%s', a) FROM t", "function format(…) does not exist", "42883"),
    ("SELECT REGEXP_MATCHES(a, 'b') FROM t", "function regexp_matches(…) does not exist", "42883"),
    ("SELECT pg_read_file('/etc/passwd')", "function pg_read_file(…) does not exist", "42883"),
    ("SELECT GENERATE_SERIES(1, 3)", "not supported on Redshift tables", "0A000"),
    ("SELECT * FROM GENERATE_SERIES(1, 3) AS n", "not supported on Redshift tables", "0A000"),
    ("SELECT NOW()", "not supported on Redshift tables", "0A000"),
    ("SELECT AGE(a, b) FROM t", "not supported on Redshift tables", "0A000"),
    ("SELECT a ->> 'b' FROM t", "operator does not exist: ->>", "42883"),
    ("SELECT a -> 'b' FROM t", "operator does not exist: ->", "42883"),
    ("SELECT a FROM t WHERE a ~* 'b'", "operator does not exist: ~*", "42883"),
    ("SELECT SUM(a ORDER BY b) FROM t", 'at or near "ORDER"', "42601"),
    ("SELECT COUNT(DISTINCT a, b) FROM t", "of several columns does not exist", "42883"),
    ("SELECT SUM(a) OVER (ORDER BY b) FROM t", "require a frame clause", "0A000"),
    (
        "SELECT RANK() OVER (ORDER BY b RANGE UNBOUNDED PRECEDING) FROM t",
        "RANGE is not supported",
        "0A000",
    ),
    ("SELECT SUM(a) OVER w FROM t WINDOW w AS (PARTITION BY b)", 'at or near "WINDOW"', "42601"),
    ("SELECT a FROM t FETCH FIRST 1 ROWS ONLY", 'at or near "FETCH"', "42601"),
    ("SELECT a FROM t EXCEPT ALL SELECT b FROM u", 'at or near "ALL"', "42601"),
    ("SELECT a FROM t INTERSECT ALL SELECT b FROM u", 'at or near "ALL"', "42601"),
    ("SELECT a FROM t TABLESAMPLE BERNOULLI (10)", "sample of Table", "0A000"),
    ("SELECT a FROM ONLY t", "only of Table", "0A000"),
    ("SELECT a FROM t QUALIFY a = 1", "must contain a window function", "42P20"),
    ("SELECT CURRENT_TIMESTAMP", "not supported on Redshift tables", "0A000"),
    ("SELECT (1, 2)", "row constructors are not supported", "0A000"),
    ("SELECT tag FROM t", 'at or near "tag"', "42601"),
    ("SELECT LAG(a) OVER (PARTITION BY b) FROM t", "requires an ORDER BY clause", "42P20"),
    (
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.b IN (SELECT b FROM v WHERE v.a = t.a))",
        "correlated subquery pattern is not supported",
        "0A000",
    ),
]
NESTINGS = {
    "itself": "{}",
    "common table expression": "WITH x AS ({}) SELECT * FROM x",
    "second common table expression": "INSERT INTO u WITH y AS (SELECT 1 AS n), x AS ({}) SELECT * FROM x",
    "subquery": "SELECT * FROM ({}) AS x",
    "subquery of a subquery": "SELECT * FROM (SELECT * FROM ({}) AS x) AS y",
    "condition": "DELETE FROM u WHERE EXISTS ({})",
    "scalar of an update": "UPDATE u SET a = ({})",
    "second of a union": "SELECT 1 UNION ALL ({})",
    "source of a merge": "MERGE INTO u USING ({}) AS x ON u.a = x.a WHEN MATCHED THEN DELETE "
    "WHEN NOT MATCHED THEN INSERT VALUES (x.a)",
    "insert": "INSERT INTO u {}",
    "table": "CREATE TABLE u AS {}",
    "temporary table": "CREATE TABLE #u AS ({})",
    "view": "CREATE VIEW u AS {}",
    "materialized view": "CREATE MATERIALIZED VIEW u AUTO REFRESH YES AS {}",
    "plan": "EXPLAIN {}",
    "cursor": "DECLARE c CURSOR FOR {}",
    "second statement": "SELECT 1; {}",
}


@pytest.mark.parametrize("nesting", NESTINGS, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize(("query", "message", "sqlstate"), QUERIES)
def test_a_query_is_refused_wherever_it_stands(
    query: str, message: str, sqlstate: str, nesting: str
) -> None:
    with pytest.raises(RedshiftError) as refused:
        translate(NESTINGS[nesting].format(query))
    assert message in str(refused.value)
    assert refused.value.sqlstate == sqlstate


STATEMENTS = [
    ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", 'at or near "ON"', "42601"),
    ("INSERT INTO t (a) SELECT 1 ON CONFLICT (a) DO UPDATE SET a = 2", 'at or near "ON"', "42601"),
    ("INSERT INTO t VALUES (1) RETURNING a", 'at or near "RETURNING"', "42601"),
    ("UPDATE t SET a = 1 RETURNING a", 'at or near "RETURNING"', "42601"),
    ("DELETE FROM t RETURNING *", 'at or near "RETURNING"', "42601"),
    ("INSERT INTO t AS x VALUES (1)", 'at or near "AS"', "42601"),
    ("WITH x AS (DELETE FROM t WHERE a = 1) SELECT 1", 'at or near "delete"', "42601"),
    ("WITH x AS (INSERT INTO t VALUES (1)) SELECT 1", 'at or near "insert"', "42601"),
    (
        "SELECT * FROM (WITH x AS (UPDATE t SET a = 1) SELECT 1) AS y",
        'at or near "update"',
        "42601",
    ),
    ("WITH x AS (SELECT 1 AS a) INSERT INTO t SELECT a FROM x", 'at or near "INSERT"', "42601"),
    ("UPDATE t SET (a, b) = (1, 2)", 'at or near "("', "42601"),
    ("SELECT a FROM t ORDER BY (a, b)", "row constructors are not supported", "0A000"),
    ("SELECT COUNT(DISTINCT (a, b)) FROM t", "row constructors are not supported", "0A000"),
    ("SELECT LOCALTIME", "not supported on Redshift tables", "0A000"),
    ("SELECT APPROXIMATE SUM(DISTINCT a) FROM t", "syntax error", "42601"),
    ("SELECT APPROXIMATE COUNT(a) FROM t", "syntax error", "42601"),
    ("SELECT approximate FROM t", "syntax error", "42601"),
    (
        "SELECT * FROM t LEFT JOIN u ON t.a = u.a AND u.b = (SELECT MAX(b) FROM v WHERE v.a = u.a)",
        "correlated subquery pattern is not supported",
        "0A000",
    ),
    (
        "DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE EXISTS (SELECT 1 FROM v WHERE v.a = T.a))",
        "correlated subquery pattern is not supported",
        "0A000",
    ),
    ("VALUES (1), (2)", "syntax error", "42601"),
    ("TABLE t", 'at or near "TABLE"', "42601"),
    ("CREATE INDEX i ON t (a)", 'SQL command "CREATE INDEX" not supported', "0A000"),
    ("CREATE UNIQUE INDEX i ON t (a)", 'SQL command "CREATE INDEX" not supported', "0A000"),
    ("CREATE SEQUENCE s", 'SQL command "CREATE SEQUENCE" not supported', "0A000"),
    ("CREATE TABLE t (a int CHECK (a > 1))", "CHECK constraints are not supported", "0A000"),
    ("CREATE TABLE t (a int, CHECK (a > 1))", "CHECK constraints are not supported", "0A000"),
    (
        "CREATE TABLE t (a int, EXCLUDE USING gist (a WITH =))",
        "EXCLUDE constraints are not supported",
        "0A000",
    ),
    (
        "ALTER TABLE t ADD CONSTRAINT c EXCLUDE USING gist (a WITH =)",
        "EXCLUDE constraints are not supported",
        "0A000",
    ),
    (
        "SELECT SUM(a) OVER (ORDER BY a ROWS UNBOUNDED PRECEDING EXCLUDE CURRENT ROW) FROM t",
        'at or near "EXCLUDE"',
        "42601",
    ),
    (
        "CREATE TABLE t (a int, CONSTRAINT c CHECK (a > 1))",
        "CHECK constraints are not supported",
        "0A000",
    ),
    (
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 1)",
        "CHECK constraints are not supported",
        "0A000",
    ),
    ("CREATE TABLE t (a serial)", 'Column "t.a" has unsupported type "serial"', "0A000"),
    ("CREATE TABLE t (a bigserial)", 'Column "t.a" has unsupported type "bigserial"', "0A000"),
    ("CREATE TABLE t (a uuid)", 'Column "t.a" has unsupported type "uuid"', "0A000"),
    ("CREATE TABLE t (b int, a json)", 'Column "t.a" has unsupported type "json"', "0A000"),
    ("CREATE TABLE t (a regclass)", 'type "regclass" does not exist', "42704"),
    ("CREATE TABLE t (a int[])", 'Column "t.a" has unsupported type "integer[]"', "0A000"),
    ("CREATE TABLE t (a int array)", 'Column "t.a" has unsupported type', "0A000"),
    ("ALTER TABLE t ADD COLUMN a jsonb", 'has unsupported type "jsonb"', "0A000"),
    ("CREATE TABLE t (a interval)", 'Column "t.a" has unsupported type "interval"', "0A000"),
    ("CREATE TABLE t (a int ENCODE banana)", 'at or near "banana"', "42601"),
    ("CREATE TABLE t (a int) ENCODE banana", 'at or near "banana"', "42601"),
    ("CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS a", 'at or near "AS"', "42601"),
    ("CREATE TABLE t (a int) DISTSTYLE KEY", "DISTSTYLE KEY needs a column", "42P16"),
    ("CREATE TABLE t (a int DISTKEY) DISTSTYLE ALL", "exclude each other", "42P16"),
    ("CREATE TABLE t (a int) DISTKEY (a) DISTSTYLE EVEN", "exclude each other", "42P16"),
    ("CREATE TABLE t (LIKE u) DISTSTYLE ALL", "storage of a table LIKE another", "42P16"),
    ("CREATE TABLE t DISTSTYLE KEY AS SELECT 1 AS a", "DISTSTYLE KEY needs a column", "42P16"),
    ("CREATE TABLE t (a varchar(65536))", "cannot exceed 65535", "22023"),
    ("CREATE TABLE t (a char(4097))", "cannot exceed 4096", "22023"),
    ("CREATE TABLE t (a numeric(39, 2))", "between 1 and 38", "22023"),
    ("CREATE TABLE t (a timestamp(3))", "does not exist", "42704"),
    (
        "CREATE TABLE t (a varchar(10) IDENTITY(1,1))",
        "identity column type must be INT or BIGINT",
        "42P16",
    ),
    ("CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY(1,1))", "syntax error", "42601"),
    ("CREATE TABLE t (a int GENERATED ALWAYS AS (b + 1) STORED)", 'at or near "AS"', "42601"),
    ("CREATE TABLE t (a int PRIMARY KEY, b int PRIMARY KEY)", "multiple primary keys", "42P16"),
    ("CREATE TABLE t (a int SORTKEY) SORTKEY (a)", "multiple sortkeys", "42P16"),
    ("CREATE TABLE t (a int) PARTITION BY RANGE (a)", 'at or near "PARTITION"', "42601"),
    ("CREATE TABLE t (a int) INHERITS (b)", "inheritance is not supported", "0A000"),
    ("CREATE TABLE t (a int) TABLESPACE fast", "tablespaces are not supported", "0A000"),
    ("CREATE UNLOGGED TABLE t (a int)", 'at or near "UNLOGGED"', "42601"),
    ("CREATE TABLE t (LIKE u INCLUDING ALL)", 'at or near "ALL"', "42601"),
    ("CREATE TABLE s.#t (a int)", "cannot create temporary relation", "42P16"),
    ("CREATE OR REPLACE TABLE t (a int)", 'at or near "TABLE"', "42601"),
    ("CREATE TEMP VIEW v AS SELECT 1", 'at or near "VIEW"', "42601"),
    ("CREATE VIEW v AS SELECT a FROM t WITH NO SCHEMA BINDING", "should be qualified", "0A000"),
    ("ALTER TABLE t ADD COLUMN a int, ADD COLUMN b int", 'at or near ","', "42601"),
    ("ALTER TABLE t DROP COLUMN a, DROP COLUMN b", 'at or near ","', "42601"),
    ("ALTER TABLE IF EXISTS t ADD COLUMN b int", 'at or near "EXISTS"', "42601"),
    ("ALTER TABLE IF EXISTS t RENAME TO u", 'at or near "EXISTS"', "42601"),
    ("ALTER TABLE t ADD COLUMN IF NOT EXISTS b int", 'at or near "NOT"', "42601"),
    ("ALTER TABLE t DROP COLUMN IF EXISTS b", 'at or near "EXISTS"', "42601"),
    ("ALTER TABLE t ADD COLUMN b int NOT NULL", "must have a non-null default", "0A000"),
    ("ALTER TABLE t ADD b int DEFAULT NULL NOT NULL", "must have a non-null default", "0A000"),
    ("ALTER TABLE t ALTER COLUMN a TYPE bigint", "only the size of a VARCHAR", "0A000"),
    ("ALTER TABLE t ALTER COLUMN a SET NOT NULL", "syntax error", "42601"),
    ("ALTER TABLE t ALTER COLUMN a SET DEFAULT 1", "syntax error", "42601"),
    ("SAVEPOINT a", 'SQL command "SAVEPOINT" is not supported', "0A000"),
    ("RELEASE SAVEPOINT a", 'SQL command "RELEASE" is not supported', "0A000"),
    ("ROLLBACK TO SAVEPOINT a", 'at or near "TO"', "42601"),
    ("LOCK t IN EXCLUSIVE MODE", 'at or near "IN"', "42601"),
    ("TRUNCATE a, b", 'at or near ","', "42601"),
    ("TRUNCATE a CASCADE", 'at or near "CASCADE"', "42601"),
    ("EXPLAIN ANALYZE SELECT 1", 'at or near "ANALYZE"', "42601"),
    ("COPY t FROM STDIN", "COPY FROM STDIN is not supported", "0A000"),
    ("copy t (a, b) from stdin with (format csv)", "COPY FROM STDIN is not supported", "0A000"),
    ("SELECT ?", "Placeholder", "0A000"),
    ("SELECT :a, $1", "parameters are", "42601"),
    ("SELEC 1", 'at or near "SELEC"', "42601"),
    ("SELECT 'open", "syntax error", "42601"),
    ("'SELECT 1'", "syntax error", "42601"),
    (
        "MERGE INTO t AS x USING s ON x.a = s.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)",
        'at or near "x"',
        "42601",
    ),
    (
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED AND s.b THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (1)",
        'at or near "AND"',
        "42601",
    ),
    ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "end of input", "42601"),
    (
        "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "end of input",
        "42601",
    ),
    (
        "MERGE INTO t USING s ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (1) WHEN MATCHED THEN DELETE",
        'at or near "WHEN"',
        "42601",
    ),
    (
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "syntax error",
        "42601",
    ),
    (
        "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE WHEN NOT MATCHED BY SOURCE THEN DELETE",
        'at or near "BY"',
        "42601",
    ),
    (
        "WITH s AS (SELECT 1 AS a) MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE "
        "WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "syntax error",
        "42601",
    ),
]


@pytest.mark.parametrize(("statement", "message", "sqlstate"), STATEMENTS)
def test_a_statement_is_refused_alone_and_behind_another(
    statement: str, message: str, sqlstate: str
) -> None:
    for text in (statement, f"SELECT 1; {statement}", f"/* first */ {statement} -- last\n;"):
        with pytest.raises(RedshiftError) as refused:
            translate(text)
        assert message.lower() in f"{refused.value} {refused.value.hint}".lower()
        assert refused.value.sqlstate == sqlstate


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("TO_TIMESTAMP(1284352323)", "function to_timestamp with 1 arguments"),
        ("TO_DATE('2020-01-02')", "function to_date with 1 arguments"),
        ("TO_NUMBER('1')", "function to_number with 1 arguments"),
        ("RANDOM(1, 2)", "function random with 2 arguments"),
        ("DLOG10(2, 8)", "function dlog10 with 2 arguments"),
        ("NULLIF(1)", "function nullif with 1 arguments"),
        ("GREATEST()", "function greatest with 0 arguments"),
        ("LAG(a, 1, 0) OVER (ORDER BY a)", "Default parameter not be supported"),
        ("LEAD(a) OVER ()", "lead requires an ORDER BY clause"),
        ("LAG(a) OVER (ORDER BY a ROWS UNBOUNDED PRECEDING)", "lag has no frame clause"),
    ],
)
def test_a_function_has_the_arguments_that_redshift_has_for_it(call: str, message: str) -> None:
    with pytest.raises(RedshiftError) as refused:
        translate(f"SELECT {call} FROM t")
    assert message in str(refused.value) and not isinstance(refused.value, NotImitated)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE t ({} int)",
        "CREATE TABLE {} (a int)",
        "CREATE VIEW {} AS SELECT 1 AS a",
        "SELECT a {} FROM t",
        "SELECT {} FROM t",
        "SELECT {}.a FROM t",
        "SELECT a FROM t AS {}",
        "SELECT a FROM t JOIN u USING ({})",
        "WITH {} AS (SELECT 1 AS a) SELECT 1",
        "WITH x ({}) AS (SELECT 1) SELECT 1",
        "INSERT INTO t ({}) VALUES (1)",
        "UPDATE t SET {} = 1",
        "ALTER TABLE t ADD COLUMN {} int",
        "ALTER TABLE t RENAME COLUMN {} TO a",
        "ALTER TABLE t RENAME TO {}",
        "DROP TABLE {}",
        "TRUNCATE {}",
        "COPY {} FROM 's3://b/x' IAM_ROLE DEFAULT",
        "COPY t ({}) FROM 's3://b/x' IAM_ROLE DEFAULT",
    ],
)
def test_a_reserved_word_is_a_name_in_quotes_alone(statement: str) -> None:
    for word in ("tag", "Percent", "system", "open", "partition", "backup", "timestamp"):
        with pytest.raises(RedshiftError) as refused:
            translate(statement.format(word))
        assert 'at or near "' in str(refused.value) and refused.value.sqlstate == "42601"
        translate(statement.format(f'"{word}"'))


def test_behind_as_or_a_point_a_reserved_word_needs_no_quotes() -> None:
    translate("SELECT 1 AS tag, a AS end, t.tag, CAST(t.a AS date) AS date FROM t")
    translate("SELECT c.oid, oid FROM pg_class AS c")
    translate("INSERT INTO t VALUES (DEFAULT); UPDATE t SET a = DEFAULT; SELECT USER, SYSDATE")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM t PIVOT (SUM(a) FOR b IN ('x', 'y'))",
        "SELECT a[0].b FROM t",
        "SELECT APPROXIMATE PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY a) FROM t",
        "CREATE TABLE t (a interval year to month)",
        f"CREATE TABLE t ({'é' * 32} int)",
        f"SELECT a AS {'a' * 64} FROM t",
        f"TRUNCATE {'a' * 64}",
        "SELECT xmin FROM t",
        "SELECT GROUPING_ID(a) FROM t GROUP BY a",
        "SELECT ST_AsText(a) FROM t",
        "SELECT t.ctid FROM t",
        "SELECT f.add_one(1)",
        "SELECT * EXCLUDE (a) FROM t",
        "SELECT LAG(a) IGNORE NULLS OVER (ORDER BY b) FROM t",
        "SELECT a FROM t GROUP BY ALL",
        "SELECT '1'::geometry",
        "SELECT SHA1('a')",
        "CREATE FUNCTION f(a int) RETURNS int IMMUTABLE AS $$ SELECT $1 $$ LANGUAGE sql",
        "CREATE PROCEDURE p() AS $$ BEGIN END; $$ LANGUAGE plpgsql",
        "CREATE OR REPLACE FUNCTION f() RETURNS int STABLE AS $x$ return 'it''s' $x$ LANGUAGE plpythonu",
        "CREATE EXTENSION x",
        "CREATE EXTERNAL TABLE s.t (a int) STORED AS PARQUET LOCATION 's3://b'",
        "CREATE USER u PASSWORD 'x'",
        "CREATE TABLE t (a int) WITH (fillfactor = 1)",
        "CREATE TABLE t (a varchar(3) COLLATE case_insensitive)",
        "DROP FUNCTION f(int)",
        "ALTER TABLE t OWNER TO u",
        "ALTER TABLE t APPEND FROM u",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "GRANT SELECT ON t TO u",
        "CALL p()",
        "SET SESSION AUTHORIZATION u",
        "SET work_mem TO '1GB'",
        "SET enable_case_sensitive_identifier TO true",
        "ANALYZE COMPRESSION t",
    ],
)
def test_what_redshift_takes_and_is_not_known_here_is_refused_as_such(statement: str) -> None:
    with pytest.raises(NotImitated):
        translate(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DO $$ BEGIN DELETE FROM t; END $$",
        "LISTEN x",
        "NOTIFY x",
        "CLUSTER t",
        "REINDEX TABLE t",
        "CHECKPOINT",
        "LOAD 'x'",
        "DISCARD ALL",
        "EXECUTE IMMEDIATE 'x'",
        "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO z",
        "SECURITY LABEL ON TABLE t IS 'x'",
        "PRAGMA x",
        "DESCRIBE t",
        "KILL 1",
        "CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING",
        "CREATE DOMAIN d AS int",
        "CREATE TRIGGER t BEFORE INSERT ON x EXECUTE FUNCTION f()",
        "CREATE POLICY p ON t",
        "CREATE DATABASE d",
        "DROP INDEX i",
        "DROP DATABASE dev",
    ],
)
def test_no_statement_passes_that_is_in_no_list(statement: str) -> None:
    with pytest.raises(RedshiftError):
        translate(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'ON CONFLICT RETURNING; DISTINCT ON (x) FILTER LATERAL FOR UPDATE' AS said",
        "SELECT 'string_agg(a)' AS said, 'generate_series(1,2)', 'SAVEPOINT a', 'x::json[]'",
        'SELECT "filter", "returning", "lateral" FROM "savepoint"',
        "INSERT INTO t VALUES ('a -- CREATE INDEX', 'it''s; DROP TABLE x')",
        "SELECT a /* RETURNING */ FROM t -- FOR UPDATE",
        "COMMENT ON TABLE t IS 'CHECK (a > 1)'",
        "SELECT now, serial, uuid FROM t",
        "SELECT a FROM t WHERE b = ANY(SELECT b FROM u) AND c = ANY(conkey)",
        "SELECT a FROM t WHERE (a, b) IN (SELECT a, b FROM u) AND (a, b) = (1, 2) GROUP BY (a, b), a",
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a AND u.b IN (SELECT b FROM v WHERE v.a = u.a))",
        "SELECT a FROM t JOIN u ON t.a = u.a AND u.b = (SELECT MAX(b) FROM v WHERE v.a = u.a)",
        f"CREATE TABLE {'a' * 63} (a int)",
    ],
)
def test_words_that_are_text_names_or_comments_pass(statement: str) -> None:
    (translated,) = translate(statement)
    assert len(translated.statements) == 1


def test_nothing_is_translated_when_one_statement_is_refused() -> None:
    with pytest.raises(RedshiftError):
        translate("DELETE FROM t; SAVEPOINT x; INSERT INTO t VALUES (1)")


def test_a_refusal_says_what_to_write_instead() -> None:
    with pytest.raises(RedshiftError) as refused:
        translate("SELECT STRING_AGG(a, ',') FROM t")
    assert "LISTAGG" in refused.value.hint


def test_an_empty_text_is_no_statement() -> None:
    assert translate(" ; -- nothing\n;") == []


def test_a_semicolon_in_a_text_ends_nothing() -> None:
    assert [t.source for t in translate("SELECT ';' ; SELECT \";\" FROM t")] == [
        "SELECT ';'",
        'SELECT ";" FROM t',
    ]
