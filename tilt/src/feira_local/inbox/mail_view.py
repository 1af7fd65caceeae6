"""A received mail, read for the page."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape

# What a browser may draw from a part of a mail; an SVG can hold script.
_PICTURES = ("image/png", "image/jpeg", "image/gif")


@dataclass(frozen=True)
class Part:
    """An attachment or an inline picture."""

    name: str
    content: bytes


@dataclass(frozen=True)
class MailView:
    """What is shown of a mail. ``body`` is HTML that has yet to be put into a sandbox."""

    subject: str
    sender: str
    recipients: str
    message_id: str
    body: str
    parts: tuple[Part, ...]


def mail_view(content: bytes) -> MailView:
    """Reads a message as it came over SMTP; whatever a part lacks is shown as empty.

    One that cannot be read is shown as such: it must not take the others off the page.
    """
    try:
        return _read(content)
    except Exception as error:
        reason = escape(f"{type(error).__name__}: {error}")
        return MailView("(unreadable mail)", "", "", "", f"<p>{reason}. See its source.</p>", ())


def _read(content: bytes) -> MailView:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return MailView(
        subject=str(message["Subject"] or "(no subject)"),
        sender=str(message["From"] or ""),
        recipients=str(message["To"] or ""),
        message_id=str(message["Message-ID"] or ""),
        body=_body(message),
        parts=tuple(_parts(message)),
    )


def _body(message: EmailMessage) -> str:
    """The HTML with its inline pictures in it, or the text; links open in a tab of their own."""
    body = message.get_body(("html", "plain"))
    if not isinstance(body, EmailMessage):
        return "<p>(no text)</p>"
    text = str(body.get_content())
    if body.get_content_subtype() != "html":
        return f"<pre style='white-space:pre-wrap'>{escape(text)}</pre>"
    pictures = {
        str(part["Content-ID"]).strip("<> "): part
        for part in message.walk()
        if part["Content-ID"] and part.get_content_type() in _PICTURES
    }

    def with_picture(found: re.Match[str]) -> str:
        part = pictures.get(found[1])
        if part is None:
            return found[0]
        data = base64.b64encode(_content(part)).decode()
        return f"data:{part.get_content_type()};base64,{data}"

    text = re.sub(r"cid:([\w.@-]+)", with_picture, text)
    base = '<base target="_blank">'
    head = re.search(r"<head[^>]*>", text, re.IGNORECASE)
    return text[: head.end()] + base + text[head.end() :] if head else base + text


def _parts(message: EmailMessage) -> list[Part]:
    found = []
    for part in message.walk():
        if part.is_multipart() or not (part.get_filename() or part["Content-ID"]):
            continue
        name = part.get_filename() or str(part["Content-ID"]).strip("<> ")
        found.append(Part(name, _content(part)))
    return found


def _content(part: object) -> bytes:
    content = part.get_payload(decode=True) if isinstance(part, EmailMessage) else None
    return content if isinstance(content, bytes) else b""
