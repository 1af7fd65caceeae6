"""Watches an HTTP service until it answers 200."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from airflow.providers.http.hooks.http import AsyncHttpSession, HttpAsyncHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from feira_provider.hooks.timed_request import status_in_words

_TIMEOUT = aiohttp.ClientTimeout(total=10)


class HttpAvailableTrigger(BaseTrigger):
    """Fires when a service answers 200, or when it has not by the deadline.

    A refused connection, a timeout and any other status, a redirect's too, count as not yet: waiting
    through them is what this trigger is for.

    :param http_conn_id: an ``http`` connection, with the headers and the login that it carries
    :param endpoint: path below the connection's base URL
    :param poke_interval: seconds between two questions
    :param deadline: seconds since the epoch
    """

    def __init__(
        self, http_conn_id: str, endpoint: str, poke_interval: float, deadline: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.http_conn_id = http_conn_id
        self.endpoint = endpoint
        self.poke_interval = poke_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments that make this trigger again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {
            "http_conn_id": self.http_conn_id,
            "endpoint": self.endpoint,
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields one event: ``available``, or ``timeout`` with the last answer in ``message``."""
        hook = HttpAsyncHook(method="GET", http_conn_id=self.http_conn_id, retry_limit=1)
        async with hook.session() as session:
            while True:
                answer = await self._ask(session)
                if answer == "200":
                    yield TriggerEvent({"status": "available"})
                    return
                if time.time() + self.poke_interval > self.deadline:
                    yield TriggerEvent({"status": "timeout", "message": answer})
                    return
                self.log.info(
                    "%s/%s is not available yet: %s", session.base_url, self.endpoint, answer
                )
                await asyncio.sleep(self.poke_interval)

    async def _ask(self, session: AsyncHttpSession) -> str:
        options = {"check_response": False, "timeout": _TIMEOUT, "allow_redirects": False}
        try:
            answer = await session.run(self.endpoint, extra_options=options)
        except (TimeoutError, aiohttp.ClientError) as error:
            return f"{type(error).__name__}: {error}"
        answer.release()
        return status_in_words(answer.status)
