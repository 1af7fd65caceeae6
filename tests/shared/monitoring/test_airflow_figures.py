"""Airflow's figures: each task is counted once, when it ends, and the past is not asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from botocore.exceptions import EndpointConnectionError

from airflow_answers import AirflowAnswers, serving
from feira.core.lake import landing_store
from feira.core.landing.store import LandingStore
from feira.core.settings import LakeSettings
from feira.monitoring.airflow import Airflow, EndedTask, JudgementError
from feira.monitoring.figures import Figures
from feira.monitoring.judged import JUDGES, Judgements
from landed_sales import land

LOGIN = ("monitor", "secret")
DAGS = {"sales_etl": ["land", "validate"], "recommendations": ["gate"], "user_events": ["ingest"]}


@pytest.fixture
def answers() -> Iterator[AirflowAnswers]:
    with serving(AirflowAnswers(DAGS)) as found:
        yield found


class Watched:
    """The figures of an Airflow, and what they are."""

    def __init__(self, answers: AirflowAnswers, judged: Any = lambda task, fresh: None) -> None:
        self.figures = Figures()
        self.airflow = Airflow(answers.url, LOGIN, judged, JUDGES)

    def poll(self, times: int = 1) -> None:
        for _ in range(times):
            self.airflow.collect(self.figures)

    def value(self, name: str, **labels: str) -> float | None:
        return self.figures.registry.get_sample_value(name, labels)

    def ended(self, task: str, state: str = "success", dag: str = "sales_etl") -> float | None:
        return self.value("feira_steps_ended_total", dag=dag, task=task, state=state)


def test_a_task_is_counted_once_when_it_ends_and_again_when_it_is_cleared(
    answers: AirflowAnswers,
) -> None:
    watched = Watched(answers)
    watched.poll()
    assert watched.ended("land") == 0
    answers.run("sales_etl", "r1", "running")
    answers.ends("sales_etl", "r1", "land")
    for _ in range(3):
        watched.poll()
    assert watched.ended("land") == 1
    assert watched.value("feira_step_seconds_sum", dag="sales_etl", task="land") == 3.5
    assert watched.value("feira_runs_unfinished", dag="sales_etl", state="running") == 1
    answers.ends("sales_etl", "r1", "validate", "failed")
    answers.run("sales_etl", "r1", "failed")
    watched.poll()
    assert (watched.ended("validate"), watched.ended("validate", "failed")) == (0, 1)
    assert watched.value("feira_runs_ended_total", dag="sales_etl", state="failed") == 1
    assert watched.value("feira_runs_unfinished", dag="sales_etl", state="running") == 0
    # Cleared: `land` had ended long before, `validate` ends anew.
    answers.tasks["sales_etl", "r1"] = []
    answers.ends("sales_etl", "r1", "land", ago=60)
    answers.run("sales_etl", "r1", "queued")
    watched.poll()
    answers.ends("sales_etl", "r1", "validate", tries=2)
    answers.run("sales_etl", "r1", "success")
    watched.poll()
    assert (watched.ended("land"), watched.ended("validate")) == (1, 1)


def test_a_run_that_begins_and_ends_between_two_polls_is_counted(answers: AirflowAnswers) -> None:
    watched = Watched(answers)
    watched.poll()
    answers.run("sales_etl", "short", "success")
    answers.ends("sales_etl", "short", "land")
    watched.poll()
    watched.poll()
    assert watched.ended("land") == 1
    assert watched.value("feira_runs_ended_total", dag="sales_etl", state="success") == 1
    assert watched.value("feira_run_last_success_timestamp_seconds", dag="sales_etl")


def test_a_run_that_ends_while_a_poll_is_under_way_is_counted_once(
    answers: AirflowAnswers,
) -> None:
    judged: list[str] = []
    watched = Watched(answers, lambda task, fresh: judged.append(task.task))
    watched.poll()

    def meanwhile(path: str, asked: dict[str, list[str]]) -> None:
        # Between the question for what is unfinished and this one.
        if path == "/api/v2/dags/~/dagRuns" and "success" in asked["state"] and not answers.runs:
            answers.ends("sales_etl", "r1", "land")
            answers.run("sales_etl", "r1", "success")

    answers.meanwhile = meanwhile
    watched.poll(3)
    assert watched.ended("land") == 1 and judged == ["land"]
    assert watched.value("feira_runs_ended_total", dag="sales_etl", state="success") == 1
    assert not watched.airflow._in_flight


@pytest.mark.parametrize(
    "error",
    # The client of S3 on AWS has errors of its own.
    [OSError("no answer in 20 s"), EndpointConnectionError(endpoint_url="http://127.0.0.1:1")],
)
def test_a_lake_that_does_not_answer_is_waited_for_once_a_poll_and_a_landing_that_is_not_there_holds_up_none(
    answers: AirflowAnswers, error: Exception
) -> None:
    asked: list[str] = []
    away = {"validate": error}

    def judge(task: Any, fresh: bool) -> None:
        asked.append(task.task)
        if task.task in away:
            raise away[task.task]

    watched = Watched(answers, judge)
    watched.poll()
    answers.run("sales_etl", "r1", "running")
    for task in ("land", "validate", "load"):
        answers.ends("sales_etl", "r1", task)
    for _ in range(2):
        with pytest.raises(JudgementError, match=r"load, sales_etl\.validate"):
            watched.poll()
    assert asked == ["land", "validate", "validate"]
    away["validate"] = FileNotFoundError("manifest.json")
    with pytest.raises(
        JudgementError, match=r"sales_etl.validate left could not be read \(1 tasks"
    ):
        watched.poll()
    assert asked[3:] == ["validate", "load"]


def test_a_dag_that_airflow_knows_only_after_it_answers_is_seen_by_the_next_poll(
    answers: AirflowAnswers,
) -> None:
    known, answers.tasks_of = answers.tasks_of, {}
    watched = Watched(answers)
    watched.poll()
    answers.tasks_of = {"user_events": known["user_events"]}
    watched.poll()
    assert watched.ended("ingest", dag="user_events") == 0
    # Another joins, and its run tells.
    answers.tasks_of = known
    answers.run("sales_etl", "r1", "success")
    answers.ends("sales_etl", "r1", "land")
    watched.poll()
    assert watched.ended("land") == 1


def test_a_run_that_is_deleted_while_it_is_watched_is_forgotten_and_all_else_is_seen(
    answers: AirflowAnswers,
) -> None:
    watched = Watched(answers)
    watched.poll()
    answers.run("sales_etl", "r1", "running")
    watched.poll()
    answers.delete("sales_etl", "r1")
    answers.run("user_events", "r2", "success")
    answers.ends("user_events", "r2", "ingest")
    answers.waiting = [{"dag_id": "recommendations", "total_received": 1, "total_required": 2}]
    watched.poll()
    assert watched.ended("ingest", dag="user_events") == 1
    assert watched.value("feira_partitions_waiting", dag="recommendations") == 1
    assert watched.value("feira_runs_unfinished", dag="sales_etl", state="running") == 0
    # Deleted between the question for runs and that for its tasks.
    answers.run("sales_etl", "r3", "running")

    def meanwhile(path: str, asked: dict[str, list[str]]) -> None:
        if path.endswith("/r3/taskInstances"):
            answers.delete("sales_etl", "r3")

    answers.meanwhile = meanwhile
    watched.poll()
    answers.asked.clear()
    watched.poll()
    watched.poll()
    assert answers.asked.count("/api/v2/dags/sales_etl/dagRuns/r3") == 1


def test_of_an_old_day_a_run_that_is_cleared_or_made_and_ends_between_two_polls_is_counted(
    answers: AirflowAnswers,
) -> None:
    old = {"run_after": datetime(2010, 12, 2, tzinfo=UTC).isoformat()}
    for run_id in ("cleared", "noted"):
        answers.run("sales_etl", run_id, "success", datetime.now(UTC) - timedelta(days=1))
        answers.runs["sales_etl", run_id] |= old
        answers.ends("sales_etl", run_id, "land", ago=86400)
    watched = Watched(answers)
    watched.poll(2)
    answers.run("sales_etl", "cleared", "success")
    answers.ends("sales_etl", "cleared", "land", tries=2)
    # As a backfill of Airflow's own makes it.
    answers.run("sales_etl", "made", "failed")
    answers.runs["sales_etl", "made"] |= old
    answers.ends("sales_etl", "made", "land", "failed")
    # A note is a change, too, and nothing has ended with it.
    answers.runs["sales_etl", "noted"]["updated_at"] = datetime.now(UTC).isoformat()
    watched.poll(2)
    assert (watched.ended("land"), watched.ended("land", "failed")) == (1, 1)
    ended = {
        state: watched.value("feira_runs_ended_total", dag="sales_etl", state=state)
        for state in ("success", "failed")
    }
    assert ended == {"success": 1, "failed": 1}


@pytest.mark.parametrize("path", ["/api/v2/assets/events", "/ui/partitioned_dag_runs"])
def test_what_ended_in_a_poll_that_came_to_no_end_is_counted_once_and_its_event_is_shown(
    answers: AirflowAnswers, path: str
) -> None:
    watched = Watched(answers)
    watched.poll()
    answers.run("sales_etl", "r1", "success")
    answers.ends("sales_etl", "r1", "land")
    answers.event("sales_fact", at := datetime.now(UTC))
    answers.unavailable = {path}
    with pytest.raises(requests.HTTPError, match="503"):
        watched.poll()
    answers.unavailable = set()
    watched.poll(2)
    assert watched.ended("land") == 1
    assert watched.value("feira_runs_ended_total", dag="sales_etl", state="success") == 1
    event = watched.value("feira_asset_last_event_timestamp_seconds", asset="sales_fact")
    assert event == at.timestamp()


def test_a_task_that_joins_a_dag_is_shown_at_0_before_its_first_end_is_counted(
    answers: AirflowAnswers,
) -> None:
    answers.tasks_of = dict(DAGS)
    watched = Watched(answers)
    answers.run("sales_etl", "r1", "success")
    watched.poll()
    answers.tasks_of["sales_etl"] = ["land", "validate", "check"]
    answers.versions["sales_etl"] = 2
    answers.run("sales_etl", "r2", "failed")
    answers.ends("sales_etl", "r2", "check", "failed")
    watched.poll()
    assert watched.ended("check", "failed") == 0
    watched.poll()
    assert watched.ended("check", "failed") == 1
    # The version is known now.
    answers.asked.clear()
    answers.run("sales_etl", "r3", "success")
    answers.ends("sales_etl", "r3", "check")
    watched.poll()
    assert watched.ended("check") == 1
    assert "/api/v2/dags/sales_etl/tasks" not in answers.asked


def test_an_idle_poll_asks_for_runs_and_waiting_days_and_for_all_else_less_often(
    answers: AirflowAnswers,
) -> None:
    watched = Watched(answers)
    answers.run("sales_etl", "r1", "success")
    answers.ends("sales_etl", "r1", "land")
    watched.poll()
    answers.asked.clear()
    watched.poll(10)
    assert {path: answers.asked.count(path) for path in answers.asked} == {
        "/api/v2/dags/~/dagRuns": 20,
        "/ui/partitioned_dag_runs": 10,
        "/api/v2/monitor/health": 5,
        "/api/v2/dags": 2,
        "/api/v2/assets": 2,
    }


def test_what_ends_before_airflow_first_answers_is_counted(answers: AirflowAnswers) -> None:
    watched = Watched(answers)
    answers.run("sales_etl", "r1", "success")
    answers.ends("sales_etl", "r1", "land")
    watched.poll()
    assert watched.ended("land") == 1
    assert watched.value("feira_runs_ended_total", dag="sales_etl", state="success") == 1


def test_runs_that_have_ended_are_not_asked_for_again(answers: AirflowAnswers) -> None:
    for number in range(30):
        answers.run("sales_etl", f"r{number}", "success", datetime(2010, 12, 2, tzinfo=UTC))
        answers.ends("sales_etl", f"r{number}", "land", ago=3600)
    watched = Watched(answers)
    watched.poll()
    first = len(answers.asked)
    answers.asked.clear()
    watched.poll()
    assert not [path for path in answers.asked if "/dagRuns/" in path]
    assert len(answers.asked) < first < 20
    assert watched.ended("land") == 0
    assert watched.value("feira_run_last_success_timestamp_seconds", dag="sales_etl") == (
        datetime(2010, 12, 2, tzinfo=UTC).timestamp()
    )


def test_days_that_wait_are_apart_from_days_that_should_have_their_run(
    answers: AirflowAnswers,
) -> None:
    watched = Watched(answers)
    answers.waiting = [
        {"dag_id": "recommendations", "total_received": received, "total_required": 2}
        for received in (1, 1, 2)
    ]
    answers.paused = {"user_events"}
    answers.event("sales_fact", datetime(2010, 12, 2, 3, tzinfo=UTC))
    watched.poll()
    assert watched.value("feira_partitions_waiting", dag="recommendations") == 2
    assert watched.value("feira_partitions_without_run", dag="recommendations") == 1
    assert watched.value("feira_dag_paused", dag="user_events") == 1
    assert watched.value("feira_dag_paused", dag="sales_etl") == 0
    assert watched.value("feira_airflow_component_healthy", component="triggerer") == 0
    event = watched.value("feira_asset_last_event_timestamp_seconds", asset="sales_fact")
    assert event == datetime(2010, 12, 2, 3, tzinfo=UTC).timestamp()
    answers.waiting = []
    watched.poll()
    assert watched.value("feira_partitions_waiting", dag="recommendations") == 0


def test_a_day_of_a_dag_that_is_gone_or_hears_of_no_asset_any_more_waits_for_nothing(
    answers: AirflowAnswers,
) -> None:
    watched = Watched(answers)
    answers.waiting = [
        {"dag_id": "renamed", "total_received": 1, "total_required": 1},
        {"dag_id": "renamed", "total_received": 1, "total_required": 2},
        {"dag_id": "user_events", "total_received": 0, "total_required": 0},
        {"dag_id": "recommendations", "total_received": 2, "total_required": 2},
    ]
    watched.poll()

    def shown(name: str) -> dict[str, float]:
        return {
            sample.labels["dag"]: sample.value
            for family in watched.figures.registry.collect()
            for sample in family.samples
            if sample.name == name
        }

    none = dict.fromkeys(DAGS, 0.0)
    assert shown("feira_partitions_without_run") == none | {"recommendations": 1.0}
    assert shown("feira_partitions_waiting") == none


def test_an_asset_is_watched_from_when_it_is_first_seen_whether_it_has_an_event_or_not(
    answers: AirflowAnswers,
) -> None:
    watched, begun = Watched(answers), datetime.now(UTC).timestamp()

    def since(asset: str) -> float | None:
        name = "feira_asset_watched_since_timestamp_seconds"
        return watched.value(name, asset=asset, dag=f"makes_{asset}")

    watched.poll()
    first = {asset: since(asset) for asset in answers.assets}
    assert all(it is not None and begun <= it for it in first.values())
    # A DAG joins, with an asset of its own; those that were known are not seen anew.
    answers.tasks_of = DAGS | {"returns": ["emit"]}
    answers.assets = (*answers.assets, "returns_fact")
    watched.poll(5)
    assert {asset: since(asset) for asset in first} == first
    joined = since("returns_fact")
    assert joined is not None and joined > max(it for it in first.values() if it)


def test_of_a_dag_whose_file_is_deleted_and_of_its_asset_nothing_is_shown_any_longer(
    answers: AirflowAnswers,
) -> None:
    answers.tasks_of = DAGS | {"returns": ["emit"]}
    answers.assets = (*answers.assets, "returns_fact")
    answers.paused = {"returns"}
    watched = Watched(answers)
    answers.run("returns", "r0", "success")
    answers.run("returns", "r1", "running")
    answers.waiting = [{"dag_id": "returns", "total_received": 1, "total_required": 1}]
    answers.event("returns_fact", datetime(2010, 12, 2, 3, tzinfo=UTC))

    def shown(text: str) -> set[str]:
        """The gauges that have a label with this text in it."""
        return {
            family.name
            for family in watched.figures.registry.collect()
            for sample in family.samples
            if family.type == "gauge" and any(text in each for each in sample.labels.values())
        }

    watched.poll()
    assert shown("returns") == {
        "feira_dag_paused",
        "feira_run_last_success_timestamp_seconds",
        "feira_runs_unfinished",
        "feira_partitions_waiting",
        "feira_partitions_without_run",
        "feira_asset_last_event_timestamp_seconds",
        "feira_asset_watched_since_timestamp_seconds",
    }
    assert shown("triggerer") == {"feira_airflow_component_healthy"}
    answers.tasks_of = DAGS
    answers.assets = answers.assets[:2]
    answers.waiting = []
    answers.run("returns", "r1", "success")
    answers.components = ("scheduler",)
    watched.poll(5)
    assert shown("returns") == shown("triggerer") == set()
    assert shown("sales_fact") and shown("scheduler")


def test_an_event_is_shown_that_came_while_a_task_ended_and_older_ones_are_not_asked_for(
    answers: AirflowAnswers,
) -> None:
    watched = Watched(answers)
    begun = datetime.now(UTC)
    for ago in range(250):
        answers.event("user_events", begun - timedelta(days=1 + ago))
    watched.poll()
    answers.asked.clear()
    # Made before the poll and to be seen only now: its transaction was open then.
    answers.event("sales_fact", begun - timedelta(seconds=20))
    answers.run("sales_etl", "r1", "success")
    answers.ends("sales_etl", "r1", "land")
    watched.poll()
    assert answers.asked.count("/api/v2/assets/events") == 1
    shown = [
        watched.value("feira_asset_last_event_timestamp_seconds", asset=asset)
        for asset in answers.assets
    ]
    assert shown == [
        (begun - timedelta(seconds=20)).timestamp(),
        (begun - timedelta(days=1)).timestamp(),
    ]


def test_what_takes_more_than_a_page_is_counted_whole(answers: AirflowAnswers) -> None:
    answers.tasks_of |= {f"generated_{number}": ["one"] for number in range(120)}
    answers.paused = {"generated_119"}
    for number in range(250):
        answers.run("sales_etl", f"r{number}", "queued")
    watched = Watched(answers)
    watched.poll()
    assert watched.value("feira_runs_unfinished", dag="sales_etl", state="queued") == 250
    assert watched.value("feira_dag_paused", dag="generated_119") == 1
    for number in range(250):
        answers.event("user_events", datetime.now(UTC) + timedelta(seconds=number))
    answers.run("sales_etl", "r0", "success")
    answers.ends("sales_etl", "r0", "land")
    watched.poll()
    newest = watched.value("feira_asset_last_event_timestamp_seconds", asset="user_events")
    assert newest == datetime.fromisoformat(answers.events[-1]["timestamp"]).timestamp()


def test_a_token_that_has_ended_is_asked_for_anew(answers: AirflowAnswers) -> None:
    watched = Watched(answers)
    watched.poll()
    answers.token = "the-next"
    answers.run("sales_etl", "r1", "queued")
    watched.poll()
    assert watched.value("feira_runs_unfinished", dag="sales_etl", state="queued") == 1


def test_airflow_is_asked_where_it_stands_whatever_proxy_there_is(
    answers: AirflowAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        # Nobody listens there.
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    Watched(answers).poll()


def test_a_wrong_password_is_an_error(answers: AirflowAnswers) -> None:
    with pytest.raises(requests.HTTPError, match="401"):
        Airflow(answers.url, ("monitor", "other")).collect(Figures())


@pytest.fixture
def landings(tmp_path: Path) -> LandingStore:
    return landing_store(LakeSettings(root=f"file://{tmp_path}", catalog="hadoop"), "sales")


def _landing(landings: LandingStore, valid: int) -> str:
    """Lands and validates 100 lines; the manifest's URI."""
    broken = {"unknown_currency": 100 - valid, "sku_null": 1}
    return land(landings, date(2010, 12, 1), 100, valid, broken, 812)


