"""The Data API as boto3 speaks it."""

from __future__ import annotations

import json
import threading
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from redshift_local.data_api.model import service
from redshift_local.data_api.operations import DataApi
from redshift_local.data_api.server import data_api
from redshift_local.loading.files import S3

WHERE = {"WorkgroupName": "laptop", "Database": "dev"}


def execute(client: Any, sql: str | list[str], **more: Any) -> dict[str, Any]:
    """What became of a statement or, of a list, of a batch."""
    where = {} if "SessionId" in more else WHERE
    if isinstance(sql, list):
        answer = client.batch_execute_statement(Sqls=sql, **where, **more)
    else:
        answer = client.execute_statement(Sql=sql, **where, **more)
    described: dict[str, Any] = client.describe_statement(Id=answer["Id"], WaitTimeSeconds=30)
    return described


def rows(client: Any, sql: str, **more: Any) -> list[list[dict[str, Any]]]:
    described = execute(client, sql, **more)
    assert described["Status"] == "FINISHED", described.get("Error")
    found: list[list[dict[str, Any]]] = []
    pages = client.get_paginator("get_statement_result").paginate(Id=described["Id"])
    for page in pages:
        found += page["Records"]
    return found


def code_of(call: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def test_every_operation_of_the_services_model_is_served(redshift_dsn: str) -> None:
    assert set(service().operation_names) == set(DataApi(redshift_dsn, S3()).operations)


def test_a_value_is_a_field_of_its_kind(client: Any) -> None:
    (row,) = rows(
        client,
        "SELECT 1::smallint, 2, 3::bigint, 1.50::numeric(5,2), 0.5::float8, true, 'é', NULL::int, "
        "'2020-01-02'::date, '2020-01-02 03:04:05.6'::timestamp, '2020-01-02 03:04:05+02'::timestamptz, "
        "JSON_PARSE('{\"a\": [1, \"x, y: z\"]}'), 'ab'::char(3)",
    )
    assert row == [
        {"longValue": 1},
        {"longValue": 2},
        {"longValue": 3},
        {"stringValue": "1.50"},
        {"doubleValue": 0.5},
        {"booleanValue": True},
        {"stringValue": "é"},
        {"isNull": True},
        {"stringValue": "2020-01-02"},
        {"stringValue": "2020-01-02 03:04:05.6"},
        {"stringValue": "2020-01-02 01:04:05+00"},
        {"stringValue": '{"a":[1,"x, y: z"]}'},
        {"stringValue": "ab "},
    ]


def test_a_results_columns_say_type_and_size(client: Any) -> None:
    described = execute(
        client, "SELECT 1.5::numeric(9,3) AS price, 'x'::varchar(7) AS \"Name\", 2 AS n"
    )
    about = client.get_statement_result(Id=described["Id"])["ColumnMetadata"]
    assert [(c["name"], c["typeName"], c["precision"], c["scale"], c["length"]) for c in about] == [
        ("price", "numeric", 9, 3, 0),
        ("name", "varchar", 7, 0, 7),
        ("n", "int4", 10, 0, 0),
    ]


def test_a_long_result_comes_in_pages(client: Any) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 7) SELECT i FROM n"
    described = execute(client, sql)
    assert described["ResultRows"] == 7
    pages = list(client.get_paginator("get_statement_result").paginate(Id=described["Id"]))
    assert [len(page["Records"]) for page in pages] == [3, 3, 1]
    assert [row[0]["longValue"] for page in pages for row in page["Records"]] == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
    ]
    assert all(page["TotalNumRows"] == 7 for page in pages)


def test_csv_has_a_header_once_and_tells_null_from_an_empty_text(client: Any) -> None:
    sql = (
        "SELECT 1 AS n, 'a,\"b\"' AS s, NULL AS x UNION ALL SELECT 2, '', NULL UNION ALL SELECT 3, 'c', NULL "
        "UNION ALL SELECT 4, 'line\nbreak', NULL ORDER BY n"
    )
    described = execute(client, sql, ResultFormat="CSV")
    pages = list(client.get_paginator("get_statement_result_v2").paginate(Id=described["Id"]))
    text = "".join(record["CSVRecords"] for page in pages for record in page["Records"])
    assert text == 'n,s,x\r\n1,"a,""b""",\r\n2,"",\r\n3,c,\r\n4,"line\nbreak",\r\n'
    code, message = code_of(client.get_statement_result, Id=described["Id"])
    assert code == "ValidationException" and "CSV" in message


