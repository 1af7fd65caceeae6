"""The PostgreSQL protocol as psycopg, redshift_connector and Airflow's hook speak it."""

from __future__ import annotations

import json
import os
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any, BinaryIO

import psycopg
import pytest
import redshift_connector

from redshift_local.wire import messages
from redshift_local.wire.server import wire

# Before the first import of airflow, which reads its settings once.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="redshift-airflow-")
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")


@pytest.fixture
def port(wire_port: int) -> int:
    return wire_port


def dsn(port: int) -> str:
    return f"postgresql://awsuser:any@127.0.0.1:{port}/dev"


@pytest.fixture
def session(port: int, connection: object) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """psycopg's session, in autocommit; the schema ``public`` is empty before and after."""
    with psycopg.connect(dsn(port), autocommit=True) as session:
        yield session


@pytest.fixture
def driver(port: int, connection: object) -> Iterator[redshift_connector.Connection]:
    """redshift_connector's session, not in autocommit."""
    session = redshift_connector.connect(
        host="127.0.0.1", port=port, database="dev", user="awsuser", password="any", ssl=False
    )
    yield session
    session.close()


Session = psycopg.Connection[tuple[Any, ...]]


def test_it_says_that_it_is_redshift(session: Session) -> None:
    assert session.info.parameter_status("server_version") == "8.0.2"
    assert session.info.parameter_status("session_authorization") == "awsuser"
    (said,) = session.execute("SELECT VERSION()").fetchone() or ("",)
    assert said.startswith("PostgreSQL 8.0.2") and "Redshift" in said


@pytest.mark.parametrize("binary", [False, True])
def test_values_come_as_their_types(session: Session, binary: bool) -> None:
    cursor = session.execute(
        "SELECT NVL(NULL, 1), 1.50::numeric(5,2), 0.5::float8, 'é'::varchar, true, NULL, '2020-01-02'::date,"
        " GETDATE() > '2020-01-01', %s::int + 1",
        [41],
        binary=binary,
    )
    assert cursor.fetchone() == (
        1,
        Decimal("1.50"),
        0.5,
        "é",
        True,
        None,
        date(2020, 1, 2),
        True,
        42,
    )


def test_a_prepared_statement_is_translated_once_and_run_often(session: Session) -> None:
    found = [
        session.execute("SELECT TOP 1 NVL(%s, 7)", [n], prepare=True).fetchone()
        for n in (1, None, 3)
    ]
    assert found == [(1,), (7,), (3,)]


def test_several_statements_are_one_transaction(session: Session) -> None:
    session.execute("CREATE TABLE t (a int)")
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute("INSERT INTO t VALUES (1); SELECT 1/0")
    cursor = session.execute("INSERT INTO t VALUES (2); SELECT a FROM t; SELECT COUNT(*) FROM t")
    results = []
    while True:
        results.append(cursor.fetchall() if cursor.description else cursor.rowcount)
        if not cursor.nextset():
            break
    assert results == [1, [(2,)], [(1,)]]


@pytest.mark.parametrize("prepare", [False, True])
def test_a_refusal_has_its_words_class_and_hint_and_fails_the_transaction(
    session: Session, prepare: bool
) -> None:
    session.execute("CREATE TABLE t (a int)")
    session.execute("BEGIN")
    session.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg.errors.UndefinedFunction) as refused:
        session.execute("SELECT STRING_AGG(a, ',') FROM t", prepare=prepare)
    assert refused.value.diag.message_primary == "function string_agg(…) does not exist"
    assert "LISTAGG" in (refused.value.diag.message_hint or "")
    assert refused.value.diag.context is None and refused.value.diag.source_file is None
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        session.execute("SELECT 1", prepare=prepare)
    session.execute("ROLLBACK")
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)


def test_a_refusal_in_a_pipeline_comes_in_its_turn(session: Session) -> None:
    session.execute("CREATE TABLE t (a int)")

    def both(divisor: int) -> None:
        with session.pipeline():
            session.execute("SELECT 1 / %s::int", [divisor])
            session.execute("SELECT STRING_AGG(a::varchar, %s) FROM t WHERE a > %s", [",", 1])

    with pytest.raises(psycopg.errors.DivisionByZero):
        both(0)
    with pytest.raises(psycopg.errors.UndefinedFunction):
        both(1)
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)


