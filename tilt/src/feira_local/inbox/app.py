"""The inbox over HTTP: where Slack messages and lineage are posted to, and the page that shows messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.middleware.trustedhost import TrustedHostMiddleware

from feira.core.lineage_event import wrong_in
from feira_local.inbox.mail_view import MailView, mail_view
from feira_local.inbox.slack_view import SlackPayloadError, read_payload, slack_view
from feira_local.inbox.store import Channel, EventLog, MessageStore, Received

PAGE_SIZE = 20
LARGEST_MESSAGE = 1024 * 1024
_TEMPLATES = Environment(
    loader=PackageLoader("feira_local.inbox"), autoescape=True, undefined=StrictUndefined
)
# No script anywhere, nothing from elsewhere; a mail's own markup lives in a frame without rights.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'self'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Entry:
    """A message on the page."""

    channel: Channel
    message_id: str
    received: str
    title: str
    identifier: str
    mail: MailView | None = None
    slack: Markup | None = None


def create_app(store: MessageStore, lineage: EventLog) -> FastAPI:
    """The inbox over the messages of ``store``, and the events of ``lineage``."""
    app = FastAPI(title="Feira inbox", docs_url=None, redoc_url=None, openapi_url=None)
    # A foreign page whose name is made to resolve to loopback is refused here.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @app.get("/health")
    def health() -> dict[str, Any]:
        return {"status": "ok", "mail": store.count("mail"), "slack": store.count("slack")}

    @app.post("/slack/{token:path}")
    async def post(request: Request, token: str) -> Response:
        if not _is_json(request):
            return PlainTextResponse("invalid_payload", 415)
        body = await request.body()
        if len(body) > LARGEST_MESSAGE:
            return PlainTextResponse("too_large", 413)
        try:
            read_payload(body)
        except SlackPayloadError as error:
            return PlainTextResponse(str(error), 400)
        store.add("slack", body)
        return PlainTextResponse("ok")

    @app.post("/api/v1/lineage")
    async def lineage_event(request: Request) -> Response:
        """Where OpenLineage's clients post by default, Marquez has its own of the same kind."""
        if not _is_json(request):
            return PlainTextResponse("no event: its content type must be application/json", 415)
        body = await request.body()
        if len(body) > LARGEST_MESSAGE:
            return PlainTextResponse("too_large", 413)
        try:
            event = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return PlainTextResponse(f"no JSON: {error}", 400)
        if not isinstance(event, dict) or not {"eventTime", "producer"} <= event.keys():
            return PlainTextResponse("no event: it must hold eventTime and producer", 422)
        if wrong := wrong_in(event):
            return PlainTextResponse(f"no event: {wrong}", 422)
        try:
            line = orjson.dumps(event)
        except orjson.JSONEncodeError as error:
            # It reads what is nested deeper than it writes.
            return PlainTextResponse(f"no event: {error}", 422)
        lineage.append(line)
        return Response(status_code=201)

    @app.get("/")
    def page(
        channel: Literal["mail", "slack"] | None = None, before: str | None = None
    ) -> Response:
        found = store.newest(PAGE_SIZE + 1, before=before, channel=channel)
        shown = found[:PAGE_SIZE]
        mails = [message.message_id for message in shown if message.channel == "mail"]
        text = _TEMPLATES.get_template("inbox.html.j2").render(
            entries=[_entry(message) for message in shown],
            counts={"mail": store.count("mail"), "slack": store.count("slack")},
            channel=channel,
            older=shown[-1].message_id if len(found) > PAGE_SIZE else None,
            opened=mails[0] if mails and before is None else None,
        )
        return _page(text, _PAGE_POLICY)

    @app.get("/mail/{message_id}/body")
    def body(message_id: str) -> Response:
        return _page(mail_view(_kept(store, message_id).content).body, _MAIL_POLICY)

    @app.get("/mail/{message_id}/part/{index}")
    def part(message_id: str, index: int) -> Response:
        parts = mail_view(_kept(store, message_id).content).parts
        if not 0 <= index < len(parts):
            raise HTTPException(404, f"Mail {message_id} has {len(parts)} parts, not {index + 1}.")
        return _download(parts[index].name, parts[index].content)

    @app.get("/mail/{message_id}/source")
    def source(message_id: str) -> Response:
        return _download(f"{message_id}.eml", _kept(store, message_id).content)

    return app


def _is_json(request: Request) -> bool:
    """Whether the body is stated as JSON, which a foreign page cannot do unasked."""
    stated = request.headers.get("content-type", "").split(";")[0]
    return stated.strip().lower() == "application/json"


def _page(text: str, policy: str) -> Response:
    # A mail's bytes may be read as half a surrogate pair.
    return HTMLResponse(
        text.encode(errors="replace"), headers={**_HEADERS, "Content-Security-Policy": policy}
    )


def _entry(message: Received) -> Entry:
    received = f"{message.at:%Y-%m-%d %H:%M:%S} UTC"
    if message.channel == "mail":
        view = mail_view(message.content)
        return Entry("mail", message.message_id, received, view.subject, view.message_id, mail=view)
    shown = slack_view(message.content)
    return Entry(
        "slack", message.message_id, received, shown.title, shown.identifier, slack=shown.body
    )


def _kept(store: MessageStore, message_id: str) -> Received:
    message = store.get("mail", message_id)
    if message is None:
        raise HTTPException(404, f"There is no mail {message_id!r}.")
    return message


def _download(name: str, content: bytes) -> Response:
    """Always a download: what came from outside is never shown as a page of ours."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}"
    return Response(
        content,
        media_type="application/octet-stream",
        headers={**_HEADERS, "Content-Disposition": disposition},
    )
