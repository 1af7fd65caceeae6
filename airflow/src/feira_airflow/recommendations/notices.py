"""Notifies people by Slack and mail of a version of the lists that waits for them, or that has drifted.

A version that is refused fails its task, of which people hear as of any other failure.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from feira_airflow.core.connections import MAIL, SLACK
from feira_provider.notifiers.failure import run_url, runbook
from feira_provider.notifiers.notice import MailNoticeNotifier, Notice, SlackNoticeNotifier

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier, Context

_NAMESPACE = uuid.UUID("5b3f8a52-6a0c-4f0f-9a35-0f6d0b9ce1a7")


def gate_notice(context: Context) -> Notice:
    """What the task ``gate`` returned as its ``notice``."""
    values: dict[str, Any] = dict(context)
    task_instance = values["ti"]
    returned = task_instance.xcom_pull()
    dag_id, run_id = str(task_instance.dag_id), str(task_instance.run_id)
    waits = "has drifted" if returned["publish"] else "waits for an approval"
    return Notice(
        notice_id=str(uuid.uuid5(_NAMESPACE, f"{returned['version']} {returned['verdict']}")),
        title=f"{dag_id}: {returned['version']} {waits}",
        facts=(("DAG", dag_id), ("Version", returned["version"]), ("Verdict", returned["verdict"])),
        error=returned["notice"],
        links=(("Run", run_url(dag_id, run_id)), runbook(dag_id)),
        context=f"Run {run_id}",
    )


class _IfThereIsAny:
    """Sends a notice where the task has one."""

    def notify(self, context: Context) -> None:
        values: dict[str, Any] = dict(context)
        if (values["ti"].xcom_pull() or {}).get("notice"):
            super().notify(context)  # type: ignore[misc]


class SlackGateNotifier(_IfThereIsAny, SlackNoticeNotifier):
    """Posts it to Slack. Use it as ``on_success_callback``."""

    notice = staticmethod(gate_notice)


class MailGateNotifier(_IfThereIsAny, MailNoticeNotifier):
    """Mails it. Use it as ``on_success_callback``."""

    notice = staticmethod(gate_notice)


def gate_notifiers() -> list[BaseNotifier]:
    """One a channel, so that one that is down does not hide it from the other."""
    return [
        SlackGateNotifier(slack_webhook_conn_id=SLACK),
        MailGateNotifier(smtp_conn_id=MAIL),
    ]
