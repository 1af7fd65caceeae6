"""The inbox as a program: `python -m feira_local.inbox` takes mail by SMTP, Slack's messages and lineage by HTTP."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session

from feira_local.inbox.app import create_app
from feira_local.inbox.store import EventLog, MessageStore

log = logging.getLogger(__name__)
LARGEST_MAIL = 20 * 1024 * 1024


class KeepingHandler:
    """Keeps each mail before it is acknowledged."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content or b""
        try:
            message_id = self._store.add(
                "mail", content if isinstance(content, bytes) else content.encode()
            )
        except OSError as error:
            log.error("mail not kept: %s", error)
            return f"451 The mail could not be kept: {error.strerror}; try again later"
        return f"250 Kept as {message_id}"


async def listen(store: MessageStore, host: str, port: int) -> asyncio.Server:
    """The server, listening in this event loop; port 0 takes a free one."""

    def connection() -> SMTP:
        # With a name of its own it asks no resolver for one.
        return SMTP(
            KeepingHandler(store),
            data_size_limit=LARGEST_MAIL,
            enable_SMTPUTF8=True,
            hostname="inbox.feira.invalid",
            ident="Feira inbox",
        )

    return await asyncio.get_running_loop().create_server(connection, host, port)


# By default uvicorn closes what was idle for 5 s: an event of lineage that a task sends just then is lost, since it is
# sent once. A task is over before this.
_KEEP_ALIVE_SECONDS = 3600
EXAMPLE = """
Example:

  python -m feira_local.inbox --port 18025 --smtp-port 18026 --store .feira/inbox
"""


def main(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The port of page and Slack.")
    ] = 18025,
    smtp_port: Annotated[int, typer.Option(min=1, max=65535, help="The port for mail.")] = 18026,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    store: Annotated[Path, typer.Option(help="The folder that keeps the messages.")] = Path(
        ".feira/inbox"
    ),
    lineage: Annotated[
        Path | None, typer.Option(help="The file of OpenLineage events; else one in the folder.")
    ] = None,
) -> None:
    """Takes mail by SMTP and Slack messages by HTTP, keeps both, and shows them on a page.

    OpenLineage events, posted to /api/v1/lineage, are appended to a file.
    """
    events = EventLog(lineage or store / "lineage.ndjson")
    asyncio.run(_serve(MessageStore(store), events, host, port, smtp_port))


async def _serve(
    store: MessageStore, events: EventLog, host: str, port: int, smtp_port: int
) -> None:
    """Mail first: once the page answers, both are there."""
    config = uvicorn.Config(
        create_app(store, events),
        host=host,
        port=port,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,
    )
    smtp = await listen(store, host, smtp_port)
    try:
        await uvicorn.Server(config).serve()
    finally:
        smtp.close()


command = typer.Typer(add_completion=False, rich_markup_mode=None)
command.command(epilog=EXAMPLE)(main)

if __name__ == "__main__":
    command(prog_name="python -m feira_local.inbox")
