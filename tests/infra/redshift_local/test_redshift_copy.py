"""COPY from S3, by both doors."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redshift_connector

from redshift_local.loading.files import File
from redshift_local.loading.load import _readable
from redshift_local.loading.rows import Column, rows
from redshift_local.translation.copying import Copy
from redshift_local.translation.errors import NotImitated, RedshiftError
from redshift_local.translation.translate import translate

pytestmark = pytest.mark.slow

# Before the first import of airflow, which reads its settings once.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="redshift-airflow-")
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

Session = psycopg.Connection[tuple[Any, ...]]
KEYS = "CREDENTIALS 'aws_access_key_id=test;aws_secret_access_key=test'"
Put = Callable[[str, bytes | str], str]


@pytest.fixture
def put(s3_client: Any, request: pytest.FixtureRequest) -> Put:
    """Puts a file under a prefix of the test's own; its URL."""

    def put(name: str, content: bytes | str) -> str:
        key = f"copy/{abs(hash(request.node.nodeid))}/{name}"
        s3_client.put_object(Bucket="lake", Key=key, Body=content)
        return f"s3://lake/{key}"

    return put


@pytest.fixture
def session(wire_port: int, connection: object) -> Iterator[Session]:
    """psycopg's session by the PostgreSQL protocol, in autocommit."""
    with psycopg.connect(f"postgresql://u@127.0.0.1:{wire_port}/dev", autocommit=True) as session:
        session.execute(
            "CREATE TABLE t (a int, b varchar(5), c numeric(8,2), d date, e timestamp, f boolean)"
        )
        yield session


def test_csv_is_read_by_its_quotes_and_header(session: Session, put: Put) -> None:
    url = put(
        "x.csv",
        'a,b,c,d,e,f\r\n1,"x,""y",1.5,2020-01-02,2020-01-02 03:04:05,true\r\n2,,,,,\r\n3,\\N,7,2020-01-03,,f\r\n',
    )
    cursor = session.execute(f"COPY t FROM '{url}' {KEYS} CSV IGNOREHEADER 1")
    assert cursor.statusmessage == "COPY"
    assert session.execute("SELECT * FROM t ORDER BY a").fetchall() == [
        (1, 'x,"y', Decimal("1.50"), date(2020, 1, 2), datetime(2020, 1, 2, 3, 4, 5), True),
        (2, "", None, None, None, None),
        (3, None, Decimal("7.00"), date(2020, 1, 3), None, False),
    ]


def test_a_prefix_is_all_files_under_it(session: Session, put: Put) -> None:
    url = put("part-0", "1|x||||\n")
    put("part-1", "2|y||||\n")
    session.execute(f"COPY t FROM '{url[:-1]}' {KEYS}")
    assert session.execute("SELECT a, b FROM t ORDER BY a").fetchall() == [(1, "x"), (2, "y")]


def test_columns_are_taken_in_the_lists_order_and_others_have_their_default(
    session: Session, put: Put
) -> None:
    session.execute("CREATE TABLE u (id int IDENTITY(1,1), a int, b varchar(3) DEFAULT 'z', c int)")
    url = put("x.gz", gzip.compress(b"7,1\n8,2\n"))
    session.execute(
        f"COPY u (c, a) FROM '{url}' {KEYS} DELIMITER ',' GZIP COMPUPDATE OFF STATUPDATE ON"
    )
    assert session.execute("SELECT id, a, b, c FROM u ORDER BY a").fetchall() == [
        (1, 1, "z", 7),
        (2, 2, "z", 8),
    ]


