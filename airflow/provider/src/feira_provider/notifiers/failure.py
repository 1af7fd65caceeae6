"""Tells people by Slack and mail that a task has failed: which, for what day, why, and what to do.

Needs Airflow and its Slack and SMTP providers, nothing else of this repository.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk.configuration import conf

from feira_provider.notifiers.notice import (
    MailNoticeNotifier,
    Notice,
    SlackNoticeNotifier,
    one_line,
)
from feira_provider.partition import is_stated

if TYPE_CHECKING:
    from airflow.sdk import Context

_NAMESPACE = uuid.UUID("0c3f4f55-3a2e-4f0c-8d0e-5d5b7b1f3d92")
_NO_ERROR = "No error was handed on: the process may have been killed. See the log."


def failure_notice(context: Context) -> Notice:
    """What a failure callback's context tells: DAG, task, day, error in one line, log and runbook.

    The day is the partition that the task itself works on, where its operator has one; else the run's
    partition key, its logical date, or its run id. Secrets that Airflow knows of are masked in the
    error. The notice's id is that of the task's try.
    """
    values: dict[str, Any] = dict(context)
    task_instance, run = values["ti"], values.get("dag_run")
    dag_id, run_id = str(task_instance.dag_id), str(task_instance.run_id)
    task_id, try_number = str(task_instance.task_id), int(task_instance.try_number)
    logical_date = getattr(run, "logical_date", None)
    day = str(
        _partition(values.get("task"))
        or getattr(run, "partition_key", None)
        or (logical_date.date() if logical_date else None)
        or run_id
    )
    error = values.get("exception")
    # The scheduler's own report of a killed task comes without the link.
    log_url = (
        getattr(task_instance, "log_url", None) or f"{run_url(dag_id, run_id)}/tasks/{task_id}"
    )
    map_index = getattr(task_instance, "map_index", -1)
    return Notice(
        notice_id=str(
            uuid.uuid5(_NAMESPACE, f"{dag_id} {run_id} {task_id} {map_index} {try_number}")
        ),
        title=f"{dag_id}.{task_id} failed for {day}",
        facts=(("DAG", dag_id), ("Task", task_id), ("Day", day)),
        error=_NO_ERROR if error is None else one_line(error),
        links=((f"Log of try {try_number}", log_url), runbook(dag_id)),
        context=f"Run {run_id}",
    )


def _partition(task: Any) -> str | None:
    """An operator's ``partition``, unless it was rendered to nothing, as in a run without a key, or not at all: a
    killed task's is still a template."""
    partition = getattr(task, "partition", None)
    if not isinstance(partition, str) or "{" in partition:
        return None
    return partition if is_stated(partition) else None


def run_url(dag_id: str, run_id: str) -> str:
    """Where the web interface shows a run."""
    return f"{_base_url()}/dags/{quote(dag_id)}/runs/{quote(run_id)}"


def runbook(dag_id: str) -> tuple[str, str]:
    """Words and address of a DAG's page, whose documentation is its runbook."""
    return f"Runbook of {dag_id}", f"{_base_url()}/dags/{quote(dag_id)}"


def _base_url() -> str:
    return str(conf.get("api", "base_url", fallback="http://localhost:8080/")).rstrip("/")


class SlackFailureNotifier(SlackNoticeNotifier):
    """Posts a failed task to Slack. Use it as ``on_failure_callback``.

    :param slack_webhook_conn_id: a ``slackwebhook`` connection (templated)
    :param timeout: seconds to wait for Slack
    """

    notice = staticmethod(failure_notice)


class MailFailureNotifier(MailNoticeNotifier):
    """Mails a failed task. Use it as ``on_failure_callback``.

    :param to: addresses; without them, ``to_email`` in the connection's extra (templated)
    :param smtp_conn_id: an ``smtp`` connection whose extra has ``from_email`` (templated)
    """

    notice = staticmethod(failure_notice)