def test_a_refused_statement_runs_nothing_of_those_beside_it(session: Session) -> None:
    session.execute("CREATE TABLE t (a int)")
    with pytest.raises(psycopg.errors.FeatureNotSupported):
        session.execute("INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2)")
    assert session.execute("SELECT COUNT(*) FROM t").fetchone() == (0,)


def test_what_the_data_refuses_has_redshifts_words(session: Session) -> None:
    session.execute("CREATE TABLE t (a varchar(3))")
    with pytest.raises(psycopg.errors.StringDataRightTruncation) as refused:
        session.execute("INSERT INTO t VALUES (%s)", ["éé"])
    assert refused.value.diag.message_primary == "Value too long for character type"
    assert "character varying(3)" in (refused.value.diag.message_detail or "")


@pytest.mark.parametrize("prepare", [False, True])
def test_truncate_commits(session: Session, prepare: bool) -> None:
    """By both of the protocol's ways: as a query, and prepared."""
    session.execute("CREATE TABLE t (a int)")
    session.execute("CREATE TABLE u (a int)")
    session.execute("BEGIN")
    session.execute("INSERT INTO u VALUES (1)")
    session.execute("TRUNCATE t", prepare=prepare)
    assert session.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    session.execute("INSERT INTO u VALUES (2)")
    session.execute("ROLLBACK")
    assert session.execute("SELECT COUNT(*) FROM u").fetchone() == (2,)


def test_what_is_run_besides_shows_no_result(session: Session) -> None:
    session.execute("CREATE TABLE t (a int)")
    cursor = session.execute("TRUNCATE t; SELECT 1")
    assert cursor.statusmessage == "TRUNCATE TABLE"
    assert cursor.nextset() and cursor.fetchall() == [(1,)] and not cursor.nextset()


def test_a_client_is_told_of_no_setting_that_redshift_does_not_report(session: Session) -> None:
    session.execute("SET search_path TO public")
    assert session.info.parameter_status("search_path") is None
    session.execute("SET application_name TO 'here'")
    assert session.info.parameter_status("application_name") == "here"


def test_a_transaction_of_psycopg_has_no_savepoint(session: Session) -> None:
    with session.transaction():
        session.execute("CREATE TABLE t (a int)")
        with pytest.raises(psycopg.errors.FeatureNotSupported), session.transaction():
            pass


def test_copy_from_stdin_is_refused(session: Session) -> None:
    session.execute("CREATE TABLE t (a int)")
    with (
        pytest.raises(psycopg.errors.FeatureNotSupported, match="COPY FROM STDIN"),
        session.cursor().copy("COPY t FROM STDIN"),
    ):
        pass


def test_a_query_is_cancelled(session: Session, connection: psycopg.Connection[Any]) -> None:
    session.execute("CREATE TABLE t (a int)")
    failed: list[Exception] = []

    def read() -> None:
        try:
            session.execute("SELECT a FROM t")
        except psycopg.Error as error:
            failed.append(error)

    with connection.transaction():
        connection.execute("LOCK TABLE t")
        thread = threading.Thread(target=read)
        thread.start()
        while connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() == (
            0,
        ):
            pass
        session.cancel_safe()
        thread.join(30)
    assert [type(error) for error in failed] == [psycopg.errors.QueryCanceled]
    assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_pipeline_of_statements(session: Session) -> None:
    session.execute("CREATE TABLE t (a int)")
    with session.pipeline():
        cursors = [session.execute("INSERT INTO t VALUES (%s)", [n]) for n in range(20)]
        found = session.execute("SELECT LISTAGG(a, ',') WITHIN GROUP (ORDER BY a) FROM t")
    assert sum(cursor.rowcount for cursor in cursors) == 20
    assert found.fetchone() == (",".join(map(str, range(20))),)


def test_a_large_result_passes(session: Session) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    sql = f"{numbers} SELECT i, REPEAT('x', 100) FROM n"
    assert len(session.execute(sql).fetchall()) == 20_000


def test_another_database_does_not_exist(port: int) -> None:
    with pytest.raises(psycopg.OperationalError, match='database "prod" does not exist'):
        psycopg.connect(dsn(port).replace("/dev", "/prod"))


