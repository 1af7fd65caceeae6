"""Tells people by Slack and mail that a run has missed its deadline, while it still goes on.

Needs Airflow and its Slack and SMTP providers, nothing else of this repository.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from feira_provider.notifiers.failure import run_url, runbook
from feira_provider.notifiers.notice import MailNoticeNotifier, Notice, SlackNoticeNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

_NAMESPACE = uuid.UUID("9a1c6a0e-6f0b-4f0e-9b57-0d0c1a4c7f7e")


def run_deadlines(
    interval: timedelta,
    *,
    slack_webhook_conn_id: str = "slack_default",
    smtp_conn_id: str = "smtp_default",
) -> list[DeadlineAlert]:
    """A DAG's ``deadline``: both channels hear of a run that has not ended ``interval`` after it was
    queued.

    Queued, because a run that an asset has set off has no logical date, and a deadline that counts
    from one never fires there. One alert a channel, so that neither hides the other.

    :param interval: how long a run may take, counted from when it was queued
    :param slack_webhook_conn_id: a ``slackwebhook`` connection
    :param smtp_conn_id: an ``smtp`` connection whose extra has ``from_email`` and ``to_email``
    :return: an alert for Slack and one for mail
    """
    callbacks = (
        AsyncCallback(
            SlackDeadlineNotifier, kwargs={"slack_webhook_conn_id": slack_webhook_conn_id}
        ),
        AsyncCallback(MailDeadlineNotifier, kwargs={"smtp_conn_id": smtp_conn_id}),
    )
    return [
        DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=interval, callback=callback
        )
        for callback in callbacks
    ]


def deadline_notice(context: Context) -> Notice:
    """What a deadline callback's context tells: it holds the run as the REST API shows it."""
    values: dict[str, Any] = dict(context)
    run = values["dag_run"]
    deadline = str(values["deadline"]["deadline_time"])
    dag_id, run_id = str(run["dag_id"]), str(run["dag_run_id"])
    day = str(run.get("partition_key") or run.get("logical_date") or run_id)
    return Notice(
        notice_id=str(uuid.uuid5(_NAMESPACE, f"{dag_id} {run_id} {deadline}")),
        title=f"{dag_id} has missed its deadline for {day}",
        facts=(("DAG", dag_id), ("Day", day), ("Queued", str(run["queued_at"]))),
        error=(
            f"The run is {run['state']}; it was queued at {run['queued_at']} and should have ended "
            f"by {deadline}. It goes on."
        ),
        links=(("Run", run_url(dag_id, run_id)), runbook(dag_id)),
        context=f"Run {run_id}",
    )


class SlackDeadlineNotifier(SlackNoticeNotifier):
    """Posts a missed deadline to Slack, from the triggerer.

    :param slack_webhook_conn_id: a ``slackwebhook`` connection (templated)
    :param timeout: seconds to wait for Slack
    """

    notice = staticmethod(deadline_notice)


class MailDeadlineNotifier(MailNoticeNotifier):
    """Mails a missed deadline, from the triggerer.

    :param to: addresses; without them, ``to_email`` in the connection's extra (templated)
    :param smtp_conn_id: an ``smtp`` connection whose extra has ``from_email`` (templated)
    """

    notice = staticmethod(deadline_notice)
