"""One load for two warehouses: run on a real PostgreSQL, parsed statement by statement for Redshift."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from s3_bucket import Bucket

from feira.core.warehouse.column_types import Target
from feira.core.warehouse.merge import Gone
from feira_local.stack.postgres import Dsns
from feira_provider.hooks.warehouse import Loaded, LoadError, Merge, WarehouseHook

TABLE = "sales.stock"
COLUMNS = ("shop", "sku", "name", "price", "sold_at", "listed")
MERGE = Merge(TABLE, key=("shop", "sku"), columns=COLUMNS)
MARKED = Merge(TABLE, key=("shop", "sku"), columns=COLUMNS, gone="marked")
SCHEMA = pa.schema(
    [
        ("shop", pa.int32()),
        ("sku", pa.string()),
        ("name", pa.string()),
        ("price", pa.decimal128(18, 4)),
        ("sold_at", pa.timestamp("us", "UTC")),
        ("listed", pa.bool_()),
    ]
)
Key = tuple[int, str]
Values = tuple[Any, ...]
# PostgreSQL's text holds no U+0000; everything else that could end a CSV field is welcome.
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
KEYS = st.tuples(st.integers(1, 3), st.sampled_from(["a", "B", 'q"', "", " ", "é,\n"]))
VALUES = st.tuples(
    st.none() | TEXT,
    st.none() | st.decimals(-10, 10, places=4),
    st.none()
    | st.datetimes(datetime(1999, 1, 1), datetime(2040, 1, 1)).map(lambda t: t.replace(tzinfo=UTC)),
    st.none() | st.booleans(),
)
ROWS = st.dictionaries(KEYS, VALUES, max_size=8)


@pytest.fixture
def stock(empty_warehouse: Dsns, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """The empty table ``sales.stock``, and the connection ``warehouse_default`` that loads it."""
    dsn = empty_warehouse.warehouse_loader
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT", dsn.replace("postgresql://", "postgres://")
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE {TABLE} (shop integer, sku text, name text, price numeric(18,4), "
            "sold_at timestamptz, listed boolean, PRIMARY KEY (shop, sku))"
        )
        yield connection


@pytest.mark.parametrize(
    ("aws_conn_id", "manifest", "words"),
    [
        ("s3", "s3://lake/manifest.json", "nobody.* connection s3"),
        (
            "aws_default",
            "s3://b{x}/manifest.json",
            r'bucket name "b\{x\}".* connection aws_default',
        ),
    ],
)
def test_an_s3_that_cannot_be_asked_is_not_tried_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, aws_conn_id: str, manifest: str, words: str
) -> None:
    extra = {"profile_name": "nobody", "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_S3", json.dumps({"conn_type": "aws", "extra": extra}))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", "postgres://u:p@127.0.0.1:9/none")
    with pytest.raises(AirflowFailException, match=f"^sales.stock: S3 cannot be asked .*{words}"):
        WarehouseHook(aws_conn_id=aws_conn_id).load(MERGE, manifest)


def parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    sink = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), sink)
    return sink.getvalue()


def staged(
    bucket: Bucket, rows: dict[Key, Values], marked: set[Key] | None = None, files: int = 2
) -> str:
    """Writes the rows in Parquet files, and their manifest; returns its URI."""
    schema = SCHEMA if marked is None else SCHEMA.append(pa.field("change", pa.string()))
    records = [dict(zip(COLUMNS, (*key, *values), strict=True)) for key, values in rows.items()]
    for record in records if marked is not None else ():
        gone = (record["shop"], record["sku"]) in (marked or ())
        record["change"] = "DELETE" if gone else "INSERT"
    entries = []
    for number in range(files):
        part = records[number::files]
        body = parquet(part, schema)
        meta = {"content_length": len(body), "record_count": len(part)}
        entries.append({"url": bucket.put(f"{number}.parquet", body), "meta": meta})
    return bucket.put("manifest.json", json.dumps({"entries": entries}).encode())


def held(stock: psycopg.Connection) -> dict[Key, Values]:
    return {row[:2]: row[2:] for row in stock.execute(f"SELECT * FROM {TABLE}").fetchall()}


def put(stock: psycopg.Connection, rows: dict[Key, Values]) -> None:
    stock.execute(f"TRUNCATE {TABLE}")
    with stock.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s, %s, %s)",
            [(*key, *values) for key, values in rows.items()],
        )


def expected(
    before: dict[Key, Values], rows: dict[Key, Values], gone: Gone, marked: set[Key]
) -> tuple[dict[Key, Values], Loaded]:
    """What the table must hold, and what the load must say: computed without SQL."""
    live = {key: values for key, values in rows.items() if key not in marked}
    if gone == "kept":
        kept = dict(before)
    elif gone == "absent":
        kept = {key: values for key, values in before.items() if key in rows}
    else:
        kept = {key: values for key, values in before.items() if key not in marked}
    loaded = Loaded(
        staged=len(rows),
        inserted=sum(key not in kept for key in live),
        updated=sum(key in kept and kept[key] != values for key, values in live.items()),
        deleted=len(before) - len(kept),
    )
    return kept | live, loaded


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(before=ROWS, rows=ROWS, gone=st.sampled_from(["kept", "absent", "marked"]), data=st.data())
def test_the_table_holds_what_a_dictionary_would(
    stock: psycopg.Connection,
    bucket: Bucket,
    before: dict[Key, Values],
    rows: dict[Key, Values],
    gone: Gone,
    data: st.DataObject,
) -> None:
    # Half of the rows that the table has already come as they are.
    rows |= {key: before[key] for key in list(before)[::2]}
    marked = set()
    if gone == "marked" and rows:
        marked = data.draw(st.sets(st.sampled_from(sorted(rows))))
    put(stock, before)
    merge = Merge(TABLE, key=("shop", "sku"), columns=COLUMNS, gone=gone)
    uri = staged(bucket, rows, marked if gone == "marked" else None)
    after, loaded = expected(before, rows, gone, marked)
    assert WarehouseHook().load(merge, uri) == loaded
    assert held(stock) == after
    # The same files again change nothing: a retry may come at any time.
    again = WarehouseHook().load(merge, uri)
    assert (again.inserted, again.updated, again.deleted) == (0, 0, 0)
    assert held(stock) == after


ROW: Values = ("pin", Decimal("1.5000"), datetime(2010, 12, 1, tzinfo=UTC), True)


def test_what_is_the_same_is_not_written_again(stock: psycopg.Connection, bucket: Bucket) -> None:
    rows = {(1, "a"): ROW, (1, "b"): (None, None, None, None)}
    put(stock, rows)
    version = f"SELECT sku, xmin::text FROM {TABLE} ORDER BY sku"
    before = stock.execute(version).fetchall()
    WarehouseHook().load(MERGE, staged(bucket, rows))
    assert stock.execute(version).fetchall() == before


def test_no_files_empty_a_table_that_they_are_all_of(
    stock: psycopg.Connection, bucket: Bucket
) -> None:
    put(stock, {(1, "a"): ROW})
    merge = Merge(TABLE, key=("shop", "sku"), columns=COLUMNS, gone="absent")
    assert WarehouseHook().load(merge, staged(bucket, {}, files=0)) == Loaded(0, 0, 0, 1)
    assert held(stock) == {}


def test_a_table_of_nothing_but_its_key_can_be_loaded(
    stock: psycopg.Connection, bucket: Bucket
) -> None:
    stock.execute("CREATE TABLE sales.shops (shop integer PRIMARY KEY)")
    body = parquet([{"shop": 1}, {"shop": 2}], pa.schema([("shop", pa.int32())]))
    entries = [{"url": bucket.put("shops.parquet", body)}]
    uri = bucket.put("manifest.json", json.dumps({"entries": entries}).encode())
    assert WarehouseHook().load(Merge("sales.shops", ("shop",), ("shop",)), uri).inserted == 2


def test_the_hook_answers_queries_as_the_providers_own_do(stock: psycopg.Connection) -> None:
    put(stock, {(1, "a"): ROW})
    hook = WarehouseHook(warehouse_conn_id="warehouse_default")
    assert hook.get_first(f"SELECT sku FROM {TABLE} WHERE shop = %s", parameters=(1,)) == ("a",)
    assert hook.get_records(f"SELECT count(*) FROM {TABLE}") == [(1,)]


def broken(bucket: Bucket, kind: str) -> str:
    rows: dict[Key, Values] = {(1, "a"): ROW, (2, "b"): ROW}
    uri = staged(bucket, rows)
    first = [{**dict(zip(COLUMNS, (1, "a", *ROW), strict=True))}]
    manifest = json.loads(bucket.get(uri))
    if kind == "order":
        other = pa.schema([SCHEMA.field(name) for name in reversed(COLUMNS)])
        bucket.put("0.parquet", parquet(first, other))
    elif kind == "rewritten":
        bucket.put("0.parquet", parquet([], SCHEMA))
    elif kind == "null":
        manifest["entries"][0]["meta"] = {}
        bucket.put("manifest.json", json.dumps(manifest).encode())
        bucket.put("0.parquet", parquet([{**first[0], "sku": None}], SCHEMA))
    elif kind == "twice":
        bucket.put("1.parquet", parquet(first, SCHEMA))
    elif kind == "missing":
        manifest["entries"][0]["url"] = f"{bucket.url}/nowhere.parquet"
        bucket.put("manifest.json", json.dumps(manifest).encode())
    elif kind == "no parquet":
        bucket.put("0.parquet", b"a,b\n1,2\n")
    elif kind == "no manifest":
        return f"{bucket.url}/nothing.json"
    return uri


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("order", r"0\.parquet .*columns listed, sold_at.*expects shop, sku, "),
        ("rewritten", r"0\.parquet: .*size of \d+ bytes, found \d+"),
        ("null", r"\b0 keys .*\(shop, sku\) .*duplicate .*\b1 .*null"),
        ("twice", r"\b1 keys .*\(shop, sku\) .*duplicate .*\b0 "),
        ("missing", r"nowhere\.parquet does not exist"),
        ("no parquet", r"0\.parquet .*no Parquet"),
        ("no manifest", r"no manifest .*nothing\.json"),
    ],
)
def test_files_that_are_not_what_they_should_be_change_nothing(
    stock: psycopg.Connection, bucket: Bucket, kind: str, message: str
) -> None:
    before = {(9, "z"): ROW}
    put(stock, before)
    with pytest.raises(LoadError, match=message):
        WarehouseHook().load(MERGE, broken(bucket, kind))
    assert held(stock) == before


def test_an_error_in_the_middle_rolls_everything_back(
    stock: psycopg.Connection, bucket: Bucket
) -> None:
    """The delete has been done when the MERGE meets a rule of the table."""
    before = {(9, "z"): ROW}
    put(stock, before)
    stock.execute(f"ALTER TABLE {TABLE} ADD CHECK (price > 0)")
    merge = Merge(TABLE, key=("shop", "sku"), columns=COLUMNS, gone="absent")
    with pytest.raises(psycopg.errors.CheckViolation):
        WarehouseHook().load(merge, staged(bucket, {(1, "a"): ("x", Decimal("-1"), None, None)}))
    assert held(stock) == before


def test_lists_cannot_be_staged_and_the_error_says_what_can(
    stock: psycopg.Connection, bucket: Bucket
) -> None:
    stock.execute("CREATE TABLE sales.tags (id integer PRIMARY KEY, tags text)")
    schema = pa.schema([("id", pa.int32()), ("tags", pa.list_(pa.string()))])
    entries = [{"url": bucket.put("t.parquet", parquet([{"id": 1, "tags": ["x"]}], schema))}]
    uri = bucket.put("manifest.json", json.dumps({"entries": entries}).encode())
    with pytest.raises(LoadError, match=r"t\.parquet .*type list.* in tags.*text"):
        WarehouseHook().load(Merge("sales.tags", ("id",), ("id", "tags")), uri)


def test_a_row_that_is_marked_as_gone_and_comes_anew_has_changed(
    stock: psycopg.Connection, bucket: Bucket
) -> None:
    """As a log of changes has it: the row as it was, and as it is."""
    put(stock, {(1, "a"): ROW, (1, "b"): ROW})
    schema = SCHEMA.append(pa.field("change", pa.string()))
    now = dict(zip(COLUMNS, (1, "a", "new", *ROW[1:]), strict=True))
    was, gone = (dict(zip(COLUMNS, (1, sku, *ROW), strict=True)) for sku in "ab")
    log = [was | {"change": "DELETE"}, now | {"change": "INSERT"}, gone | {"change": "DELETE"}]
    body = parquet(log, schema)
    uri = bucket.put(
        "manifest.json", json.dumps({"entries": [{"url": bucket.put("0.parquet", body)}]}).encode()
    )
    assert WarehouseHook().load(MARKED, uri) == Loaded(3, 0, 1, 1)
    assert held(stock) == {(1, "a"): ("new", *ROW[1:])}


# Statements.

REDSHIFT = {
    "conn_type": "redshift",
    "host": "shop.abc.eu-west-1.redshift.amazonaws.com",
    "login": "loader",
    "password": "test",
}
ROLE = "arn:aws:iam::123456789012:role/feira-copy"
MANIFEST = "s3://lake/orders/day=2010-12-01/manifest.json"


@pytest.fixture
def redshift(monkeypatch: pytest.MonkeyPatch) -> WarehouseHook:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(REDSHIFT))
    return WarehouseHook(iam_role=ROLE)


def test_the_connections_type_picks_the_side(
    redshift: WarehouseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert redshift.side == "redshift"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", "postgres://u@h/d")
    assert WarehouseHook().side == "postgres"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", "mysql://u@h/d")
    with pytest.raises(LoadError, match=r"warehouse_default .*'mysql'.*postgres or redshift"):
        _ = WarehouseHook().side


TYPES = (
    "integer",
    "character varying(40)",
    "text",
    "numeric(18,4)",
    "timestamp with time zone",
    "boolean",
    "character varying(64)",
)
TARGETS = [
    Target(column, type_, counts_bytes=True)
    for column, type_ in zip((*COLUMNS, "change"), TYPES, strict=True)
]


@pytest.mark.parametrize("gone", ["kept", "absent", "marked"])
@pytest.mark.parametrize("dialect", ["redshift", "postgres"])
def test_every_statement_parses_in_its_sides_dialect(
    redshift: WarehouseHook, monkeypatch: pytest.MonkeyPatch, gone: Gone, dialect: str
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE_DEFAULT",
        json.dumps(REDSHIFT) if dialect == "redshift" else "postgres://u@h/d",
    )
    hook = WarehouseHook(iam_role=ROLE)
    merge = Merge(TABLE, key=("shop", "sku"), columns=COLUMNS, gone=gone)
    kinds = {}
    for statement in hook.statements(merge, MANIFEST, TARGETS):
        (parsed,) = sqlglot.parse(statement.sql, dialect=dialect)
        kinds[statement.name] = type(parsed).__name__
        assert statement.sql.count("%s") == len(statement.values)
    # LOCK is a statement that sqlglot knows by its first word alone, in either dialect.
    assert [name for name, kind in kinds.items() if kind == "Command"] == ["lock"]
    assert kinds["merge"] == "Merge" and kinds["fill staged"] == "Copy"


@pytest.mark.parametrize("gone", ["kept", "absent", "marked"])
def test_merge_and_delete_keep_to_what_both_warehouses_take(gone: Gone) -> None:
    merge = Merge(TABLE, key=("shop", "sku"), columns=COLUMNS, gone=gone)
    for statement in merge.after_staging("redshift", TARGETS):
        parsed = sqlglot.parse_one(statement.sql, dialect="redshift")
        if isinstance(parsed, sqlglot.exp.Merge):
            assert isinstance(parsed.args["using"], sqlglot.exp.Table), "a subquery is refused"
            assert not parsed.this.alias
            whens = parsed.args["whens"].expressions
            assert [when.args["matched"] for when in whens] == [True, False]
            assert all(when.args.get("condition") is None for when in whens)
        if isinstance(parsed, sqlglot.exp.Delete):
            assert not parsed.this.alias


def test_both_sides_run_the_same_but_for_lock_staging_what_is_unchanged_and_texts_of_the_key(
    redshift: WarehouseHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {each.name: each.sql for each in redshift.statements(MARKED, MANIFEST, TARGETS)}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", "postgres://u@h/d")
    types = [Target(each.column, each.type) for each in TARGETS]
    here = {each.name: each.sql for each in WarehouseHook().statements(MARKED, MANIFEST, types)}
    assert [*there] == [*here]
    assert [name for name in here if here[name] != there[name]] == [
        *("lock", "describe", "fill staged", "drop unchanged", "merge")
    ]
    # On Redshift equal texts may differ, so that one of the key is set; an integer is on neither side.
    sets = [f'"{name}" = "staged_rows"."{name}"' for name in COLUMNS]
    assert f"UPDATE SET {', '.join(sets[1:])} WHEN" in there["merge"]
    assert f"UPDATE SET {', '.join(sets[2:])} WHEN" in here["merge"]
    assert there["merge"].replace(f"{sets[1]}, ", "", 1) == here["merge"]


def test_redshift_reads_the_manifest_itself(redshift: WarehouseHook) -> None:
    stage = next(
        each for each in redshift.statements(MERGE, MANIFEST) if each.name == "fill staged"
    )
    assert stage.sql == (
        f"COPY \"staged_rows\" FROM '{MANIFEST}' IAM_ROLE '{ROLE}' FORMAT PARQUET MANIFEST"
    )
    redshift.iam_role = "default"
    assert any("IAM_ROLE default" in each.sql for each in redshift.statements(MERGE, MANIFEST))


@pytest.mark.parametrize(
    "url", ["s3://lake/o'r/m", "s3://lake/a%20b", "s3://lake", "http://x/m", "s3://lake/a\\"]
)
def test_a_url_that_could_end_its_quotes_never_reaches_a_statement(
    redshift: WarehouseHook, url: str
) -> None:
    with pytest.raises(AirflowFailException, match=r"COPY.*s3://bucket/key"):
        redshift.statements(MERGE, url)


@pytest.mark.parametrize("role", ["", "admin", "arn:aws:iam::1:role/x", f"{ROLE}' MAXERROR 9"])
def test_a_role_that_is_none_is_refused(redshift: WarehouseHook, role: str) -> None:
    redshift.iam_role = role
    with pytest.raises(AirflowFailException, match="iam_role is"):
        redshift.statements(MERGE, MANIFEST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": 'sales."x'}, r"not a name"),
        ({"table": "a.b.c"}, r"more than schema"),
        ({"table": "sales.staged_rows"}, r"staged_rows .*name"),
        ({"columns": ("shop", "sku; DROP")}, r"'sku; DROP' is not a name"),
        ({"columns": ("shop", "x" * 64)}, r"not a name"),
        ({"columns": ("shop", "shop")}, r"a column is a duplicate"),
        ({"key": ()}, r"a merge needs a key"),
        ({"key": ("id",)}, r"id .*key .*not among"),
        ({"required": ("price",)}, r"price .*required.* not among"),
        ({"gone": "all"}, r"gone .*'all'; .*kept, absent or marked"),
        ({"gone": "marked", "mark": "shop"}, r"shop marks rows"),
    ],
)
def test_a_merge_that_cannot_be_is_refused_before_anything_connects(
    redshift: WarehouseHook, change: dict[str, Any], message: str
) -> None:
    merge = Merge(**({"table": TABLE, "key": ("shop",), "columns": ("shop", "sku")} | change))
    for refused in (redshift.statements, redshift.load):
        with pytest.raises(AirflowFailException, match=message):
            refused(merge, MANIFEST)


class FakeRedshift:
    """A connection that keeps the statements it gets, and counts as a table without rows would."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts
        self.statements_run: list[str] = []
        self.ended = ""

    def cursor(self) -> FakeRedshift:
        return self

    def execute(self, sql: str, values: tuple[str, ...] | None = None) -> None:
        self.statements_run.append(sql)

    def fetchone(self) -> list[int]:
        sql = self.statements_run[-1]
        return [next((n for part, n in self.counts.items() if part in sql), 0)]

    def fetchall(self) -> list[tuple[str, str]]:
        marked = any('AS "change"' in sql for sql in self.statements_run)
        columns = (*COLUMNS, "change") if marked else COLUMNS
        return list(zip(columns, TYPES, strict=False))

    @property
    def rowcount(self) -> int:
        return 0

    def commit(self) -> None:
        self.ended += "committed"

    def rollback(self) -> None:
        self.ended += "rolled back"

    def close(self) -> None:
        """Nothing is open."""


