"""Tells people by Slack and mail that a task has failed: which, for what day, why, and what to do.

Needs Airflow and its Slack and SMTP providers, nothing else of this repository.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseNotifier
from airflow.sdk.configuration import conf

if TYPE_CHECKING:
    from airflow.sdk import Context

_LONGEST_ERROR = 600
_NAMESPACE = uuid.UUID("0c3f4f55-3a2e-4f0c-8d0e-5d5b7b1f3d92")


@dataclass(frozen=True)
class Failure:
    """A failed task, as a message tells it. ``failure_id`` is the same for the same try."""

    dag_id: str
    task_id: str
    partition: str
    run_id: str
    try_number: int
    error: str
    log_url: str
    runbook_url: str
    failure_id: str

    @property
    def title(self) -> str:
        """``sales_etl.validate failed for 2010-12-01``."""
        return f"{self.dag_id}.{self.task_id} failed for {self.partition}"


def failure_of(context: Context) -> Failure:
    """What a failure callback's context tells.

    The error is one line of at most 600 characters in which the secrets that Airflow knows of are
    masked. ``partition`` is the run's partition key, else its logical date, else its run id.
    """
    values: dict[str, Any] = dict(context)
    task_instance, run = values["ti"], values.get("dag_run")
    base = conf.get("api", "base_url", fallback="http://localhost:8080/").rstrip("/")
    dag_id, run_id = str(task_instance.dag_id), str(task_instance.run_id)
    logical_date = getattr(run, "logical_date", None)
    return Failure(
        dag_id=dag_id,
        task_id=str(task_instance.task_id),
        partition=str(
            getattr(run, "partition_key", None)
            or (logical_date.date() if logical_date else None)
            or run_id
        ),
        run_id=run_id,
        try_number=int(task_instance.try_number),
        error=one_line(values.get("exception")),
        # The scheduler's own report of a killed task comes without the link.
        log_url=getattr(task_instance, "log_url", None)
        or f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id)}/tasks/{task_instance.task_id}",
        runbook_url=f"{base}/dags/{quote(dag_id)}",
        failure_id=str(
            uuid.uuid5(
                _NAMESPACE,
                f"{dag_id} {run_id} {task_instance.task_id} "
                f"{getattr(task_instance, 'map_index', -1)} {task_instance.try_number}",
            )
        ),
    )


def one_line(error: object) -> str:
    """An exception, or its text, as one masked line; says so where there is none."""
    # Airflow has no public way to mask text of one's own.
    from airflow.sdk._shared.secrets_masker import redact

    if error is None:
        return "No error was handed on: the process may have been killed. See the log."
    text = str(error)
    if isinstance(error, BaseException):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    line = " ".join(str(redact(text)).split())
    return line if len(line) <= _LONGEST_ERROR else f"{line[: _LONGEST_ERROR - 1]}…"


class SlackFailureNotifier(BaseNotifier):
    """Posts a failed task to Slack. Use it as ``on_failure_callback``.

    :param slack_webhook_conn_id: a ``slackwebhook`` connection (templated)
    :param timeout: seconds to wait for Slack
    """

    template_fields: Sequence[str] = ("slack_webhook_conn_id",)

    def __init__(
        self, *, slack_webhook_conn_id: str = "slack_default", timeout: int = 20, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.slack_webhook_conn_id = slack_webhook_conn_id
        self.timeout = timeout

    def notify(self, context: Context) -> None:
        """Posts it; raises what the hook raises, which Airflow logs beside the task's own failure."""
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        hook = SlackWebhookHook(
            slack_webhook_conn_id=self.slack_webhook_conn_id, timeout=self.timeout
        )
        hook.send_dict(slack_body(failure_of(context)))


class MailFailureNotifier(BaseNotifier):
    """Mails a failed task. Use it as ``on_failure_callback``.

    :param to: addresses; without them, ``to_email`` in the connection's extra (templated)
    :param smtp_conn_id: an ``smtp`` connection whose extra has ``from_email`` (templated)
    """

    template_fields: Sequence[str] = ("to", "smtp_conn_id")

    def __init__(
        self,
        *,
        to: str | Sequence[str] | None = None,
        smtp_conn_id: str = "smtp_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.to = to
        self.smtp_conn_id = smtp_conn_id

    def notify(self, context: Context) -> None:
        """Sends it; raises ValueError where no address is known, else what the hook raises."""
        from airflow.providers.smtp.hooks.smtp import SmtpHook

        failure = failure_of(context)
        with SmtpHook(smtp_conn_id=self.smtp_conn_id) as hook:
            recipients = self.to or hook.conn.extra_dejson.get("to_email")
            if not recipients:
                raise ValueError(
                    f"Nobody to write to: connection {self.smtp_conn_id} has no to_email in its "
                    'extra, as in {"to_email": "team@example.com"}, and the notifier has no `to`.'
                )
            hook.send_email_smtp(
                to=recipients,
                subject=failure.title,
                html_content=mail_html(failure),
                custom_headers={
                    "Message-ID": f"<{failure.failure_id}@failures.feira.invalid>",
                    "Auto-Submitted": "auto-generated",
                },
            )


def slack_body(failure: Failure) -> dict[str, Any]:
    """The message in Block Kit's words; the header's ``block_id`` is the failure's id."""
    error = _slack(failure.error.replace("`", "'"))
    links = (
        f"<{_slack(failure.log_url)}|Log of try {failure.try_number}> · "
        f"<{_slack(failure.runbook_url)}|Runbook of {_slack(failure.dag_id)}>"
    )
    return {
        "text": _slack(f"{failure.title}: {failure.error}"),
        "blocks": [
            {
                "type": "header",
                "block_id": failure.failure_id,
                "text": {"type": "plain_text", "text": failure.title[:150]},
            },
            {"type": "section", "text": {"type": "mrkdwn", "text": f"```{error}```"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": links}},
            {
                "type": "context",
                "elements": [{"type": "mrkdwn", "text": f"Run {_slack(failure.run_id)}"}],
            },
        ],
    }


def mail_html(failure: Failure) -> str:
    """The message as HTML."""
    rows = (
        ("DAG", escape(failure.dag_id)),
        ("Task", escape(failure.task_id)),
        ("Day", escape(failure.partition)),
        ("Error", f'<code style="white-space:pre-wrap">{escape(failure.error)}</code>'),
        ("Run", f"{escape(failure.run_id)}, try {failure.try_number}"),
        ("Log", f'<a href="{escape(failure.log_url)}">{escape(failure.log_url)}</a>'),
        ("Runbook", f'<a href="{escape(failure.runbook_url)}">{escape(failure.runbook_url)}</a>'),
    )
    cells = "".join(
        '<tr><th style="text-align:left;vertical-align:top;padding:4px 14px 4px 0">'
        f'{name}</th><td style="padding:4px 0">{value}</td></tr>'
        for name, value in rows
    )
    return (
        '<div style="font-family:Helvetica,Arial,sans-serif;font-size:14px;color:#1e293b">'
        f'<h1 style="font-size:18px;color:#b91c1c">{escape(failure.title)}</h1>'
        f"<table>{cells}</table></div>"
    )


def _slack(text: str) -> str:
    """Text in which Slack sees no link, mention or entity."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