def test_json_is_read_by_names_or_by_paths(session: Session, put: Put) -> None:
    session.execute("CREATE TABLE u (id bigint, tags varchar(20), deep super)")
    text = '{"id": 12345678901234567, "tags": ["x", 1.50], "deep": {"n": {"m": 3}}}\n{"ID": 2, "tags": null}'
    url = put("x.json", text)
    session.execute(f"COPY u FROM '{url}' {KEYS} FORMAT AS JSON 'auto'")
    assert session.execute(
        "SELECT id, tags, JSON_SERIALIZE(deep) FROM u ORDER BY id"
    ).fetchall() == [
        (12345678901234567, '["x",1.50]', '{"n":{"m":3}}'),
        (None, None, None),
    ]
    session.execute("DELETE FROM u")
    session.execute(f"COPY u FROM '{url}' {KEYS} JSON 'auto ignorecase'")
    assert session.execute("SELECT COUNT(id) FROM u").fetchone() == (2,)
    paths = put("paths", json.dumps({"jsonpaths": ["$.deep.n['m']", "$['tags'][0]"]}))
    session.execute("DELETE FROM u")
    session.execute(f"COPY u (id, tags) FROM '{url}' {KEYS} JSON '{paths}'")
    assert session.execute("SELECT id, tags FROM u ORDER BY id").fetchall() == [
        (3, "x"),
        (None, None),
    ]
    with pytest.raises(psycopg.Error, match="Number of jsonpaths"):
        session.execute(f"COPY u FROM '{url}' {KEYS} JSON '{paths}'")


def _parquet(**columns: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


def test_parquet_is_read_by_position(session: Session, put: Put) -> None:
    content = _parquet(
        n=pa.array([1, None], pa.int32()),
        s=pa.array(["é", None]),
        m=pa.array([Decimal("1.50"), None], pa.decimal128(8, 2)),
        day=pa.array([date(2020, 1, 2), None]),
        at=pa.array([datetime(2020, 1, 2, 3, 4, 5, 6), None], pa.timestamp("us")),
        yes=pa.array([True, None]),
    )
    session.execute(f"COPY t FROM '{put('x.parquet', content)}' {KEYS} FORMAT AS PARQUET")
    assert session.execute("SELECT * FROM t ORDER BY a").fetchall() == [
        (1, "é", Decimal("1.50"), date(2020, 1, 2), datetime(2020, 1, 2, 3, 4, 5, 6), True),
        (None,) * 6,
    ]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1], pa.int64()), "Column type: INTEGER, Parquet schema: int64 n"),
        (pa.array(["1"]), "Column type: INTEGER, Parquet schema: string n"),
    ],
)
def test_a_parquet_column_of_another_type_is_refused(
    session: Session, put: Put, column: Any, message: str
) -> None:
    session.execute("CREATE TABLE u (n int)")
    with pytest.raises(psycopg.Error, match="incompatible Parquet schema") as refused:
        session.execute(f"COPY u FROM '{put('x.parquet', _parquet(n=column))}' {KEYS} PARQUET")
    assert message in str(refused.value)
    with pytest.raises(psycopg.Error, match="Table columns: 6, Data columns: 1"):
        session.execute(f"COPY t FROM '{put('x.parquet', _parquet(n=column))}' {KEYS} PARQUET")


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (bz2.compress(b"1|x\n2|y\n"), "BZIP2"),
        (gzip.compress(b"1|x\n2|y\n"), "GZIP"),
        (bz2.compress(b"1,x\n2,y\n"), "CSV BZIP2"),
        ('{"a": 1, "b": "x"}\n{"a": 2, "b": "y"}', "JSON 'auto'"),
        (bz2.compress(b'{"a": 1, "b": "x"} {"a": 2, "b": "y"}'), "JSON 'auto' BZIP2"),
    ],
    # By what is compressed they would have the time in them, and be another's in every process.
    ids=["text bzip2", "text gzip", "csv bzip2", "json", "json bzip2"],
)
@pytest.mark.parametrize("manifest", [False, True])
def test_a_file_is_read_by_its_form_and_its_compression_by_name_and_by_manifest(
    session: Session, put: Put, content: bytes | str, options: str, manifest: bool
) -> None:
    url = put("x", content)
    if manifest:
        url = put("manifest", json.dumps({"entries": [{"url": url, "mandatory": True}]}))
        options += " MANIFEST"
    session.execute(f"COPY t (a, b) FROM '{url}' {KEYS} {options}")
    assert session.execute("SELECT a, b FROM t ORDER BY a").fetchall() == [(1, "x"), (2, "y")]


