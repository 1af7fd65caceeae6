"""Every DAG whole: its limits and notices, whatever the pipeline; and the three of sales, task by task."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from feira.core.settings import repository_root
from feira_airflow.core import pools
from feira_airflow.core.pipelines import pipelines
from feira_airflow.sales.pipeline import FACT
from feira_wiring.reading import read_folders

REPOSITORY = Path(__file__).resolve().parents[3]


OWNERS = {dag_id: pipeline.owner for pipeline in pipelines() for dag_id in pipeline.dags}


def test_the_folder_holds_the_dags_that_pipelines_name(dags: dict[str, Any]) -> None:
    assert set(dags) == set(OWNERS)
    assert {"sales_etl", "sales_summary", "sales_watch"} <= set(OWNERS)


def test_every_dag_is_tagged_by_its_subject_and_its_part_in_it(dags: dict[str, Any]) -> None:
    for dag_id, dag in dags.items():
        part = dag.tags & {"producer", "consumer", "watch", "manual"}
        assert len(part) == 1 and len(dag.tags) > 1, dag_id
        assert (part == {"consumer"}) == bool(getattr(dag.timetable, "asset_condition", None)), (
            dag_id
        )


def test_sales_etl_is_this_graph(dags: dict[str, Any]) -> None:
    assert {task.task_id: set(task.downstream_task_ids) for task in dags["sales_etl"].tasks} == {
        "wait_for_api": {"land"},
        "land": {"validate"},
        "validate": {"transform"},
        "transform": {"publish", "load_warehouse"},
        "publish": {"load_warehouse"},
        "load_warehouse": {"reconcile", "drop_staging"},
        "drop_staging": set(),
        "reconcile": {"emit", "drop_staging"},
        "emit": set(),
    }


def test_sales_summary_is_this_graph(dags: dict[str, Any]) -> None:
    assert {t.task_id: set(t.downstream_task_ids) for t in dags["sales_summary"].tasks} == {
        "build_marts": {"report", "check_day"},
        "check_day": set(),
        "report": {"notify_mail", "notify_slack"},
        "notify_mail": set(),
        "notify_slack": set(),
    }


def test_sales_watch_is_this_graph(dags: dict[str, Any]) -> None:
    assert {t.task_id: set(t.downstream_task_ids) for t in dags["sales_watch"].tasks} == {
        "check_arrival": {"check_event"},
        "check_event": set(),
    }
    assert dags["sales_watch"].get_task("check_event").asset == FACT


def test_what_only_looks_has_the_role_that_only_reads(dags: dict[str, Any]) -> None:
    for dag_id, task_id in (("sales_summary", "check_day"), ("sales_watch", "check_arrival")):
        assert dags[dag_id].get_task(task_id).conn_id == "warehouse_reader"


def test_the_writers_run_one_at_a_time(dags: dict[str, Any]) -> None:
    single = {
        dag_id: {t.task_id for t in dag.tasks if t.max_active_tis_per_dag == 1}
        for dag_id, dag in dags.items()
        if dag_id.startswith("sales_")
    }
    assert single == {
        "sales_etl": {"transform", "publish", "load_warehouse"},
        "sales_summary": {"build_marts", "report", "notify_mail", "notify_slack"},
        "sales_watch": set(),
    }


def test_a_run_that_waits_for_a_mail_server_keeps_no_other_from_building(
    dags: dict[str, Any],
) -> None:
    assert all(task.trigger_rule == "all_success" for task in dags["sales_summary"].tasks)


def test_a_consumer_begins_unpaused_whatever_the_deployment_does(dags: dict[str, Any]) -> None:
    consumers = {dag_id: dag for dag_id, dag in dags.items() if "consumer" in dag.tags}
    assert "sales_summary" in consumers
    assert {dag.is_paused_upon_creation for dag in consumers.values()} == {False}


def test_a_deployment_is_told_to_unpause_all_that_begins_paused(dags: dict[str, Any]) -> None:
    paused = {dag_id for dag_id, dag in dags.items() if dag.is_paused_upon_creation is not False}
    docs = repository_root() / "docs"
    commands = re.findall(r"airflow dags unpause (\w+)", (docs / "deploy.md").read_text())
    (sentence,) = re.findall(r"\*\*Unpause\*\* (.*?) when", (docs / "aws.md").read_text())
    assert set(commands) == set(re.findall(r"`(\w+)`", sentence)) == paused


def test_a_run_that_events_have_made_is_not_kept_queued(dags: dict[str, Any]) -> None:
    """Airflow 3.3 answers 500 to a question for an event while a run that it has made is queued, and whoever
    follows a chain asks. Not even a backfill of a year."""
    for dag_id, dag in dags.items():
        assert "consumer" not in dag.tags or dag.max_active_runs >= 365, dag_id


def test_waiting_for_the_api_takes_no_worker(dags: dict[str, Any]) -> None:
    assert dags["sales_etl"].get_task("wait_for_api").deferrable is True


NOTIFICATIONS = {"notify_mail", "notify_slack"}


@pytest.mark.parametrize("dag_id", OWNERS)
def test_a_run_that_is_late_is_told_of_on_both_channels(dags: dict[str, Any], dag_id: str) -> None:
    notified = {alert.callback.path.rsplit(".", 1)[1] for alert in dags[dag_id].deadline}
    assert notified == {"SlackDeadlineNotifier", "MailDeadlineNotifier"}
    for alert in dags[dag_id].deadline:
        assert alert.interval == timedelta(hours=2)
        # A run that an asset has set off has no logical date: only this reference fires there.
        assert alert.reference.reference_name == "DagRunQueuedAtDeadline"


@pytest.mark.parametrize("dag_id", OWNERS)
def test_every_task_is_retried_limited_and_owned(dags: dict[str, Any], dag_id: str) -> None:
    for task in dags[dag_id].tasks:
        notifies = task.task_id in NOTIFICATIONS
        assert task.retries == (6 if notifies else 3), task.task_id
        assert task.execution_timeout.total_seconds() == (600 if notifies else 1800), task.task_id
        assert bool(task.retry_exponential_backoff) == notifies, task.task_id
        assert task.owner == OWNERS[dag_id], task.task_id
        notified = [type(callback).__name__ for callback in task.on_failure_callback]
        assert notified == ["SlackFailureNotifier", "MailFailureNotifier"], task.task_id
    for part in ("Makes", "Triggered", "When it fails", "To run "):
        assert f"**{part}" in dags[dag_id].doc_md, part


def test_every_task_is_in_a_pool_that_exists_with_its_reason(dags: dict[str, Any]) -> None:
    declared = json.loads(pools.document())
    used = {task.pool for dag in dags.values() for task in dag.tasks}
    assert used == {*declared, "default_pool"}
    for name, pool in declared.items():
        assert pool["slots"] > 0 and pool["description"], name
    # What needs no resource of ours, and only that, is in Airflow's own pool.
    unpooled = {
        task.task_id
        for dag_id in ("sales_etl", "sales_summary", "sales_watch")
        for task in dags[dag_id].tasks
        if task.pool == "default_pool"
    }
    assert unpooled == {"wait_for_api", "emit", "check_event", *NOTIFICATIONS}


def test_every_pipeline_emits_what_it_declares_and_sales_reaches_its_summary() -> None:
    """That every listener can hear its emitter, and so on, is what the wiring linter is for."""
    wiring = read_folders([REPOSITORY / "airflow" / "dags"])
    emitted = {str(each.asset): str(each) for each in wiring.emitters}
    assert emitted.keys() == {asset.name for pipeline in pipelines() for asset in pipeline.emits}
    assert emitted["sales_fact"] == "sales_etl.emit"
    assert emitted["sales_summary"] == "sales_summary.build_marts"
    listens = {each.dag_id: list(map(str, each.assets)) for each in wiring.listeners}
    assert listens["sales_summary"] == ["sales_fact"]


def test_after_the_events_of_sales_people_are_notified_and_nothing_else_happens(
    dags: dict[str, Any],
) -> None:
    for dag_id in ("sales_etl", "sales_summary"):
        for task in dags[dag_id].tasks:
            if task.outlets:
                after = task.get_flat_relative_ids(upstream=False)
                assert after <= {"check_day", "report", *NOTIFICATIONS}, task.task_id


def test_parsing_a_dag_imports_nothing_heavy() -> None:
    """In a process of its own: this one has imported everything."""
    code = (
        "import runpy, sys\n"
        f"for name in {list(OWNERS)}:\n"
        f"    runpy.run_path({str(REPOSITORY)!r} + '/airflow/dags/' + name + '.py')\n"
        "heavy = {'pyspark', 'pandas', 'pyarrow', 'dbt', 'psycopg', 'pyiceberg',"
        " 'matplotlib', 'slack_sdk', 'aiosmtplib'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_with_the_clock_on_a_run_is_keyed_by_the_day_that_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from feira_airflow.core.partitions import DAYS

    monkeypatch.setenv("FEIRA_CLOCK", "on")
    timetable = DAYS.produced()
    assert type(timetable).__name__ == "CronPartitionTimetable"
    assert (timetable.expression, timetable.run_offset) == ("0 0 * * *", -1)


@pytest.mark.parametrize(
    ("clock", "produced", "watch"),
    [(each, "CronPartitionTimetable", "CronTriggerTimetable") for each in ("on", "ON", " On\n")]
    + [(each, "PartitionedAtRuntime", "NoneType") for each in ("off", "OFF ", "", " ", None)],
)
def test_the_clock_is_on_or_off_however_it_is_written(
    monkeypatch: pytest.MonkeyPatch, clock: str | None, produced: str, watch: str
) -> None:
    from feira_airflow.core.partitions import DAYS, daily_at

    monkeypatch.delenv("FEIRA_CLOCK", raising=False)
    if clock is not None:
        monkeypatch.setenv("FEIRA_CLOCK", clock)
    assert (type(DAYS.produced()).__name__, type(daily_at(3)).__name__) == (produced, watch)


@pytest.mark.parametrize("clock", ["true", "1", "yes", "maybe", "of", "on off", "\u00f6n"])
def test_with_a_clock_that_is_neither_no_dag_that_needs_one_is_imported(
    monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    """It would have no run, and neither would the watch that is to notice."""
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("FEIRA_CLOCK", clock)
    bag = DagBag(dag_folder=str(REPOSITORY / "airflow" / "dags"))
    message = f"FEIRA_CLOCK is {clock!r}; it may be on or off."
    refused = {Path(path).stem for path, error in bag.import_errors.items() if message in error}
    assert len(refused) == len(bag.import_errors)
    assert refused >= {"sales_etl", "sales_watch", "user_events"}
    # What hears of others has no clock.
    assert {"recommendations", "recommendations_serve", "sales_summary"} <= set(bag.dags)
