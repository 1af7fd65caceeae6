"""Watches an HTTP service until it answers 200."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import requests
from airflow.triggers.base import BaseTrigger, TriggerEvent

from feira.core.errors import PermanentError
from feira_provider.hooks.missing import MissingConnectionError
from feira_provider.hooks.paged_api import PagedApiHook, PagedApiRefusedError
from feira_provider.hooks.timed_request import (
    CannotAskError,
    TooSlowError,
    failure_in_words,
    make_timed,
    status_in_words,
    timed_status,
)
from feira_provider.hooks.web_links import shown
from feira_provider.triggers.own_threads import NoAnswerInTimeError, in_thread, own_threads

_TIMEOUT = 10.0
_THREADS = own_threads("http-available")


def opened(http_conn_id: str, endpoint: str) -> tuple[str, requests.Session]:
    """The URL, and a session with what the connection sends.

    :raises PermanentError: where there is no such connection, or no request can be made of it
    """
    hook = PagedApiHook(http_conn_id)
    session = hook.get_conn()
    return hook.url_of(endpoint), session


def ask(http_conn_id: str, endpoint: str) -> tuple[str, str]:
    """Asks a service once: the URL as it may be shown, and its status or the kind of error.

    :raises PermanentError: as ``opened``
    """
    url, session = opened(http_conn_id, endpoint)
    make_timed(session)
    try:
        with session:
            status = timed_status(session, url, timeout=_TIMEOUT, total_timeout=_TIMEOUT)
        return shown(url), status_in_words(status)
    except CannotAskError as error:
        raise PagedApiRefusedError(
            f"{shown(url)} cannot be asked ({error}); check the connection {http_conn_id}.",
            url=url,
            page=1,
        ) from error
    except (requests.RequestException, TooSlowError) as error:
        return shown(url), failure_in_words(error)


class HttpAvailableTrigger(BaseTrigger):
    """Fires when a service answers 200, or when it has not by the deadline.

    A refused connection, a timeout and any other status, a redirect's too, count as not yet: waiting
    through them is what this trigger is for.

    :param http_conn_id: an ``http`` or ``paged_api`` connection, with the headers, and the login or token, that
        it carries
    :param endpoint: path below the connection's base URL
    :param poke_interval: seconds between two questions
    :param deadline: seconds since the epoch; then it asks for the last time
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
        """Yields one event: ``available``, or with a ``message`` ``timeout``, which is the last answer, or ``error``
        where the connection cannot be used."""
        answer = "none: no answer came, or the triggerer had no thread free to ask"
        while True:
            # The last question may wait for its thread, and then for its answer. One that hangs is not given up for
            # another: each would take one more thread.
            longest = max(0.0, self.deadline - time.time()) + 2 * _TIMEOUT
            asking = in_thread(_THREADS, longest, ask, self.http_conn_id, self.endpoint)
            try:
                url, answer = await asking
            except PermanentError as error:
                yield TriggerEvent({"status": "error", "message": str(error)})
                return
            except MissingConnectionError as error:
                # Whoever has it did not answer, and may by the next time.
                url, answer = self.endpoint, str(error)
            except NoAnswerInTimeError:
                yield TriggerEvent({"status": "timeout", "message": answer})
                return
            if answer == "200":
                yield TriggerEvent({"status": "available"})
                return
            left = self.deadline - time.time()
            if left <= 0:
                yield TriggerEvent({"status": "timeout", "message": answer})
                return
            self.log.info("%s is not available yet: %s", url, answer)
            await asyncio.sleep(min(self.poke_interval, left))