def test_a_char_takes_no_character_of_several_bytes(session: Session, put: Put) -> None:
    session.execute("CREATE TABLE u (a char(3), b varchar(3))")
    url = put("x", "abc|é\né|x\nxyé|x\n")
    with pytest.raises(psycopg.Error, match="stl_load_errors"):
        session.execute(f"COPY u FROM '{url}' {KEYS}")
    assert _noted(session, url) == [(2, "a", 1220), (3, "a", 1204)]


def test_a_manifest_names_the_files(session: Session, put: Put) -> None:
    one, two = put("one", "1,,,,,\n"), put("two", "2,,,,,\n")
    gone = one.replace("/one", "/gone")

    def manifest(*entries: dict[str, Any]) -> str:
        url = put("manifest", json.dumps({"entries": entries}))
        return f"COPY t FROM '{url}' {KEYS} CSV MANIFEST"

    session.execute(
        manifest({"url": two, "mandatory": True}, {"url": gone}, {"url": one, "mandatory": False})
    )
    assert session.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,)]
    with pytest.raises(psycopg.Error, match=r"mandatory file .*/gone does not exist"):
        session.execute(manifest({"url": one}, {"url": gone, "mandatory": True}))
    with pytest.raises(psycopg.Error, match="Problem reading manifest file"):
        session.execute(f"COPY t FROM '{one}' {KEYS} CSV MANIFEST")
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (2,)


def test_a_columnar_manifest_says_how_long_its_files_are(session: Session, put: Put) -> None:
    session.execute("CREATE TABLE u (n int)")
    content = _parquet(n=pa.array([1], pa.int32()))
    url = put("x.parquet", content)

    def copied(**meta: int) -> str:
        manifest = put(
            "manifest", json.dumps({"entries": [{"url": url, "mandatory": True, "meta": meta}]})
        )
        return f"COPY u FROM '{manifest}' {KEYS} FORMAT AS PARQUET MANIFEST"

    session.execute(copied(content_length=len(content)))
    assert session.execute("SELECT n FROM u").fetchall() == [(1,)]
    with pytest.raises(psycopg.Error, match="content_length is missing"):
        session.execute(copied())
    with pytest.raises(psycopg.Error, match=f"has {len(content)} bytes, and content_length is 1"):
        session.execute(copied(content_length=1))


BROKEN = "1,ok,,,,\nx,ok,,,,\n3,éééé,,,,\n4,ok,,2020-13-01,,\n5,ok,,,,,\n6,ok\n7,fine,,,,\n"
FAULTS = [(2, "a", 1207), (3, "b", 1204), (4, "d", 1205), (5, "", 1202), (6, "", 1214)]


def _noted(session: Session, url: str) -> list[tuple[Any, ...]]:
    return session.execute(
        "SELECT line_number, colname, err_code FROM stl_load_errors WHERE filename = %s ORDER BY 1",
        [url],
    ).fetchall()


def test_a_row_that_does_not_fit_fails_the_copy_and_is_noted(session: Session, put: Put) -> None:
    url = put("broken", BROKEN)
    with pytest.raises(
        psycopg.Error, match=r"Load into table 't' failed\.  Check 'stl_load_errors'"
    ):
        session.execute(f"COPY t FROM '{url}' {KEYS} CSV MAXERROR 4")
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)
    assert _noted(session, url) == FAULTS
    assert session.execute(
        "SELECT column_name, error_code FROM sys_load_error_detail WHERE file_name = %s AND line_number = 3",
        [url],
    ).fetchall() == [("b", 1204)]


def test_as_many_rows_may_be_broken_as_maxerror_says(session: Session, put: Put) -> None:
    session.execute(f"COPY t FROM '{put('broken', BROKEN)}' {KEYS} CSV MAXERROR AS 5")
    assert session.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (7,)]


