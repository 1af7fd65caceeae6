"""Landing a day on S3: complete or not at all, written once, reused."""

from __future__ import annotations

import gzip
import hashlib
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import given

from feira.contracts import contract
from feira.landing.land import SchemaDriftError, date_ranges, land_day
from feira.landing.manifest import Manifest, Validation, passes_gate
from feira.landing.store import LandingError, LandingStore
from sales_lines import DAY, FakeFeed, line, without

LANDING = contract("sales.landing")


def land(
    store: LandingStore, feed: FakeFeed, run: str = "run-1", *, refetch: bool = False
) -> Manifest:
    manifest, _ = land_day(feed, store, LANDING, DAY, requested_by=run, refetch=refetch)
    return manifest


def judge(store: LandingStore, manifest: Manifest, *, passed: bool) -> None:
    store.put_validation(
        Validation(
            dataset="sales",
            extract_day=manifest.extract_day,
            version=manifest.version,
            contract_version="1.0.0",
            total=manifest.total,
            valid=manifest.total if passed else 0,
            broken={},
            max_invalid_percent=5,
            passed=passed,
        )
    )


def two_pages() -> FakeFeed:
    return FakeFeed([[line(), line(line_number=2)], [line(order_id="2")]])


def test_a_landing_holds_the_lines_in_the_apis_order_with_counts_and_hashes(
    store: LandingStore,
) -> None:
    manifest = land(store, two_pages())
    folder = store.folder(DAY, 1)
    landed: list[Any] = []
    for page in manifest.pages:
        packed = store.files.cat_file(f"{folder}/{page.name}")
        assert page.sha256 == hashlib.sha256(packed).hexdigest()
        assert page.bytes == len(packed)
        landed += [orjson.loads(text) for text in gzip.decompress(packed).splitlines()]
    assert landed == [line(), line(line_number=2), line(order_id="2")]
    assert [page.lines for page in manifest.pages] == [2, 1]
    assert store.manifest(DAY, 1) == manifest


@pytest.mark.parametrize("name", ["page-00002.ndjson.gz", "rates.ndjson.gz"])
def test_a_file_that_is_not_the_landed_one_any_more_is_named(
    store: LandingStore, name: str
) -> None:
    manifest = land(store, two_pages())
    store.require_intact(manifest)
    path = f"{store.folder(DAY, 1)}/{name}"
    store.files.pipe_file(path, gzip.compress(orjson.dumps(line(order_id="3")) + b"\n"))
    with pytest.raises(LandingError, match=rf"{name} is not what was landed"):
        store.require_intact(manifest)
    store.files.rm_file(path)
    with pytest.raises(LandingError, match=rf"{name} is not what was landed .*no file now"):
        store.require_intact(manifest)


def test_a_run_reuses_the_days_landing(store: LandingStore) -> None:
    first = land(store, two_pages())
    again = two_pages()
    assert land(store, again, "run-2") == first
    assert again.reads == 0


def test_refetch_makes_the_next_version_and_its_retry_does_not(store: LandingStore) -> None:
    land(store, two_pages())
    assert land(store, two_pages(), "run-2", refetch=True).version == 2
    retry = two_pages()
    assert land(store, retry, "run-2", refetch=True).version == 2
    assert retry.reads == 0


def test_a_landing_without_a_manifest_does_not_exist(store: LandingStore) -> None:
    land(store, two_pages())
    store.files.rm(store.manifest_uri(DAY, 1))
    assert store.complete(DAY) == []
    assert land(store, two_pages()).version == 2


def test_a_manifest_is_written_once(store: LandingStore) -> None:
    manifest = land(store, two_pages())
    with pytest.raises(LandingError, match="completed by another run"):
        store.put_manifest(manifest)


def test_the_current_landing_is_the_newest_that_passed(store: LandingStore) -> None:
    assert store.current(DAY) is None
    judge(store, land(store, two_pages()), passed=True)
    judge(store, land(store, two_pages(), "run-2", refetch=True), passed=False)
    current = store.current(DAY)
    assert current is not None
    assert current[0].version == 1
    assert land(store, two_pages(), "run-3").version == 1


