"""`feira sql` asks the lake what names something of the lake's, and the warehouse everything else."""

from __future__ import annotations

import pytest

from feira_local.cli.reading import names_the_lake, reading


@pytest.mark.parametrize("explain", ["", "EXPLAIN ", "explain extended explain "])
@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM lake.sales.fact",
        "SELECT * FROM `lake`.sales.fact.snapshots",
        'SELECT sku FROM LAKE."sales".fact VERSION AS OF 5',
        "SELECT 1 WHERE 1 IN (SELECT f.quantity FROM lake.sales.fact AS f)",
        "WITH a AS (SELECT * FROM lake.sales.fact) SELECT * FROM a",
        "FROM lake.sales.fact |> SELECT sku",
        r"SELECT 'it\'s', 'a\'b' FROM lake.sales.fact",
        "SELECT lake.system.iceberg_version()",
        "SELECT max(`lake`.system.bucket(16, id)) OVER () FROM range(3)",
        "DESCRIBE NAMESPACE lake.sales",
        "DESCRIBE DATABASE EXTENDED lake",
        "DESC SCHEMA `lake`.sales",
        "DESCRIBE lake.sales.fact",
        "DESCRIBE FUNCTION lake.system.bucket",
        "SHOW TABLES IN lake",
        "SHOW TABLES FROM `lake`.sales LIKE 'f*'",
        "SHOW COLUMNS FROM fact IN lake.sales",
        "/* what is there */ SHOW CREATE TABLE lake.sales.fact",
    ],
)
def test_what_names_the_lake_is_asked_of_the_lake(query: str, explain: str) -> None:
    assert names_the_lake(f"{explain}{query}")
    assert reading(f"{explain}{query}", "spark")


# Spark reads none of the last five.
IN_NO_NAME = (
    "description LIKE '%lake.sales.fact%'",
    "description = 'at the lake' /* lake.sales.fact */",
    "lake.description = 'lake'",
    "marts.lake.description = 'x' -- lake.sales.fact",
    "description ~ '^lake '",
    "description = E'the lake\\'s lake.a.b'",
    "description = $$ FROM lake.sales.fact $$",
    """attributes @> '{"lake": 1}'""",
    "to_tsvector(description) @@ 'lake'",
)


@pytest.mark.parametrize("explain", ["", "EXPLAIN ", "EXPLAIN (ANALYZE, COSTS off) ", "EXPLAIN\n"])
@pytest.mark.parametrize("condition", IN_NO_NAME)
def test_a_word_in_a_text_a_comment_or_an_alias_is_no_name_of_the_lakes(
    condition: str, explain: str
) -> None:
    for query in (
        f"SELECT * FROM sales.fact AS lake WHERE {condition}",
        f"SELECT 1 FROM marts.lake CROSS JOIN dev.lake.a AS lake WHERE {condition}",
    ):
        assert not names_the_lake(f"{explain}{query}")
        assert reading(f"{explain}{query}", "postgres") == f"{explain}{query}"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT TOP 5 sku FROM sales.fact AS lake WHERE lake.description = 'lake.a'",
        "EXPLAIN VERBOSE SELECT TOP 5 sku FROM sales.fact WHERE description = 'the lake'",
        "SHOW TABLES FROM SCHEMA dev.sales LIKE 'lake'",
        "SHOW COLUMNS FROM TABLE dev.sales.lake LIKE 'lake.%'",
    ],
)
def test_what_only_redshift_reads_is_asked_of_the_warehouse(query: str) -> None:
    assert not names_the_lake(query)
    assert reading(query, "redshift") == query


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELEC * FROM lake.sales.fact", True),
        ("DESCRIBE CATALOG lake", True),
        ("DELETE FROM lake.sales.fact", True),
        ("CALL lake.system.expire_snapshots('sales.fact')", True),
        ("SELEC * FROM sales.lake WHERE a = 'lake.b'", False),
        ("SHOW work_mem", False),
        ("SELECT FROM 'lake.", False),
        ("(" * 5000 + "lake", False),
        ("EXPLAIN", False),
        ("", False),
    ],
)
def test_what_is_refused_anyway_is_refused_by_whom_it_names(query: str, names: bool) -> None:
    assert names_the_lake(query) is names