def test_options_that_change_values(session: Session, put: Put) -> None:
    session.execute("CREATE TABLE u (a int NOT NULL, b varchar(3), c timestamp)")
    url = put("x", "1,éé,1577934245\n2,  ,1577934246\n3,,\n4\n")
    session.execute(
        f"COPY u FROM '{url}' {KEYS} CSV TRUNCATECOLUMNS BLANKSASNULL EMPTYASNULL FILLRECORD TIMEFORMAT 'epochsecs'"
    )
    assert session.execute("SELECT * FROM u ORDER BY a").fetchall() == [
        (1, "é", datetime(2020, 1, 2, 3, 4, 5)),
        (2, None, datetime(2020, 1, 2, 3, 4, 6)),
        (3, None, None),
        (4, None, None),
    ]
    url = put("y", ",x,\n")
    with pytest.raises(psycopg.Error):
        session.execute(f"COPY u FROM '{url}' {KEYS} CSV")
    assert _noted(session, url) == [(1, "a", 1213)]


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("1|20.259\n2|-20.259\n3|999999.999\n", ""),
        ("1,20.259\n2,-20.259\n3,999999.999\n", "CSV"),
        (
            '{"a": 1, "c": 20.259}{"a": 2, "c": "-20.259"}{"a": 3, "c": 999999.999}',
            "JSON 'auto'",
        ),
    ],
    ids=["text", "csv", "json"],
)
def test_digits_that_a_decimal_has_no_place_for_are_cut_unless_roundec_is_said(
    session: Session, put: Put, content: str, options: str
) -> None:
    url = put("x", content)
    session.execute(f"COPY t (a, c) FROM '{url}' {KEYS} {options}")
    cut = [Decimal("20.25"), Decimal("-20.25"), Decimal("999999.99")]
    assert session.execute("SELECT c FROM t ORDER BY a").fetchall() == [(c,) for c in cut]
    session.execute("DELETE FROM t")
    session.execute(f"COPY t (a, c) FROM '{url}' {KEYS} {options} ROUNDEC MAXERROR 1")
    assert session.execute("SELECT a, c FROM t ORDER BY a").fetchall() == [
        (1, Decimal("20.26")),
        (2, Decimal("-20.26")),
    ]
    assert _noted(session, url)[-1][1:] == ("c", 1207)


def test_a_number_that_is_none_is_a_load_error_of_a_decimal(session: Session, put: Put) -> None:
    url = put("x", "1|2,5\n2|1000000\n3|7\n")
    session.execute(f"COPY t (a, c) FROM '{url}' {KEYS} MAXERROR 2")
    assert session.execute("SELECT a, c FROM t").fetchall() == [(3, Decimal("7.00"))]
    assert _noted(session, url) == [(1, "c", 1207), (2, "c", 1207)]


@pytest.mark.parametrize("form", ["CSV", "DELIMITER ','"])
def test_a_blank_line_is_a_row_unless_it_is_to_be_ignored(
    session: Session, put: Put, form: str
) -> None:
    url = put("x", "1,x\n\n2,y\n\n")
    with pytest.raises(psycopg.Error, match="stl_load_errors"):
        session.execute(f"COPY t (a, b) FROM '{url}' {KEYS} {form}")
    assert _noted(session, url) == [(2, "", 1214), (4, "", 1214)]
    session.execute(f"COPY t (a, b) FROM '{url}' {KEYS} {form} IGNOREBLANKLINES")
    assert session.execute("SELECT a, b FROM t ORDER BY a").fetchall() == [(1, "x"), (2, "y")]
    one = put("y", "x\n\ny\n")
    session.execute("CREATE TABLE u (b varchar(3))")
    session.execute(f"COPY u FROM '{one}' {KEYS} {form}")
    assert session.execute("SELECT b FROM u ORDER BY b").fetchall() == [("",), ("x",), ("y",)]
    session.execute("DELETE FROM u")
    session.execute(f"COPY u FROM '{one}' {KEYS} {form} IGNOREBLANKLINES")
    assert session.execute("SELECT COUNT(*) FROM u").fetchone() == (2,)


