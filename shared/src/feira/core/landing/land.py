"""Lands a feed: its pages into files, checked as they pass, complete or not at all."""

from __future__ import annotations

import functools
import gzip
import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from feira.core.ahead import ahead
from feira.core.contracts import Contract, contract
from feira.core.errors import PermanentError
from feira.core.landing.lines import LandedLines, Place, UnusableKeyError, shown
from feira.core.landing.manifest import ListedFile, Manifest
from feira.core.landing.put_once import put_once
from feira.core.landing.store import LandingError, LandingStore

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Pages without lines that may follow each other: a feed may filter, but one whose cursor never ends
# would be read for days.
MAX_EMPTY_PAGES = 100
_NAMED_FIELDS = 5
_AGAIN = "Nothing was landed; retry, and if it stays so ask the API's owner"


class SchemaDriftError(PermanentError, LandingError):
    """The source's fields are not the contract's; nothing of the landing is kept."""


class PageDriftError(LandingError):
    """The source's pages moved while they were read, so a line may be missing; a new reading may help."""


class TotalChangedError(PageDriftError):
    """The number of lines that the source announces changed while its pages were read."""


@dataclass(frozen=True)
class Page:
    """One answer of a feed. ``number`` counts from 1; ``total`` is that of all pages, in lines, None
    where the source announces none. ``url`` is where it was served, as a message may show it.

    A line is its JSON text as the API served it, whatever it holds.
    """

    number: int
    total: int | None
    lines: list[bytes]
    url: str = field(default="", compare=False)


class Feed(Protocol):
    """What landing needs of a source; a companion may need more of it."""

    def pages(self, day: date) -> Iterator[Page]:
        """The day's pages in order; at least one, which may hold no lines."""


@dataclass(frozen=True)
class Companion:
    """A document that is landed beside the lines because they need it, as ``<name>.ndjson.gz``.

    :param dates_of: the field whose UTC dates, over all lines, say what is needed
    :param fetch: called with feed, those dates and the day when the pages are read; returns the
        document's records, checked, and raises a LandingError where they cannot be used
    """

    name: str
    dates_of: str
    fetch: Callable[[Any, set[date], date], list[dict[str, Any]]]


@dataclass(frozen=True)
class LandedFeed:
    """What a pipeline lands: the declaration that ``land_day`` takes.

    :param name: the dataset of its landings
    :param table: the contract's, which says its columns and its key
    :param version: the column that tells the versions of a key apart
    """

    name: str
    table: str
    version: str
    companions: tuple[Companion, ...] = ()

    @functools.cached_property
    def contract(self) -> Contract:
        """The contract of its lines."""
        return contract(self.table)

    def lines(self) -> LandedLines:
        """Takes the lines of one landing."""
        dates = frozenset(each.dates_of for each in self.companions)
        return LandedLines(
            self.contract, (*self.contract.primary_key, self.version), date_fields=dates
        )


