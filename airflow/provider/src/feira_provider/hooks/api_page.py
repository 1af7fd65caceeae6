"""A page of an API, and the error where there is none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from feira_provider.hooks.json_answer import Records, read_json
from feira_provider.hooks.paging import Answer
from feira_provider.hooks.web_links import shown


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


def breach(what: str, answer: Answer, problem: str) -> PagedApiError:
    """The API answered, and against its own rules: another try reads the same."""
    return PagedApiError(
        f"{what}: {shown(answer.url)} answered 200: {problem}",
        url=answer.url,
        page=answer.number,
        status=200,
    )


def detail(content: bytes) -> str:
    """What the API says of its refusal, cut to a line."""
    try:
        return str(read_json(content)["detail"])[:300]
    except (ValueError, LookupError, TypeError):
        return content[:300].decode(errors="replace")


def beginning(content: bytes) -> str:
    """The first 200 characters of a body, quoted."""
    return repr(content[:800].decode(errors="replace")[:200])