def test_rows_that_are_changed_are_counted(client: Any) -> None:
    assert execute(client, "CREATE TABLE t (a int)")["HasResultSet"] is False
    described = execute(client, "INSERT INTO t VALUES (1), (2)")
    assert (described["Status"], described["ResultRows"], described["HasResultSet"]) == (
        "FINISHED",
        2,
        False,
    )
    code, message = code_of(client.get_statement_result, Id=described["Id"])
    assert code == "ResourceNotFoundException" and "does not have result" in message
    assert described["Duration"] > 0 and described["RedshiftPid"] > 0


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", 'ERROR: syntax error at or near "ON"'),
        ("SELECT * FROM missing", 'ERROR: relation "missing" does not exist'),
        ("SELECT 1; SELECT 2", "ERROR: cannot insert multiple commands into a prepared statement"),
        (" ", "ERROR: syntax error at end of input"),
        ("SELECT 1/0", "ERROR: division by zero"),
    ],
)
def test_a_statement_that_fails_says_why(client: Any, sql: str, error: str) -> None:
    described = execute(client, sql)
    assert (described["Status"], described["HasResultSet"]) == ("FAILED", False)
    assert described["Error"].splitlines()[0] == error


def test_what_the_data_refuses_has_redshifts_words(client: Any) -> None:
    execute(client, "CREATE TABLE t (a varchar(3))")
    assert execute(client, "INSERT INTO t VALUES ('éé')")["Error"].startswith(
        "ERROR: Value too long for character type"
    )


def test_a_batch_is_one_transaction(client: Any) -> None:
    described = execute(
        client, ["CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)", "SELECT a FROM t"]
    )
    assert described["Status"] == "FINISHED" and described["HasResultSet"] is True
    parts = described["SubStatements"]
    assert [part["Id"] for part in parts] == [f"{described['Id']}:{n}" for n in (1, 2, 3)]
    assert [part["HasResultSet"] for part in parts] == [False, False, True]
    assert client.get_statement_result(Id=parts[2]["Id"])["Records"] == [[{"longValue": 1}]]
    assert client.describe_statement(Id=parts[1]["Id"])["ResultRows"] == 1

    described = execute(
        client, ["INSERT INTO t VALUES (2)", "SELECT 1/0", "INSERT INTO t VALUES (3)"]
    )
    assert described["Status"] == "FAILED"
    assert described["Error"] == "Query #2 failed with ERROR: division by zero"
    assert [part["Status"] for part in described["SubStatements"]] == [
        "FINISHED",
        "FAILED",
        "ABORTED",
    ]
    refused = execute(client, ["INSERT INTO t VALUES (2)", "SAVEPOINT a"])
    assert refused["Error"].startswith('Query #2 failed with ERROR: SQL command "SAVEPOINT"')
    assert rows(client, "SELECT a FROM t") == [[{"longValue": 1}]]


def test_truncate_in_a_batch_commits_what_was_before_it(client: Any) -> None:
    execute(client, ["CREATE TABLE t (a int)", "CREATE TABLE u (a int)"])
    failed = execute(
        client, ["INSERT INTO u VALUES (1)", "TRUNCATE t", "INSERT INTO u VALUES (2)", "SELECT 1/0"]
    )
    assert failed["Status"] == "FAILED"
    assert rows(client, "SELECT a FROM u") == [[{"longValue": 1}]]


def test_vacuum_is_refused_in_a_batch(client: Any) -> None:
    described = execute(client, ["CREATE TABLE t (a int)", "VACUUM t"])
    assert "VACUUM cannot run inside a transaction block" in described["Error"]


def test_parameters_take_the_type_of_their_place(client: Any) -> None:
    given = [{"name": "day", "value": "2020-01-02"}, {"name": "n", "value": "3"}]
    assert rows(
        client,
        "SELECT DATEADD(day, :n, :day), :n::int + 1, ':n' WHERE '2020-01-02'::date = :day",
        Parameters=given,
    ) == [[{"stringValue": "2020-01-05 00:00:00"}, {"longValue": 4}, {"stringValue": ":n"}]]
    hostile = "'); DROP TABLE t; --"
    assert rows(client, "SELECT :s::varchar", Parameters=[{"name": "s", "value": hostile}]) == [
        [{"stringValue": hostile}]
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a", "b"], "Unused parameters: ['b']"),
        ([], "['a']"),
        (["a", "a"], "duplicate parameters: ['a']"),
    ],
)
def test_parameters_are_those_of_the_statement(client: Any, names: list[str], message: str) -> None:
    given = {"Parameters": [{"name": name, "value": "1"} for name in names]} if names else {}
    code, said = code_of(client.execute_statement, Sql="SELECT :a::int", **WHERE, **given)
    assert code == "ValidationException" and message in said


