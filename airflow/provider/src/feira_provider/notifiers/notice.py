"""A notice to people, and the notifiers that send it by Slack and mail: a title, facts, an error, links.

Needs Airflow and its Slack and SMTP providers, nothing else of this repository.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier

if TYPE_CHECKING:
    from airflow.sdk import Context

_LONGEST_ERROR = 600
_LONGEST_TITLE = 150
# What is looked at of a text before it is cut: blanks go first.
_READ = 100_000
# Slack refuses a section over 3,000 characters.
_LONGEST_SECTION = 2900
# Slack's marks for formats, of which none can be escaped, as signs that look like them.
_UNFORMATTED = str.maketrans({"*": "\u2217", "_": "\uff3f", "~": "\u223c", "`": "'"})


@dataclass(frozen=True)
class Notice:
    """What there is to say. ``notice_id`` is the same whenever the same thing is said again.

    ``facts`` are names with values; ``error`` is one line, ``links`` are words with addresses, and
    ``context`` is for those who look for the run.
    """

    notice_id: str
    title: str
    facts: tuple[tuple[str, str], ...]
    error: str
    links: tuple[tuple[str, str], ...]
    context: str

    def __post_init__(self) -> None:
        """Every field becomes one masked line of bounded length: a value of the data, such as a
        partition with a line break in it, must not look like a line or a header of the message."""
        fields = {
            "title": one_line(self.title, _LONGEST_TITLE),
            "facts": tuple((one_line(name), one_line(value, 200)) for name, value in self.facts),
            "error": one_line(self.error),
            "links": tuple(
                (one_line(words, 200), "".join(url.split())) for words, url in self.links
            ),
            "context": one_line(self.context),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def one_line(error: object, longest: int = _LONGEST_ERROR) -> str:
    """An exception, or a text, as one masked line without control characters, of bounded length."""
    # Airflow has no public way to mask text of one's own.
    from airflow.sdk._shared.secrets_masker import redact

    text = str(error)
    if isinstance(error, BaseException):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    # Control characters, and those that turn text around or hide it (bidi marks, zero widths).
    shown = "".join(
        " " if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") else char
        for char in str(redact(text))[:_READ]
    )
    line = " ".join(shown.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


class _NoticeNotifier(BaseNotifier):
    """Sends a notice; a subclass says what there is to say, and by which channel."""

    def notice(self, context: Context) -> Notice:
        """What there is to say."""
        raise NotImplementedError

    async def async_notify(self, context: Context) -> None:
        """Sends it from the triggerer, in a thread beside what else that does."""
        await asyncio.to_thread(self.notify, context)


class SlackNoticeNotifier(_NoticeNotifier):
    """Posts a notice to Slack; a subclass says what there is to say.

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
        """Posts it; raises what the hook raises, which Airflow logs."""
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        from feira_provider.hooks.missing import named_if_missing

        hook = SlackWebhookHook(
            slack_webhook_conn_id=self.slack_webhook_conn_id, timeout=self.timeout
        )
        with named_if_missing(self.slack_webhook_conn_id):
            hook.send_dict(slack_body(self.notice(context)))


class MailNoticeNotifier(_NoticeNotifier):
    """Mails a notice; a subclass says what there is to say.

    :param to: addresses, as ``to_email`` has them; without them, ``to_email`` in the connection's extra (templated)
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
        """Sends it; raises MailConnectionError where no address is known or one is none, else what the hook raises."""
        from feira_provider.hooks.mail import MailHook, addresses

        notice = self.notice(context)
        hook = MailHook(smtp_conn_id=self.smtp_conn_id)
        with hook:
            recipients = addresses(self.to, "The notifier's `to`") or hook.recipients
            hook.send_email_smtp(
                to=recipients,
                from_email=hook.sender,
                subject=notice.title,
                html_content=mail_html(notice),
                custom_headers={
                    "Message-ID": f"<{notice.notice_id}@notices.feira.invalid>",
                    "Auto-Submitted": "auto-generated",
                },
            )


def slack_body(notice: Notice) -> dict[str, Any]:
    """The message in Block Kit's words; the header's ``block_id`` is the notice's id."""
    error = notice.error.replace("`", "'")
    while len(_slack(error)) > _LONGEST_SECTION:
        # Cut before it is escaped, so that no entity is cut in two.
        error = f"{error[:-101]}…"
    error = _slack(error)
    links = " · ".join(_link(words, url) for words, url in notice.links)
    return {
        "text": _slack(f"{notice.title}: {notice.error}"),
        "blocks": [
            {
                "type": "header",
                "block_id": notice.notice_id,
                "text": {"type": "plain_text", "text": notice.title[:150]},
            },
            {"type": "section", "text": _mrkdwn(f"```{error}```")},
            {"type": "section", "text": _mrkdwn(links)},
            {"type": "context", "elements": [{"type": "plain_text", "text": notice.context}]},
        ],
    }


def mail_html(notice: Notice) -> str:
    """The message as HTML."""
    rows = (
        *((name, escape(value)) for name, value in notice.facts),
        ("Error", f'<code style="white-space:pre-wrap">{escape(notice.error)}</code>'),
        *(
            (escape(words), f'<a href="{escape(url)}">{escape(url)}</a>')
            for words, url in notice.links
        ),
    )
    cells = "".join(
        '<tr><th style="text-align:left;vertical-align:top;padding:4px 14px 4px 0">'
        f'{name}</th><td style="padding:4px 0">{value}</td></tr>'
        for name, value in rows
    )
    return (
        '<div style="font-family:Helvetica,Arial,sans-serif;font-size:14px;color:#1e293b">'
        f'<h1 style="font-size:18px;color:#b91c1c">{escape(notice.title)}</h1>'
        f"<table>{cells}</table></div>"
    )


def _mrkdwn(text: str) -> dict[str, Any]:
    # Verbatim: an address or a name in it becomes no link and no mention.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _link(words: str, url: str) -> str:
    # A mark inside a word formats nothing; a bar would end the address.
    shown = re.sub(r"[*~`]|\b_+|_+\b", lambda marks: marks[0].translate(_UNFORMATTED), words)
    return f"<{_slack(url).replace('|', '%7C')}|{_slack(shown)}>"


def _slack(text: str) -> str:
    """Text without what Slack reads as an entity, a link or a mention. Marks such as ``*`` stay."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
