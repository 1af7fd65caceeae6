"""The shop's change-feed API, page by page, over HttpHook."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date
from typing import Any

import orjson
import requests
import tenacity
from airflow.providers.http.hooks.http import HttpHook

from feira.landing.land import Page

log = logging.getLogger(__name__)


class ShopApiError(RuntimeError):
    """The API did not answer a request; the message names URL, status and page."""


class DayNotServedError(ShopApiError):
    """The API has no such day, or it has not ended: asking again at once will not help."""


class _Retryable(Exception):
    """An answer that another try may better: no connection, a timeout, a 5xx or a 429."""


class ShopApiHook(HttpHook):
    """Reads the shop's change feed.

    :param http_conn_id: an ``http`` connection
    :param page_size: lines a page, at most 10,000
    :param attempts: tries for each page, with exponential delays and jitter between them
    :param timeout: seconds to connect and to wait for an answer's next bytes
    :param max_delay: seconds between two tries at most
    """

    default_conn_name = "shop_api"

    def __init__(
        self,
        http_conn_id: str = default_conn_name,
        *,
        page_size: int = 5000,
        attempts: int = 5,
        timeout: float = 20.0,
        max_delay: float = 10.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(method="GET", http_conn_id=http_conn_id, **kwargs)
        self.page_size = page_size
        self.attempts = attempts
        self.timeout = timeout
        self.max_delay = max_delay
        self._session: requests.Session | None = None

    def pages(self, day: date) -> Iterator[Page]:
        """The day's pages in the API's order; at least one.

        Raises DayNotServedError for a 404, and ShopApiError when a page has failed every try.
        """
        cursor: str | None = None
        followed: set[str] = set()
        number = 0
        while cursor is not None or number == 0:
            number += 1
            params = {"date": day.isoformat(), "limit": str(self.page_size)}
            if cursor is not None:
                params["cursor"] = cursor
            answer = self._get("sales", params, what=f"sales of {day}, page {number}")
            try:
                page = Page(number, int(answer["total"]), list(answer["lines"]))
                following = answer["next_cursor"]
            except (KeyError, TypeError, ValueError) as error:
                raise ShopApiError(
                    f"{self.base_url}/sales, {day}, page {number}: the answer has no usable "
                    f"{error}; it must hold total, lines and next_cursor."
                ) from error
            if following in followed:
                raise ShopApiError(
                    f"{self.base_url}/sales, {day}, page {number}: the API points back to a page "
                    "that it served already; its paging is broken."
                )
            if following is not None:
                followed.add(following)
            yield page
            cursor = following

    def rates(self, first: date, last: date) -> list[dict[str, str]]:
        """US dollar rates by day and currency, both ends included."""
        params = {"from": first.isoformat(), "to": last.isoformat()}
        answer = self._get("fx", params, what=f"rates from {first} to {last}")
        return list(answer["rates"])

    def _get(self, endpoint: str, params: dict[str, str], what: str) -> dict[str, Any]:
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.attempts),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=self.max_delay),
            retry=tenacity.retry_if_exception_type(_Retryable),
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
            return retrying(self._try, endpoint, params, what)
        except _Retryable as error:
            raise ShopApiError(
                f"{what}: {error} after {self.attempts} tries. Is the API up? Its health is at "
                f"{self.base_url}/health."
            ) from error

    def _try(self, endpoint: str, params: dict[str, str], what: str) -> dict[str, Any]:
        if self._session is None:
            self._session = self.get_conn()
        url = f"{self.base_url}/{endpoint}"
        try:
            answer = self._session.get(url, params=params, timeout=self.timeout)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise _Retryable(f"{url} gave no answer ({type(error).__name__})") from error
        if answer.status_code >= 500 or answer.status_code == 429:
            raise _Retryable(f"{answer.url} answered {answer.status_code}")
        if answer.status_code == 404:
            raise DayNotServedError(f"{what}: {answer.url} answered 404: {_detail(answer)}")
        if answer.status_code != 200:
            raise ShopApiError(
                f"{what}: {answer.url} answered {answer.status_code}: {_detail(answer)}"
            )
        try:
            body: dict[str, Any] = orjson.loads(answer.content)
        except ValueError as error:
            raise _Retryable(f"{answer.url} answered no JSON") from error
        return body


def _detail(answer: requests.Response) -> str:
    """What the API says of its refusal, cut to a line."""
    try:
        return str(answer.json()["detail"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]
