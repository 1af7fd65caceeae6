"""The mail server: takes every mail for everybody and delivers none."""

from __future__ import annotations

import asyncio
import logging

from aiosmtpd.smtp import SMTP, Envelope, Session

from feira_local.inbox.store import MessageStore

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
