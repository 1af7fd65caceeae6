"""Lands one day: pages from a feed into the lake, checked as they pass, complete or not at all."""

from __future__ import annotations

import gzip
import hashlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Protocol

import orjson

from feira.core.contracts import Contract
from feira.core.errors import PermanentError
from feira.core.landing.lines import LandedLines, Place, shown
from feira.core.landing.manifest import LandedFile, Manifest
from feira.core.landing.put_once import put_once
from feira.core.landing.store import LandingError, LandingStore
from feira.sales.rates import rates_for

VERSION_FIELD = "updated_at"
# Pages without lines that may follow each other: a feed may filter, but one whose cursor never ends
# would be read for days.
MAX_EMPTY_PAGES = 100
_NAMED_FIELDS = 5


class SchemaDriftError(PermanentError, LandingError):
    """The source's fields are not the contract's; nothing of the landing is kept."""


class PageDriftError(LandingError):
    """The source's pages moved while they were read, so a line may be missing; a new reading may help."""


@dataclass(frozen=True)
class Page:
    """One answer of the change feed. ``number`` counts from 1; ``total`` is the day's, in lines.

    A line is its JSON text as the API served it, whatever it holds.
    """

    number: int
    total: int
    lines: list[bytes]


class SalesFeed(Protocol):
    """What landing needs of the shop's API."""

    def pages(self, day: date) -> Iterator[Page]:
        """The day's pages in order; at least one, which may hold no lines."""

    def rates(self, first: date, last: date) -> list[Any]:
        """Rates with rate_date, currency and usd_rate, both ends included."""


@dataclass
class _Landing:
    """What has been seen of a landing while its pages pass."""

    lines: LandedLines
    total: int | None = None
    files: list[LandedFile] = field(default_factory=list)
    hashes: dict[str, int] = field(default_factory=dict)
    empty_pages: int = 0

    @property
    def count(self) -> int:
        return sum(file.lines for file in self.files)


def land_day(
    feed: SalesFeed,
    store: LandingStore,
    contract: Contract,
    day: date,
    *,
    requested_by: str,
    refetch: bool = False,
    progress: Callable[[int, int], None] = lambda lines, total: None,
) -> tuple[Manifest, str]:
    """Returns the day's manifest and its URI: an existing landing to reuse, or a new one.

    A new landing is numbered after the highest there is, and written page by page; ``progress`` is
    given lines landed and the day's total. Raises SchemaDriftError for a field that the contract
    does not know or that no line has, PageDriftError for a line that is on two pages, and
    LandingError for a repeated page, a total that changes or is not met, pages without lines that do
    not end, or a rate that is none. What was written is then removed; the first error is the one
    that is raised. From the manifest's put on nothing is removed: it may be stored, or still under
    way, though its answer was lost.
    """
    existing = store.reusable(day, requested_by=requested_by, refetch=refetch)
    if existing is not None:
        return existing, store.manifest_uri(day, existing.version)
    version = _claim(store, day, requested_by)
    folder = store.folder(day, version)
    try:
        seen = _Landing(LandedLines(contract, contract.primary_key, VERSION_FIELD))
        for served in feed.pages(day):
            page = replace(served, lines=[_on_one_line(text) for text in served.lines])
            _check_total(store, day, page, seen)
            _check_fields(contract, day, page, seen)
            _write_page(store, day, folder, page, seen)
            # Not at the end: a feed that never ends would fill the lake.
            if seen.count > page.total:
                raise _not_as_announced(
                    store, day, page.total, f"{seen.count} by page {page.number}"
                )
            progress(seen.count, page.total)
        if seen.total is None or seen.count < seen.total:
            raise _not_as_announced(store, day, seen.total or 0, str(seen.count))
        _check_landing(store, contract, day, folder, seen)
        kept = rates_for(seen.lines.order_dates, day, feed.rates)
        body = b"".join(orjson.dumps(rate, option=orjson.OPT_APPEND_NEWLINE) for rate in kept)
        manifest = Manifest(
            dataset=store.dataset,
            extract_day=day,
            version=version,
            contract_version=contract.version,
            fields=contract.column_names,
            total=seen.total,
            pages=seen.files,
            rates=_write_gzip(store, f"{folder}/rates.ndjson.gz", body, len(kept)),
            requested_by=requested_by,
        )
    except Exception as error:
        _clean_up(store, folder, error)
        raise
    return manifest, store.put_manifest(manifest)


def _clean_up(store: LandingStore, folder: str, error: Exception) -> None:
    """Removes an incomplete landing; whatever comes of that, ``error`` stays the one to be raised."""
    try:
        # What is complete is never removed, whoever completed it.
        if not store.files.exists(f"{folder}/manifest.json"):
            store.files.rm(folder, recursive=True)
    except Exception as failed:
        error.add_note(
            f"{folder} could not be removed either ({type(failed).__name__}); without a manifest it "
            "does not count as a landing."
        )