class OnRedshift(WarehouseHook):
    """The hook with the connection that a test has made."""

    connection_: FakeRedshift

    def get_conn(self) -> Any:
        return self.connection_


def on_redshift(
    monkeypatch: pytest.MonkeyPatch, counts: dict[str, int] | None = None
) -> OnRedshift:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_DEFAULT", json.dumps(REDSHIFT))
    hook = OnRedshift(iam_role=ROLE)
    hook.connection_ = FakeRedshift(counts or {})
    return hook


def test_on_redshift_the_listed_statements_are_what_runs(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = staged(bucket, {(1, "a"): ROW}, marked=set())
    hook = on_redshift(monkeypatch, {"NULL": 0, "number = 2": 0, '(*) FROM "staged_rows"': 1})
    assert asdict(hook.load(MARKED, uri)) == {
        "staged": 1,
        "inserted": 1,
        "updated": 0,
        "deleted": 0,
    }
    assert hook.connection_.statements_run == [
        each.sql for each in hook.statements(MARKED, uri, TARGETS)
    ]
    # Texts are the same when their MD5 is: blanks at their end do not count for =.
    assert [part for part in hook.connection_.statements_run if "md5" in part] == [
        MARKED.drop_unchanged("redshift", TARGETS).sql
    ]
    assert hook.connection_.ended == "committed"


@pytest.mark.parametrize("gone", ["kept", "absent", "marked"])
def test_on_postgresql_the_listed_statements_are_what_runs_and_is_logged(
    stock: psycopg.Connection, bucket: Bucket, caplog: pytest.LogCaptureFixture, gone: Gone
) -> None:
    put(stock, {(1, "a"): ROW})
    ran: list[str] = []

    class Noted(psycopg.Cursor[Any]):
        def execute(self, query: Any, *values: Any, **known: Any) -> Any:
            ran.append(query)
            return super().execute(query, *values, **known)

        def copy(self, statement: Any, *values: Any, **known: Any) -> Any:
            ran.append(statement)
            return super().copy(statement, *values, **known)

    class Watched(WarehouseHook):
        log = logging.getLogger("watched")

        def get_conn(self) -> Any:
            connection = super().get_conn()
            connection.cursor_factory = Noted
            return connection

    hook = Watched()
    merge = Merge(TABLE, key=("shop", "sku"), columns=COLUMNS, gone=gone)
    uri = staged(bucket, {(1, "a"): ("new", *ROW[1:])}, marked=set() if gone == "marked" else None)
    with caplog.at_level("INFO", logger="watched"):
        assert hook.load(merge, uri).updated == 1
    types = [Target(each.column, each.type) for each in TARGETS]
    listed = hook.statements(merge, uri, types)
    assert ran == [each.sql for each in listed]
    logged = [each.getMessage() for each in caplog.records if each.name == "watched"]
    assert logged[: len(listed)] == [f"{each.name}: {each.sql}" for each in listed]


def test_on_redshift_a_refused_load_is_rolled_back(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = on_redshift(monkeypatch)
    with pytest.raises(LoadError, match=r"staged 0 .*1 rows"):
        hook.load(MERGE, staged(bucket, {(1, "a"): ROW}))
    assert hook.connection_.ended == "rolled back"


def test_redshift_needs_the_size_of_every_file(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = staged(bucket, {(1, "a"): ROW})
    manifest = json.loads(bucket.get(uri))
    manifest["entries"][1]["meta"] = {}
    bucket.put("manifest.json", json.dumps(manifest).encode())
    with pytest.raises(LoadError, match=r"states no content_length for .*1.parquet"):
        on_redshift(monkeypatch).load(MERGE, uri)
