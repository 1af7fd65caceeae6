"""The inbox, mail server and page, on loopback ports in a thread of the tests' own process."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import uvicorn

from feira_local.inbox.__main__ import listen
from feira_local.inbox.app import create_app
from feira_local.inbox.store import EventLog, MessageStore


@dataclass(frozen=True)
class Inbox:
    """A running inbox, and what it has received."""

    url: str
    smtp_port: int
    store: MessageStore

    def mails(self) -> list[EmailMessage]:
        """Oldest first."""
        read = [
            message_from_bytes(message.content, policy=policy.default)
            for message in reversed(self.store.newest(1000, channel="mail"))
        ]
        return [message for message in read if isinstance(message, EmailMessage)]

    def slack(self) -> list[dict[str, Any]]:
        """Oldest first."""
        found = reversed(self.store.newest(1000, channel="slack"))
        return [json.loads(message.content) for message in found]

    def connections(self) -> dict[str, str]:
        """Airflow's two connections to it."""
        return {
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(
                {
                    "conn_type": "smtp",
                    "host": "127.0.0.1",
                    "port": self.smtp_port,
                    "extra": {
                        "from_email": "Feira <feira@example.com>",
                        "to_email": ["sales@example.com", "data@example.com"],
                        "disable_ssl": True,
                        "disable_tls": True,
                        "timeout": 60,
                    },
                }
            ),
            "AIRFLOW_CONN_SLACK_DEFAULT": json.dumps(
                {
                    "conn_type": "slackwebhook",
                    "host": f"{self.url}/slack",
                    "password": "T0/B0/very-secret-token",
                }
            ),
        }


@contextmanager
def running_inbox(folder: Path) -> Iterator[Inbox]:
    """An inbox that keeps its messages in ``folder``; both ports take connections when it begins."""
    store = MessageStore(folder)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(store, EventLog(folder / "lineage.ndjson")),
            log_level="error",
            lifespan="off",
            timeout_graceful_shutdown=2,
        )
    )
    ready = threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        smtp = await listen(store, "127.0.0.1", 0)
        ports.append(smtp.sockets[0].getsockname()[1])
        ready.set()
        await server.serve(sockets=[listening])
        smtp.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield Inbox(f"http://127.0.0.1:{listening.getsockname()[1]}", ports[0], store)
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