@pytest.mark.parametrize(
    "first",
    [
        struct.pack("!II", 8, 131072),
        struct.pack("!II", 4_000_000, 196608),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_the_protocol_is_told_so_and_closed(port: int, first: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(first)
        answer = client.makefile("rb").read()
    assert answer[:1] == b"E" and b"08P01" in answer


@contextmanager
def raw(port: int, **options: str) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """A client of the protocol's bytes, and what it reads; its session has begun."""
    names = {"user": "awsuser", "database": "dev", **options}
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in names.items()) + b"\0"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(struct.pack("!II", len(body) + 8, 196608) + body)
        yield client, client.makefile("rb")


def answered(reader: BinaryIO, last: bytes = b"Z") -> list[tuple[bytes, bytes]]:
    """The messages up to one of that kind, or to the end."""
    found: list[tuple[bytes, bytes]] = []
    while head := reader.read(5):
        found.append((head[:1], reader.read(struct.unpack("!I", head[1:])[0] - 4)))
        if head[:1] == last:
            break
    return found


def sent(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


SYNC = sent(b"S", b"")
NO_UTF8 = b"SELECT '\xe9'\0"


@pytest.mark.parametrize(
    "broken",
    [
        sent(b"Q", NO_UTF8),
        sent(b"Q", b"SELECT 1"),
        sent(b"P", b"\0" + NO_UTF8 + b"\0\0") + SYNC,
        sent(b"P", b"") + SYNC,
        sent(b"B", b"\xff\0") + SYNC,
        sent(b"E", b"no end") + SYNC,
    ],
    ids=["query", "query without end", "parse", "empty parse", "bind", "execute"],
)
def test_a_message_that_cannot_be_read_is_an_error_and_not_the_sessions_end(
    port: int, broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with raw(port) as (client, reader):
        answered(reader)
        client.sendall(broken)
        (kind, error), (last, state) = answered(reader)
        assert (kind, last, state) == (b"E", b"Z", b"I")
        assert b"CXX000\0" in error and b"redshift-local: " in error
        client.sendall(sent(b"Q", b"SELECT 7\0"))
        assert b"7" in dict(answered(reader))[b"D"]
    own = [each.levelname for each in caplog.records if each.name.startswith("redshift_local")]
    assert own == ["ERROR"]


@pytest.mark.parametrize("prepare", [False, True])
def test_a_message_that_is_too_long_is_an_error_and_not_the_sessions_end(
    session: Session, prepare: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "MAX_LENGTH", 1000)
    monkeypatch.setattr(messages, "_CHUNK", 300)
    with pytest.raises(psycopg.errors.StatementTooComplex, match="1000 at most"):
        session.execute(f"SELECT 1 /* {'x' * 1000} */", prepare=prepare)
    assert session.execute("SELECT 7").fetchone() == (7,)
    with pytest.raises(psycopg.errors.StatementTooComplex, match="1000 at most"):
        session.execute("SELECT LEN(%s)", ["x" * 1000])
    assert session.execute("SELECT 8").fetchone() == (8,)


def test_a_message_of_no_kind_and_one_without_a_length_end_the_session_with_a_reason(
    port: int,
) -> None:
    for broken in (sent(b"F", b""), b"Q" + struct.pack("!I", 3)):
        with raw(port) as (client, reader):
            answered(reader)
            client.sendall(broken)
            ((kind, error),) = answered(reader)
        assert kind == b"E" and b"SFATAL\0" in error and b"C08P01\0" in error


def test_a_session_that_cannot_begin_says_why(port: int, caplog: pytest.LogCaptureFixture) -> None:
    body = b"user\0caf\xe9\0\0"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(struct.pack("!II", len(body) + 8, 196608) + body)
        ((kind, error),) = answered(client.makefile("rb"))
    assert kind == b"E" and b"SFATAL\0" in error and b"CXX000\0" in error
    own = [each.levelname for each in caplog.records if each.name.startswith("redshift_local")]
    assert own == ["ERROR"]


@pytest.mark.parametrize("encoding", ["UTF8", "utf-8", "UNICODE"])
def test_utf8_is_the_encoding_of_clients(port: int, encoding: str) -> None:
    with raw(port, client_encoding=encoding) as (client, reader):
        assert (b"S", b"client_encoding\0UTF8\0") in answered(reader)
        client.sendall(sent(b"Q", f"SET client_encoding TO '{encoding}'\0".encode()))
        assert not dict(answered(reader)).keys() - {b"C", b"S", b"Z"}
        client.sendall(sent(b"Q", "RESET ALL; SELECT 'café'\0".encode()))
        assert dict(answered(reader))[b"D"].endswith("café".encode())


@pytest.mark.parametrize("encoding", ["latin1", "WIN1252", "SQL_ASCII"])
def test_another_encoding_is_refused(port: int, session: Session, encoding: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=f'client_encoding "{encoding}".* UTF8'):
        psycopg.connect(dsn(port), client_encoding=encoding)
    with pytest.raises(psycopg.errors.FeatureNotSupported, match=f"client_encoding {encoding}"):
        session.execute(f"SET client_encoding TO '{encoding}'".encode())
    session.execute("SET client_encoding TO DEFAULT")
    assert session.execute("SELECT 'café'").fetchone() == ("café",)


def test_the_server_is_on_loopback_and_nowhere_else(redshift_dsn: str) -> None:
    with (
        pytest.raises(ValueError, match=r"0\.0\.0\.0 is not loopback"),
        wire(redshift_dsn, host="0.0.0.0"),
    ):
        pass


def test_the_end_of_the_server_closes_its_sessions(redshift_dsn: str) -> None:
    with wire(redshift_dsn) as port:
        session = psycopg.connect(dsn(port), autocommit=True)
        session.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")


def test_redshift_connector_runs_its_statements(driver: redshift_connector.Connection) -> None:
    cursor = driver.cursor()
    cursor.execute("CREATE TABLE t (a int, b varchar(9), c numeric(8,2), d timestamp, e super)")
    cursor.executemany(
        "INSERT INTO t VALUES (%s, %s, %s, %s, JSON_PARSE(%s))",
        [(1, "x", Decimal("1.50"), datetime(2020, 1, 2), "[1]"), (2, None, None, None, None)],
    )
    driver.commit()
    cursor.execute(
        "SELECT TOP 2 a, NVL(b, '-'), c, d, JSON_SERIALIZE(e) FROM t WHERE a > %s ORDER BY a", (0,)
    )
    assert [tuple(row) for row in cursor.fetchall()] == [
        (1, "x", Decimal("1.50"), datetime(2020, 1, 2), "[1]"),
        (2, "-", None, None, None),
    ]
    assert [column[0] for column in cursor.description] == [
        "a",
        "coalesce",
        "c",
        "d",
        "json_serialize",
    ]
    cursor.execute("INSERT INTO t (a) VALUES (3)")
    driver.rollback()
    cursor.execute("SELECT COUNT(*) FROM t")
    assert tuple(cursor.fetchone()) == (2,)


def test_redshift_connector_raises_the_refusal(driver: redshift_connector.Connection) -> None:
    cursor = driver.cursor()
    with pytest.raises(redshift_connector.ProgrammingError) as refused:
        cursor.execute("SELECT a FROM t FOR UPDATE")
    assert refused.value.args[0]["C"] == "0A000"
    assert "FOR UPDATE" in refused.value.args[0]["M"]
    driver.rollback()
    cursor.execute("SELECT 1")
    assert tuple(cursor.fetchone()) == (1,)


@pytest.fixture
def hook(port: int, connection: object, monkeypatch: pytest.MonkeyPatch) -> Any:
    from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook

    about = {
        "conn_type": "redshift",
        "host": "127.0.0.1",
        "port": port,
        "login": "awsuser",
        "password": "any",
        "schema": "dev",
        "extra": {"ssl": False},
    }
    monkeypatch.setenv("AIRFLOW_CONN_REDSHIFT_DEFAULT", json.dumps(about))
    return RedshiftSQLHook()


def test_airflows_hook_runs_and_reads(hook: Any) -> None:
    hook.run(["CREATE TABLE t (a int, b varchar(9))", "INSERT INTO t VALUES (1, 'x')"])
    hook.insert_rows("t", [(2, "y"), (3, "z")], target_fields=["a", "b"])
    assert [tuple(row) for row in hook.get_records("SELECT TOP 2 a, b FROM t ORDER BY a DESC")] == [
        (3, "z"),
        (2, "y"),
    ]
    assert tuple(hook.get_first("SELECT COUNT(*) FROM t WHERE b = %s", parameters=("y",))) == (1,)