def test_a_copy_is_undone_with_its_transaction_and_fails_it(session: Session, put: Put) -> None:
    good, bad = put("good", "1,,,,,\n"), put("bad", "x,,,,,\n")
    session.execute("BEGIN")
    session.execute(f"COPY t FROM '{good}' {KEYS} CSV")
    assert session.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (1,)
    with pytest.raises(psycopg.Error, match="failed"):
        session.execute(f"COPY t FROM '{bad}' {KEYS} CSV")
    assert session.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        session.execute("SELECT 1")
    session.execute("ROLLBACK")
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)
    assert _noted(session, bad) == [(1, "a", 1207)]


def test_nothing_to_read_and_no_table_are_errors(session: Session, put: Put) -> None:
    url = put("x", "1\n")
    with pytest.raises(psycopg.Error, match="The specified S3 prefix 'nowhere' does not exist"):
        session.execute(f"COPY t FROM 's3://lake/nowhere' {KEYS}")
    with pytest.raises(psycopg.errors.UndefinedTable):
        session.execute(f"COPY missing FROM '{url}' {KEYS}")
    with pytest.raises(psycopg.errors.UndefinedColumn):
        session.execute(f"COPY t (z) FROM '{url}' {KEYS}")
    with pytest.raises(psycopg.Error, match="S3ServiceException"):
        session.execute(f"COPY t FROM 's3://no-such-bucket/x' {KEYS}")
    with pytest.raises(psycopg.Error, match="COPY beside other statements"):
        session.execute(f"COPY t FROM '{url}' {KEYS}; SELECT 1")
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)


def test_a_prepared_copy_and_what_follows_it(session: Session, put: Put, wire_port: int) -> None:
    url = put("x", "1,x,,,,\n")
    session.execute(f"COPY t FROM '{url}' {KEYS} CSV", prepare=True)
    driver = redshift_connector.connect(
        host="127.0.0.1", port=wire_port, database="dev", user="u", password="any", ssl=False
    )
    cursor = driver.cursor()
    cursor.execute(f"COPY t FROM '{url}' {KEYS} CSV")
    cursor.execute("SELECT COUNT(*) FROM t")
    assert tuple(cursor.fetchone()) == (2,)
    with pytest.raises(redshift_connector.ProgrammingError, match="does not exist"):
        cursor.execute(f"COPY t FROM '{url}-nowhere' {KEYS} CSV")
    driver.rollback()
    cursor.execute("SELECT COUNT(*) FROM t")
    assert tuple(cursor.fetchone()) == (1,)
    driver.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("CSV", "No credentials provided"),
        ("CREDENTIALS 'none'", "Invalid credentials"),
        (
            f"{KEYS} PARQUET REGION 'eu-central-1'",
            "REGION argument is not supported for PARQUET based COPY",
        ),
        (
            f"{KEYS} FORMAT PARQUET MAXERROR 3",
            "MAXERROR argument is not supported for PARQUET based COPY",
        ),
        (
            f"{KEYS} FORMAT PARQUET ROUNDEC",
            "ROUNDEC argument is not supported for PARQUET based COPY",
        ),
        (f"{KEYS} DELIMITER ',,'", "DELIMITER must be a single character"),
        (f"{KEYS} CSV HEADER", 'at or near "HEADER"'),
        (f"{KEYS} MAXERROR many", 'at or near "many"'),
    ],
)
def test_a_copy_that_redshift_refuses(options: str, message: str) -> None:
    with pytest.raises(RedshiftError) as refused:
        translate(f"COPY t FROM 's3://lake/x' {options}")
    assert message in str(refused.value) and not isinstance(refused.value, NotImitated)


@pytest.mark.parametrize(
    "options",
    [
        "AVRO 'auto'",
        "ESCAPE",
        "ZSTD",
        "IGNOREALLERRORS",
        "DATEFORMAT 'DD.MM.YYYY'",
        "FORMAT ORC",
        "FORMAT AS ORC",
        "FORMAT AS AVRO 'auto'",
    ],
)
def test_a_copy_that_is_not_known_here(options: str) -> None:
    with pytest.raises(NotImitated):
        translate(f"COPY t FROM 's3://lake/x' {KEYS} {options}")


