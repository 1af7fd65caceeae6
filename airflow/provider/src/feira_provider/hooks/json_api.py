"""One answer of a JSON API: whole, in time, from one origin, or an error that says why not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urljoin

import requests
import tenacity
from requests.utils import requote_uri

from feira_provider.hooks.json_answer import NotJsonError, Records, read_json
from feira_provider.hooks.paging import Answer, PagedApiError, PagedApiRefusedError, Parameters
from feira_provider.hooks.timed_request import (
    BROKEN,
    CannotAskError,
    TooLargeError,
    TooSlowError,
    failure_in_words,
    make_timed,
    retry_after,
    timed_get,
)
from feira_provider.hooks.web_links import relation_links, same_origin, shown, without_query

log = logging.getLogger(__name__)

# Answers that another try may better: the request came too early, too often, or met a fault.
_TRANSIENT = frozenset({408, 425, 429})


@dataclass(frozen=True)
class Limits:
    """The limits of ``PagedApiHook``, which describes them; each may stand in a connection's extra."""

    attempts: int = 5
    timeout: float = 20.0
    total_timeout: float = 60.0
    max_bytes: int = 256 * 2**20
    max_delay: float = 10.0
    max_retry_after: float = 120.0
    max_pages: int = 100_000

    @classmethod
    def of(cls, given: Mapping[str, Any], extra: Mapping[str, Any], where: str) -> Limits:
        """Those ``given``, else those of a connection's ``extra``, else the defaults.

        :param where: the connection's name, for the message
        :raises ValueError: for a limit that is no number over 0, or no whole one where it counts
        """
        stated: dict[str, Any] = {}
        for field in fields(cls):
            value, place = given.get(field.name), "the argument"
            if value is None:
                value, place = extra.get(field.name), f"connection {where}: the extra field"
            # An empty field of the connection's form.
            if value is None or value == "":
                continue
            stated[field.name] = _number(value, f"{place} {field.name}", whole=field.type == "int")
        stated.setdefault("total_timeout", 3 * stated.get("timeout", cls.timeout))
        return cls(**stated)


