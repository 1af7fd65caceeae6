"""Starts the inbox: ``python -m feira_local.inbox``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from feira_local.inbox.app import create_app
from feira_local.inbox.smtp import listen
from feira_local.inbox.store import MessageStore

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
) -> None:
    """Takes mail by SMTP and Slack messages by HTTP, keeps both, and shows them on a page."""
    asyncio.run(_serve(MessageStore(store), host, port, smtp_port))


async def _serve(store: MessageStore, host: str, port: int, smtp_port: int) -> None:
    """Mail first: once the page answers, both are there."""
    config = uvicorn.Config(
        create_app(store), host=host, port=port, access_log=False, timeout_graceful_shutdown=2
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