def _claim(store: LandingStore, day: date, requested_by: str) -> int:
    """Takes the next version number; two writers never share one, nor two tries of one run."""
    version = max(store.versions(day), default=0) + 1
    claim = orjson.dumps({"requested_by": requested_by, "claim": uuid.uuid4().hex})
    while not put_once(store.files, f"{store.folder(day, version)}/claim.json", claim):
        version += 1
    return version


def _check_total(store: LandingStore, day: date, page: Page, seen: _Landing) -> None:
    if seen.total is None:
        seen.total = page.total
    if page.total != seen.total:
        raise LandingError(
            f"{store.dataset} {day}, page {page.number}: the total changed from {seen.total} to "
            f"{page.total} while the day was read. Nothing was landed; the retry reads the day from "
            "its start."
        )
    seen.empty_pages = 0 if page.lines else seen.empty_pages + 1
    if seen.empty_pages > MAX_EMPTY_PAGES:
        raise LandingError(
            f"{store.dataset} {day}: by page {page.number} the API served {seen.empty_pages} pages "
            f"without lines in a row (limit {MAX_EMPTY_PAGES}) and {seen.count} of {seen.total} lines. "
            "Nothing was landed; retry, and if it stays so ask the API's owner to end its paging."
        )


def _not_as_announced(store: LandingStore, day: date, total: int, served: str) -> LandingError:
    return LandingError(
        f"{store.dataset} {day}: the API announced {total} lines and served {served}. Nothing was "
        "landed; retry, and if it stays so ask the API's owner."
    )


def _check_fields(contract: Contract, day: date, page: Page, seen: _Landing) -> None:
    unknown = seen.lines.add(page.number, page.lines)
    if unknown:
        places = ", ".join(
            f"{shown(name)} ({count} of the page's {len(page.lines)} lines, first {place})"
            for name, (place, count) in sorted(unknown.items())[:_NAMED_FIELDS]
        )
        if len(unknown) > _NAMED_FIELDS:
            places += f" and {len(unknown) - _NAMED_FIELDS} more"
        raise SchemaDriftError(
            f"{contract.table} {day}: field {places} is not in contract {contract.id} "
            f"{contract.version}. Nothing was landed. Declare it in the contract and run "
            "`feira migrate`, or have the source take it back."
        )


def _check_landing(
    store: LandingStore, contract: Contract, day: date, folder: str, seen: _Landing
) -> None:
    """What only all pages together tell: fields that are gone, and lines that are on two pages."""
    if absent := seen.lines.absent_fields():
        raise SchemaDriftError(
            f"{contract.table} {day}: field {', '.join(absent)} of contract {contract.id} "
            f"{contract.version} is in none of the day's {seen.count} lines. Nothing was landed. Ask "
            "the source for it, or take it out of the contract."
        )
    for first, second in seen.lines.shared():
        texts = [_landed_line(store, folder, place) for place in (first, second)]
        identity = seen.lines.identity_of(texts[0])
        # Two lines may share a hash and be others.
        if identity == seen.lines.identity_of(texts[1]):
            names = ", ".join((*seen.lines.key, seen.lines.version))
            raise PageDriftError(
                f"{store.dataset} {day}: the line {shown((identity or b'').decode())} ({names}) is on {first} "
                f"and again on {second}, so the pages moved while they were read and another line "
                "may be missing. Nothing was landed; retry, and if it stays so ask the API's owner."
            )


def _landed_line(store: LandingStore, folder: str, place: Place) -> bytes:
    packed = store.files.cat_file(f"{folder}/{_page_name(place.page)}")
    return gzip.decompress(packed).split(b"\n")[place.line - 1]


def _on_one_line(text: bytes) -> bytes:
    # Within JSON a line break is white space: in a text it is written as an escape.
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


def _page_name(number: int) -> str:
    return f"page-{number:05d}.ndjson.gz"


def _write_page(store: LandingStore, day: date, folder: str, page: Page, seen: _Landing) -> None:
    body = b"".join(text + b"\n" for text in page.lines)
    digest = hashlib.sha256(body).hexdigest()
    if page.lines and digest in seen.hashes:
        raise LandingError(
            f"{store.dataset} {day}: page {page.number} repeats page {seen.hashes[digest]} line for "
            f"line ({len(page.lines)} in all). Nothing was landed; retry, and if it stays so ask the "
            "API's owner to fix its paging."
        )
    seen.hashes[digest] = page.number
    uri = f"{folder}/{_page_name(page.number)}"
    seen.files.append(_write_gzip(store, uri, body, len(page.lines)))


def _write_gzip(store: LandingStore, uri: str, body: bytes, lines: int) -> LandedFile:
    # Level 1: three times faster than the default for a tenth more bytes. No time stamp, so that
    # the same page gives the same file.
    packed = gzip.compress(body, compresslevel=1, mtime=0)
    store.files.pipe_file(uri, packed)
    return LandedFile(
        name=uri.rsplit("/", 1)[-1],
        lines=lines,
        bytes=len(packed),
        sha256=hashlib.sha256(packed).hexdigest(),
    )