@pytest.mark.parametrize(
    ("valid", "state", "outcome"), [(97, "success", "passed"), (90, "failed", "refused")]
)
def test_what_a_validation_found_is_counted_whether_it_passed_or_not(
    answers: AirflowAnswers, landings: LandingStore, valid: int, state: str, outcome: str
) -> None:
    watched = Watched(answers)
    watched.airflow.on_ended = Judgements(landings, watched.figures)
    watched.poll()
    answers.xcoms["r1", "land"] = {"manifest": _landing(landings, valid)}
    answers.run("sales_etl", "r1", state)
    answers.ends("sales_etl", "r1", "validate", state)
    watched.poll()
    lines = {
        what: watched.value(f"feira_{what}_total", dataset="sales")
        for what in ("landed_lines", "valid_lines", "quarantined_lines", "landed_bytes")
    }
    assert lines == {
        "landed_lines": 100,
        "valid_lines": valid,
        "quarantined_lines": 100 - valid,
        "landed_bytes": 812,
    }
    broken = {
        rule: watched.value("feira_rule_broken_lines_total", dataset="sales", rule=rule)
        for rule in ("unknown_currency", "sku_null", "quantity_zero")
    }
    assert broken == {"unknown_currency": 100 - valid, "sku_null": 1, "quantity_zero": 0}
    assert watched.value("feira_gate_outcome", gate="sales.landing", outcome=outcome) == 1


