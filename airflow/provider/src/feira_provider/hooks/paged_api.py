"""Any JSON API that serves its records in pages, over HttpHook."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields
from functools import cached_property, partial
from typing import Any

import requests
from airflow.providers.http.hooks.http import HttpHook

from feira.core.landing.land import Page
from feira.core.settings import SettingsError, boolean_of
from feira_provider.hooks.http_session import BearerAuth, settle, settle_options
from feira_provider.hooks.json_answer import Records, read_json, read_page
from feira_provider.hooks.json_api import JsonApi, Limits
from feira_provider.hooks.missing import named_if_missing
from feira_provider.hooks.paging import (
    Answer,
    ApiPage,
    PagedApiError,
    PagedApiRefusedError,
    Paging,
    Parameters,
    at,
)
from feira_provider.hooks.switches import extra_of
from feira_provider.hooks.web_links import (
    is_bare_ipv6,
    same_origin,
    shown,
    without_query,
    without_user,
)

__all__ = ["ApiPage", "PagedApiError", "PagedApiHook", "PagedApiRefusedError", "shown"]


class PagedApiHook(HttpHook):
    """Reads a paged JSON API by GET, one page in memory at a time, each as ``JsonApi`` asks.

    A cursor or link that comes back, a link to another origin, no list where the paging says, and
    more than ``max_pages`` pages are errors: none of them ends by itself or is safe to follow. Where a
    record is parsed a number with a fraction becomes a double: amounts should travel as texts, or be
    taken from ``ApiPage.raw``.

    Each limit below is taken from the connection's extra where it is not given here.

    A connection's password without a login is a token: it is sent as ``Authorization: Bearer``, unless the
    extra, or a header that is given, names Authorization, or an ``auth_type`` is given.

    :param http_conn_id: a ``paged_api`` or ``http`` connection; tokens belong in its password or extra
    :param attempts: tries for each answer (5)
    :param timeout: seconds to connect, and to wait for an answer's next bytes (20)
    :param total_timeout: seconds for one answer in all, with its redirects, from the request to the
        last byte; three times ``timeout`` where it is not given
    :param max_bytes: the size of an answer's body, unpacked (256 MiB)
    :param max_delay: seconds between two tries at most, where the API does not ask for more (10)
    :param max_retry_after: the longest ``Retry-After`` in seconds that is waited for (120)
    :param max_pages: pages after which an API is taken not to end (100,000)
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

    @cached_property
    def limits(self) -> Limits:
        """The limits in force; raises PagedApiError for one that is none."""
        connection = self.get_connection(self.http_conn_id)
        return self._limits(connection.extra_dejson, shown(connection.host or ""))

    def _limits(self, extra: dict[str, Any], where: str = "") -> Limits:
        try:
            return Limits.of(self._given, extra, self.http_conn_id)
        except ValueError as error:
            raise PagedApiRefusedError(str(error), url=where, page=1) from error

    @classmethod
    def get_connection(cls, conn_id: str) -> Any:
        """The connection.

        :raises MissingConnectionError: where there is none
        :raises PagedApiRefusedError: where its extra is no JSON object
        """
        with named_if_missing(conn_id):
            connection = super().get_connection(conn_id)
        try:
            extra_of(connection)
        except SettingsError as error:
            raise PagedApiRefusedError(str(error), url="", page=1) from error
        return connection

    def get_conn(
        self,
        headers: dict[Any, Any] | None = None,
        extra_options: dict[str, Any] | None = None,
    ) -> requests.Session:
        """A session with the connection's login or token, and its headers.

        :raises PagedApiRefusedError: where the connection says what no request can be made of
        """
        session = super().get_conn(headers, extra_options)
        options = self.merged_extra
        if "timeout" not in (extra_options or {}):
            options["timeout"] = self._limits({"timeout": options.get("timeout")}).timeout
        try:
            settle(session, [field.name for field in fields(Limits)])
            settle_options(options)
        except ValueError as error:
            raise _unusable(self.http_conn_id, str(error)) from error
        return session

    def _configure_session_from_auth(
        self, session: requests.Session, connection: Any
    ) -> requests.Session:
        session = super()._configure_session_from_auth(session, connection)
        if session.auth is None and connection.password:
            session.auth = BearerAuth(connection.password)
        return session

    def _set_base_url(self, connection: Any) -> None:
        try:
            super()._set_base_url(connection)
        except ValueError as error:
            # Its own words may show the user in the host.
            raise _unusable(self.http_conn_id, "its host is no URL.") from error
        host = connection.host or ""
        if is_bare_ipv6(host):
            # As a connection has it that is given as a URL.
            self.base_url = self.base_url.replace(host, f"[{host}]", 1)
        try:
            what = "the extra field srv_lookup"
            looked_up = boolean_of(connection.extra_dejson.get("srv_lookup"), what, blank=False)
        except SettingsError as error:
            raise _unusable(self.http_conn_id, str(error)) from error
        if looked_up:
            raise _unusable(
                self.http_conn_id,
                "the extra field srv_lookup is true, and hosts are not looked up by their SRV records here. Take it "
                "out, and state host and port.",
            )

    def url_of(self, endpoint: str) -> str:
        """The URL of a path below the address that ``get_conn`` has read."""
        return f"{self.base_url.rstrip('/')}/{endpoint.lstrip('/')}"

    def api_pages(
        self,
        endpoint: str,
        paging: Paging,
        *,
        parameters: Parameters | None = None,
        label: str = "",
        unreadable: bool = False,
    ) -> Iterator[ApiPage]:
        """Yields the pages in order; at least one. ``label`` says in errors what was asked for.

        :param unreadable: take a record that cannot be read too, for whoever judges ``ApiPage.raw``, as
            ``read_page`` does; else it is an error of its page
        :raises PagedApiError: when a page has failed every try, was refused, or leads in a circle
        """
        params = {**(parameters or {}), **paging.first()}
        api, url = self._api, self.url_of(endpoint)
        followed: set[str] = set()
        number = 0
        while True:
            number += 1
            what = _what(endpoint, label, number)
            read = partial(read_page, records_at=paging.records_at, unreadable=unreadable)
            answer, records = api.get(url, params, what, number, read)
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
            if number >= self.limits.max_pages:
                raise _breach(
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
        unreadable: bool = False,
    ) -> Iterator[Page]:
        """Yields the pages as landing takes them: the texts of their records, and what is announced.

        :param total_at: dotted path of the number of records in all
        :param unreadable: as ``api_pages`` has it
        :raises PagedApiError: as ``api_pages``, and where a page has no number there
        """
        pages = self.api_pages(
            endpoint, paging, parameters=parameters, label=label, unreadable=unreadable
        )
        for page in pages:
            total = None
            if total_at is not None:
                try:
                    total = at(page.body, total_at)
                except (LookupError, TypeError):
                    total = "missing"
                # True is an int to Python.
                if not isinstance(total, int) or isinstance(total, bool) or total < 0:
                    raise _breach(
                        _what(endpoint, label, page.number),
                        page,
                        f"it has no usable {total_at!r}: it must be a whole number from 0, and is "
                        f"{str(total)[:200]!r}. Check total_at, or ask the API's owner.",
                    )
            yield Page(page.number, total, page.raw, shown(page.url))

    def get_json(self, endpoint: str, parameters: Parameters, *, what: str) -> Any:
        """The body of one answer, tried as often as a page is. ``what`` begins the error's message.

        :raises PagedApiError: when every try has failed, or the request was refused
        """

        def read(body: bytes) -> tuple[Any, Records]:
            return read_json(body), Records([])

        api = self._api
        return api.get(self.url_of(endpoint), parameters, what, 1, read)[0].body

    def if_down(self) -> str:
        """What an error says of an API that has failed every try."""
        return "Is the API up?"

    def _next_url(self, what: str, answer: Answer, url: str) -> str:
        try:
            if same_origin(answer.url, url):
                return without_user(url)
            problem = f"the next page is at {without_query(url)}, {self._api.another_origin()}"
        except ValueError:
            problem = "its link to the next page is no URL; ask the API's owner."
        raise _breach(what, answer, problem)

    @cached_property
    def _api(self) -> JsonApi:
        return JsonApi(
            self.get_conn(),
            self.limits,
            connection=self.http_conn_id,
            if_down=self.if_down(),
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def _unusable(conn_id: str, problem: str) -> PagedApiRefusedError:
    return PagedApiRefusedError(f"Connection {conn_id} cannot be used: {problem}", url="", page=1)


def _what(endpoint: str, label: str, number: int) -> str:
    return f"{endpoint} of {label}, page {number}" if label else f"{endpoint}, page {number}"


def _breach(what: str, answer: Answer | ApiPage, problem: str) -> PagedApiRefusedError:
    """The API answered, and against its own rules: another try reads the same."""
    message = f"{what}: {shown(answer.url)} answered 200: {problem}"
    return PagedApiRefusedError(message, url=answer.url, page=answer.number, status=200)
