"""sales_summary whole, as Airflow runs it: marts, report, and notifications that try again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dag_runs import run_dag

from feira_local.inbox.store import MessageStore
from inbox_server import Inbox
from reported_days import D1, Shop, line


@pytest.mark.slow
def test_a_mail_server_that_fails_once_is_tried_again_by_its_own_task_alone(
    dags: dict[str, Any],
    shop: Shop,
    inbox: Inbox,
    metadata: None,
    dbt_scratch: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusals = [OSError(28, "No space left on device")]
    keep = MessageStore.add

    def full_at_first(store: MessageStore, channel: Any, content: bytes) -> str:
        if channel == "mail" and refusals:
            raise refusals.pop()
        return keep(store, channel, content)

    monkeypatch.setattr(MessageStore, "add", full_at_first)
    shop.run(D1, [line("A", D1, "100.1250", sku="S1")])
    monkeypatch.setenv("FEIRA_HOME", str(dbt_scratch.parent))
    run = run_dag(dags["sales_summary"], D1)
    assert run.state == "success"
    assert run.tasks == {
        "build_marts": ("success", 1),
        "check_day": ("success", 1),
        "report": ("success", 1),
        "notify_mail": ("success", 2),
        "notify_slack": ("success", 1),
    }
    subject = "Sales of 2010-12-01: 100.12 USD, 1 order"
    assert [mail["Subject"] for mail in inbox.mails()] == [subject]
    assert [message["text"] for message in inbox.slack()] == [subject]