def test_an_exporter_that_starts_anew_knows_how_the_gates_stand_and_counts_nothing_twice(
    answers: AirflowAnswers, landings: LandingStore
) -> None:
    answers.xcoms["r1", "land"] = {"manifest": _landing(landings, 90)}
    answers.run("sales_etl", "r1", "failed")
    answers.ends("sales_etl", "r1", "validate", "failed", ago=60)
    answers.xcoms["r2", "gate"] = {"verdict": "not_enough_to_tell"}
    answers.run("recommendations", "r2", "success")
    answers.ends("recommendations", "r2", "gate", ago=60)
    answers.xcoms["r3", "ingest"] = {"events": 10}
    answers.run("user_events", "r3", "success")
    answers.ends("user_events", "r3", "ingest", ago=60)
    watched = Watched(answers)
    watched.airflow.on_ended = Judgements(landings, watched.figures)
    watched.poll()
    assert watched.value("feira_gate_outcome", gate="sales.landing", outcome="refused") == 1
    verdict = {"gate": "recommendations", "outcome": "not_enough_to_tell"}
    assert watched.value("feira_gate_outcome", **verdict) == 1
    assert watched.value("feira_landed_lines_total", dataset="sales") == 0
    read = {"topic": "user_events", "outcome": "events"}
    assert watched.value("feira_ingested_messages_total", **read) == 0
    assert watched.ended("validate", "failed") == 0


