"""Another pipeline's feed lands by its declaration: another key, another version, other companions."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import orjson
import pytest

from feira.core.contracts import Column, Contract
from feira.core.errors import PermanentError
from feira.core.landing.land import (
    Companion,
    LandedFeed,
    Page,
    PageDriftError,
    PageLander,
    SchemaDriftError,
    land_day,
)
from feira.core.landing.lines import LandedLines
from feira.core.landing.store import LandingError, LandingStore

DAY = date(2026, 11, 2)
CLICKS = Contract(
    id="feira.clicks.landing",
    version="2.1.0",
    table="clicks.landing",
    physical_type="file",
    description="",
    servers=(),
    columns=(
        Column("tenant", "string", required=True),
        Column("event", "int", required=True),
        Column("revision", "int", required=True),
        Column("happened_at", "string", required=True),
        Column("page", "string", required=False),
    ),
    primary_key=("tenant", "event"),
    partition_by=(),
    rule_inputs=(),
    row_rules=(),
    max_invalid_percent=None,
    asset=None,
)


class DeclaredClicks(LandedFeed):
    """Its contract is here and in no file."""

    contract = CLICKS  # type: ignore[assignment]


FEED = DeclaredClicks("clicks", "clicks.landing", version="revision")


def click(event: int, **changes: Any) -> dict[str, Any]:
    at = "2026-11-02T23:30:00-03:00"
    return {"tenant": "a", "event": event, "revision": 1, "happened_at": at, "page": "/"} | changes


@dataclass
class Clicks:
    """A feed of clicks; it has no rates."""

    served: list[list[Any]]
    total: int | None = None
    asked: list[Any] = field(default_factory=list)

    def pages(self, day: date) -> Iterator[Page]:
        assert day == DAY
        total = self.total if self.total is not None else sum(map(len, self.served))
        for number, lines in enumerate(self.served, start=1):
            yield Page(number, total, [orjson.dumps(each) for each in lines])

    def campaigns(self, days: list[date]) -> list[dict[str, Any]]:
        self.asked.append(days)
        return [{"day": str(day), "campaign": "spring"} for day in days]


@pytest.fixture
def clicks(folder_store: LandingStore) -> LandingStore:
    return LandingStore(folder_store.files, folder_store.lake, "clicks")


def test_a_feed_lands_by_its_declaration_alone(clicks: LandingStore) -> None:
    feed = Clicks([[click(1), click(2)], [click(1, revision=2), click(1, tenant="b")]])
    manifest, uri = land_day(FEED, feed, clicks, DAY, requested_by="run-1")
    assert uri == f"{clicks.lake}/landing/clicks/2026-11-02/v0001/manifest.json"
    assert (manifest.dataset, manifest.total, manifest.lines) == ("clicks", 4, 4)
    assert (manifest.fields, manifest.companions) == (CLICKS.column_names, {})
    assert manifest.contract_version == "2.1.0"
    assert clicks.read_manifest(uri) == manifest
    clicks.require_intact(manifest)
    assert not clicks.files.exists(f"{clicks.lake}/landing/sales")


def test_drift_is_told_by_the_declared_key_and_version(clicks: LandingStore) -> None:
    feed = Clicks([[click(1), click(2)], [click(2, page="/b"), click(3)]])
    with pytest.raises(PageDriftError) as failure:
        land_day(FEED, feed, clicks, DAY, requested_by="run-1")
    for part in (
        "clicks 2026-11-02",
        '["a",2,1] (tenant, event, revision)',
        "page 1, line 2 and again on page 2, line 1",
    ):
        assert part in str(failure.value)
    with pytest.raises(SchemaDriftError, match=r"field sku .* feira\.clicks\.landing 2\.1\.0"):
        land_day(FEED, Clicks([[click(1, sku="x")]]), clicks, DAY, requested_by="run-1")
    assert clicks.versions(DAY) == []


def campaigns(feed: Any, dates: set[date], day: date) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = feed.campaigns(sorted({*dates, day}))
    return found


WITH_CAMPAIGNS = DeclaredClicks(
    "clicks",
    "clicks.landing",
    "revision",
    companions=(Companion("campaigns", "happened_at", campaigns),),
)


def test_a_companion_is_fetched_for_the_dates_of_its_field_and_landed_beside_the_pages(
    clicks: LandingStore,
) -> None:
    feed = Clicks([[click(1), click(2, happened_at="2026-10-31T12:00:00Z")]])
    manifest, uri = land_day(WITH_CAMPAIGNS, feed, clicks, DAY, requested_by="run-1")
    # 23:30 in São Paulo is the next day in UTC.
    assert feed.asked == [[date(2026, 10, 31), DAY, date(2026, 11, 3)]]
    listed = manifest.companions["campaigns"]
    assert (listed.name, listed.rows) == ("campaigns.ndjson.gz", 3)
    records = gzip.decompress(clicks.files.cat_file(listed.url)).splitlines()
    assert orjson.loads(records[0]) == {"day": "2026-10-31", "campaign": "spring"}
    assert clicks.read_manifest(uri) == manifest
    clicks.files.pipe_file(listed.url, b"")
    with pytest.raises(LandingError, match=r"campaigns\.ndjson\.gz .*SHA-256"):
        clicks.require_intact(manifest)


def test_a_companion_that_is_refused_leaves_nothing_of_the_landing(clicks: LandingStore) -> None:
    class CampaignError(PermanentError, LandingError):
        pass

    def refused(feed: Any, dates: set[date], day: date) -> list[dict[str, Any]]:
        raise CampaignError("campaign '' has no name")

    declared = DeclaredClicks(
        "clicks",
        "clicks.landing",
        "revision",
        companions=(Companion("campaigns", "happened_at", refused),),
    )
    with pytest.raises(CampaignError):
        land_day(declared, Clicks([[click(1)]]), clicks, DAY, requested_by="run-1")
    assert clicks.versions(DAY) == []


def test_a_companion_of_an_empty_day_is_fetched_for_no_dates(clicks: LandingStore) -> None:
    feed = Clicks([[]])
    manifest, _ = land_day(WITH_CAMPAIGNS, feed, clicks, DAY, requested_by="run-1")
    assert feed.asked == [[DAY]] and manifest.companions["campaigns"].rows == 1


@pytest.mark.parametrize(
    ("numbers", "total", "named"),
    [
        ((1, 1), 2, "page 1: it came as page 2"),
        ((1, 3), 2, "page 3: it came as page 2"),
        ((0, 1), 2, "page 0: it came as page 1"),
        ((1, 2), None, "announces no total"),
    ],
)
def test_a_feed_whose_pages_do_not_say_that_they_are_all_is_refused(
    clicks: LandingStore, numbers: tuple[int, ...], total: int | None, named: str
) -> None:
    class Wrong(Clicks):
        def pages(self, day: date) -> Iterator[Page]:
            for number, event in zip(numbers, (1, 2), strict=True):
                yield Page(number, total, [orjson.dumps(click(event))])

    with pytest.raises(LandingError, match=named):
        land_day(FEED, Wrong([]), clicks, DAY, requested_by="run-1")
    assert clicks.versions(DAY) == []


def test_a_landing_in_a_copied_lake_is_read_from_the_copy(clicks: LandingStore) -> None:
    manifest, _ = land_day(FEED, Clicks([[click(1)]]), clicks, DAY, requested_by="run-1")
    copied = LandingStore(clicks.files, f"{clicks.lake}/copy", "clicks")
    clicks.files.cp(clicks.folder(DAY, 1), copied.folder(DAY, 1), recursive=True)
    clicks.files.rm(clicks.folder(DAY, 1), recursive=True)
    assert copied.complete(DAY) == [manifest]
    copied.require_intact(manifest)


def test_an_exact_key_beyond_64_bits_is_not_rounded(folder_store: LandingStore) -> None:
    def lander() -> PageLander:
        lines = LandedLines(None, ("id",))
        folder = f"{folder_store.lake}/{id(lines)}"
        return PageLander(folder_store.files, folder, "orders", lines)

    def pages(*ids: int) -> list[Page]:
        return [Page(n, None, [b'{"id": %d, "x": 1e400}' % i]) for n, i in enumerate(ids, start=1)]

    landed = lander()
    landed.land(pages(10**30, 10**30 + 1))
    assert [file.rows for file in landed.landed] == [1, 1]
    with pytest.raises(PageDriftError, match=f"{10**30}"):
        lander().land([*pages(10**30), Page(2, None, [b'{"x": 2, "id": %d}' % 10**30])])


def lander(store: LandingStore, lines: LandedLines, *, by_content: bool = False) -> PageLander:
    folder = f"{store.lake}/{id(lines)}"
    return PageLander(store.files, folder, "orders", lines, by_content=by_content)


@pytest.mark.parametrize(
    "text", [b'{"x": 1}', b"oops", b"[1]", b'{"id": ' + b"[" * 5000 + b"]" * 5000 + b"}"]
)
def test_a_line_without_the_key_that_was_declared_for_it_is_refused(
    folder_store: LandingStore, text: bytes
) -> None:
    pages = [Page(1, None, [b'{"id": 1}', text], "https://api.example/orders")]
    with pytest.raises(LandingError) as failure:
        lander(folder_store, LandedLines(None, ("id",))).land(pages)
    for part in ("orders, page 1 (https://api", "page 1, line 2 has no usable key", "key (id)"):
        assert part in str(failure.value)


def test_without_a_key_a_line_is_told_by_its_text_unless_equal_lines_are_right(
    folder_store: LandingStore,
) -> None:
    pages = [Page(1, None, [b"a", b"b"]), Page(2, None, [b"b", b"c"])]
    with pytest.raises(PageDriftError, match=r"line b .*page 1, line 2 .*page 2,"):
        lander(folder_store, LandedLines(None, ())).land(pages)
    repeating = lander(folder_store, LandedLines(None, (), repeats=True))
    repeating.land(pages)
    assert repeating.count == 4


@pytest.mark.parametrize(
    "nothing", [b"null", b'""', b'" \\t\\u000b"', b"[]", b"{}"], ids=bytes.decode
)
@pytest.mark.parametrize("key", [("id",), ("of", "id"), ("id", "of")])
def test_lines_that_share_a_key_with_nothing_in_it_are_told_by_their_texts(
    folder_store: LandingStore, nothing: bytes, key: tuple[str, ...]
) -> None:
    def page(number: int, x: int) -> Page:
        return Page(number, None, [b'{"id": %b, "of": {"a": 1}, "x": %d}' % (nothing, x)])

    landed = lander(folder_store, LandedLines(None, key))
    landed.land([page(1, 1), page(2, 2)])
    assert landed.count == 2
    pages = [page(1, 1), page(2, 2), Page(3, None, [*page(3, 1).lines, b'{"id": 5, "of": 5}'])]
    with pytest.raises(PageDriftError, match=r"page 1, line 1 and again on page 3, line 1"):
        lander(folder_store, LandedLines(None, key)).land(pages)


@pytest.mark.parametrize("value", [b"0", b"-1", b"false", b'"0"', b'"\xc2\xa0"', b"[null]", b"0.0"])
def test_any_other_value_is_a_key_of_a_line_without_a_contract(
    folder_store: LandingStore, value: bytes
) -> None:
    pages = [Page(x, None, [b'{"id": %b, "x": %d}' % (value, x)]) for x in (1, 2)]
    with pytest.raises(PageDriftError, match=r"\(id\) is on page 1, line 1 and again on page 2"):
        lander(folder_store, LandedLines(None, ("id",))).land(pages)


def test_without_a_contract_no_field_is_unknown_and_dates_are_noted() -> None:
    lines = LandedLines(None, ("id",), date_fields=frozenset({"at"}))
    assert lines.add(1, [b'{"id": 1, "at": "2026-11-02T23:30:00-03:00"}', b'{"id": 2}']) == {}
    assert (lines.dates, lines.absent_fields()) == ({"at": {date(2026, 11, 3)}}, [])


def test_where_writers_share_a_folder_a_file_is_named_after_its_content_too(
    folder_store: LandingStore,
) -> None:
    made = lander(folder_store, LandedLines(None, ("id",)), by_content=True)
    made.land([Page(1, None, [b'{"id": 1}'])])
    (file,) = made.landed
    assert file.name == f"page-00001-{(file.sha256 or '')[:12]}.ndjson.gz"