def test_keys_of_a_copy_are_in_no_representation() -> None:
    (translated,) = translate(
        "COPY t FROM 's3://lake/x' ACCESS_KEY_ID 'AKIA' SECRET_ACCESS_KEY 'hidden' CSV"
    )
    assert isinstance(translated.transfer, Copy) and translated.transfer.credentials == (
        "AKIA",
        "hidden",
        "",
    )
    assert "hidden" not in repr(translated)


@pytest.mark.parametrize(
    ("type_", "taken", "refused"),
    [
        ("smallint", ["-7", "+7"], ["1_0", "0x1F", "0b11", "0o7", "1e2", "7."]),
        ("int", [" 12 "], ["1_000", "0x1F", "0b11"]),
        ("bigint", ["12"], ["1_000", "0X1f"]),
        (
            "decimal(12,2)",
            ["1.5", ".5", "-1.", "1e2"],
            ["NaN", "Infinity", "-inf", "1_0.5", "0x1F"],
        ),
        ("float8", ["1e-3", "NaN", "-Infinity", "inf"], ["0x1F", "0x1p3", "1_0"]),
        ("real", ["1.5"], ["0x1F"]),
        ("boolean", ["t", "TRUE", "yes", "1", "f", "No", "0"], ["tr", "of", "ye", "on", "off"]),
        (
            "date",
            ["2020-01-02", "January 8, 1999"],
            ["infinity", "-infinity", "epoch", "now", "today", "Tomorrow", "yesterday", "J2451187"],
        ),
        (
            "timestamp",
            ["2020-01-02 03:04:05.678", "2020-01-02T03:04:05"],
            [
                "infinity",
                "-Infinity",
                "epoch",
                "now",
                "today",
                "2020-01-02 allballs",
                "today 12:00",
            ],
        ),
        ("timestamptz", ["2020-01-02 03:04:05+02", "2020-01-02 03:04:05 UTC"], ["infinity", "now"]),
        ("time", ["03:04:05"], ["now", "allballs"]),
    ],
)
def test_what_postgresql_alone_reads_is_a_load_error(
    session: Session, put: Put, type_: str, taken: list[str], refused: list[str]
) -> None:
    session.execute(f"CREATE TABLE u (n int, v {type_})")
    url = put("x", "".join(f"{n}|{v}\n" for n, v in enumerate([*taken, *refused])))
    session.execute(f"COPY u FROM '{url}' {KEYS} MAXERROR {len(refused)}")
    found = session.execute("SELECT n FROM u WHERE v IS NOT NULL ORDER BY n").fetchall()
    assert found == [(n,) for n in range(len(taken))]
    assert session.execute(
        "SELECT raw_field_value FROM stl_load_errors WHERE filename = %s ORDER BY line_number",
        [url],
    ).fetchall() == [(v,) for v in refused]


@pytest.mark.parametrize("form", ["epochsecs", "epochmillisecs"])
def test_a_time_of_an_epoch_that_there_is_none_of_is_a_load_error(
    session: Session, put: Put, form: str
) -> None:
    session.execute("CREATE TABLE u (n int, at timestamp)")
    one = "1577934245" + ("000" if form == "epochmillisecs" else "")
    bad = ["1700000000000000", "-99999999999999", "nan", "inf", "1_0", "2020-01-02", "9" * 400]
    url = put("x", "".join(f"{n}|{v}\n" for n, v in enumerate([one, *bad])))
    session.execute(f"COPY u FROM '{url}' {KEYS} TIMEFORMAT '{form}' MAXERROR {len(bad)}")
    assert session.execute("SELECT n, at FROM u").fetchall() == [(0, datetime(2020, 1, 2, 3, 4, 5))]
    assert _noted(session, url) == [(n + 2, "at", 1206) for n in range(len(bad))]