@pytest.mark.parametrize("newest", ["queued", "running", "failed"])
def test_an_exporter_that_starts_anew_knows_the_last_judgement_whatever_the_newest_run_has_come_to(
    answers: AirflowAnswers, landings: LandingStore, newest: str
) -> None:
    def ends(dag: str, run_id: str, task: str, state: str, days: int) -> None:
        ended = datetime.now(UTC) - timedelta(days=days)
        answers.run(dag, run_id, state, ended)
        answers.ends(dag, run_id, task, state, ago=days * 86400)

    for run_id, state, days in (("g1", "success", 9), ("g2", "failed", 8)):
        ends("recommendations", run_id, "gate", state, days)
    answers.xcoms["g1", "gate"] = {"verdict": "passed"}
    answers.xcoms["v1", "land"] = {"manifest": _landing(landings, 90)}
    ends("sales_etl", "v1", "validate", "failed", 7)
    # None of these gets as far as its gate.
    for number in range(6):
        ends("sales_etl", f"w{number}", "land", "failed", 6 - number)
    for dag in ("recommendations", "sales_etl"):
        answers.run(dag, "newest", newest)
    watched = Watched(answers)
    watched.airflow.on_ended = Judgements(landings, watched.figures)
    watched.poll()
    assert watched.value("feira_gate_outcome", gate="sales.landing", outcome="refused") == 1
    for outcome, value in (("failed", 1), ("passed", 0)):
        gate = {"gate": "recommendations", "outcome": outcome}
        assert watched.value("feira_gate_outcome", **gate) == value
        assert watched.value("feira_gate_judgements_total", **gate) == 0
    at = watched.value("feira_run_last_success_timestamp_seconds", dag="recommendations")
    assert at == pytest.approx((datetime.now(UTC) - timedelta(days=9)).timestamp(), abs=600)
    assert watched.value("feira_run_last_success_timestamp_seconds", dag="sales_etl") is None