def test_one_client_token_is_one_statement(client: Any) -> None:
    execute(client, "CREATE TABLE t (a int)")
    call = {"Sql": "INSERT INTO t VALUES (1)", "ClientToken": "once", **WHERE}
    ids = {client.execute_statement(**call)["Id"] for _ in range(3)}
    assert len(ids) == 1
    client.describe_statement(Id=ids.pop(), WaitTimeSeconds=30)
    assert rows(client, "SELECT COUNT(*) FROM t") == [[{"longValue": 1}]]
    code, message = code_of(client.execute_statement, **(call | {"Sql": "DELETE FROM t"}))
    assert code == "ValidationException" and "once" in message


def test_a_session_keeps_temporary_tables_and_transactions(client: Any) -> None:
    made = client.execute_statement(
        Sql="CREATE TABLE #t (a int)", SessionKeepAliveSeconds=60, **WHERE
    )
    session = made["SessionId"]
    client.describe_statement(Id=made["Id"], WaitTimeSeconds=30)
    for sql in ("BEGIN", "INSERT INTO #t VALUES (1)", "ROLLBACK", "INSERT INTO #t VALUES (2)"):
        assert execute(client, sql, SessionId=session)["Status"] == "FINISHED"
    assert rows(client, "SELECT a FROM #t", SessionId=session) == [[{"longValue": 2}]]
    (listed,) = client.list_sessions(SessionId=session)["Sessions"]
    assert (listed["Status"], listed["Database"]) == ("AVAILABLE", "dev")
    execute(client, "BEGIN", SessionId=session)
    refused = execute(client, ["SELECT 1"], SessionId=session)
    assert "already a transaction in progress" in refused["Error"]
    execute(client, "SELECT 1", SessionId=session, SessionKeepAliveSeconds=0)
    code, message = code_of(client.execute_statement, Sql="SELECT 1", SessionId=session)
    assert code == "ValidationException" and "not available" in message


def test_a_session_ends_when_its_time_is_over(client: Any) -> None:
    made = client.execute_statement(
        Sql="BEGIN", SessionKeepAliveSeconds=1, WaitTimeSeconds=30, **WHERE
    )
    session = made["SessionId"]
    until = datetime.now(UTC) + timedelta(seconds=20)
    while client.list_sessions(SessionId=session)["Sessions"][0]["Status"] != "CLOSED":
        assert datetime.now(UTC) < until


def test_a_session_runs_one_statement_at_a_time(
    client: Any, connection: psycopg.Connection[Any]
) -> None:
    execute(client, "CREATE TABLE t (a int)")
    with connection.transaction():
        connection.execute("LOCK TABLE t")
        waiting = client.execute_statement(
            Sql="SELECT a FROM t", SessionKeepAliveSeconds=60, **WHERE
        )
        code, message = code_of(
            client.execute_statement, Sql="SELECT 1", SessionId=waiting["SessionId"]
        )
        assert code == "ValidationException" and waiting["Id"] in message
    assert client.describe_statement(Id=waiting["Id"], WaitTimeSeconds=30)["Status"] == "FINISHED"


def test_a_running_statement_is_cancelled(client: Any, connection: psycopg.Connection[Any]) -> None:
    execute(client, "CREATE TABLE t (a int)")
    with connection.transaction():
        connection.execute("LOCK TABLE t")
        waiting = client.execute_statement(Sql="SELECT a FROM t", **WHERE)["Id"]
        until = datetime.now(UTC) + timedelta(seconds=20)
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while connection.execute(blocked).fetchone() == (0,):
            assert datetime.now(UTC) < until
        assert client.cancel_statement(Id=waiting)["Status"] is True
        assert client.describe_statement(Id=waiting, WaitTimeSeconds=30)["Status"] == "ABORTED"
    code, message = code_of(client.cancel_statement, Id=waiting)
    assert code == "ValidationException" and "ABORTED" in message


