"""A page of an API, and where its next page is: by a cursor, by a page number, or by a link."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import urljoin

from feira.core.dotted_paths import first_keys, joined
from feira.core.errors import PermanentError
from feira_provider.hooks.json_answer import Records
from feira_provider.hooks.web_links import shown

Parameters = Mapping[str, str]


class PagedApiError(RuntimeError):
    """The API did not serve a page; the message names URL, page and status.

    ``status`` is that of the last answer, None where there was none.
    """

    transient = True
    """Whether asking again later may help."""

    def __init__(self, message: str, *, url: str, page: int, status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        self.page = page
        self.status = status


class PagedApiRefusedError(PermanentError, PagedApiError):
    """The API refused, or answered something else than it should, and would again."""

    transient = False


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

        :raises PagedApiRefusedError: where one cannot be read, or holds a number that no double holds, as 1e400
        """
        try:
            return list(Records(self.raw))
        except ValueError as error:
            raise PagedApiRefusedError(
                f"page {self.number} of {shown(self.url)}: {error}. Its text is in raw.",
                url=self.url,
                page=self.number,
                status=200,
            ) from error


def at(body: Any, path: str) -> Any:
    """What stands in a JSON body at a dotted path, as in ``data.items``; the body itself for ``""``.

    Of keys that hold dots the longest that leads there is taken. Raises LookupError where the body has no such
    place, and TypeError where something else than an object or a list is on the way there.
    """
    return _at(body, path, "")


def _at(body: Any, path: str, walked: str) -> Any:
    if not path:
        return body
    if isinstance(body, Mapping):
        return _in_object(body, path, walked)
    part, _, rest = path.partition(".")
    if body is None or (isinstance(body, Sequence) and not body):
        # What an API has instead of an object that would be empty.
        raise KeyError(joined(walked, path))
    if isinstance(body, Sequence) and not isinstance(body, str) and part.isdecimal():
        return _at(body[int(part)], rest, joined(walked, part))
    raise TypeError(f"{walked or 'body'}: {type(body).__name__} has no {part!r}")


def _in_object(body: Mapping[str, Any], path: str, walked: str) -> Any:
    missing: Exception = KeyError(joined(walked, path))
    for key, rest in first_keys(path):
        if key in body:
            try:
                return _at(body[key], rest, joined(walked, key))
            except LookupError:
                pass
            except TypeError as error:
                missing = error
    raise missing


def whole_number_at(body: Any, path: str) -> int:
    """The whole number from 0 at a dotted path; a text of digits is one.

    Raises LookupError, TypeError or ValueError where there is none.
    """
    found = at(body, path)
    if isinstance(found, str) and re.fullmatch("[0-9]{1,18}", found):
        return int(found)
    number = isinstance(found, int | float) and not isinstance(found, bool)
    if not number or found != int(found) or found < 0:
        raise TypeError(f"{path}: {found!r} is no whole number from 0")
    return int(found)


@dataclass(frozen=True)
class Answer:
    """One page as the API answered it. ``number`` counts from 1; ``links`` are its Link headers.

    In ``body`` the records are a sequence that parses one when it is asked for.
    """

    number: int
    url: str
    body: Any
    links: Mapping[str, str]


@dataclass(frozen=True)
class NextPage:
    """Where the next page is: parameters to add to the request, or a URL to ask instead.

    ``mark`` names the page: an API that gives out one mark twice pages in a circle.
    """

    mark: str
    parameters: Parameters
    url: str | None = None


class Paging(Protocol):
    """What the hook needs to know of an API's paging."""

    @property
    def records_at(self) -> str:
        """The dotted path of the list of records in a page; "" where the body is the list itself."""

    def first(self) -> Parameters:
        """The parameters of the first request beside the caller's."""

    def following(self, answer: Answer, records: Sequence[Any]) -> NextPage | None:
        """Where the next page is; None after the last."""


def _stated(answer: Answer, path: str, *, required: bool) -> Any:
    """The field that leads to the next page; None where it is null or an empty text, or is not there though it
    need not be."""
    try:
        found = at(answer.body, path)
    except LookupError:
        if required:
            raise
        return None
    return None if found == "" else found


@dataclass(frozen=True)
class CursorPaging:
    """Each page names the cursor of the next; null, an empty text, or no such field is the end. So is a null
    or an empty list in the place of what would hold the field.

    :param records_at: dotted path of the records in a page
    :param cursor_at: dotted path of the next page's cursor
    :param cursor_parameter: the query parameter that takes it
    :param cursor_required: an answer without the field is an error, and not the last page
    """

    records_at: str = "items"
    cursor_at: str = "next_cursor"
    cursor_parameter: str = "cursor"
    cursor_required: bool = False

    def first(self) -> Parameters:
        """Nothing: without a cursor an API gives its first page."""
        return {}

    def following(self, answer: Answer, records: Sequence[Any]) -> NextPage | None:
        """The page that the body's cursor names."""
        cursor = _stated(answer, self.cursor_at, required=self.cursor_required)
        if cursor is None:
            return None
        if isinstance(cursor, bool) or not isinstance(cursor, str | int):
            raise TypeError(f"{self.cursor_at}: {cursor!r} is no cursor")
        return NextPage(mark=str(cursor), parameters={self.cursor_parameter: str(cursor)})


@dataclass(frozen=True)
class PageNumberPaging:
    """Pages are numbered; the one after the last is empty, or the body says how many there are.

    :param records_at: dotted path of the records in a page
    :param page_parameter: the query parameter that takes the number
    :param first_page: 1 or 0, as the API counts
    :param pages_at: dotted path of the number of pages; without it an empty page is the end
    """

    records_at: str = "items"
    page_parameter: str = "page"
    first_page: int = 1
    pages_at: str | None = None

    def first(self) -> Parameters:
        """The number of the first page."""
        return {self.page_parameter: str(self.first_page)}

    def following(self, answer: Answer, records: Sequence[Any]) -> NextPage | None:
        """The next number, unless this page was the last."""
        if self.pages_at is not None:
            pages = whole_number_at(answer.body, self.pages_at)
            if records and pages < answer.number:
                raise ValueError(f"{self.pages_at}: {pages}, on page {answer.number}")
            done = answer.number >= pages
        else:
            done = not records
        if done:
            return None
        number = str(self.first_page + answer.number)
        return NextPage(mark=number, parameters={self.page_parameter: number})


@dataclass(frozen=True)
class LinkPaging:
    """Each page carries the URL of the next: in the Link header (RFC 8288), or in the body.

    Null, an empty text, or no such field is the end. So is a null or an empty list in the place of what would
    hold the field.

    :param records_at: dotted path of the records; "" where the body is the list itself
    :param link_at: dotted path of the URL in the body; without it the header with ``rel="next"``
    :param link_required: an answer without the field is an error, and not the last page
    """

    records_at: str = ""
    link_at: str | None = None
    link_required: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError where a field is required and none is named: a last page has no link in its header."""
        if self.link_required and self.link_at is None:
            raise ValueError("link_required needs link_at: it is about a field of the body.")

    def first(self) -> Parameters:
        """Nothing: the first page has no link yet."""
        return {}

    def following(self, answer: Answer, records: Sequence[Any]) -> NextPage | None:
        """The URL that the page links to, made whole where it is relative."""
        if self.link_at is None:
            link = answer.links.get("next") or None
        else:
            link = _stated(answer, self.link_at, required=self.link_required)
        if link is None:
            return None
        if not isinstance(link, str):
            raise TypeError(f"{self.link_at}: {link!r} is no URL")
        url = urljoin(answer.url, link)
        return NextPage(mark=url, parameters={}, url=url)
