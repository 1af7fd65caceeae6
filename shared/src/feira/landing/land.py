"""Lands one day: pages from a feed into the lake, checked as they pass, complete or not at all."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

import orjson

from feira.contracts import Contract
from feira.errors import PermanentError
from feira.landing.manifest import LandedFile, Manifest
from feira.landing.store import LandingError, LandingStore

Line = dict[str, Any]
RATE_MAX_AGE = timedelta(days=7)
# Order dates closer than this share one call for rates.
_RANGE_GAP = timedelta(days=30)
_RATE = re.compile(r"[0-9]{1,10}(\.[0-9]{1,8})?")


class SchemaDriftError(PermanentError, LandingError):
    """The source's fields are not the contract's; nothing of the landing is kept."""


@dataclass(frozen=True)
class Page:
    """One answer of the change feed. ``number`` counts from 1; ``total`` is the day's, in lines."""

    number: int
    total: int
    lines: list[Line]


class SalesFeed(Protocol):
    """What landing needs of the shop's API."""

    def pages(self, day: date) -> Iterator[Page]:
        """The day's pages in order; at least one, which may hold no lines."""

    def rates(self, first: date, last: date) -> list[dict[str, str]]:
        """Rates with rate_date, currency and usd_rate, both ends included."""


@dataclass
class _Landing:
    """What has been seen of a landing while its pages pass."""

    total: int | None = None
    files: list[LandedFile] = field(default_factory=list)
    order_dates: set[date] = field(default_factory=set)
    hashes: dict[str, int] = field(default_factory=dict)

    @property
    def lines(self) -> int:
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
    told lines landed and the day's total. Raises SchemaDriftError for a field that the contract
    does not know or that no line of a page has, and LandingError for a repeated page, a total that
    changes or is not met, or a rate that is no decimal. What was written is then removed.
    """
    existing = store.reusable(day, requested_by=requested_by, refetch=refetch)
    if existing is not None:
        return existing, store.manifest_uri(day, existing.version)
    version = _claim(store, day, requested_by)
    folder = store.folder(day, version)
    try:
        seen = _Landing()
        for page in feed.pages(day):
            _check_page(contract, day, page, seen)
            _write_page(store, day, folder, page, seen)
            progress(seen.lines, page.total)
        if seen.total is None or seen.lines != seen.total:
            raise LandingError(
                f"{store.dataset} {day}: the API announced {seen.total} lines and served "
                f"{seen.lines}. Nothing was landed; retry, and if it stays so ask the API's owner."
            )
        rates = _write_rates(feed, store, folder, seen.order_dates)
        manifest = Manifest(
            dataset=store.dataset,
            extract_day=day,
            version=version,
            contract_version=contract.version,
            fields=contract.column_names,
            total=seen.total,
            pages=seen.files,
            rates=rates,
            requested_by=requested_by,
        )
        return manifest, store.put_manifest(manifest)
    except Exception:
        store.files.rm(folder, recursive=True)
        raise


def _claim(store: LandingStore, day: date, requested_by: str) -> int:
    """Takes the next version number; two writers never share one."""
    version = max(store.versions(day), default=0) + 1
    while True:
        claim = f"{store.folder(day, version)}/claim.json"
        try:
            store.files.pipe_file(
                claim, orjson.dumps({"requested_by": requested_by}), mode="create"
            )
            return version
        except FileExistsError:
            version += 1


def _check_page(contract: Contract, day: date, page: Page, seen: _Landing) -> None:
    where = f"{contract.table} {day}, page {page.number}"
    if seen.total is None:
        seen.total = page.total
    if page.total != seen.total:
        raise LandingError(
            f"{where}: the total changed from {seen.total} to {page.total} while the day was read. "
            "Nothing was landed; the retry reads the day from its start."
        )
    if not page.lines:
        return
    declared = set(contract.column_names)
    present: set[str] = set()
    for line in page.lines:
        present.update(line)
    if unknown := sorted(present - declared):
        raise SchemaDriftError(
            f"{where}: field {', '.join(unknown)} is not in contract {contract.id} "
            f"{contract.version}. Nothing was landed. Declare it in the contract and run "
            "`feira migrate`, or have the source take it back."
        )
    if absent := sorted(declared - present):
        raise SchemaDriftError(
            f"{where}: field {', '.join(absent)} of contract {contract.id} {contract.version} is in "
            f"none of the page's {len(page.lines)} lines. Nothing was landed."
        )


def _write_page(store: LandingStore, day: date, folder: str, page: Page, seen: _Landing) -> None:
    body = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in page.lines)
    digest = hashlib.sha256(body).hexdigest()
    if page.lines and digest in seen.hashes:
        raise LandingError(
            f"{store.dataset} {day}: page {page.number} repeats page {seen.hashes[digest]} line for "
            f"line ({len(page.lines)} in all). Nothing was landed; retry, and if it stays so ask the "
            "API's owner to mend its paging."
        )
    seen.hashes[digest] = page.number
    for line in page.lines:
        order_date = _utc_date(line.get("created_at"))
        if order_date is not None:
            seen.order_dates.add(order_date)
    name = f"page-{page.number:05d}.ndjson.gz"
    seen.files.append(_write_gzip(store, f"{folder}/{name}", body, len(page.lines)))


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


def _utc_date(value: object) -> date | None:
    """The UTC date of an ISO 8601 text with a zone; None where the contract's rules will refuse it."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        return time.astimezone(UTC).date() if time.tzinfo else None
    except (ValueError, OverflowError):
        return None


def date_ranges(dates: set[date]) -> list[tuple[date, date]]:
    """The fewest ranges that hold all dates and the seven days before each, gaps of a month apart."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(dates):
        first = day - RATE_MAX_AGE if day - date.min >= RATE_MAX_AGE else date.min
        if ranges and first - ranges[-1][1] <= _RANGE_GAP:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((first, day))
    return ranges


def _write_rates(feed: SalesFeed, store: LandingStore, folder: str, dates: set[date]) -> LandedFile:
    """Keeps the rates that the landing's order dates can use, so that no result needs another day's."""
    rates: dict[tuple[str, str], dict[str, str]] = {}
    for first, last in date_ranges(dates):
        for rate in feed.rates(first, last):
            rates[rate["rate_date"], rate["currency"]] = _checked_rate(rate)
    wanted = {
        (day - timedelta(days=age)).isoformat()
        for day in dates
        for age in range(RATE_MAX_AGE.days + 1)
        if day - date.min >= timedelta(days=age)
    }
    kept = [rates[key] for key in sorted(rates) if key[0] in wanted]
    body = b"".join(orjson.dumps(rate, option=orjson.OPT_APPEND_NEWLINE) for rate in kept)
    return _write_gzip(store, f"{folder}/rates.ndjson.gz", body, len(kept))


def _checked_rate(rate: dict[str, str]) -> dict[str, str]:
    text = rate["usd_rate"]
    try:
        good = isinstance(text, str) and bool(_RATE.fullmatch(text)) and Decimal(text) > 0
    except InvalidOperation:
        good = False
    if not good:
        raise LandingError(
            f"The rate of {rate['currency']} on {rate['rate_date']} is {text!r}; it must be a "
            "positive decimal text with at most 8 places. Nothing was landed."
        )
    return {name: rate[name] for name in ("rate_date", "currency", "usd_rate")}