def test_statements_are_listed_newest_first_by_name_and_status(client: Any) -> None:
    name = f"nightly-{uuid.uuid4()}"
    ids = [execute(client, f"SELECT {n}", StatementName=f"{name}-{n}")["Id"] for n in range(3)]
    failed = execute(client, "SELECT 1/0", StatementName=f"{name}-failed")["Id"]

    def listed(**filters: Any) -> list[str]:
        return [
            each["Id"]
            for each in client.list_statements(StatementName=name, **filters)["Statements"]
        ]

    assert listed() == ids[::-1]
    assert listed(Status="FAILED") == [failed]
    assert listed(Status="ALL") == [failed, *ids[::-1]]
    first = client.list_statements(StatementName=name, MaxResults=2)
    second = client.list_statements(StatementName=name, MaxResults=2, NextToken=first["NextToken"])
    assert [e["Id"] for e in first["Statements"] + second["Statements"]] == ids[::-1]


def test_the_catalogue_is_listed(client: Any) -> None:
    execute(
        client,
        [
            "CREATE TABLE sold (id int NOT NULL, name varchar(9) DEFAULT 'x', price numeric(8,2))",
            "CREATE VIEW seen AS SELECT id FROM sold",
        ],
    )
    assert client.list_databases(**WHERE)["Databases"] == ["dev"]
    assert client.list_schemas(SchemaPattern="pub%", **WHERE)["Schemas"] == ["public"]
    assert "redshift" not in client.list_schemas(**WHERE)["Schemas"]
    tables = client.list_tables(SchemaPattern="public", TablePattern="s%", **WHERE)["Tables"]
    assert tables == [
        {"name": "seen", "schema": "public", "type": "VIEW"},
        {"name": "sold", "schema": "public", "type": "TABLE"},
    ]
    columns = client.describe_table(Schema="public", Table="sold", **WHERE)["ColumnList"]
    assert [
        (c["name"], c["typeName"], c["nullable"], c["length"], c["scale"]) for c in columns
    ] == [
        ("id", "int4", 0, 0, 0),
        ("name", "varchar", 1, 9, 0),
        ("price", "numeric", 1, 0, 2),
    ]
    assert columns[1]["columnDefault"] == "'x'::character varying"
    assert client.describe_table(Table="none", **WHERE)["ColumnList"] == []
    first = client.describe_table(Table="sold", MaxResults=2, **WHERE)
    rest = client.describe_table(Table="sold", NextToken=first["NextToken"], **WHERE)
    assert [c["name"] for c in rest["ColumnList"]] == ["price"]


def test_another_database_does_not_exist(client: Any) -> None:
    where = {"WorkgroupName": "laptop", "Database": "prod"}
    answer = client.execute_statement(Sql="SELECT 1", WaitTimeSeconds=30, **where)
    assert answer["Status"] == "FAILED"
    assert 'database "prod" does not exist' in client.describe_statement(Id=answer["Id"])["Error"]
    assert code_of(client.list_tables, **where)[0] == "DatabaseConnectionException"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"Sql": "SELECT 1", "Database": "dev"}, "ClusterIdentifier and WorkgroupName"),
        (
            {"Sql": "SELECT 1", "ClusterIdentifier": "c", **WHERE},
            "ClusterIdentifier and WorkgroupName",
        ),
        ({"Sql": "SELECT 1", "WorkgroupName": "laptop"}, "Database"),
        (
            {"Sql": "SELECT 1", "ClusterIdentifier": "Not Lower", "Database": "dev"},
            "ClusterIdentifier",
        ),
        ({"Sql": "SELECT 1", "ResultFormat": "XML", **WHERE}, "JSON, CSV"),
        ({"Sql": "SELECT 1", "ClientToken": "x" * 65, **WHERE}, "ClientToken"),
        ({"Sql": "SELECT 1", "SessionKeepAliveSeconds": 86401, **WHERE}, "86400"),
        ({"Sql": "SELECT '" + "x" * 100_000 + "'", **WHERE}, "100000"),
        ({"Sql": "SELECT 1", "SessionId": str(uuid.uuid4()), **WHERE}, "SessionId"),
        ({"Sql": "SELECT 1", "SessionId": str(uuid.uuid4())}, "not available"),
        ({"Sql": "SELECT 1", "DbUser": "a", "SecretArn": "b", **WHERE}, "DbUser and SecretArn"),
    ],
)
def test_a_request_that_the_service_refuses_is_refused(
    client: Any, arguments: dict[str, Any], message: str
) -> None:
    code, said = code_of(client.execute_statement, **arguments)
    assert code == "ValidationException" and message in said