@dataclass
class PageLander:
    """Writes the pages of one extract to a folder, and proves by their end that they are all.

    :param label: what is landed; messages begin with it
    :param lines: what the lines are checked by
    :param by_content: name a file after its content too, where several writers may share the folder:
        then none changes what another's manifest lists
    """

    files: AbstractFileSystem
    folder: str
    label: str
    lines: LandedLines
    by_content: bool = False
    total: int | None = None
    landed: list[ListedFile] = field(default_factory=list)
    count: int = 0
    _hashes: dict[str, int] = field(default_factory=dict)
    _empty_pages: int = 0
    _checked_lines: int = 0

    def land(
        self,
        pages: Iterable[Page],
        progress: Callable[[int, int | None], None] = lambda lines, total: None,
    ) -> None:
        """Lands the pages; ``progress`` is given lines landed and the total.

        :raises SchemaDriftError: for a field that the contract does not know, or that no line has
        :raises TotalChangedError: where two pages announce two totals
        :raises PageDriftError: for a line that is on two pages
        :raises LandingError: for a repeated page, a page out of turn, a total that is not met or is
            exceeded, a line without its key, or pages without lines that do not end
        """
        # Three pages at a time: one is read while the one before it is checked and the one before that
        # written. Errors come as if it were one page after the other, and after one nothing is written.
        for page in ahead(self._checked(ahead(pages))):
            self._write_page(page)
            # Not at the end: a feed that never ends would fill the lake.
            if page.total is not None and self.count > page.total:
                raise self._not_as_announced(f"{self.count} by {_place(page)}")
            progress(self.count, page.total)
        if not self.landed or (self.total is not None and self.count < self.total):
            raise self._not_as_announced(str(self.count))
        self._check_whole()

    def write(self, name: str, body: bytes, rows: int) -> ListedFile:
        """Writes NDJSON as gzip below the folder."""
        # Level 1: three times faster than the default for a tenth more bytes. No time stamp, so
        # that the same page gives the same file.
        packed = gzip.compress(body, compresslevel=1, mtime=0)
        digest = hashlib.sha256(packed).hexdigest()
        tail = f"-{digest[:12]}" if self.by_content else ""
        url = f"{self.folder}/{name}{tail}.ndjson.gz"
        self.files.pipe_file(url, packed)
        return ListedFile(url, size=len(packed), rows=rows, sha256=digest)

    def _checked(self, pages: Iterable[Page]) -> Iterator[Page]:
        """The pages as they are landed, each once it was checked; knows nothing of their files."""
        for number, served in enumerate(pages, start=1):
            page = replace(served, lines=[_on_one_line(text) for text in served.lines])
            self._check_total(page, number)
            self._check_lines(page)
            self._checked_lines += len(page.lines)
            yield page

    def _check_total(self, page: Page, number: int) -> None:
        if page.number != number:
            raise LandingError(
                f"{self.label}, {_place(page)}: it came as page {number}. Nothing was "
                "landed; fix the feed, which numbers its pages from 1 in order."
            )
        if page.number == 1:
            self.total = page.total
        if page.total != self.total:
            raise TotalChangedError(
                f"{self.label}, {_place(page)}: the total changed from {self.total} to {page.total} "
                "while the pages were read. Nothing was landed; the retry reads them from the first."
            )
        self._empty_pages = 0 if page.lines else self._empty_pages + 1
        if self._empty_pages > MAX_EMPTY_PAGES:
            of_total = "" if self.total is None else f" of {self.total}"
            raise LandingError(
                f"{self.label}: by {_place(page)} the API served {self._empty_pages} pages without "
                f"lines in a row (limit {MAX_EMPTY_PAGES}) and {self._checked_lines}{of_total} lines. "
                f"{_AGAIN} to end its paging."
            )

    def _check_lines(self, page: Page) -> None:
        try:
            unknown = self.lines.add(page.number, page.lines)
        except UnusableKeyError as error:
            raise LandingError(
                f"{self.label}, {_place(page)}: {error}. Nothing was landed; check the key "
                f"({', '.join(self.lines.key)})."
            ) from error
        if unknown:
            places = ", ".join(
                f"{shown(name)} ({count} of the page's {len(page.lines)} lines, first {place})"
                for name, (place, count) in sorted(unknown.items())[:_NAMED_FIELDS]
            )
            if len(unknown) > _NAMED_FIELDS:
                places += f" and {len(unknown) - _NAMED_FIELDS} more"
            raise SchemaDriftError(
                f"{self.label}: field {places} is not in contract {self._contract()}. Nothing was "
                "landed. Declare it in the contract and migrate the tables, or have the source take "
                "it back."
            )

    def _write_page(self, page: Page) -> None:
        body = b"".join(text + b"\n" for text in page.lines)
        digest = hashlib.sha256(body).hexdigest()
        if page.lines and digest in self._hashes:
            raise LandingError(
                f"{self.label}: {_place(page)} repeats page "
                f"{self._hashes[digest]} line for line ({len(page.lines)} in all). {_AGAIN} to fix its "
                "paging."
            )
        self._hashes[digest] = page.number
        self.landed.append(self.write(f"page-{page.number:05d}", body, len(page.lines)))
        self.count += len(page.lines)

    def _check_whole(self) -> None:
        """What only all pages together tell: fields that are gone, and lines that are on two pages."""
        if absent := self.lines.absent_fields():
            raise SchemaDriftError(
                f"{self.label}: field {', '.join(absent)} of contract {self._contract()} is in none of "
                f"the day's {self.count} lines. Nothing was landed. Ask the source for it, or take it out of "
                "the contract."
            )
        for first, second in self.lines.shared():
            texts = [self._landed_line(place) for place in (first, second)]
            identity = self.lines.identity_of(texts[0])
            # Two lines may share a hash and be others.
            if identity == self.lines.identity_of(texts[1]):
                named = f" ({', '.join(self.lines.key)})" if self.lines.key else ""
                raise PageDriftError(
                    f"{self.label}: the line {shown((identity or b'').decode(errors='replace'))}{named} is on {first} "
                    f"and again on {second}, so the pages moved while they were read and another line "
                    f"may be missing. {_AGAIN}."
                )

    def _landed_line(self, place: Place) -> bytes:
        packed = self.files.cat_file(self.landed[place.page - 1].url)
        return gzip.decompress(packed).split(b"\n")[place.line - 1]

    def _not_as_announced(self, served: str) -> LandingError:
        return LandingError(
            f"{self.label}: the API announced {self.total or 0} lines and served {served}. {_AGAIN}."
        )

    def _contract(self) -> str:
        declared = self.lines.contract
        return f"{declared.id} {declared.version}" if declared else ""


