"""`feira sql` asks what reads tables. On the lake it runs no program, calls no method and reads no file of Spark's
server, whatever a query holds: Spark has no users there, and the server holds the lake's keys."""

from __future__ import annotations

import pytest

from feira_local.cli import reading
from feira_local.stack.errors import StackError

JAVA = "java_method('java.lang.System', 'getProperty', 'user.dir')"
# Where a query can hold what is refused.
PLACES = (
    "SELECT {}",
    "SELECT upper({}) FROM lake.sales.fact WHERE sku = 'a'",
    "WITH a AS (SELECT {} AS x) SELECT * FROM a",
    "SELECT * FROM range(3) WHERE {} = 'x'",
    "SELECT (SELECT {})",
    "SELECT * FROM VALUES ({}) AS t(a)",
    "SELECT 1 UNION ALL SELECT {}",
    "FROM lake.sales.fact |> SELECT {}",
    "DESCRIBE SELECT {}",
    "EXPLAIN SELECT {}",
    "EXPLAIN EXTENDED /* a plan */ WITH a AS (SELECT {} AS x) SELECT * FROM a",
    "explain formatted explain select {}",
    "SELECT /* one -- */ {} -- two",
    "SELECT\u00a0{}",
    "SELECT 1 -- a comment ends here\r, {}",
    r"SELECT r'\', {}",
)
CALLS = (
    JAVA,
    "`java_method` ('a', 'b')",
    "system.builtin.REFLECT('a', 'b')",
    "try_reflect/* */('a', 'b')",
    "IDENTIFIER('java_' || 'method')('a', 'b')",
    "from_protobuf(X'00', 'm', '/etc/passwd')",
    "from_avro(X'02', '\"int\"', map('avroSchemaUrl', 'http://example.invalid/a'))",
    "`Schema_Of_Avro` ('\"int\"', map('avroSchemaUrl', 'file:///etc/passwd'))",
    "system.builtin.from_xml('<p/>', 'a INT', map('rowValidationXSDPath', '/etc/passwd'))",
    "schema_of_xml/* */('<p/>', map('rowValidationXSDPath', '/etc/passwd'))",
    """XPATH_STRING('<!DOCTYPE a SYSTEM "http://example.invalid/a.dtd"><a/>', 'a')""",
    "python_worker_logs()",
)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("place", PLACES)
def test_a_call_that_does_more_than_compute_is_refused_wherever_it_is(
    place: str, call: str
) -> None:
    with pytest.raises(StackError, match=r"only reads tables, and|is no Spark SQL"):
        reading.reading(place.format(call), "spark")


@pytest.mark.parametrize(
    "query",
    [
        "WITH event_logs(a, b) AS (SELECT 1, 2) SELECT a FROM event_logs",
        "WITH RECURSIVE prices_xml(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM prices_xml WHERE n < 3) "
        "SELECT n FROM prices_xml",
        "SELECT from_avro.sku FROM (SELECT sku FROM lake.sales.fact) AS from_avro(sku)",
        "SELECT sku FROM (SELECT sku FROM lake.sales.fact) prototypes(sku)",
        "SELECT xml_price, proto FROM lake.sales.fact",
    ],
)
def test_a_name_that_is_no_functions_is_no_call(query: str) -> None:
    reading.reading(query, "spark")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT TRANSFORM(sku) USING 'tee /tmp/x' AS (b) FROM lake.sales.fact",
        "SELECT TRANSFORM(sku) ROW FORMAT DELIMITED FIELDS TERMINATED BY ',' USING \"sh\" FROM lake.sales.fact",
        "FROM lake.sales.fact MAP sku USING 'sh'",
        "REDUCE sku USING r'sh' AS b FROM lake.sales.fact",
        "WITH a AS (SELECT TRANSFORM(sku) USING/* */'sh' FROM lake.sales.fact) SELECT * FROM a",
        "SELECT * FROM (SELECT TRANSFORM(sku) USING 'sh' FROM lake.sales.fact)",
        "EXPLAIN COST SELECT TRANSFORM(sku) USING 'sh' FROM lake.sales.fact",
    ],
)
def test_a_program_beside_spark_is_refused(query: str) -> None:
    with pytest.raises(StackError, match=r"USING .* runs a program on Spark's server"):
        reading.reading(query, "spark")


@pytest.mark.parametrize(
    "table",
    [
        "text.`/etc/passwd`",
        "`csv`.`spark.properties`",
        "binaryFile.`s3a://bucket/key`",
        "lake.`/etc/table`",
        "parquet.`file:///etc/x` VERSION AS OF 1",
        "'x.csv'",
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "SELECT * FROM {}",
        "SELECT * FROM lake.sales.fact JOIN {}",
        "SELECT 1 WHERE 1 IN (SELECT * FROM {})",
        "EXPLAIN SELECT * FROM {}",
        "DESCRIBE {}",
    ],
)
def test_a_file_of_the_server_is_no_table(table: str, place: str) -> None:
    with pytest.raises(StackError, match=r"reads a file of Spark's server|is no Spark SQL"):
        reading.reading(place.format(table), "spark")


