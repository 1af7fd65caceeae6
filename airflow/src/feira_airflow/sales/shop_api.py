"""The shop's change-feed API: its calls and its errors, over PagedApiHook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from feira.core.errors import PermanentError
from feira.core.landing.land import Page
from feira.sales.rates import RatesNotServedError
from feira_provider.hooks.paged_api import PagedApiError, PagedApiHook
from feira_provider.hooks.paging import CursorPaging

# How an API says that it has not the days that were asked for.
_DAYS_REFUSED = frozenset({400, 404, 416, 422})


class ShopApiError(RuntimeError):
    """The API did not answer a request; the message names URL, status and page."""


class DayNotServedError(PermanentError, ShopApiError):
    """The API has no such day, or it has not ended: asking again at once will not help."""


class ShopAnswerError(PermanentError, ShopApiError):
    """The API refused the request, or answered something else than it should, and would again."""


class ShopApiHook(PagedApiHook):
    """Reads the shop's change feed.

    :param http_conn_id: an ``http`` connection
    :param page_size: lines a page, at most 10,000
    :param kwargs: tries, delays and timeouts, as PagedApiHook takes them
    """

    default_conn_name = "shop_api"
    paging = CursorPaging(records_at="lines", cursor_required=True)

    def __init__(
        self, http_conn_id: str = default_conn_name, *, page_size: int = 5000, **kwargs: Any
    ) -> None:
        super().__init__(http_conn_id, **kwargs)
        self.page_size = page_size

    def pages(self, day: date) -> Iterator[Page]:
        """The day's pages in the API's order; at least one.

        Raises DayNotServedError for a 404, and ShopApiError when a page has failed every try.
        """
        parameters = {"date": day.isoformat(), "limit": str(self.page_size)}
        with self._shop_errors():
            yield from self.feed_pages(
                "sales",
                self.paging,
                parameters=parameters,
                total_at="total",
                label=day.isoformat(),
            )

    def rates(self, first: date, last: date) -> list[Any]:
        """US dollar rates by day and currency, both ends included; their entries are not checked.

        Raises RatesNotServedError where the API refuses the days, and ShopApiError where it does not
        answer, or by something else than a list of rates.
        """
        parameters = {"from": first.isoformat(), "to": last.isoformat()}
        try:
            with self._shop_errors():
                answer = self.get_json("fx", parameters, what=f"rates from {first} to {last}")
        except (DayNotServedError, ShopAnswerError) as error:
            cause = error.__cause__
            if isinstance(cause, PagedApiError) and cause.status in _DAYS_REFUSED:
                raise RatesNotServedError(str(error)) from error
            raise
        rates = answer.get("rates") if isinstance(answer, dict) else None
        if not isinstance(rates, list):
            raise ShopAnswerError(
                f"{self.base_url}/fx, {first} to {last}: answered 200 without a list of rates; it must "
                f"hold from, to and rates, and is {json.dumps(answer)[:200]}. Ask the API's owner."
            )
        return rates

    @contextmanager
    def _shop_errors(self) -> Iterator[None]:
        try:
            yield
        except PagedApiError as error:
            if error.status == 404:
                raise DayNotServedError(str(error)) from error
            if not error.transient:
                raise ShopAnswerError(str(error)) from error
            raise ShopApiError(f"{error} Its health is at {self.base_url}/health.") from error
