"""Any JSON API that serves its records in pages, over HttpHook."""

from __future__ import annotations

import email.utils
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

import requests
import tenacity
from airflow.providers.http.hooks.http import HttpHook
from airflow.sdk.log import redact  # type: ignore[attr-defined]

from feira_airflow.hooks.json_answer import NotJsonError, Records, read_json, read_page
from feira_airflow.hooks.paging import Answer, Paging, Parameters

log = logging.getLogger(__name__)

# Answers that another try may better: the request came too early, too often, or met a fault.
_TRANSIENT = frozenset({408, 425, 429})
# Likewise: no connection, or one that broke, and a body that is cut off or cannot be unpacked.
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.RetryError,
)


class PagedApiError(RuntimeError):
    """The API did not serve a page; the message names URL, page and status.

    ``status`` is that of the last answer, None where there was none. ``transient`` says whether
    asking again later may help.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str,
        page: int,
        status: int | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.url = url
        self.page = page
        self.status = status
        self.transient = transient


@dataclass(frozen=True)
class ApiPage:
    """One page: its number from 1, its records in the API's order, and the body beside them.

    ``raw`` holds the text of each record exactly as it came, whatever its JSON type; in it numbers
    keep their digits and duplicate keys stay. In ``body`` the records are a lazy sequence.
    """

    number: int
    url: str
    raw: list[bytes]
    body: Any

    @cached_property
    def records(self) -> list[Any]:
        """The records, parsed when first asked for.

        :raises PagedApiError: where one holds a number that no double holds, as 1e400
        """
        try:
            return list(Records(self.raw))
        except ValueError as error:
            raise PagedApiError(
                f"page {self.number} of {shown(self.url)}: {error}. Its text is in raw.",
                url=self.url,
                page=self.number,
                status=200,
            ) from error


_Read = Callable[[bytes], tuple[Any, Records]]


class _Retryable(Exception):
    """No connection, a timeout, a 5xx, a 429 or half an answer; ``wait`` as Retry-After asks."""

    def __init__(self, message: str, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.wait = wait


class _RefusedRedirect(requests.TooManyRedirects):
    """A redirect that is one too many because of where it leads."""


class PagedApiHook(HttpHook):
    """Reads a paged JSON API by GET, one page in memory at a time.

    A page that fails is asked for again, after a random delay that grows, and after what
    ``Retry-After`` asks for. A cursor or link that comes back, a link or redirect to another
    origin, and more than ``max_pages`` pages are errors: none of them ends by itself or is safe to
    follow. Redirects within the origin are followed, up to ``max_redirects`` of the connection's
    extra (30). A JSON number is a 64-bit integer or a double, as orjson reads it: amounts should
    travel as texts.

    :param http_conn_id: an ``http`` connection; tokens belong in its password or extra
    :param attempts: tries for each page
    :param timeout: seconds to connect, and to wait for an answer's next bytes
    :param max_delay: seconds between two tries at most, where the API does not ask for more
    :param max_retry_after: the longest ``Retry-After`` in seconds that is waited for
    :param max_pages: pages after which the API is taken not to end
    """

    default_conn_name = "http_default"

    def __init__(
        self,
        http_conn_id: str = default_conn_name,
        *,
        attempts: int = 5,
        timeout: float = 20.0,
        max_delay: float = 10.0,
        max_retry_after: float = 120.0,
        max_pages: int = 100_000,
        **kwargs: Any,
    ) -> None:
        super().__init__(method="GET", http_conn_id=http_conn_id, **kwargs)
        self.attempts = attempts
        self.timeout = timeout
        self.max_delay = max_delay
        self.max_retry_after = max_retry_after
        self.max_pages = max_pages
        self._session: requests.Session | None = None

    def api_pages(
        self,
        endpoint: str,
        paging: Paging,
        *,
        parameters: Parameters | None = None,
        label: str = "",
    ) -> Iterator[ApiPage]:
        """Yields the pages in order; at least one. ``label`` says in errors what was asked for.

        :raises PagedApiError: when a page has failed every try, was refused, or leads in a circle
        """
        params = {**(parameters or {}), **paging.first()}
        url: str | None = None
        followed: set[str] = set()
        number = 0
        while True:
            number += 1
            what = (
                f"{endpoint} of {label}, page {number}" if label else f"{endpoint}, page {number}"
            )
            answer, records = self._get(
                endpoint, params, url, what, number, lambda body: read_page(body, paging.records_at)
            )
            try:
                following = paging.following(answer, records)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise _breach(
                    what, answer, f"the answer has no usable {error}; check the paging."
                ) from error
            if following is not None and following.mark in followed:
                raise _breach(
                    what,
                    answer,
                    "the API points back to a page that it served already; its paging is broken.",
                )
            yield ApiPage(number, answer.url, records.raw, answer.body)
            if following is None:
                return
            if number >= self.max_pages:
                raise _breach(
                    what,
                    answer,
                    f"there is a next page after {self.max_pages:,}; raise max_pages if it is real.",
                )
            followed |= {following.mark, answer.url}
            if following.url is not None and not _same_origin(answer.url, following.url):
                raise _breach(
                    what,
                    answer,
                    f"the next page is at {_without_query(following.url)}, {self._another_origin()}",
                )
            params = {} if following.url else {**params, **following.parameters}
            url = following.url

    def get_json(self, endpoint: str, parameters: Parameters, *, what: str) -> Any:
        """The body of one answer, tried as often as a page is. ``what`` begins the error's message.

        :raises PagedApiError: when every try has failed, or the request was refused
        """
        answer, _ = self._get(
            endpoint, dict(parameters), None, what, 1, lambda body: (read_json(body), Records([]))
        )
        return answer.body

    def _get(
        self,
        endpoint: str,
        params: dict[str, str],
        url: str | None,
        what: str,
        page: int,
        read: _Read,
    ) -> tuple[Answer, Records]:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(self._worth_another_try),
            sleep=self._sleep,
            before_sleep=lambda state: log.warning(
                "%s: try %s of %s failed: %s",
                what,
                state.attempt_number,
                self.attempts,
                state.outcome.exception() if state.outcome else "",
            ),
            reraise=True,
        )
        try:
            return retrying(self._try, endpoint, params, url, what, page, read)
        except _Retryable as error:
            if error.wait is not None and error.wait > self.max_retry_after:
                ending = (
                    f"and asks to wait {error.wait:.0f} s (limit {self.max_retry_after:.0f} s); "
                    "try again later."
                )
            else:
                ending = f"after {self.attempts} tries. Is the API up?"
            raise PagedApiError(
                f"{what}: {error} {ending}",
                url=url or self._url(endpoint),
                page=page,
                status=error.status,
                transient=True,
            ) from error

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(multiplier=0.5, max=self.max_delay)
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, _Retryable) and error.wait is not None else 0.0
        return asked + float(jitter(state))

    def _worth_another_try(self, error: BaseException) -> bool:
        return isinstance(error, _Retryable) and (error.wait or 0.0) <= self.max_retry_after

    def _try(
        self,
        endpoint: str,
        params: dict[str, str],
        url: str | None,
        what: str,
        page: int,
        read: _Read,
    ) -> tuple[Answer, Records]:
        if self._session is None:
            self._session = self.get_conn()
            self._session.hooks["response"].append(self._stay_at_origin)
        asked = url or self._url(endpoint)
        answer: requests.Response | None = None
        try:
            # Streamed: where the body breaks off, the status is known.
            answer = self._session.get(asked, params=params, timeout=self.timeout, stream=True)
            content = answer.content
        except _BROKEN as error:
            cause = type(error).__name__
            if answer is None:
                raise _Retryable(f"{shown(asked)} gave no answer ({cause})") from error
            raise _Retryable(
                f"{shown(answer.url)} answered {answer.status_code} with a body that is cut off or "
                f"garbled ({cause})",
                answer.status_code,
            ) from error
        except requests.TooManyRedirects as error:
            last = error.response
            assert last is not None
            if isinstance(error, _RefusedRedirect):
                problem = str(error)
            else:
                target = _without_query(urljoin(last.url, last.headers["location"]))
                problem = (
                    f"points to {target} after {self._session.max_redirects} redirects, the limit; "
                    "check the endpoint, or ask the API's owner."
                )
            raise PagedApiError(
                f"{what}: {shown(last.url)} answered {last.status_code} and {problem}",
                url=last.url,
                page=page,
                status=last.status_code,
            ) from error
        except requests.RequestException as error:
            # Its own words may hold a header's value.
            raise PagedApiError(
                f"{what}: {shown(asked)} cannot be asked ({type(error).__name__}); check the "
                f"connection {self.http_conn_id}.",
                url=asked,
                page=page,
            ) from error
        status = answer.status_code
        if status >= 500 or status in _TRANSIENT:
            raise _Retryable(
                f"{shown(answer.url)} answered {status}", status, _retry_after(answer.headers)
            )
        if status != 200:
            raise PagedApiError(
                f"{what}: {shown(answer.url)} answered {status}: {_detail(answer)}",
                url=answer.url,
                page=page,
                status=status,
            )
        links = {rel: link["url"] for rel, link in answer.links.items() if "url" in link}
        kind = answer.headers.get("Content-Type") or "a body of no stated type"
        try:
            body, records = read(content)
        except NotJsonError as error:
            problem = f"{kind} that is no JSON: {error}. {_beginning(content)}"
            if error.cut_off:
                raise _Retryable(f"{shown(answer.url)} answered 200 with {problem}", 200) from error
            raise PagedApiError(
                f"{what}: {shown(answer.url)} answered 200 with {problem}",
                url=answer.url,
                page=page,
                status=200,
            ) from error
        except (LookupError, TypeError) as error:
            raise PagedApiError(
                f"{what}: {shown(answer.url)} answered 200 with {kind}: the answer has no usable "
                f"{error}; check the paging. {_beginning(content)}",
                url=answer.url,
                page=page,
                status=200,
            ) from error
        return Answer(page, answer.url, body, links), records

    def _stay_at_origin(self, answer: requests.Response, **_: Any) -> None:
        """Runs on each answer before its redirect is followed.

        The session's credentials go with every request. To another host requests takes along all
        headers but Authorization.
        """
        if not answer.is_redirect:
            return
        try:
            target = urljoin(answer.url, answer.headers["location"])
            if _same_origin(answer.url, target):
                return
            problem = f"points to {_without_query(target)}, {self._another_origin()}"
        except ValueError:
            problem = "points to what is no URL; ask the API's owner."
        raise _RefusedRedirect(problem, response=answer)

    def _url(self, endpoint: str) -> str:
        return f"{self.base_url.rstrip('/')}/{endpoint.lstrip('/')}"

    def _another_origin(self) -> str:
        return (
            "another origin; it is not followed with this connection's credentials. If the API is "
            f"there now, change the connection {self.http_conn_id}."
        )


def shown(url: str) -> str:
    """A URL as it may stand in a message: without a user, and with secrets in its query masked."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    hidden = [(name, str(redact(value, name))) for name, value in pairs]
    # The query is kept letter for letter where there is nothing to hide.
    query = parts.query if hidden == pairs else urlencode(hidden, safe="*")
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


def _same_origin(url: str, other: str) -> bool:
    ours, theirs = urlsplit(url), urlsplit(other)
    return (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)


def _without_query(url: str) -> str:
    """A URL without user and query: what stands in another host's query may be a secret."""
    return shown(url).partition("?")[0]


def _breach(what: str, answer: Answer, problem: str) -> PagedApiError:
    """The API answered, and against its own rules: another try reads the same."""
    return PagedApiError(
        f"{what}: {shown(answer.url)} answered 200: {problem}",
        url=answer.url,
        page=answer.number,
        status=200,
    )


def _retry_after(headers: Any) -> float | None:
    """Seconds that the Retry-After header asks for, as a number or as a date (RFC 9110)."""
    text = headers.get("Retry-After")
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        then = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, then.timestamp() - time.time())


def _detail(answer: requests.Response) -> str:
    """What the API says of its refusal, cut to a line."""
    try:
        return str(answer.json()["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


def _beginning(content: bytes) -> str:
    return f"It begins with {content[:200].decode(errors='replace')!r}."
