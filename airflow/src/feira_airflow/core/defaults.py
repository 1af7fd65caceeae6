"""What every task of every DAG has unless it says otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk.definitions.deadline import DeadlineAlert

from feira_airflow.core.connections import MAIL, SLACK, retry_delay_seconds
from feira_provider.notifiers.deadline import run_deadlines
from feira_provider.notifiers.failure import MailFailureNotifier, SlackFailureNotifier

RUN_DEADLINE = timedelta(hours=2)
EXECUTION_TIMEOUT = timedelta(minutes=30)
NOTIFICATION_TIMEOUT = timedelta(minutes=10)
LONGEST_NOTIFICATION_DELAY = timedelta(minutes=10)


def default_args(owner: str) -> dict[str, Any]:
    """Owner, three retries a short time apart, half an hour a task; people hear of the last failure."""
    return {
        "owner": owner,
        "retries": 3,
        "retry_delay": timedelta(seconds=retry_delay_seconds()),
        "execution_timeout": EXECUTION_TIMEOUT,
        # Two, so that a channel that is down does not hide the failure of the other.
        "on_failure_callback": [
            SlackFailureNotifier(slack_webhook_conn_id=SLACK),
            MailFailureNotifier(smtp_conn_id=MAIL),
        ],
    }


def deadlines() -> list[DeadlineAlert]:
    """Both channels hear of a run that has not ended two hours after it was queued."""
    return run_deadlines(RUN_DEADLINE, slack_webhook_conn_id=SLACK, smtp_conn_id=MAIL)


def notification_args() -> dict[str, Any]:
    """What a task that only tells people has: more tries than the data's, ever longer apart."""
    return {
        "retries": 6,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": LONGEST_NOTIFICATION_DELAY,
        "execution_timeout": NOTIFICATION_TIMEOUT,
        # One sender a channel: two would both send what is due.
        "max_active_tis_per_dag": 1,
    }
