"""A Slack message, checked as Slack checks it, and as HTML for the page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Any

import orjson
from markupsafe import Markup

Block = dict[str, Any]
# docs.slack.dev/reference/block-kit/blocks
_MOST_BLOCKS, _MOST_FIELDS = 50, 10
_LONGEST = {"header": 150, "section": 3000, "field": 2000, "block_id": 255}


class SlackPayloadError(ValueError):
    """Slack would refuse it; the text is the one that Slack answers with."""


@dataclass(frozen=True)
class SlackView:
    """What is shown of a message."""

    title: str
    identifier: str
    body: Markup


def slack_view(content: bytes) -> SlackView:
    """Reads a message as it was kept.

    One that cannot be read is shown as such: it must not take the others off the page.
    """
    try:
        payload = read_payload(content)
        return SlackView(_title(payload), _identifier(payload), _as_html(payload))
    except Exception as error:
        reason = escape(f"{type(error).__name__}: {error}")
        return SlackView("(unreadable message)", "", Markup(f"<p>{reason}</p>"))


def read_payload(body: bytes) -> dict[str, Any]:
    """The message; raises SlackPayloadError for what an incoming webhook answers 400 to, and for what no page can
    hold: half a surrogate pair, and JSON that is nested too deep."""
    try:
        # Python's own takes both.
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise SlackPayloadError("invalid_payload") from None
    if not isinstance(payload, dict) or not _are_texts(payload, "text"):
        raise SlackPayloadError("invalid_payload")
    blocks = payload.get("blocks") or []
    attachments = payload.get("attachments") or []
    if not isinstance(attachments, list) or not all(
        isinstance(each, dict) and _are_texts(each, "title", "text", "fallback")
        for each in attachments
    ):
        raise SlackPayloadError("invalid_attachments")
    if not payload.get("text") and not blocks and not attachments:
        raise SlackPayloadError("no_text")
    if not isinstance(blocks, list) or len(blocks) > _MOST_BLOCKS or not all(map(_legal, blocks)):
        raise SlackPayloadError("invalid_blocks")
    return payload


def _are_texts(fields: dict[str, Any], *names: str) -> bool:
    return all(isinstance(fields.get(name), str | None) for name in names)


def _legal(block: object) -> bool:
    if not isinstance(block, dict) or not _are_texts(block, "block_id"):
        return False
    if len(block.get("block_id") or "") > _LONGEST["block_id"]:
        return False
    kind = block.get("type")
    if kind == "divider":
        return True
    if kind == "header":
        return _is_text(block.get("text"), _LONGEST["header"], plain=True)
    if kind == "section":
        fields = block.get("fields", [])
        stated = block.get("text") is not None
        return (
            (stated or bool(fields))
            and (not stated or _is_text(block["text"], _LONGEST["section"]))
            and isinstance(fields, list)
            and len(fields) <= _MOST_FIELDS
            and all(_is_text(each, _LONGEST["field"]) for each in fields)
        )
    if kind == "context":
        elements = block.get("elements")
        return (
            isinstance(elements, list)
            and 0 < len(elements) <= _MOST_FIELDS
            and all(_is_text(each, _LONGEST["section"]) for each in elements)
        )
    return False


def _is_text(value: object, longest: int, *, plain: bool = False) -> bool:
    return (
        isinstance(value, dict)
        and value.get("type") in (("plain_text",) if plain else ("plain_text", "mrkdwn"))
        and isinstance(value.get("text"), str)
        and 0 < len(value["text"]) <= longest
    )


def _as_html(payload: dict[str, Any]) -> Markup:
    """The blocks, or else the text, and attachments below; everything that came from outside is escaped."""
    text = payload.get("text") or ""
    blocks = payload.get("blocks") or ([_section(text)] if text else [])
    return Markup("".join(_block(block) for block in (*blocks, *_attached(payload))))


def _title(payload: dict[str, Any]) -> str:
    """What a notification would show."""
    attachments = payload.get("attachments") or [{}]
    shown = payload.get("text") or attachments[0].get("title") or attachments[0].get("fallback")
    return _plain(shown or "(blocks only)")


def _identifier(payload: dict[str, Any]) -> str:
    """The first block's id, which the sender gives to every copy of a message."""
    blocks = payload.get("blocks") or [{}]
    return blocks[0].get("block_id") or ""


def _attached(payload: dict[str, Any]) -> list[Block]:
    """The attachments, Slack's older form that Alertmanager sends, as sections."""
    return [
        _section("\n".join(filter(None, (title and f"*{title}*", each.get("text")))))
        for each in payload.get("attachments") or []
        for title in [each.get("title")]
    ]


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _block(block: Block) -> str:
    kind = block["type"]
    if kind == "divider":
        return "<hr>"
    if kind == "header":
        return f"<h3>{_text(block['text'])}</h3>"
    if kind == "context":
        return f"<p class='context'>{' '.join(_text(each) for each in block['elements'])}</p>"
    text = f"<div class='section'>{_text(block['text'])}</div>" if block.get("text") else ""
    fields = "".join(f"<div>{_text(each)}</div>" for each in block.get("fields", []))
    return text + (f"<div class='fields'>{fields}</div>" if fields else "")


def _text(value: dict[str, Any]) -> str:
    if value["type"] == "plain_text":
        return escape(value["text"]).replace("\n", "<br>")
    return _mrkdwn(value["text"])


def _mrkdwn(text: str) -> str:
    """Slack's markup for what the platform sends: verbatim blocks, bold, links."""
    pieces = re.split(r"```(.*?)```", text, flags=re.DOTALL)
    shown = []
    for index, piece in enumerate(pieces):
        if index % 2:
            shown.append(f"<pre>{escape(_plain(piece))}</pre>")
            continue
        parts = re.split(r"(<https?://[^<>|]+(?:\|[^<>]*)?>)", piece)
        shown.append(
            "".join(_link(part) if n % 2 else _words(part) for n, part in enumerate(parts))
        )
    return "".join(shown)


def _link(text: str) -> str:
    url, _, label = text[1:-1].partition("|")
    return (
        f'<a href="{escape(_plain(url))}" rel="noreferrer" target="_blank">'
        f"{escape(_plain(label or url))}</a>"
    )


def _words(text: str) -> str:
    safe = escape(_plain(text))
    safe = re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"<b>\1</b>", safe)
    return safe.replace("\n", "<br>")


def _plain(text: str) -> str:
    """Slack's three entities as the characters they stand for."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