def test_a_batch_has_at_most_forty_statements(client: Any) -> None:
    code, message = code_of(client.batch_execute_statement, Sqls=["SELECT 1"] * 41, **WHERE)
    assert code == "ValidationException" and "40" in message
    code, message = code_of(
        client.batch_execute_statement, Sqls=["SELECT 1"], ExecutionMode="AUTO_COMMIT", **WHERE
    )
    assert "AUTO_COMMIT" in message


def test_an_id_that_is_none_is_not_found(client: Any) -> None:
    for call in (client.describe_statement, client.get_statement_result, client.cancel_statement):
        assert code_of(call, Id=str(uuid.uuid4()))[0] == "ResourceNotFoundException"
        assert code_of(call, Id="x")[0] == "ValidationException"


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("RedshiftData.ExecuteStatement", b"{", "SerializationException"),
        ("RedshiftData.ExecuteStatement", b"[]", "SerializationException"),
        ("RedshiftData.ExecuteStatement", b'{"Sql": 1}', "ValidationException"),
        (
            "RedshiftData.ExecuteStatement",
            b'{"Sql": "SELECT 1", "Query": "x"}',
            "ValidationException",
        ),
        ("RedshiftData.Execute", b"{}", "UnknownOperationException"),
        ("DynamoDB_20120810.ListTables", b"{}", "UnknownOperationException"),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    data_api_url: str, target: str, body: bytes, code: str
) -> None:
    request = urllib.request.Request(data_api_url, body, {"X-Amz-Target": target})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    assert json.load(refused.value)["__type"] == code


def test_the_server_is_on_loopback_and_nowhere_else(redshift_dsn: str) -> None:
    with (
        pytest.raises(ValueError, match=r"0\.0\.0\.0 is not loopback"),
        data_api(redshift_dsn, host="0.0.0.0"),
    ):
        pass


def test_the_end_of_the_server_cancels_what_runs(
    redshift_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("CREATE TABLE t (a int)")
    with connection.transaction():
        connection.execute("LOCK TABLE t")
        with data_api(redshift_dsn) as url:
            body = json.dumps({"Sql": "SELECT a FROM t", **WHERE}).encode()
            request = urllib.request.Request(
                url, body, {"X-Amz-Target": "RedshiftData.ExecuteStatement"}
            )
            assert "Id" in json.load(urllib.request.urlopen(request))


def test_a_session_that_has_a_lock_goes_on_while_all_threads_wait_for_it(client: Any) -> None:
    execute(client, "CREATE TABLE t (a int)")
    session = execute(client, "BEGIN", SessionKeepAliveSeconds=60)["SessionId"]
    execute(client, "LOCK t", SessionId=session)
    inserted = [
        client.execute_statement(Sql=f"INSERT INTO t VALUES ({n})", **WHERE)["Id"] for n in range(9)
    ]
    try:
        assert execute(client, "COMMIT", SessionId=session)["Status"] == "FINISHED"
        for each in inserted:
            assert client.describe_statement(Id=each, WaitTimeSeconds=30)["Status"] == "FINISHED"
    finally:
        # What still waits would have the lock, and with it the tests that follow.
        for each in inserted:
            with suppress(ClientError):
                client.cancel_statement(Id=each)
    assert rows(client, "SELECT COUNT(*) FROM t") == [[{"longValue": 9}]]


def test_the_end_of_the_server_ends_what_waits_and_runs_nothing_more(
    redshift_dsn: str, connection: psycopg.Connection[Any]
) -> None:
    connection.execute("CREATE TABLE t (a int)")
    api = DataApi(redshift_dsn, S3())
    with connection.transaction():
        connection.execute("LOCK TABLE t")
        ids = [
            api.answer("ExecuteStatement", {"Sql": f"INSERT INTO t VALUES ({n})", **WHERE})["Id"]
            for n in range(12)
        ]
        api.close()
        found = [api.statements.find(each)[0].whole.status for each in ids]
        assert found == ["ABORTED"] * 12
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_statement_that_ends_while_the_server_does_is_no_fault(
    redshift_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = DataApi(redshift_dsn, S3())
    run, goes_on = api.statements._part, threading.Event()

    def slowly(*of: Any) -> None:
        run(*of)
        # It has finished, and its end is not known yet.
        threading.Timer(0.2, goes_on.set).start()
        goes_on.wait()

    monkeypatch.setattr(api.statements, "_part", slowly)
    id_ = api.answer("ExecuteStatement", {"Sql": "SELECT 1", **WHERE})["Id"]
    while api.statements.find(id_)[0].whole.status != "FINISHED":
        pass
    api.close()
    assert api.statements.find(id_)[0].ended.is_set()
