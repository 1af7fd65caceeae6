"""Watches a URL until it answers 200."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from airflow.triggers.base import BaseTrigger, TriggerEvent


class HttpAvailableTrigger(BaseTrigger):
    """Fires when a URL answers 200, or when it has not by the deadline.

    A refused connection, a timeout and any other status count as not yet: waiting through them is
    what this trigger is for.

    :param url: the URL to ask
    :param poke_interval: seconds between two questions
    :param deadline: seconds since the epoch
    """

    def __init__(self, url: str, poke_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.url = url
        self.poke_interval = poke_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments that make this trigger again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {
            "url": self.url,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields one event: ``available``, or ``timeout`` with the last answer in ``message``."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                answer = await self._ask(session)
                if answer == "200":
                    yield TriggerEvent({"status": "available"})
                    return
                if time.time() + self.poke_interval > self.deadline:
                    yield TriggerEvent({"status": "timeout", "message": answer})
                    return
                self.log.info("%s is not available yet: %s", self.url, answer)
                await asyncio.sleep(self.poke_interval)

    async def _ask(self, session: aiohttp.ClientSession) -> str:
        try:
            async with session.get(self.url) as answer:
                return str(answer.status)
        except (TimeoutError, aiohttp.ClientError) as error:
            return f"{type(error).__name__}: {error}"