def test_when_every_landing_was_refused_a_run_takes_the_newest(store: LandingStore) -> None:
    judge(store, land(store, two_pages()), passed=False)
    judge(store, land(store, two_pages(), "run-2", refetch=True), passed=False)
    assert land(store, two_pages(), "run-3").version == 2


def test_an_empty_day_is_a_landing_of_no_lines(store: LandingStore) -> None:
    manifest = land(store, FakeFeed([[]]))
    assert (manifest.total, manifest.lines, len(manifest.pages)) == (0, 0, 1)
    assert manifest.rates.lines == 0


@pytest.mark.parametrize(
    ("feed", "error", "message"),
    [
        (FakeFeed([[line()]], totals=[2]), LandingError, "announced 2 lines and served 1"),
        (
            FakeFeed([[line()], [line()]]),
            LandingError,
            rf"sales {DAY}: page 2 repeats page 1 line for line \(1 in all\)\. .* ask the API's owner",
        ),
        (
            FakeFeed([[line()], [line(order_id="2")]], totals=[2, 3]),
            LandingError,
            "the total changed from 2 to 3",
        ),
        (FakeFeed([[line(channel="web")]]), SchemaDriftError, "field channel is not in contract"),
        (
            FakeFeed([[line(), line(line_number=2)], [without("sku", order_id="3")]]),
            SchemaDriftError,
            "page 2: field sku of contract feira.sales.landing",
        ),
        (
            FakeFeed(
                [[line()]],
                rates=[{"rate_date": "2010-12-01", "currency": "GBP", "usd_rate": "1.5e3"}],
            ),
            LandingError,
            "GBP on 2010-12-01 is '1.5e3'",
        ),
    ],
)
def test_what_the_api_did_not_announce_is_not_landed(
    store: LandingStore, feed: FakeFeed, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        land(store, feed)
    assert store.versions(DAY) == [], "something of the refused landing was left"


def test_a_field_that_some_lines_lack_is_no_drift(store: LandingStore) -> None:
    assert land(store, FakeFeed([[line(), without("sku", order_id="2")]])).lines == 2


def test_a_landing_keeps_the_rates_of_its_order_dates_and_the_week_before(
    store: LandingStore,
) -> None:
    feed = FakeFeed(
        [[line(), line(order_id="old", created_at="2010-10-01T00:30:00+01:00")]],
        rates=[
            {
                "rate_date": str(date(2010, 9, 1) + timedelta(days=n)),
                "currency": "GBP",
                "usd_rate": "1.5",
            }
            for n in range(120)
        ],
    )
    manifest = land(store, feed)
    # 2010-10-01 00:30 in London is still September in UTC.
    assert feed.rate_calls == [
        (date(2010, 9, 23), date(2010, 9, 30)),
        (date(2010, 11, 24), date(2010, 12, 1)),
    ]
    assert manifest.rates.lines == 16


@given(st.sets(st.dates(date(1, 1, 1), date(9999, 12, 31)), max_size=20))
def test_the_ranges_of_rates_hold_every_date_and_do_not_overlap(dates: set[date]) -> None:
    ranges = date_ranges(dates)
    for day in dates:
        week_before = day - timedelta(days=7) if day >= date(1, 1, 8) else date.min
        assert any(first <= week_before and day <= last for first, last in ranges)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))


@pytest.mark.parametrize(
    ("total", "invalid", "passed"),
    [(0, 0, True), (100, 5, True), (100, 6, False), (3108, 155, True), (3108, 156, False)],
)
def test_the_gate_lets_five_in_a_hundred_pass(total: int, invalid: int, passed: bool) -> None:
    assert passes_gate(total, invalid, 5) is passed


def test_the_summary_names_each_rule_and_its_count() -> None:
    validation = Validation(
        dataset="sales",
        extract_day=DAY,
        version=1,
        contract_version="1.0.0",
        total=3108,
        valid=2925,
        broken={"sku_blank": 63, "currency_without_rate": 120},
        max_invalid_percent=5,
        passed=False,
    )
    assert validation.summary() == (
        "5.89 % of 3,108 lines invalid (limit 5 %): currency_without_rate 120, sku_blank 63"
    )
