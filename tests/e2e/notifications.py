"""What people were notified of: the titles of the mails and Slack messages that the inbox keeps."""

from __future__ import annotations

import json
from email import message_from_bytes, policy

from feira_local.inbox.store import MessageStore
from feira_local.stack.state import running_config


class Notifications:
    """The running stack's inbox, read from its files: it may be down."""

    def __init__(self) -> None:
        self._store = MessageStore(running_config().home / "inbox")

    def mails(self) -> list[str]:
        """Subjects, newest first."""
        found = self._store.newest(1000, channel="mail")
        return [
            str(message_from_bytes(message.content, policy=policy.default)["Subject"])
            for message in found
        ]

    def slack(self) -> list[str]:
        """Headers, newest first."""
        found = self._store.newest(1000, channel="slack")
        return [
            str(block["text"]["text"])
            for message in found
            # Alertmanager's have attachments alone.
            for block in json.loads(message.content).get("blocks", ())
            if block["type"] == "header"
        ]

    def both(self, title: str) -> bool:
        """Whether both channels have taken something that begins so."""
        return all(
            any(said.startswith(title) for said in channel)
            for channel in (self.mails(), self.slack())
        )
