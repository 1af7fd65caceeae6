"""Airflow's own hook, operator and trigger against the Data API, unchanged."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from typing import Any, ClassVar

import pytest

# Before the first import of airflow, which reads its settings once.
if "AIRFLOW_HOME" not in os.environ:
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="redshift-airflow-")
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

WHERE: dict[str, Any] = {"database": "dev", "workgroup_name": "laptop"}


@pytest.fixture
def airflow(client: Any, data_api_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ``aws_default`` leads to the Data API."""
    connection = {
        "conn_type": "aws",
        "login": "test",
        "password": "test",
        "extra": {"region_name": "eu-central-1", "endpoint_url": data_api_url},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))


def _operator(sql: str | list[str], **more: Any) -> Any:
    from airflow.providers.amazon.aws.operators.redshift_data import RedshiftDataOperator

    return RedshiftDataOperator(task_id="run", sql=sql, poll_interval=1, **WHERE, **more)


@pytest.mark.usefixtures("airflow")
def test_the_hook_runs_statements_and_batches() -> None:
    from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook

    hook = RedshiftDataHook()
    made = hook.execute_query(
        ["CREATE TABLE t (a int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)"],
        poll_interval=1,
        **WHERE,
    )
    assert made.session_id is None
    found = hook.execute_query(
        "SELECT a FROM t WHERE a > :a ORDER BY a",
        parameters=[{"name": "a", "value": "1"}],
        poll_interval=1,
        **WHERE,
    )
    assert hook.conn.get_statement_result(Id=found.statement_id)["Records"] == [[{"longValue": 2}]]


@pytest.mark.slow
@pytest.mark.usefixtures("airflow")
def test_the_hook_raises_what_the_statement_failed_with() -> None:
    from airflow.providers.amazon.aws.hooks.redshift_data import (
        RedshiftDataHook,
        RedshiftDataQueryFailedError,
    )

    with pytest.raises(RedshiftDataQueryFailedError, match="function string_agg"):
        RedshiftDataHook().execute_query(
            "SELECT STRING_AGG(a, ',') FROM t", poll_interval=1, **WHERE
        )


@pytest.mark.slow
@pytest.mark.usefixtures("airflow")
def test_the_hook_keeps_a_session() -> None:
    from airflow.providers.amazon.aws.hooks.redshift_data import RedshiftDataHook

    hook = RedshiftDataHook()
    made = hook.execute_query(
        "CREATE TABLE #t (a int)", session_keep_alive_seconds=60, poll_interval=1, **WHERE
    )
    assert made.session_id is not None
    again = hook.execute_query(
        "SELECT COUNT(*) FROM #t", session_id=made.session_id, poll_interval=1
    )
    assert hook.conn.get_statement_result(Id=again.statement_id)["Records"] == [[{"longValue": 0}]]


@pytest.mark.usefixtures("airflow")
def test_the_operator_returns_a_batchs_results() -> None:
    ids = _operator(["CREATE TABLE t (a int)", "INSERT INTO t VALUES (7)"]).execute(
        {"ti": _NoXCom()}
    )
    assert [each.split(":")[1] for each in ids] == ["1", "2"]
    results = _operator(["SELECT a FROM t", "SELECT a + 1 FROM t"], return_sql_result=True).execute(
        {"ti": _NoXCom()}
    )
    assert [page["Records"] for page in results] == [[[{"longValue": 7}]], [[{"longValue": 8}]]]


@pytest.mark.usefixtures("airflow")
def test_the_deferred_operator_is_resumed_by_its_trigger(
    connection: Any,
) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    connection.execute("CREATE TABLE t (a int)")
    connection.execute("INSERT INTO t VALUES (7)")
    operator = _operator("SELECT a FROM t", deferrable=True, return_sql_result=True)
    with connection.transaction():
        # While it is locked the statement cannot have ended before the operator looks.
        connection.execute("LOCK TABLE t")
        with pytest.raises(TaskDeferred) as deferred:
            operator.execute({"ti": _NoXCom()})

    async def fired() -> Any:
        async for event in deferred.value.trigger.run():
            return event.payload
        return None

    event = asyncio.run(fired())
    assert event["status"] == "success"
    (page,) = getattr(operator, deferred.value.method_name)({"ti": _NoXCom()}, event=event)
    assert page["Records"] == [[{"longValue": 7}]]


class _NoXCom:
    """A task instance that keeps what is pushed nowhere."""

    stats_tags: ClassVar[dict[str, str]] = {}

    def xcom_push(self, key: str, value: object) -> None:
        return None
