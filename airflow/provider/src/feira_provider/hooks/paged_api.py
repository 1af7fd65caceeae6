"""Any JSON API that serves its records in pages, over HttpHook."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any
from urllib.parse import urljoin

import requests
import tenacity
from airflow.providers.http.hooks.http import HttpHook
from requests.utils import requote_uri

from feira.core.landing.land import Page
from feira_provider.hooks.api_page import ApiPage, PagedApiError, beginning, breach, detail
from feira_provider.hooks.json_answer import NotJsonError, Records, read_json, read_page
from feira_provider.hooks.limits import NAMES, Limits
from feira_provider.hooks.paging import Answer, Paging, Parameters, at
from feira_provider.hooks.timed_request import (
    TooLargeError,
    TooSlowError,
    make_timed,
    retry_after,
    timed_get,
)
from feira_provider.hooks.web_links import (
    relation_links,
    same_origin,
    shown,
    without_query,
    without_user,
)

__all__ = ["ApiPage", "PagedApiError", "PagedApiHook", "shown"]

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


_Page = tuple[Answer, Records]
_Read = Callable[[bytes], tuple[Any, Records]]


class _Retryable(Exception):
    """No connection, a timeout, a 5xx, a 429 or half an answer; ``wait`` as Retry-After asks."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        wait: float | None = None,
        hint: str = "Is the API up?",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.wait = wait
        self.hint = hint


class _RefusedRedirect(requests.TooManyRedirects):
    """A redirect that is one too many because of where it leads."""


