"""The shop's change-feed API: its calls and its errors, over PagedApiHook."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from feira.errors import PermanentError
from feira.landing.land import Page
from feira_airflow.hooks.paged_api import ApiPage, PagedApiError, PagedApiHook
from feira_airflow.hooks.paging import CursorPaging


class ShopApiError(RuntimeError):
    """The API did not answer a request; the message names URL, status and page."""


class DayNotServedError(PermanentError, ShopApiError):
    """The API has no such day, or it has not ended: asking again at once will not help."""


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
            for page in self.api_pages(
                "sales", self.paging, parameters=parameters, label=day.isoformat()
            ):
                yield Page(page.number, self._total(page, day), page.records)

    def rates(self, first: date, last: date) -> list[dict[str, str]]:
        """US dollar rates by day and currency, both ends included."""
        parameters = {"from": first.isoformat(), "to": last.isoformat()}
        with self._shop_errors():
            answer = self.get_json("fx", parameters, what=f"rates from {first} to {last}")
        return list(answer["rates"])

    def _total(self, page: ApiPage, day: date) -> int:
        try:
            return int(page.body["total"])
        except (KeyError, TypeError, ValueError) as error:
            raise ShopApiError(
                f"{self.base_url}/sales, {day}, page {page.number}: the answer has no usable "
                f"{error}; it must hold total, lines and next_cursor."
            ) from error

    @contextmanager
    def _shop_errors(self) -> Iterator[None]:
        try:
            yield
        except PagedApiError as error:
            kind = DayNotServedError if error.status == 404 else ShopApiError
            hint = f" Its health is at {self.base_url}/health." if error.transient else ""
            raise kind(f"{error}{hint}") from error