def test_a_gate_is_known_that_has_judged_in_a_run_that_is_not_over(
    answers: AirflowAnswers, landings: LandingStore
) -> None:
    answers.xcoms["r1", "gate"] = {"verdict": "passed"}
    answers.run("recommendations", "r1", "running")
    answers.ends("recommendations", "r1", "gate", ago=60)
    watched = Watched(answers)
    watched.airflow.on_ended = Judgements(landings, watched.figures)
    watched.poll()
    assert watched.value("feira_gate_outcome", gate="recommendations", outcome="passed") == 1


def test_messages_that_were_read_are_counted_by_what_became_of_them(
    answers: AirflowAnswers, landings: LandingStore
) -> None:
    watched = Watched(answers)
    watched.airflow.on_ended = Judgements(landings, watched.figures)
    watched.poll()
    answers.xcoms["e1", "ingest"] = {"events": 10, "repeated": 2, "earlier": 1, "dead": 3}
    answers.run("user_events", "e1", "running")
    answers.ends("user_events", "e1", "ingest")
    watched.poll()
    found = {
        outcome: watched.value(
            "feira_ingested_messages_total", topic="user_events", outcome=outcome
        )
        for outcome in ("events", "repeated", "earlier", "dead")
    }
    assert found == answers.xcoms["e1", "ingest"]