class PagedApiHook(HttpHook):
    """Reads a paged JSON API by GET, one page in memory at a time.

    A page that fails is asked for again, after a random delay that grows, and after what
    ``Retry-After`` asks for. A cursor or link that comes back, a link or redirect to another
    origin, and more than ``max_pages`` pages are errors: none of them ends by itself or is safe to
    follow. Redirects within the origin are followed, up to ``max_redirects`` of the connection's
    extra (30). Where a record is parsed a number with a fraction becomes a double: amounts should
    travel as texts, or be taken from ``ApiPage.raw``.

    Asked for again: no connection, 408, 425, 429, 5xx, an answer that is cut off or not whole in
    time. Not asked for again: any other status, a whole body that is no JSON or has no list where the
    paging says, one over ``max_bytes``.

    Each limit below is taken from the connection's extra where it is not given here.

    :param http_conn_id: a ``paged_api`` or ``http`` connection; tokens belong in its password or extra
    :param attempts: tries for each page (5)
    :param timeout: seconds to connect, and to wait for an answer's next bytes (20)
    :param total_timeout: seconds for one answer in all, with its redirects, from the request to the
        last byte; three times ``timeout`` where it is not given
    :param max_bytes: the size of an answer's body, unpacked (256 MiB)
    :param max_delay: seconds between two tries at most, where the API does not ask for more (10)
    :param max_retry_after: the longest ``Retry-After`` in seconds that is waited for (120)
    :param max_pages: pages after which the API is taken not to end (100,000)
    """

    conn_type = "paged_api"
    hook_name = "Paged JSON API"
    default_conn_name = "http_default"

    def __init__(
        self,
        http_conn_id: str = default_conn_name,
        *,
        attempts: int | None = None,
        timeout: float | None = None,
        total_timeout: float | None = None,
        max_bytes: int | None = None,
        max_delay: float | None = None,
        max_retry_after: float | None = None,
        max_pages: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(method="GET", http_conn_id=http_conn_id, **kwargs)
        self._given = {
            "attempts": attempts,
            "timeout": timeout,
            "total_timeout": total_timeout,
            "max_bytes": max_bytes,
            "max_delay": max_delay,
            "max_retry_after": max_retry_after,
            "max_pages": max_pages,
        }
        self._session: requests.Session | None = None

    @cached_property
    def limits(self) -> Limits:
        """The limits in force; raises PagedApiError for one that is none."""
        connection = self.get_connection(self.http_conn_id)
        try:
            return Limits.of(self._given, connection.extra_dejson, self.http_conn_id)
        except ValueError as error:
            raise PagedApiError(str(error), url=shown(connection.host or ""), page=1) from error

    def get_conn(self, *args: Any, **kwargs: Any) -> requests.Session:
        """A session with the connection's login and headers."""
        session = super().get_conn(*args, **kwargs)
        # HttpHook takes each extra field that it does not know for a header.
        for name in NAMES:
            session.headers.pop(name, None)
        return session

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
        url = self._url(endpoint)
        followed: set[str] = set()
        number = 0
        while True:
            number += 1
            what = (
                f"{endpoint} of {label}, page {number}" if label else f"{endpoint}, page {number}"
            )
            answer, records = self._get(
                url, params, what, number, lambda body: read_page(body, paging.records_at)
            )
            try:
                following = paging.following(answer, records)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise breach(
                    what, answer, f"the answer has no usable {error}; check the paging."
                ) from error
            if following is not None and following.mark in followed:
                raise breach(
                    what,
                    answer,
                    "the API points back to a page that it served already; its paging is broken.",
                )
            yield ApiPage(number, answer.url, records.raw, answer.body)
            if following is None:
                return
            if number >= self.limits.max_pages:
                raise breach(
                    what,
                    answer,
                    f"there is a next page after {self.limits.max_pages:,}; raise max_pages if it is real.",
                )
            followed |= {following.mark, answer.url}
            if following.url:
                url, params = self._next_url(what, answer, following.url), {}
            else:
                params = {**params, **following.parameters}

    def feed_pages(
        self,
        endpoint: str,
        paging: Paging,
        *,
        parameters: Parameters | None = None,
        total_at: str | None = None,
        label: str = "",
    ) -> Iterator[Page]:
        """Yields the pages as landing takes them: the texts of their records, and what is announced.

        :param total_at: dotted path of the number of records in all
        :raises PagedApiError: as ``api_pages``, and where a page has no number there
        """
        for page in self.api_pages(endpoint, paging, parameters=parameters, label=label):
            total = None
            if total_at is not None:
                try:
                    total = at(page.body, total_at)
                except (LookupError, TypeError):
                    total = "missing"
                # True is an int to Python.
                if not isinstance(total, int) or isinstance(total, bool) or total < 0:
                    of = f" of {label}" if label else ""
                    raise PagedApiError(
                        f"{endpoint}{of}, page {page.number}: {shown(page.url)} answered 200 and has no "
                        f"usable {total_at!r}: it must be a whole number from 0, and is "
                        f"{str(total)[:200]!r}. Check total_at, or ask the API's owner.",
                        url=page.url,
                        page=page.number,
                        status=200,
                    )
            yield Page(page.number, total, page.raw, shown(page.url))

    def get_json(self, endpoint: str, parameters: Parameters, *, what: str) -> Any:
        """The body of one answer, tried as often as a page is. ``what`` begins the error's message.

        :raises PagedApiError: when every try has failed, or the request was refused
        """
        answer, _ = self._get(
            self._url(endpoint),
            parameters,
            what,
            1,
            lambda body: (read_json(body), Records([])),
        )
        return answer.body

    def _get(self, url: str, params: Parameters, what: str, page: int, read: _Read) -> _Page:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.limits.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(self._worth_another_try),
            sleep=self._sleep,
            before_sleep=lambda state: log.warning(
                "%s: try %s of %s failed: %s",
                what,
                state.attempt_number,
                self.limits.attempts,
                state.outcome.exception() if state.outcome else "",
            ),
            reraise=True,
        )
        try:
            return retrying(self._try, url, params, what, page, read)
        except _Retryable as error:
            if error.wait is not None and error.wait > self.limits.max_retry_after:
                ending = (
                    f"and asks to wait {error.wait:.0f} s (limit {self.limits.max_retry_after:.0f} s); "
                    "try again later."
                )
            else:
                ending = f"after {self.limits.attempts} tries. {error.hint}"
            raise PagedApiError(
                f"{what}: {error} {ending}",
                url=url,
                page=page,
                status=error.status,
                transient=True,
            ) from error

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(multiplier=0.5, max=self.limits.max_delay)
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, _Retryable) and error.wait is not None else 0.0
        return asked + float(jitter(state))

    def _worth_another_try(self, error: BaseException) -> bool:
        return isinstance(error, _Retryable) and (error.wait or 0.0) <= self.limits.max_retry_after

    def _try(self, asked: str, params: Parameters, what: str, page: int, read: _Read) -> _Page:
        session = self._opened()
        try:
            answer, content = timed_get(
                session,
                asked,
                params,
                timeout=self.limits.timeout,
                total_timeout=self.limits.total_timeout,
                max_bytes=self.limits.max_bytes,
            )
        except TooSlowError as error:
            raise _Retryable(
                f"{shown(asked)} sent no whole answer in {self.limits.total_timeout:g} s, the limit for an "
                "answer (total_timeout);",
                error.status,
                hint="Ask for smaller pages, or raise it.",
            ) from error
        except TooLargeError as error:
            raise PagedApiError(
                f"{what}: {shown(asked)} answered with more than {self.limits.max_bytes:,} bytes, the limit "
                "(max_bytes); ask for smaller pages.",
                url=asked,
                page=page,
            ) from error
        except _BROKEN as error:
            cause = type(error).__name__
            if error.response is None:
                raise _Retryable(f"{shown(asked)} gave no answer ({cause})") from error
            raise _Retryable(
                f"{shown(error.response.url)} answered {error.response.status_code} with a body that is "
                f"cut off or garbled ({cause})",
                error.response.status_code,
            ) from error
        except requests.TooManyRedirects as error:
            last = error.response
            assert last is not None
            if isinstance(error, _RefusedRedirect):
                problem = str(error)
            else:
                target = without_query(urljoin(last.url, last.headers["location"]))
                problem = (
                    f"points to {target} after {session.max_redirects} redirects, the limit; "
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
                f"{shown(answer.url)} answered {status}", status, retry_after(answer.headers)
            )
        if status != 200:
            raise PagedApiError(
                f"{what}: {shown(answer.url)} answered {status}: {detail(content)}",
                url=answer.url,
                page=page,
                status=status,
            )
        links = relation_links(answer.headers.get("Link"), answer.url)
        kind = answer.headers.get("Content-Type") or "a body of no stated type"
        try:
            body, records = read(content)
        except NotJsonError as error:
            problem = (
                f"answered 200 with {kind} that is no JSON: {error}; it begins with "
                f"{beginning(content)}"
            )
            if error.cut_off:
                hint = "It ends too early: ask for smaller pages, or ask the API's owner."
                raise _Retryable(f"{shown(answer.url)} {problem}", 200, hint=hint) from error
            raise PagedApiError(
                f"{what}: {shown(answer.url)} {problem}. Ask the API's owner.",
                url=answer.url,
                page=page,
                status=200,
            ) from error
        except (LookupError, TypeError) as error:
            raise PagedApiError(
                f"{what}: {shown(answer.url)} answered 200 with {kind}: the answer has no usable "
                f"{error}; it begins with {beginning(content)}. Check the paging.",
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
            location = self._opened().get_redirect_target(answer)
            target = urljoin(answer.url, location or "")
            # requests quotes it anew before it follows it.
            if all(same_origin(answer.url, each) for each in (target, requote_uri(target))):
                return
            problem = f"points to {without_query(target)}, {self._another_origin()}"
        except ValueError:
            problem = "points to what is no URL; ask the API's owner."
        raise _RefusedRedirect(problem, response=answer)

    def _next_url(self, what: str, answer: Answer, url: str) -> str:
        try:
            if same_origin(answer.url, url):
                return without_user(url)
            problem = f"the next page is at {without_query(url)}, {self._another_origin()}"
        except ValueError:
            problem = "its link to the next page is no URL; ask the API's owner."
        raise breach(what, answer, problem)

    def _opened(self) -> requests.Session:
        if self._session is None:
            self._session = self.get_conn()
            self._session.hooks["response"].append(self._stay_at_origin)
            make_timed(self._session)
        return self._session

    def _url(self, endpoint: str) -> str:
        self._opened()
        return f"{self.base_url.rstrip('/')}/{endpoint.lstrip('/')}"

    def _another_origin(self) -> str:
        return (
            "another origin; it is not followed with this connection's credentials. If the API is "
            f"there now, change the connection {self.http_conn_id}."
        )