def land_day(
    declared: LandedFeed,
    feed: Feed,
    store: LandingStore,
    day: date,
    *,
    requested_by: str,
    refetch: bool = False,
    progress: Callable[[int, int | None], None] = lambda lines, total: None,
) -> tuple[Manifest, str]:
    """Returns the day's manifest and its URI: an existing landing to reuse, or a new one.

    A new landing is numbered after the highest there is, and written page by page. Raises what
    ``PageLander.land`` and the companions raise, and LandingError for a day without a total. What was
    written is then removed; the first error is the one that is raised. From the manifest's put on
    nothing is removed: it may be stored, or still under way, though its answer was lost.
    """
    existing = store.reusable(day, requested_by=requested_by, refetch=refetch)
    if existing is not None:
        return existing, store.manifest_uri(day, existing.version)
    version = _claim(store, day, requested_by)
    folder = store.folder(day, version)
    lander = PageLander(store.files, folder, f"{store.dataset} {day}", declared.lines())
    try:
        lander.land(feed.pages(day), progress)
        if lander.total is None:
            raise LandingError(
                f"{lander.label}: the feed announces no total, so nothing proves that no page is "
                "missing. Nothing was landed; have its pages say how many lines the day has."
            )
        companions = dict(_companions(declared, feed, lander, day))
        manifest = Manifest(
            dataset=store.dataset,
            extract_day=day,
            version=version,
            contract_version=declared.contract.version,
            fields=declared.contract.column_names,
            total=lander.total,
            requested_by=requested_by,
            files=tuple(lander.landed),
            companions=companions,
        )
    except Exception as error:
        _clean_up(store, folder, error)
        raise
    return manifest, store.put_manifest(manifest)


def _companions(
    declared: LandedFeed, feed: Feed, lander: PageLander, day: date
) -> Iterator[tuple[str, ListedFile]]:
    for companion in declared.companions:
        dates = lander.lines.dates.get(companion.dates_of, set())
        records = companion.fetch(feed, dates, day)
        body = b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in records)
        yield companion.name, lander.write(companion.name, body, len(records))


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


def _place(page: Page) -> str:
    return f"page {page.number} ({page.url})" if page.url else f"page {page.number}"


def _on_one_line(text: bytes) -> bytes:
    # Within JSON a line break is white space: in a text it is written as an escape.
    return text.replace(b"\r", b" ").replace(b"\n", b" ")
