"""One GET with requests that ends: within a time in all, and within a size; and when to ask again."""

from __future__ import annotations

import email.utils
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import PoolManager

_PIECE = 2**16


class UnreadableAnswerError(requests.RequestException):
    """The service answered, against HTTP. The message is the kind of error; what was said may be a secret."""


# No connection, or one that broke, an answer that cannot be read, and a body that is cut off or cannot be unpacked.
BROKEN = (
    UnreadableAnswerError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.RetryError,
)
# What requests raises, and what it lets through: for a header or a host that cannot be encoded, a file that is not
# there, an option of another type.
_RAISED = (
    *(requests.RequestException, HTTPError, OSError),
    *(ValueError, TypeError, LookupError, AttributeError, OverflowError),
)


class TooSlowError(Exception):
    """An answer was not whole when the time was over. ``status`` is None before its headers end."""

    def __init__(self, status: int | None) -> None:
        super().__init__()
        self.status = status


class TooLargeError(Exception):
    """A body goes on after the limit of its size."""


class CannotAskError(Exception):
    """No request can be made of what URL and session say, now or later. The message is the kind of error; what was
    said may be a secret."""


class _Deadline:
    """Ends what its connections are at when the time is over, wherever they wait for bytes.

    The timeout of a socket is for the next byte, so that a byte a second never meets it.
    """

    def __init__(self, seconds: float) -> None:
        self.over = False
        # Whether a request went out; what is wrong then is the answer.
        self.asked = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    @contextmanager
    def running(self) -> Iterator[None]:
        token = _CURRENT.set(self)
        self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()
            with self._lock:
                self._sockets.clear()
            _CURRENT.reset(token)

    def watch(self, connected: socket.socket | None) -> None:
        if connected is None:
            return
        with self._lock:
            self._sockets.append(connected)
            if self.over:
                self._end()

    def _expire(self) -> None:
        with self._lock:
            self.over = True
            self._end()

    def _end(self) -> None:
        for connected in self._sockets:
            with suppress(OSError):
                # Of the plain socket: TLS would wait for the other side.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


_CURRENT: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


def _watch(connected: socket.socket | None) -> None:
    if deadline := _CURRENT.get():
        deadline.watch(connected)


