"""The operations of the Data API: a request that is valid in, its answer out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import psycopg

from redshift_local.data_api import catalog, results
from redshift_local.data_api.model import ApiError, invalid
from redshift_local.data_api.statements import (
    ENDED,
    Part,
    Session,
    Statement,
    Statements,
    check_parameters,
)
from redshift_local.execution import Outcome, connect
from redshift_local.loading.files import S3
from redshift_local.wording import worded

Answer = dict[str, Any]
# Of one SQL statement, in bytes.
MAX_SQL = 100_000
_NAMED = ("ClusterIdentifier", "Database", "DbUser", "SecretArn", "WorkgroupName")


class DataApi:
    """Answers requests for one database. ``rows_a_page`` is how many rows a page of a result has."""

    def __init__(self, dsn: str, s3: S3, rows_a_page: int = 1_000) -> None:
        self._dsn = dsn
        self._database = str(psycopg.conninfo.conninfo_to_dict(dsn).get("dbname") or "")
        if not self._database:
            raise ValueError("The DSN names no database: postgresql://USER@127.0.0.1:PORT/DATABASE")
        self._rows_a_page = rows_a_page
        self.statements = Statements(dsn, self._database, s3)
        self.operations: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "BatchExecuteStatement": self._batch_execute,
            "CancelStatement": self._cancel,
            "DescribeStatement": self._describe,
            "DescribeTable": self._describe_table,
            "ExecuteStatement": self._execute,
            "GetStatementResult": self._result,
            "GetStatementResultV2": self._result_v2,
            "ListDatabases": self._list_databases,
            "ListSchemas": self._list_schemas,
            "ListSessions": self._list_sessions,
            "ListStatements": self._list_statements,
            "ListTables": self._list_tables,
        }

    def close(self) -> None:
        self.statements.close()

    def answer(self, operation: str, request: dict[str, Any]) -> Answer:
        handler = self.operations.get(operation)
        if handler is None:
            raise invalid(f"redshift-local does not imitate {operation}")
        return handler(request)

    # Executing.

    def _execute(self, request: dict[str, Any]) -> Answer:
        return self._submit(request, [request["Sql"]], batch=False)

    def _batch_execute(self, request: dict[str, Any]) -> Answer:
        if request.get("ExecutionMode", "TRANSACTION") != "TRANSACTION":
            raise invalid("redshift-local does not imitate ExecutionMode AUTO_COMMIT")
        return self._submit(request, request["Sqls"], batch=True)

    def _submit(self, request: dict[str, Any], sqls: list[str], *, batch: bool) -> Answer:
        self._target(request, session=True)
        for sql in sqls:
            if len(sql.encode()) > MAX_SQL:
                raise invalid(
                    f"A statement is {len(sql.encode())} bytes long; the limit is {MAX_SQL}"
                )
        check_parameters(request, sqls)
        statement = self.statements.submit(request, sqls, batch=batch)
        waited = request.get("WaitTimeSeconds")
        if waited:
            statement.ended.wait(waited)
        answer = {name: request[name] for name in _NAMED if name in request}
        answer |= {"Id": statement.id, "CreatedAt": statement.whole.created, "DbGroups": []}
        if statement.session is not None:
            answer["SessionId"] = statement.session.id
        if waited:
            answer |= {
                "Status": statement.whole.status,
                "RedshiftPid": statement.pid,
                "HasResultSet": _has_result(statement.whole),
            }
        return answer

    def _target(self, request: dict[str, Any], *, session: bool = False) -> None:
        named = [n for n in ("ClusterIdentifier", "WorkgroupName") if n in request]
        if session and "SessionId" in request:
            if named or "Database" in request or "DbUser" in request or "SecretArn" in request:
                raise invalid(
                    "SessionId excludes ClusterIdentifier, WorkgroupName, Database, DbUser and SecretArn"
                )
            return
        if len(named) != 1:
            raise invalid("Exactly one of ClusterIdentifier and WorkgroupName must be given")
        if "Database" not in request:
            raise invalid("Database must be given")
        if "DbUser" in request and "SecretArn" in request:
            raise invalid("DbUser and SecretArn exclude each other")

    def _cancel(self, request: dict[str, Any]) -> Answer:
        self.statements.cancel(request["Id"])
        return {"Status": True}

    # What became of it.

    def _describe(self, request: dict[str, Any]) -> Answer:
        statement, part = self.statements.find(request["Id"])
        if request.get("WaitTimeSeconds"):
            statement.ended.wait(request["WaitTimeSeconds"])
        answer = {name: statement.request[name] for name in _NAMED if name in statement.request}
        if statement.session is not None:
            answer |= {k: v for k, v in statement.session.request.items() if k in _NAMED}
            answer["SessionId"] = statement.session.id
        answer |= _described(part) | {"RedshiftPid": statement.pid}
        answer["ResultFormat"] = statement.request.get("ResultFormat", "JSON")
        if statement.request.get("Parameters"):
            answer["QueryParameters"] = statement.request["Parameters"]
        if statement.batch and part is statement.whole:
            answer.pop("QueryString")
            answer["SubStatements"] = [_described(each) for each in statement.parts]
            answer["HasResultSet"] = any(_has_result(each) for each in statement.parts)
        return answer

    def _finished(self, request: dict[str, Any], form: str) -> tuple[Outcome, int]:
        statement, part = self.statements.find(request["Id"])
        if request.get("WaitTimeSeconds"):
            statement.ended.wait(request["WaitTimeSeconds"])
        if part.outcome is None or part.status != "FINISHED" or part.outcome.rows is None:
            raise ApiError(
                "ResourceNotFoundException",
                "Query does not have result. Please check query status with DescribeStatement.",
                ResourceId=request["Id"],
            )
        asked = statement.request.get("ResultFormat", "JSON")
        if asked != form:
            other = "GetStatementResultV2" if asked == "CSV" else "GetStatementResult"
            raise invalid(f"The statement's ResultFormat is {asked}: ask {other}")
        return part.outcome, _offset(request)

    def _result(self, request: dict[str, Any]) -> Answer:
        outcome, start = self._finished(request, "JSON")
        page, answer = self._page(outcome.rows or [], start, self._rows_a_page)
        answer["Records"] = [
            [
                results.field(value, column)
                for value, column in zip(row, outcome.columns, strict=True)
            ]
            for row in page
        ]
        return answer | _about(outcome)

    def _result_v2(self, request: dict[str, Any]) -> Answer:
        outcome, start = self._finished(request, "CSV")
        page, answer = self._page(outcome.rows or [], start, self._rows_a_page)
        answer["Records"] = [{"CSVRecords": results.as_csv(outcome, page, header=start == 0)}]
        return answer | _about(outcome) | {"ResultFormat": "CSV"}

    @staticmethod
    def _page(found: list[Any], start: int, size: int) -> tuple[list[Any], Answer]:
        if start > len(found):
            raise invalid("NextToken is behind the end")
        more = start + size < len(found)
        return found[start : start + size], {"NextToken": _token(start + size)} if more else {}

    # Lists.

    def _list_statements(self, request: dict[str, Any]) -> Answer:
        # Without a status those that have finished are listed.
        status = request.get("Status", "FINISHED")
        found = [
            each
            for each in self.statements.all()
            if status in ("ALL", each.whole.status)
            and each.request.get("StatementName", "").startswith(request.get("StatementName", ""))
            and all(
                request.get(name) in (None, each.request.get(name))
                for name in ("ClusterIdentifier", "Database", "WorkgroupName")
            )
        ]
        page, answer = self._page(found, _offset(request), request.get("MaxResults") or 100)
        return answer | {"Statements": [_listed(each) for each in page]}

    def _list_sessions(self, request: dict[str, Any]) -> Answer:
        found = [
            each
            for each in map(_session, self.statements.sessions())
            if all(
                request.get(name) in (None, each.get(name))
                for name in (
                    "ClusterIdentifier",
                    "Database",
                    "SessionId",
                    "Status",
                    "WorkgroupName",
                )
            )
        ]
        page, answer = self._page(found, _offset(request), request.get("MaxResults") or 100)
        return answer | {"Sessions": page}

    def _list_databases(self, request: dict[str, Any]) -> Answer:
        self._target({"Database": self._database} | request)
        return self._listed(request, "Databases", [self._database])

    def _list_schemas(self, request: dict[str, Any]) -> Answer:
        with self._catalog(request) as connection:
            found = catalog.schemas(connection, request.get("SchemaPattern", "%"))
        return self._listed(request, "Schemas", found)

    def _list_tables(self, request: dict[str, Any]) -> Answer:
        with self._catalog(request) as connection:
            found = catalog.tables(
                connection, request.get("SchemaPattern", "%"), request.get("TablePattern", "%")
            )
        return self._listed(request, "Tables", found)

    def _describe_table(self, request: dict[str, Any]) -> Answer:
        if "Table" not in request:
            raise invalid("Table must be given")
        with self._catalog(request) as connection:
            found = catalog.columns(connection, request.get("Schema", "public"), request["Table"])
        return {"TableName": request["Table"]} | self._listed(request, "ColumnList", found)

    def _listed(self, request: dict[str, Any], name: str, found: list[Any]) -> Answer:
        page, answer = self._page(found, _offset(request), request.get("MaxResults") or 1_000)
        return answer | {name: page}

    def _catalog(self, request: dict[str, Any]) -> Any:
        self._target(request)
        if request["Database"] != self._database:
            raise ApiError(
                "DatabaseConnectionException",
                f'FATAL: database "{request["Database"]}" does not exist',
            )
        try:
            return connect(self._dsn)
        except psycopg.Error as error:
            raise ApiError("DatabaseConnectionException", worded(error)) from None


def _token(offset: int) -> str:
    return base64.urlsafe_b64encode(str(offset).encode()).decode()


def _offset(request: dict[str, Any]) -> int:
    token = request.get("NextToken")
    if not token:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(token)))
    except ValueError:
        raise invalid(f"NextToken {token!r} is none of this server") from None


def _has_result(part: Part) -> bool:
    return part.outcome is not None and part.outcome.rows is not None


def _described(part: Part) -> Answer:
    outcome = part.outcome
    rows = outcome.rows if outcome is not None else None
    answer = {
        "Id": part.id,
        "Status": part.status,
        "CreatedAt": part.created,
        "UpdatedAt": part.updated,
        "Duration": part.nanoseconds if part.status in ENDED else -1,
        "QueryString": part.sql,
        "HasResultSet": rows is not None,
        "ResultRows": outcome.count if outcome is not None else -1,
        "ResultSize": sum(len(v) for row in rows for v in row if v) if rows is not None else -1,
        "RedshiftQueryId": part.query,
    }
    return answer | ({"Error": part.error} if part.error else {})


def _about(outcome: Outcome) -> Answer:
    return {
        "ColumnMetadata": [results.of_result(column) for column in outcome.columns],
        "TotalNumRows": outcome.count,
    }


def _listed(statement: Statement) -> Answer:
    request = statement.request
    answer: Answer = {
        "Id": statement.id,
        "Status": statement.whole.status,
        "CreatedAt": statement.whole.created,
        "UpdatedAt": statement.whole.updated,
        "IsBatchStatement": statement.batch,
        "ResultFormat": request.get("ResultFormat", "JSON"),
    }
    if statement.batch:
        answer["QueryStrings"] = [part.sql for part in statement.parts]
    else:
        answer["QueryString"] = statement.parts[0].sql
    if statement.session is not None:
        answer["SessionId"] = statement.session.id
    for name, ours in (("StatementName", "StatementName"), ("Parameters", "QueryParameters")):
        if name in request:
            answer[ours] = request[name]
    return answer


def _session(session: Session) -> Answer:
    status = "CLOSED" if session.closed else "BUSY" if session.current else "AVAILABLE"
    answer: Answer = {
        "SessionId": session.id,
        "Status": status,
        "CreatedAt": session.created,
        "UpdatedAt": session.updated,
        "SessionAliveSeconds": session.keep_alive,
    }
    named = ("ClusterIdentifier", "Database", "DbUser", "WorkgroupName")
    answer |= {name: session.request[name] for name in named if name in session.request}
    if session.current is not None:
        answer["CurrentStatementId"] = session.current.id
    return answer