def test_a_gate_that_failed_without_a_verdict_is_shown_as_failed(
    answers: AirflowAnswers, landings: LandingStore
) -> None:
    watched = Watched(answers)
    watched.airflow.on_ended = Judgements(landings, watched.figures)
    for dag, task in (("recommendations", "gate"), ("sales_etl", "validate")):
        answers.run(dag, "r9", "failed")
        answers.ends(dag, "r9", task, "failed")
    # Whatever an earlier try of it has returned.
    answers.xcoms["r9", "gate"] = {"verdict": "passed"}
    watched.poll()
    for gate in ("recommendations", "sales.landing"):
        assert watched.value("feira_gate_outcome", gate=gate, outcome="failed") == 1


def test_a_lake_that_is_away_for_a_poll_costs_no_judgement_and_none_of_airflows_figures(
    answers: AirflowAnswers, landings: LandingStore
) -> None:
    watched, away = Watched(answers), True
    judged = Judgements(landings, watched.figures)

    def judge(task: EndedTask, fresh: bool) -> None:
        if away and task.task in ("validate", "gate"):
            raise OSError("S3 is being restarted")
        judged(task, fresh)

    watched.airflow.on_ended = judge
    # How the other gate stands is found out at the start.
    answers.xcoms["r0", "gate"] = {"verdict": "passed"}
    answers.run("recommendations", "r0", "success")
    answers.ends("recommendations", "r0", "gate", ago=60)
    with pytest.raises(JudgementError, match=r"recommendations\.gate .*S3 is being restarted"):
        watched.poll()
    answers.xcoms["r1", "land"] = {"manifest": _landing(landings, 97)}
    answers.run("sales_etl", "r1", "success")
    answers.ends("sales_etl", "r1", "validate")
    answers.event("sales_fact", datetime.now(UTC))
    answers.waiting = [{"dag_id": "recommendations", "total_received": 1, "total_required": 2}]
    with pytest.raises(JudgementError, match=r"sales_etl\.validate"):
        watched.poll()
    assert watched.ended("validate") == 1
    assert watched.value("feira_runs_ended_total", dag="sales_etl", state="success") == 1
    assert watched.value("feira_partitions_waiting", dag="recommendations") == 1
    assert watched.value("feira_asset_last_event_timestamp_seconds", asset="sales_fact")
    away = False
    for _ in range(2):
        watched.poll()
        assert watched.value("feira_landed_lines_total", dataset="sales") == 100
    for gate in ("recommendations", "sales.landing"):
        assert watched.value("feira_gate_outcome", gate=gate, outcome="passed") == 1
    assert (watched.ended("validate"), watched.ended("gate", dag="recommendations")) == (1, 0)