def _number(value: Any, what: str, *, whole: bool) -> float:
    try:
        number = int(str(value)) if whole else float(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    # Not true of NaN either, nor of what counts for ever.
    if isinstance(value, bool) or not 0 < number < float("inf"):
        kind = "whole number" if whole else "number"
        raise ValueError(f"{what} is {value!r}; it must be a {kind} over 0.")
    return number


_Page = tuple[Answer, Records]
_Read = Callable[[bytes], tuple[Any, Records]]


class _Retryable(Exception):
    """No connection, a timeout, a 5xx, a 429 or half an answer; ``wait`` as Retry-After asks."""

    def __init__(
        self,
        message: str,
        status: int | None = None,
        wait: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.wait = wait
        self.hint = hint


class _RefusedRedirect(requests.TooManyRedirects):
    """A redirect that is one too many because of where it leads."""


class JsonApi:
    """Reads JSON by GET in a session. A request that fails is tried again, after a random delay that
    grows, and after what ``Retry-After`` asks for. A redirect to another origin is an error; those within
    the origin are followed, up to ``max_redirects`` of the connection's extra (30).

    Asked for again: no connection, 408, 425, 429, 5xx, an answer that is cut off or not whole in
    time. Not asked for again: any other status, a whole body that is no JSON, one over ``max_bytes``.

    :param connection: the name of the connection, for messages
    :param if_down: what an error says of an API that has failed every try
    """

    def __init__(
        self,
        session: requests.Session,
        limits: Limits,
        *,
        connection: str,
        if_down: str,
        sleep: Callable[[float], None],
    ) -> None:
        self.session = session
        self.limits = limits
        self.connection = connection
        self.if_down = if_down
        self.sleep = sleep
        session.hooks["response"].append(self._stay_at_origin)
        make_timed(session)

    def get(self, url: str, params: Parameters, what: str, page: int, read: _Read) -> _Page:
        """The answer, and what ``read`` makes of its body. ``what`` begins the error's message.

        :raises PagedApiError: when every try has failed
        :raises PagedApiRefusedError: when the request was refused, or the answer is not usable
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.limits.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(self._worth_another_try),
            sleep=self.sleep,
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
                ending = f"after {self.limits.attempts} tries. {error.hint or self.if_down}"
            raise PagedApiError(
                f"{what}: {error} {ending}", url=url, page=page, status=error.status
            ) from error

    def _wait(self, state: tenacity.RetryCallState) -> float:
        jitter = tenacity.wait_random_exponential(multiplier=0.5, max=self.limits.max_delay)
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, _Retryable) and error.wait is not None else 0.0
        return asked + float(jitter(state))

    def _worth_another_try(self, error: BaseException) -> bool:
        return isinstance(error, _Retryable) and (error.wait or 0.0) <= self.limits.max_retry_after

    def _try(self, asked: str, params: Parameters, what: str, page: int, read: _Read) -> _Page:
        limits, session = self.limits, self.session

        def refused(url: str, problem: str, status: int | None = None) -> PagedApiRefusedError:
            message = f"{what}: {shown(url)} {problem}"
            return PagedApiRefusedError(message, url=url, page=page, status=status)

        try:
            answer, content = timed_get(
                session,
                asked,
                params,
                timeout=limits.timeout,
                total_timeout=limits.total_timeout,
                max_bytes=limits.max_bytes,
            )
        except TooSlowError as error:
            raise _Retryable(
                f"{shown(asked)} sent no whole answer in {limits.total_timeout:g} s, the limit for an "
                "answer (total_timeout);",
                error.status,
                hint="Ask for smaller pages, or raise it.",
            ) from error
        except TooLargeError as error:
            raise refused(
                asked,
                f"answered with more than {limits.max_bytes:,} bytes, the limit (max_bytes); ask for "
                "smaller pages.",
            ) from error
        except BROKEN as error:
            cause = failure_in_words(error)
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
            problem = str(error)
            if not isinstance(error, _RefusedRedirect):
                target = without_query(urljoin(last.url, last.headers["location"]))
                problem = (
                    f"points to {target} after {session.max_redirects} redirects, the limit; "
                    "check the endpoint, or ask the API's owner."
                )
            code = last.status_code
            raise refused(last.url, f"answered {code} and {problem}", code) from error
        except CannotAskError as error:
            problem = f"cannot be asked ({error}); check the connection {self.connection}."
            raise refused(asked, problem) from error
        status = answer.status_code
        if status >= 500 or status in _TRANSIENT:
            raise _Retryable(
                f"{shown(answer.url)} answered {status}", status, retry_after(answer.headers)
            )
        if status != 200:
            raise refused(answer.url, f"answered {status}: {_detail(content)}", status)
        kind = answer.headers.get("Content-Type") or "a body of no stated type"
        begins = f"it begins with {content[:800].decode(errors='replace')[:200]!r}"
        try:
            body, records = read(content)
        except NotJsonError as error:
            problem = f"answered 200 with {kind} that is no JSON: {error}; {begins}"
            if error.cut_off:
                hint = "It ends too early: ask for smaller pages, or ask the API's owner."
                raise _Retryable(f"{shown(answer.url)} {problem}", 200, hint=hint) from error
            raise refused(answer.url, f"{problem}. Ask the API's owner.", 200) from error
        except (LookupError, TypeError) as error:
            raise refused(
                answer.url,
                f"answered 200 with {kind}: the answer has no usable {error}; {begins}. Check the "
                "paging.",
                200,
            ) from error
        links = relation_links(answer.headers.get("Link"), answer.url)
        return Answer(page, answer.url, body, links), records

    def _stay_at_origin(self, answer: requests.Response, **_: Any) -> None:
        """Runs on each answer before its redirect is followed.

        The session's credentials go with every request. To another host requests takes along all
        headers but Authorization.
        """
        if not answer.is_redirect:
            return
        try:
            location = self.session.get_redirect_target(answer)
            target = urljoin(answer.url, location or "")
            # requests quotes it anew before it follows it.
            if all(same_origin(answer.url, each) for each in (target, requote_uri(target))):
                return
            problem = f"points to {without_query(target)}, {self.another_origin()}"
        except ValueError:
            problem = "points to what is no URL; ask the API's owner."
        raise _RefusedRedirect(problem, response=answer)

    def another_origin(self) -> str:
        """Why a URL at another origin is not followed."""
        return (
            "another origin; it is not followed with this connection's credentials. If the API is "
            f"there now, change the connection {self.connection}."
        )


def _detail(content: bytes) -> str:
    """What the API says of its refusal, cut to a line."""
    try:
        return str(read_json(content)["detail"])[:300]
    except (ValueError, LookupError, TypeError):
        return content[:300].decode(errors="replace")
