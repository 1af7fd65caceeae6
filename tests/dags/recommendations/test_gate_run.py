"""A run of the DAG with the gate in it: what is reached, how often it is tried, and what people are notified of."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from dag_runs import Run, run_dag

from feira.recommendations.gate import REFUSED
from feira.recommendations.verdicts import RefusedError
from feira_airflow.core.permanent import permanent_errors_fail
from inbox_server import Inbox

DAY = date(2010, 12, 2)
VERSION = "2010-12-02-001"
MESSAGE = (
    "recommendations 2010-12-02-001 is refused: coverage of new is 0.110 (884 users), limit 0.2."
)


@pytest.fixture
def publishing(
    dags: dict[str, Any], metadata: None, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Runs the DAG whose gate says so, with all other work left out; what came to ``publish`` is in ``seen``."""
    dag, seen = dags["recommendations"], []

    def publish(listed: Any, gate: Any) -> None:
        seen.append(gate)

    def run(verdict: str, notice: str = "") -> Run:
        @permanent_errors_fail()
        def gate(listed: Any, impressions: Any) -> Any:
            if verdict == REFUSED:
                raise RefusedError(MESSAGE)
            publish = verdict != "not_enough_to_tell"
            return {"version": VERSION, "verdict": verdict, "publish": publish, "notice": notice}

        for task in dag.tasks:
            done: Any = {"gate": gate, "publish": publish}.get(task.task_id)
            made = done or (lambda *_, **__: {"version": VERSION})
            monkeypatch.setattr(task, "python_callable", made)
        return run_dag(dag, DAY)

    run.seen = seen  # type: ignore[attr-defined]
    return run


def test_a_refused_version_fails_its_run_once_and_people_read_the_figure(
    publishing: Any, inbox: Inbox
) -> None:
    run = publishing(REFUSED)
    assert (run.state, run.failed()) == ("failed", ["gate"])
    assert run.tasks["gate"][1] == 1
    assert run.tasks["publish"][0] == "upstream_failed" and publishing.seen == []
    assert run.events == {}
    (mail,), (message,) = inbox.mails(), inbox.slack()
    assert mail["Subject"] == f"recommendations.gate failed for {DAY}"
    assert "coverage of new is 0.110 (884 users), limit 0.2" in message["text"]


def test_a_version_that_waits_is_not_published_and_people_are_notified(
    publishing: Any, inbox: Inbox
) -> None:
    run = publishing("not_enough_to_tell", "approve it")
    assert run.state == "success" and [it["publish"] for it in publishing.seen] == [False]
    (mail,), (message,) = inbox.mails(), inbox.slack()
    assert mail["Subject"] == f"recommendations: {VERSION} waits for an approval"
    assert message["text"].endswith("approve it")