@pytest.mark.parametrize(
    ("content", "options", "shown"),
    [
        ('{"b": "x"}{"b": "hi \\u0000"}', "JSON 'auto'", "hi \\0"),
        ('{"b": "x"}\n{"b": "hi \\ud83d"}', "JSON 'auto'", "hi \\ud83d"),
        ("1,x,,,,\n2,a\0b,,,,\n", "CSV", "a\\0b"),
        ("1|x||||\n2|a\0b||||\n", "", "a\\0b"),
    ],
    ids=["json nul", "json surrogate", "csv nul", "text nul"],
)
def test_a_text_that_is_none_is_a_load_error(
    session: Session, put: Put, content: str, options: str, shown: str
) -> None:
    url = put("x", content)
    session.execute(f"COPY t FROM '{url}' {KEYS} {options} MAXERROR 1")
    assert session.execute("SELECT b FROM t").fetchall() == [("x",)]
    assert session.execute(
        "SELECT colname, err_code, raw_field_value FROM stl_load_errors WHERE filename = %s", [url]
    ).fetchall() == [("b", 1220, shown)]


def test_a_null_of_a_byte_that_is_no_character_is_null(session: Session, put: Put) -> None:
    url = put("x", "1|\0||||\nx|\0||||\n")
    copy = Copy(("t",), (), url, (), null="\0", max_error=1)
    columns = [Column("a", "integer", -4, False), Column("b", "character varying(5)", 5, False)]
    found, faults = _readable(copy, list(rows(copy, File(url, b"1|\0\n"), columns)), columns)
    assert [(row.values, row.raw) for row in found] == [(("1", None), "1|\\0")] and not faults


def test_json_that_is_nested_too_deep_is_a_load_error(session: Session, put: Put) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    url = put("x", f'{{"b": "x"}}\n\n{{"b": {deep}}}')
    session.execute(f"COPY t FROM '{url}' {KEYS} JSON 'auto' MAXERROR 1")
    assert session.execute("SELECT b FROM t").fetchall() == [("x",)]
    assert _noted(session, url) == [(3, "", 1216)]


def test_each_json_value_knows_its_line(session: Session, put: Put) -> None:
    url = put("x", '\n{"a": 1}{"a":\n"x"}\n\n {"a": "y"}\n[]\n{"a": 2}\n')
    session.execute(f"COPY t FROM '{url}' {KEYS} JSON 'auto' MAXERROR 3")
    assert _noted(session, url) == [(2, "a", 1207), (5, "a", 1207), (6, "", 1216)]
    assert session.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,)]


