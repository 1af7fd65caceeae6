"""A missed deadline, notified by mail and Slack as the triggerer does it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from feira_provider.notifiers.deadline import (
    MailDeadlineNotifier,
    SlackDeadlineNotifier,
    run_deadlines,
)
from inbox_server import Inbox


def context(**known: Any) -> Any:
    """What Airflow hands to a deadline's callback."""
    return {
        "dag_run": {
            "dag_id": "sales_summary",
            "dag_run_id": "asset_triggered__1",
            "partition_key": "2010-12-01",
            "logical_date": None,
            "queued_at": "2026-11-24T00:00:00Z",
            "state": "running",
            **known,
        },
        "deadline": {"id": "1", "deadline_time": datetime(2026, 11, 24, 2, tzinfo=UTC)},
    }


async def tell(notifier: type[Any], context: Any) -> None:
    """As `CallbackTrigger` awaits a notifier."""
    await notifier(context=context)


def test_both_channels_name_dag_day_deadline_run_and_runbook(inbox: Inbox) -> None:
    asyncio.run(tell(SlackDeadlineNotifier, context()))
    asyncio.run(tell(MailDeadlineNotifier, context()))
    (message,), (mail,) = inbox.slack(), inbox.mails()
    assert mail["Subject"] == "sales_summary has missed its deadline for 2010-12-01"
    assert message["blocks"][0]["text"]["text"] == mail["Subject"]
    for text in (json.dumps(message), str(mail.get_body(("html",)).get_content())):
        assert "2026-11-24 02:00:00" in text
        assert "The run is running" in text
        assert "/dags/sales_summary/runs/asset_triggered__1" in text
        assert "Runbook of sales_summary" in text


def test_a_run_without_a_key_is_named_by_what_it_has(inbox: Inbox) -> None:
    asyncio.run(tell(SlackDeadlineNotifier, context(partition_key=None)))
    assert inbox.slack()[0]["text"].startswith(
        "sales_summary has missed its deadline for asset_triggered__1"
    )


def test_deadlines_count_from_the_queue_on_both_channels() -> None:
    alerts = run_deadlines(timedelta(hours=2))
    assert [alert.interval for alert in alerts] == [timedelta(hours=2)] * 2
    assert {alert.reference.reference_name for alert in alerts} == {"DagRunQueuedAtDeadline"}
    assert [alert.callback.path.rsplit(".", 1)[1] for alert in alerts] == [
        "SlackDeadlineNotifier",
        "MailDeadlineNotifier",
    ]
