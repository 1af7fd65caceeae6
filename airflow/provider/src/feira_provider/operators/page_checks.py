"""What the pages of one extract prove together: nothing served twice, and as many records as announced."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from feira_provider.hooks.json_answer import value_at
from feira_provider.hooks.paged_api import ApiPage

_SHOWN = 200


class PageError(ValueError):
    """The pages do not make one extract; the message names the page, the record and what is wrong."""


class PageChecks:
    """Takes the pages in turn.

    Where data moves while it is read, a record slips to the next page: it comes again there, and
    another comes on none. The number of records is then right. So a record of an earlier page is an
    error, known by its key, or by its text where no key is declared. About 250 bytes a record are kept.

    :param record_key: dotted paths of the fields that tell a record from all others of the extract
    :param allow_repeats: without a key: records of equal text may be on several pages. A page that
        repeats another whole is an error still
    """

    def __init__(self, record_key: Sequence[str] = (), *, allow_repeats: bool = False) -> None:
        self.record_key = tuple(record_key)
        self.allow_repeats = allow_repeats
        self._pages: dict[bytes, int] = {}
        self._records: dict[bytes, tuple[int, int]] = {}

    def add(self, page: ApiPage) -> None:
        """Checks a page against those before it; raises PageError."""
        digest = hashlib.sha256(b"\n".join(page.raw)).digest()
        if page.raw and digest in self._pages:
            raise PageError(
                f"page {page.number} repeats page {self._pages[digest]} record for record; the API's "
                "paging is broken."
            )
        self._pages[digest] = page.number
        if self.allow_repeats and not self.record_key:
            return
        for number, record in enumerate(page.raw, 1):
            name, identity = self._identity(page, number, record)
            before, place = self._records.setdefault(identity, (page.number, number))
            if before != page.number:
                raise PageError(
                    f"record {number} of page {page.number} was served as record {place} of page "
                    f"{before} already: {name}. The data moved while it was read, and another record "
                    "may be missing."
                )

    def _identity(self, page: ApiPage, number: int, record: bytes) -> tuple[str, bytes]:
        if not self.record_key:
            text = record
            name = record[: 4 * _SHOWN].decode()[:_SHOWN]
        else:
            try:
                key = {path: value_at(record, path) for path in self.record_key}
            except (LookupError, TypeError, ValueError) as error:
                raise PageError(
                    f"record {number} of page {page.number} has no usable key ({error}): "
                    f"{record[: 4 * _SHOWN].decode(errors='replace')[:_SHOWN]}. Check record_key."
                ) from error
            text = msgspec.json.encode(list(key.values()))
            name = ", ".join(f"{path} {value!r}" for path, value in key.items())
        return name, hashlib.blake2b(text, digest_size=16).digest()