@pytest.mark.parametrize("file", ["manifest.json", "validation.json"])
def test_a_landing_that_is_damaged_after_it_was_judged_is_a_gate_that_failed_and_stops_nothing(
    answers: AirflowAnswers, landings: LandingStore, file: str
) -> None:
    watched = Watched(answers)
    watched.airflow.on_ended = Judgements(landings, watched.figures)
    manifest = _landing(landings, 97)
    answers.xcoms["r1", "land"] = {"manifest": manifest}
    (Path(manifest.removeprefix("file://")).parent / file).write_text("{")
    answers.run("sales_etl", "r1", "success")
    answers.ends("sales_etl", "r1", "validate", ago=60)
    watched.poll()
    assert watched.value("feira_gate_outcome", gate="sales.landing", outcome="failed") == 1
    answers.run("sales_etl", "r1", "queued")
    watched.poll()
    answers.run("sales_etl", "r1", "success")
    answers.ends("sales_etl", "r1", "validate", tries=2)
    watched.poll()
    assert watched.ended("validate") == 1
    assert watched.value("feira_landed_lines_total", dataset="sales") == 0


def test_two_judgements_within_a_poll_are_taken_in_the_order_in_which_they_were_made(
    answers: AirflowAnswers, landings: LandingStore
) -> None:
    ended: list[tuple[str, float]] = []
    watched = Watched(answers, lambda task, fresh: ended.append((task.task, task.at)))
    watched.poll()
    for run_id, ago in (("a", 1), ("b", 3), ("c", 2)):
        answers.run("recommendations", run_id, "running")
        answers.ends("recommendations", run_id, "gate", ago=-ago)
    watched.poll()
    assert [at for _, at in ended] == sorted(at for _, at in ended) and len(ended) == 3


def test_a_judgement_that_is_heard_of_late_is_counted_and_is_not_the_gates_last(
    answers: AirflowAnswers, landings: LandingStore
) -> None:
    watched = Watched(answers)
    judged = Judgements(landings, watched.figures)

    def judge(at: float, verdict: str, fresh: bool) -> None:
        returned = {"verdict": verdict}
        judged(EndedTask("recommendations", "gate", "success", at, lambda _: returned), fresh)

    judge(50.0, "passed", False)
    judge(90.0, "refused", True)
    judge(70.0, "passed", True)
    found = {
        outcome: (
            watched.value("feira_gate_outcome", gate="recommendations", outcome=outcome),
            watched.value("feira_gate_judgements_total", gate="recommendations", outcome=outcome),
        )
        for outcome in ("passed", "refused", "failed")
    }
    assert found == {"passed": (0, 1), "refused": (1, 1), "failed": (0, 0)}