def test_a_long_file_of_json_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by lines: what a file of n lines costs is about n, and not its square."""
    columns = [Column("a", "integer", -4, False)]
    copy = Copy(("t",), (), "s3://x/y", (), format="JSON")

    def seconds(lines: int) -> float:
        file = File("s3://x/y", b"\n".join([b'{"a": 1}'] * lines))
        began = time.process_time()
        assert sum(1 for _ in rows(copy, file, columns)) == lines
        return time.process_time() - began

    seconds(1_000)
    assert seconds(80_000) < 80 * seconds(5_000), "of 16 times the lines, whose square is 256 times"


@pytest.mark.parametrize("meta", [None, [], "x"])
def test_a_manifest_whose_meta_says_nothing_is_a_problem_of_the_manifest(
    session: Session, put: Put, meta: Any
) -> None:
    url = put("manifest", json.dumps({"entries": [{"url": "s3://lake/x", "meta": meta}]}))
    with pytest.raises(psycopg.Error, match="Problem reading manifest file"):
        session.execute(f"COPY t FROM '{url}' {KEYS} PARQUET MANIFEST")
    assert session.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize(
    ("error", "logged"),
    [(ZeroDivisionError("by the test"), 2), (psycopg.DataError("by the test"), 0)],
    ids=["this package's", "its driver's"],
)
def test_what_a_transfer_fails_at_is_an_error_and_not_the_sessions_end(
    session: Session,
    put: Put,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    logged: int,
) -> None:
    def broken(*of: Any) -> int:
        raise error

    monkeypatch.setattr("redshift_local.loading.load._load", broken)
    copy = f"COPY t FROM '{put('x', '')}' {KEYS}"
    session.execute("BEGIN")
    session.execute("INSERT INTO t (a) VALUES (1)")
    with pytest.raises(psycopg.errors.InternalError_, match="by the test"):
        session.execute(copy)
    assert session.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    session.execute("ROLLBACK")
    with pytest.raises(psycopg.errors.InternalError_):
        session.execute(copy)
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)
    own = [each.levelname for each in caplog.records if each.name.startswith("redshift_local")]
    assert own == ["ERROR"] * logged


def test_a_date_that_python_has_none_for_is_an_error_of_its_unload(
    session: Session, put: Put
) -> None:
    url = put("unloaded", "").removesuffix("unloaded")
    for form in ("PARQUET", "CSV"):
        query = (
            f"UNLOAD ('SELECT ''10000-01-01''::date AS d') TO '{url}{form}/' {KEYS} FORMAT {form}"
        )
        if form == "PARQUET":
            with pytest.raises(psycopg.errors.InternalError_, match="10000-01-01"):
                session.execute(query)
        else:
            session.execute(query)


def test_dictionaries_and_views_of_texts_are_columns_of_texts(session: Session, put: Put) -> None:
    session.execute("CREATE TABLE u (a varchar(5), b varchar(5))")
    content = _parquet(
        a=pa.array(["x", None, "x"]).dictionary_encode(),
        b=pa.array(["é", "", None], pa.large_string()),
    )
    session.execute(f"COPY u FROM '{put('x.parquet', content)}' {KEYS} PARQUET")
    assert session.execute("SELECT a, b FROM u ORDER BY 1, 2").fetchall() == [
        ("x", "é"),
        ("x", None),
        (None, ""),
    ]


def _operator(method: str, url: str, **more: Any) -> Any:
    from airflow.providers.amazon.aws.transfers.s3_to_redshift import S3ToRedshiftOperator

    bucket, _, key = url.removeprefix("s3://").partition("/")
    return S3ToRedshiftOperator(
        task_id="load",
        schema="public",
        table="stock",
        s3_bucket=bucket,
        s3_key=key,
        copy_options=["CSV"],
        method=method,
        aws_conn_id="aws_s3",
        **more,
    )


@pytest.fixture(params=["protocol", "data api"])
def door(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    wire_port: int,
    data_api_url: str,
) -> dict[str, Any]:
    """Arguments for the operator, by which it uses one door or the other."""
    keys = {"login": "test", "password": "test"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_S3", json.dumps({"conn_type": "aws", **keys}))
    if request.param == "protocol":
        about = {
            "conn_type": "redshift",
            "host": "127.0.0.1",
            "port": wire_port,
            "schema": "dev",
            **keys,
            "extra": {"ssl": False},
        }
        more: dict[str, Any] = {}
    else:
        extra = {"endpoint_url": data_api_url, "region_name": "eu-central-1"}
        about = {"conn_type": "aws", **keys, "extra": extra}
        more = {
            "redshift_data_api_kwargs": {
                "database": "dev",
                "workgroup_name": "laptop",
                "poll_interval": 1,
            }
        }
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(about))
    return more


def test_airflows_transfer_appends_replaces_and_upserts(
    session: Session, put: Put, door: dict[str, Any]
) -> None:
    session.execute("CREATE TABLE stock (sku varchar(5) PRIMARY KEY, n int)")

    def stock() -> list[tuple[Any, ...]]:
        return session.execute("SELECT sku, n FROM stock ORDER BY sku, n").fetchall()

    _operator(
        "APPEND", put("one", "a,1\nb,2\n"), **door, **({} if door else {"autocommit": True})
    ).execute({})
    assert stock() == [("a", 1), ("b", 2)]
    # Over the Data API the provider does not quote the names in its own look-up of the key.
    keys = {"upsert_keys": ["sku"]} if door else {}
    _operator("UPSERT", put("two", "b,3\nc,4\n"), **door, **keys).execute({})
    assert stock() == [("a", 1), ("b", 3), ("c", 4)]
    _operator("REPLACE", put("three", "z,9\n"), **door).execute({})
    assert stock() == [("z", 9)]
