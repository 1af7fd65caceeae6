"""What a task reads and writes reaches the end that is configured, on the task's own run; nothing of it can fail
or hold a task."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.context import set_current_context
from dag_runs import run_dag

from feira.core.lineage import Dataset, Source, Step
from feira_airflow.core.lineage import parent_run, report_lineage

READ, WRITTEN = Dataset("https://shop.example", "sales"), Dataset("s3://lake", "landing/sales")
STEP = Step((READ,), {WRITTEN: {"sku": (Source(READ, "sku"),)}})


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Lineage is on, and events are appended to this file."""
    from airflow.listeners.listener import get_listener_manager as of_core
    from airflow.sdk.listener import get_listener_manager as of_tasks

    file = tmp_path / "events.ndjson"
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__TRANSPORT", json.dumps(transport))
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__NAMESPACE", "feira")
    yield file
    # The provider listens from its first use on, whatever is set later: each task of a later test would report, from
    # a process that is forked among this one's threads, and wait ten seconds for it.
    for listeners in (of_core(), of_tasks()):
        listeners.clear()


DAG = """
from airflow.sdk import dag, task
from feira.core.lineage import Dataset, Source, Step
from feira_airflow.core.lineage import parent_run, report_lineage

READ, WRITTEN = Dataset("https://shop.example", "sales"), Dataset("s3://lake", "landing/sales")

@dag(schedule=None)
def reporting():
    @task
    def land():
        report_lineage(lambda: Step((READ,), {WRITTEN: {"sku": (Source(READ, "sku"),)}}))
        return parent_run()
    land()

reporting()
"""


@pytest.mark.slow
def test_a_tasks_datasets_are_events_of_its_own_run(
    events: Path, metadata: None, tmp_path: Path
) -> None:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    (tmp_path / "reporting.py").write_text(DAG)
    run = run_dag(DagBag(dag_folder=str(tmp_path)).dags["reporting"], None)
    assert run.state == "success"
    sent = [json.loads(line) for line in events.read_text().splitlines()]
    (reported,) = [each for each in sent if each["outputs"]]
    with create_session() as session:
        parent = session.scalar(select(XComModel.value).where(XComModel.run_id == run.run_id))
    # So Spark's runs, which have it as a setting, and the task's own can be joined.
    assert parent == f"feira/reporting.land/{reported['run']['runId']}"
    assert [(each["namespace"], each["name"]) for each in reported["inputs"]] == [
        (READ.namespace, READ.name)
    ]
    (written,) = reported["outputs"]
    fields = written["facets"]["columnLineage"]["fields"]
    assert [each["field"] for each in fields["sku"]["inputFields"]] == ["sku"]


def test_where_nothing_is_configured_nothing_is_computed() -> None:
    asked: list[str] = []

    def describe() -> Step:
        asked.append("described")
        return STEP

    report_lineage(describe)
    assert asked == []
    assert parent_run() is None


@pytest.mark.parametrize(
    ("setting", "value"), [("DISABLED", "yes"), ("TRANSPORT", '{"type": "http", "url"')]
)
def test_by_settings_that_cannot_be_read_lineage_is_off(
    setting: str, value: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(f"AIRFLOW__OPENLINEAGE__{setting}", value)
    asked: list[str] = []

    def describe() -> Step:
        asked.append("described")
        return STEP

    report_lineage(describe)
    assert asked == []
    assert parent_run() is None
    warned = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert [setting.lower() in each for each in warned if "lineage is off" in each] == [True] * 2


def test_an_error_of_lineage_is_not_the_tasks(events: Path) -> None:
    def describe() -> Step:
        raise RuntimeError("no such table")

    report_lineage(describe)
    report_lineage(lambda: STEP)  # no task runs here
    assert parent_run() is None
    assert not events.exists()


def test_an_end_that_never_answers_does_not_hold_the_task(
    events: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, ended = threading.Event(), threading.Event()

    def waits(**_: Any) -> None:
        answer.wait(60)
        ended.set()

    monkeypatch.setattr("airflow.providers.openlineage.api.emit_dataset_lineage", waits)
    monkeypatch.setenv("AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT", "0")
    context: Any = {"ti": SimpleNamespace()}
    with set_current_context(context):
        report_lineage(lambda: STEP)
    assert not ended.is_set()
    answer.set()