class _Watched(HTTPConnection):
    """Comes before the class of a connection, whose ``super()`` that is."""

    def connect(self) -> None:
        super().connect()
        _watch(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _watch(self.sock)
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        if deadline := _CURRENT.get():
            deadline.asked = True
        return super().getresponse()


def make_timed(session: requests.Session) -> None:
    """Lets ``timed_get`` end this session's requests, by its own adapters and through its proxies."""
    for adapter in session.adapters.values():
        if not isinstance(adapter, HTTPAdapter):
            continue
        _time_pools(adapter.poolmanager)
        through_proxy = adapter.proxy_manager_for

        def proxied(proxy: str, _original: Any = through_proxy, **options: Any) -> PoolManager:
            return _time_pools(_original(proxy, **options))

        adapter.proxy_manager_for = proxied  # type: ignore[method-assign]


def _time_pools(pools: PoolManager) -> PoolManager:
    # Not pools of ours: those of a SOCKS proxy connect in a way of their own.
    found = pools.pool_classes_by_scheme
    pools.pool_classes_by_scheme = {scheme: _timed(pool) for scheme, pool in found.items()}
    return pools


@cache
def _timed(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    connects: Any = pool.ConnectionCls
    if issubclass(connects, _Watched):
        return pool
    watched = type(connects.__name__, (_Watched, connects), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": watched})


def status_in_words(status: int) -> str:
    """A status, with what was not done where it is that of a redirect."""
    return f"{status}, a redirect, which is not followed" if 300 <= status < 400 else str(status)


def timed_status(
    session: requests.Session, url: str, *, timeout: float, total_timeout: float
) -> int:
    """The status that the URL itself answers with: no redirect is followed, and no body is read.

    :raises TooSlowError: where the headers have not ended after ``total_timeout`` seconds
    :raises CannotAskError: as ``timed_get``, and so one of ``BROKEN``
    """

    def stay(answer: requests.Response, **_: Any) -> None:
        # requests reads where it leads even where it does not go there, and falls over what is no URL.
        answer.headers.pop("Location", None)

    hooks = {"response": [*session.hooks["response"], stay]}
    with _answer(session, url, total_timeout, timeout=timeout, hooks=hooks) as answer:
        return answer.status_code


def timed_get(
    session: requests.Session,
    url: str,
    params: Mapping[str, str],
    *,
    timeout: float,
    total_timeout: float,
    max_bytes: int,
) -> tuple[requests.Response, bytes]:
    """The answer and its unpacked body; redirects count towards the time.

    :raises TooSlowError: after ``total_timeout`` seconds
    :raises TooLargeError: where the body is over ``max_bytes``
    :raises CannotAskError: where no request could be made
    :raises requests.RequestException: one of ``BROKEN`` or TooManyRedirects; its ``response`` is set where the
        headers had come
    """
    ends = time.monotonic() + total_timeout
    body = bytearray()
    with _answer(session, url, total_timeout, timeout=timeout, params=params) as answer:
        for piece in answer.iter_content(_PIECE):
            body += piece
            if len(body) > max_bytes:
                raise TooLargeError
            if time.monotonic() > ends:
                raise TooSlowError(answer.status_code)
    return answer, bytes(body)


@contextmanager
def _answer(
    session: requests.Session, url: str, total_timeout: float, **options: Any
) -> Iterator[requests.Response]:
    """The answer when its headers have come, closed at the end; raises as ``timed_get`` what is raised until then."""
    deadline = _Deadline(total_timeout)
    answer: requests.Response | None = None
    with deadline.running():
        try:
            # Streamed: where the body breaks off, the status is known.
            # Named again as HttpHook does: REQUESTS_CA_BUNDLE outdoes a session's own `verify`, and HTTP_PROXY its own
            # `proxies`.
            answer = session.get(
                url,
                stream=True,
                verify=session.verify,
                proxies=_proxies(session, url),
                **options,
            )
            yield answer
        except _RAISED as error:
            if deadline.over:
                raise TooSlowError(answer.status_code if answer is not None else None) from error
            if not isinstance(error, (*BROKEN, requests.TooManyRedirects)):
                if not deadline.asked:
                    raise CannotAskError(_kind(error)) from error
                raise UnreadableAnswerError(_kind(error), response=answer) from error
            if error.response is None:
                error.response = answer
            raise
        finally:
            if answer is not None:
                answer.close()
    if deadline.over:
        # Headers, and a body that says no length, seem whole where their connection ends.
        raise TooSlowError(answer.status_code)


def _proxies(session: requests.Session, url: str) -> dict[str, Any]:
    """The session's own, and its one for the URL by scheme, which is how the environment would name another."""
    own = dict(session.proxies)
    if proxy := select_proxy(url, own):
        own[urlsplit(url).scheme] = proxy
    return own


def failure_in_words(error: Exception) -> str:
    """What one of these errors is, without what it says: that may be a secret."""
    kind = type(error).__name__
    return f"{kind}: {error}" if isinstance(error, UnreadableAnswerError) else kind


def _kind(error: Exception) -> str:
    kind = type(error).__name__
    # One of Python's own is about a file, and names that alone.
    return (
        f"{kind}: {error}"
        if isinstance(error, OSError) and type(error).__module__ == "builtins"
        else kind
    )


def retry_after(headers: Any) -> float | None:
    """Seconds that the Retry-After header asks for, as a number or as a date (RFC 9110)."""
    text = headers.get("Retry-After")
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        then = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # "-0000", as RFC 9110 says "GMT" for: no zone of this machine.
    moment = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - time.time())
