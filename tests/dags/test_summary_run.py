"""sales_summary whole, as Airflow runs it: marts, report, and notifications that try again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from feira_local.inbox.store import MessageStore
from inbox_server import Inbox
from reported_days import D1, Shop, line

# dag.test() gives a run no partition key, so it is set where the run is made.
RUN = """
import json
from airflow.models import dagrun
from airflow.dag_processing.dagbag import DagBag

made = dagrun.get_or_create_dagrun

def keyed(**known):
    run = made(**known)
    run.partition_key = "{day}"
    known["session"].commit()
    return run

dagrun.get_or_create_dagrun = keyed
dag = DagBag(dag_folder={folder!r}).dags["sales_summary"]
# Airflow 3.3 looks deadlines up that only a DAG processor has stored; dag.test() has none.
dag.deadline = None
run = dag.test()
tasks = {{ti.task_id: [ti.state, ti.try_number] for ti in run.get_task_instances()}}
print("RUN", json.dumps({{"state": run.state, "tasks": tasks}}))
"""
FOLDER = Path(__file__).parents[2] / "airflow" / "dags"


def summary_run(tmp_path: Path, **env: str) -> dict[str, Any]:
    """State and tasks of a whole run of the day, in a process of its own."""
    ran = subprocess.run(
        [sys.executable, "-c", RUN.format(day=D1, folder=str(FOLDER))],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"FEIRA_RETRY_DELAY": "0.1", "FEIRA_HOME": str(tmp_path)} | env,
    )
    found = [text for text in ran.stdout.splitlines() if text.startswith("RUN ")]
    assert found, ran.stdout[-4000:] + ran.stderr[-4000:]
    told: dict[str, Any] = json.loads(found[0].removeprefix("RUN "))
    return told


def test_a_mail_server_that_fails_once_is_tried_again_by_its_own_task_alone(
    shop: Shop, inbox: Inbox, metadata: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [OSError(28, "No space left on device")]
    keep = MessageStore.add

    def full_at_first(store: MessageStore, channel: Any, content: bytes) -> str:
        if channel == "mail" and refusals:
            raise refusals.pop()
        return keep(store, channel, content)

    monkeypatch.setattr(MessageStore, "add", full_at_first)
    shop.run(D1, [line("A", D1, "100.1250", sku="S1")])
    told = summary_run(tmp_path)
    assert told["state"] == "success"
    assert told["tasks"] == {
        "build_marts": ["success", 1],
        "check_day": ["success", 1],
        "report": ["success", 1],
        "notify_mail": ["success", 2],
        "notify_slack": ["success", 1],
    }
    subject = "Sales of 2010-12-01: 100.12 USD, 1 order"
    assert [mail["Subject"] for mail in inbox.mails()] == [subject]
    assert [message["text"] for message in inbox.slack()] == [subject]