def test_a_function_that_makes_rows_is_one_of_sparks_own() -> None:
    for name in ("read_files", "lake.sales.made", "read_csv"):
        with pytest.raises(StackError, match=r"none of Spark's functions that make rows: .*range"):
            reading.reading(f"SELECT * FROM {name}('x')", "spark")
    for query in (
        "SELECT * FROM range(3)",
        "SELECT * FROM lake.sales.fact LATERAL VIEW explode(array(1)) AS one",
        "SELECT * FROM json_tuple('{}', 'a')",
    ):
        assert reading.reading(query, "spark") == query


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("INSERT INTO lake.sales.fact SELECT 1", "INSERT"),
        ("FROM lake.sales.fact INSERT INTO lake.sales.copy SELECT *", "INSERT"),
        ("EXPLAIN DELETE FROM lake.sales.fact", "DELETE"),
        ("DESCRIBE UPDATE lake.sales.fact SET a = 1", "UPDATE"),
        ("SELECT * INTO lake.sales.copy FROM lake.sales.fact", "INTO"),
        ("MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE", "MERGE"),
        ("CACHE TABLE a AS SELECT 1", "CACHE"),
        ("ADD JAR '/tmp/x.jar'", "ADD JAR"),
        ("LIST JARS", "LIST"),
        ("SET", "SET"),
        ("SET spark.sql.ansi.enabled = false", "SET"),
        ("RESET", "RESET"),
        ("CALL lake.system.expire_snapshots('sales.fact')", "CALL"),
        ("EXECUTE IMMEDIATE 'SELECT 1'", "EXECUTE"),
        ("DECLARE a = 1", "DECLARE"),
        ("USE lake", "USE"),
        ("REFRESH TABLE lake.sales.fact", "REFRESH"),
        ("LOAD DATA INPATH '/x' INTO TABLE a", "LOAD"),
        ("CREATE TEMPORARY VIEW v USING csv OPTIONS (path '/etc/passwd')", "CREATE"),
        ("TRUNCATE TABLE lake.sales.fact", "TRUNCATE"),
        ("COPY a TO 'b'", "COPY"),
        ("!ls", "!"),
    ],
)
def test_what_is_no_question_is_named(query: str, kind: str) -> None:
    with pytest.raises(StackError, match=rf"only reads, and this is {kind}\."):
        reading.reading(query, "spark")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a", "this is INSERT"),
        ("EXPLAIN (ANALYZE, COSTS off) DELETE FROM t", "this is DELETE"),
        ("EXPLAIN ANALYZE VERBOSE SELECT 1 INTO t", "this is INTO"),
        ("EXPLAIN SELECT 1; SELECT 2", "takes one statement; there are 2"),
        ("EXPLAIN", "takes one statement; there are 0"),
        ("SHOW a; SELECT 1", "takes one statement; there are 2"),
        ("COPY t TO PROGRAM 'sh'", "this is COPY"),
    ],
)
@pytest.mark.parametrize("dialect", ["postgres", "redshift"])
def test_the_warehouses_queries_are_looked_into_too(query: str, message: str, dialect: str) -> None:
    with pytest.raises(StackError, match=message):
        reading.reading(query, dialect)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("SELECT 'it''s /* no */ -- comment' AS `a--b`", None),
        ("SELECT transform(array(1), x -> x + 1) FROM a JOIN b USING (c)", None),
        ("SHOW TABLES IN lake.sales LIKE 'fa*'", None),
        ("EXPLAIN (SELECT 1)", None),
        ("SELECT from_json('{}', 'a INT'), schema_of_csv('1')", None),
        ("DESCRIBE EXTENDED lake.sales.fact", None),
        ("SELECT 1; -- one", "SELECT 1;       "),
        ("SELECT 1 /* one */;\n/* two */", "SELECT 1          ;\n         "),
        ("SELECT 1 -- one\n, 2 /* two */", "SELECT 1       \n, 2          "),
        ("SELECT /*+ BROADCAST(a) */ 1", "SELECT                     1"),
        ("EXPLAIN /* a */ SELECT 1 -- b", "EXPLAIN         SELECT 1     "),
        # It ends for Spark where the parser reads on.
        (f"SELECT /* /*+ */ {JAVA} -- */ 1", f"SELECT {' ' * (16 + len(JAVA))} 1"),
    ],
)
def test_spark_sees_what_was_looked_at_and_neither_comments_nor_hints(
    query: str, asked: str | None
) -> None:
    assert reading.reading(query, "spark") == (asked or query)


def test_what_the_warehouse_is_asked_is_as_it_was_written() -> None:
    query = "EXPLAIN (ANALYZE) SELECT $$a$$ /* b */ -- c"
    assert reading.reading(query, "postgres") == query
