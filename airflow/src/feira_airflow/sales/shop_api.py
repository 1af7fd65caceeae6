"""The shop's change-feed API: its two calls, over PagedApiHook."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

from feira.core.landing.land import Page
from feira.sales.rates import RatesNotServedError
from feira_provider.hooks.paged_api import PagedApiHook, PagedApiRefusedError, shown
from feira_provider.hooks.paging import CursorPaging

# How an API says that it has not the days that were asked for.
_DAYS_REFUSED = frozenset({400, 404, 416, 422})


class ShopApiHook(PagedApiHook):
    """Reads the shop's change feed.

    :param http_conn_id: a ``paged_api`` or ``http`` connection
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
        """The day's pages in the API's order; at least one. A line that cannot be read is served as it came: the
        contract judges it.

        :raises PagedApiError: when a page has failed every try
        :raises PagedApiRefusedError: for a day that the API has not, of status 404, and for another
            answer than it should give
        """
        parameters = {"date": day.isoformat(), "limit": str(self.page_size)}
        return self.feed_pages(
            "sales",
            self.paging,
            parameters=parameters,
            total_at="total",
            label=day.isoformat(),
            unreadable=True,
        )

    def rates(self, first: date, last: date) -> list[Any]:
        """US dollar rates by day and currency, both ends included; their entries are not checked.

        :raises RatesNotServedError: where the API refuses the days
        :raises PagedApiError: where it does not answer, or by something else than a list of rates
        """
        parameters = {"from": first.isoformat(), "to": last.isoformat()}
        what = f"rates from {first} to {last}"
        try:
            answer = self.get_json("fx", parameters, what=what)
        except PagedApiRefusedError as error:
            if error.status in _DAYS_REFUSED:
                raise RatesNotServedError(str(error)) from error
            raise
        rates = answer.get("rates") if isinstance(answer, dict) else None
        if not isinstance(rates, list):
            url = shown(self.url_of("fx"))
            raise PagedApiRefusedError(
                f"{url}, {first} to {last}: answered 200 without a list of rates; it must hold from, "
                f"to and rates, and is {json.dumps(answer)[:200]}. Ask the API's owner.",
                url=url,
                page=1,
                status=200,
            )
        return rates

    def if_down(self) -> str:
        """Where its health is."""
        return f"Is the API up? Its health is at {shown(self.url_of('health'))}."
