"""Landing a day on S3: complete or not at all, written once, reused."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import uuid4

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings

from feira.core.errors import PermanentError, Remedy
from feira.core.landing.land import Page, PageDriftError, SchemaDriftError, land_day
from feira.core.landing.lines import shown
from feira.core.landing.manifest import Manifest, Validation, passes_gate
from feira.core.landing.store import DamagedLandingError, LandingError, LandingStore
from feira.sales.landing import LANDED
from feira.sales.rates import RatesNotServedError, date_ranges, rates_for
from sales_lines import DAY, RATES, FakeFeed, line, without


def land(
    store: LandingStore, feed: FakeFeed, run: str = "run-1", *, refetch: bool = False
) -> Manifest:
    asked = {"refetch": True} if refetch else {}
    manifest, _ = land_day(LANDED, feed, store, DAY, requested_by=run, **asked)
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
    for page in manifest.files:
        packed = store.files.cat_file(f"{folder}/{page.name}")
        assert page.sha256 == hashlib.sha256(packed).hexdigest()
        assert page.size == len(packed)
        assert packed[4:8] == bytes(4), "a time stamp: the same page would be another file"
        landed += [orjson.loads(text) for text in gzip.decompress(packed).splitlines()]
    assert landed == [line(), line(line_number=2), line(order_id="2")]
    assert [page.rows for page in manifest.files] == [2, 1]
    rates = gzip.decompress(store.files.cat_file(f"{folder}/{manifest.companions['rates'].name}"))
    assert [orjson.loads(text) for text in rates.splitlines()] == sorted(
        RATES, key=lambda rate: (rate["rate_date"], rate["currency"])
    )
    assert store.manifest(DAY, 1) == manifest


def test_each_page_is_progress_with_the_lines_so_far_and_the_total(store: LandingStore) -> None:
    seen: list[tuple[int, int | None]] = []
    land_day(
        LANDED,
        two_pages(),
        store,
        DAY,
        requested_by="run-1",
        progress=lambda lines, total: seen.append((lines, total)),
    )
    assert seen == [(2, 3), (3, 3)]


@pytest.mark.parametrize("name", ["page-00002.ndjson.gz", "rates.ndjson.gz"])
def test_a_file_that_is_not_the_landed_one_any_more_is_named(
    store: LandingStore, name: str
) -> None:
    manifest = land(store, two_pages())
    store.require_intact(manifest)
    path = f"{store.folder(DAY, 1)}/{name}"
    store.files.pipe_file(path, gzip.compress(orjson.dumps(line(order_id="3")) + b"\n"))
    with pytest.raises(LandingError, match=rf"{name} .*SHA-256") as failure:
        store.require_intact(manifest)
    assert isinstance(failure.value, DamagedLandingError)
    assert (failure.value.remedy, failure.value.of) == (Remedy.REFETCH, ("sales", str(DAY)))
    store.files.rm_file(path)
    with pytest.raises(LandingError, match=rf"{name} .*no file now"):
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


def test_a_version_that_another_claimed_meanwhile_is_left_to_it(
    store: LandingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = {n: f"{store.folder(DAY, n)}/claim.json" for n in (1, 2)}
    for uri in theirs.values():
        store.files.pipe_file(uri, b"theirs")
    # They came between the look at the versions and the claim.
    monkeypatch.setattr(LandingStore, "versions", lambda self, day: [])
    assert land(store, two_pages(), refetch=True).version == 3
    assert all(store.files.cat_file(uri) == b"theirs" for uri in theirs.values())


def test_a_manifest_is_read_by_its_uri_or_missed_by_name(store: LandingStore) -> None:
    manifest = land(store, two_pages())
    assert store.read_manifest(store.manifest_uri(DAY, 1)) == manifest
    with pytest.raises(DamagedLandingError, match=r"no landing manifest .*v0002/manifest\.json"):
        store.read_manifest(store.manifest_uri(DAY, 2))


def test_a_manifest_is_written_once(store: LandingStore) -> None:
    manifest = land(store, two_pages())
    with pytest.raises(LandingError, match=r"version 1 .*another run"):
        store.put_manifest(manifest.model_copy(update={"requested_by": "run-2"}))
    assert store.manifest(DAY, 1) == manifest


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
    judge(store, land(store, two_pages(), "run-3", refetch=True), passed=False)
    assert land(store, two_pages(), "run-4").version == 3


def test_an_empty_day_is_a_landing_of_no_lines(store: LandingStore) -> None:
    manifest = land(store, FakeFeed([[]]))
    assert (manifest.total, manifest.lines, len(manifest.files)) == (0, 0, 1)
    assert manifest.companions["rates"].rows == 0


@pytest.mark.parametrize(
    ("feed", "error", "message"),
    [
        (FakeFeed([[line()]], totals=[2]), LandingError, "announced 2 lines and served 1"),
        (FakeFeed([]), LandingError, "announced 0 lines and served 0"),
        (
            FakeFeed([[b'"oops"', line(gift_note="web")]]),
            SchemaDriftError,
            "first page 1, line 2",
        ),
        (
            FakeFeed([[line(**{f"x{n}": 1 for n in range(5)})]]),
            SchemaDriftError,
            r"x4 \([^)]*\) is not in",
        ),
        (
            FakeFeed([[without("customer_id", line_number=n) for n in range(1, 150)]]),
            SchemaDriftError,
            "field customer_id of contract",
        ),
        (
            FakeFeed([[line()], [line()]]),
            LandingError,
            rf"sales {DAY}: page 2 .*repeats page 1 .*\(1 in all\)\. .*API's owner",
        ),
        (
            FakeFeed([[line()], [line(order_id="2")]], totals=[2, 3]),
            LandingError,
            "total changed from 2 to 3",
        ),
        (
            FakeFeed([[line()], [line(order_id="2"), line(order_id="3", gift_note="web")]]),
            SchemaDriftError,
            r"gift_note \(1 of .*2 lines, first page 2, line 2\) .*not in contract feira\.sales",
        ),
        (
            FakeFeed(
                [[without("sku"), without("sku", line_number=2)], [without("sku", order_id="3")]]
            ),
            SchemaDriftError,
            r"field sku .*feira\.sales\.landing .*none .*3 lines",
        ),
        (
            FakeFeed([[without("customer_id", line_number=n) for n in range(1, 101)]]),
            SchemaDriftError,
            "field customer_id of contract",
        ),
        (
            FakeFeed([[line(channel="web"), line(order_id="2", channel="web")]]),
            SchemaDriftError,
            r"channel \(2 of the page's 2 lines, first page 1, line 1\)",
        ),
        (
            FakeFeed([[line()], [line(order_id="2")]], totals=[1, 1]),
            LandingError,
            "1 lines and served 2",
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


@pytest.mark.parametrize(
    "pages",
    [
        [[line(), line(line_number=2)], [without("customer_id", order_id="3")]],
        [[without("customer_id"), without("description", line_number=2)]],
        [[without("country")]],
        [[without("sku", line_number=n) for n in range(1, 200)], [line(order_id="2")]],
        [[without("customer_id", line_number=n) for n in range(1, 100)]],
    ],
)
def test_a_field_that_is_left_out_here_and_there_is_no_drift(
    store: LandingStore, pages: list[Any]
) -> None:
    assert land(store, FakeFeed(pages)).lines == sum(map(len, pages))


ODD = [
    b'"oops"',
    b"null",
    b"5",
    b"[1]",
    b"[]",
    b"{}",
    b'{"quantity":5,"quantity":7}',
    b'{"country" : "\\ud800"}',
    b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
    b'{"unit_price":1.10000000000000000001}',
]


def test_lines_are_landed_as_they_were_served(store: LandingStore) -> None:
    texts = [*ODD[:5], *ODD[6:8], orjson.dumps(line()), b'{"sku":\r\n"1",\n"quantity": 1}']
    contract_fields_only = [text for text in texts if b'"a"' not in text]
    manifest = land(store, FakeFeed([contract_fields_only]))
    packed = store.files.cat_file(f"{store.folder(DAY, 1)}/{manifest.files[0].name}")
    landed = gzip.decompress(packed).split(b"\n")
    assert landed[:-1] == [*contract_fields_only[:-1], b'{"sku":  "1", "quantity": 1}']
    assert landed[-1] == b"" and manifest.lines == len(contract_fields_only)


@pytest.mark.parametrize("odd", [b'"oops"', b"null", b"5", b"[1]", b'{"country" : "\\ud800"}'])
def test_a_line_that_is_no_object_costs_nothing_but_itself(store: LandingStore, odd: bytes) -> None:
    assert land(store, FakeFeed([[odd], [odd, line()], [odd, odd]])).lines == 5


def test_a_line_on_two_pages_is_page_drift_though_the_total_is_met(store: LandingStore) -> None:
    pages = [[line(order_id=f"{page}{n}") for n in range(5)] for page in (1, 2)]
    pages[1][0] = pages[0][4]
    with pytest.raises(PageDriftError) as failure:
        land(store, FakeFeed(pages))
    for part in (
        '"14",1,"2010-12-01T08:26:00Z"',
        "(order_id, line_number, updated_at)",
        "page 1, line 5",
        "page 2, line 1",
        "Nothing was landed",
    ):
        assert part in str(failure.value)
    assert store.versions(DAY) == []


def test_a_page_that_repeats_a_longer_one_is_named_though_the_lines_are_too_many(
    store: LandingStore,
) -> None:
    long = [line(order_id=str(number)) for number in range(5)]
    with pytest.raises(LandingError, match=r"page 2 .*repeats page 1 .*\(5 in all\)"):
        land(store, FakeFeed([long, long], totals=[8, 8]))


def test_page_drift_is_found_though_the_line_was_written_otherwise(store: LandingStore) -> None:
    moved = orjson.dumps(line(quantity=7))[:-1] + b" }"
    with pytest.raises(PageDriftError, match=r"page 1, line 1 .*page 3, line 1"):
        land(store, FakeFeed([[line()], [line(order_id="2")], [moved]]))


@pytest.mark.parametrize(
    "other",
    [
        {"updated_at": "2010-12-01T09:00:00Z"},
        {"line_number": 2},
        {"line_number": "1"},
        {"line_number": True},
        {"order_id": "536365 "},
        {"order_id": 536365},
    ],
)
def test_another_version_or_key_on_another_page_is_no_drift(
    store: LandingStore, other: dict[str, Any]
) -> None:
    assert land(store, FakeFeed([[line()], [line(**other)]])).lines == 2


@pytest.mark.parametrize(
    "broken", [{"line_number": 0}, {"line_number": -1}, {"order_id": " "}, {"line_number": True}]
)
def test_broken_lines_that_share_a_key_that_is_none_do_not_cost_the_day(
    store: LandingStore, broken: dict[str, Any]
) -> None:
    pages = [[line(**broken)], [line(**broken, sku="2")]]
    assert land(store, FakeFeed(pages)).lines == 2
    drifted = [[line(**broken)], [line(order_id="2")], [line(**broken), line(order_id="3")]]
    with pytest.raises(LandingError, match=r"page 1, line 1 .*page 3, line 1"):
        land(store, FakeFeed(drifted), "run-2", refetch=True)


@pytest.mark.parametrize("order_id", ["\u00a0", "\u2003 ", "\x1c", "\x85", "\u3000"])
def test_a_key_that_is_blank_by_no_rule_of_the_contract_is_one(
    store: LandingStore, order_id: str
) -> None:
    pages = [[line(order_id=order_id)], [line(order_id=order_id, sku="2")]]
    with pytest.raises(PageDriftError, match=r"page 1, line 1 .*page 2, line 1"):
        land(store, FakeFeed(pages))


@pytest.mark.parametrize("order_id", ["", " \t\n\x0b\f\r"])
def test_a_key_that_is_blank_by_the_contracts_rule_is_none(
    store: LandingStore, order_id: str
) -> None:
    pages = [[line(order_id=order_id)], [line(order_id=order_id, sku="2")]]
    assert land(store, FakeFeed(pages)).lines == 2


# What orjson refuses and Spark reads: such a line is in no quarantine that would show what landing missed.
BEYOND_A_DOUBLE = ["1e400", "-1E999", "9" * 400, "-" + "9" * 1000, "[[1e400]]", '{"a":[-1e309]}']


def served(value: str, name: str = "country", **changes: Any) -> bytes:
    """A line in which a field's JSON is as given."""
    others = orjson.dumps({k: v for k, v in line(**changes).items() if k != name})
    return others[:-1] + f',"{name}":{value}}}'.encode()


@pytest.mark.parametrize("value", BEYOND_A_DOUBLE)
def test_a_number_beyond_a_double_hides_no_drift_and_no_order_date(
    store: LandingStore, value: str
) -> None:
    with pytest.raises(SchemaDriftError, match="field weight"):
        land(store, FakeFeed([[served(value, "weight")]]))
    with pytest.raises(SchemaDriftError, match="field gift_note"):
        land(store, FakeFeed([[served(value, gift_note="web")]]))
    again = [served(value, quantity=7), line(order_id="2")]
    with pytest.raises(PageDriftError, match=r"page 1, line 1 .*page 2, line 1"):
        land(store, FakeFeed([[served(value)], again]))
    feed = FakeFeed([[served(value, created_at="2010-06-08T00:00:00Z")]])
    assert land(store, feed).lines == 1
    assert feed.rate_calls == [(date(2010, 6, 1), date(2010, 6, 8))]


@pytest.mark.parametrize(
    "unreadable",
    [
        "9" * 1001,
        f"0.{'1' * 1000}",
        f"1E{'1' * 1000}",
        "NaN",
        "-Infinity",
        r'"\ud800"',
        "1e400,",
        "01",
    ],
)
def test_a_line_that_spark_does_not_read_either_is_no_drift_but_on_two_pages(
    store: LandingStore, unreadable: str
) -> None:
    text = served(f'"x","weight":1e400,"note":{unreadable}')
    assert land(store, FakeFeed([[text, text], [line()]])).lines == 3
    with pytest.raises(PageDriftError, match=r"page 1, line 1 .*page 2, line 2"):
        land(store, FakeFeed([[text], [line(), text]]), "run-2", refetch=True)


@pytest.mark.parametrize(
    "value", [rb'"mug \ud83d"', b'"caf\xe9"', b"NaN", b"%b1%b" % (b"[" * 1200, b"]" * 1200)]
)
def test_a_page_that_moved_is_noticed_though_the_line_on_both_cannot_be_read(
    store: LandingStore, value: bytes
) -> None:
    bad = served('"?"', order_id="3").replace(b'"?"', value)
    pages = [[line(), bad], [b" %b\r" % bad, line(order_id="5")]]
    assert land(store, FakeFeed(pages)).lines == 4
    with pytest.raises(PageDriftError, match=r"page 1, line 2 .*page 2, line 1"):
        land(store, FakeFeed([pages[0], [bad, pages[1][1]]]), "run-2", refetch=True)


@pytest.mark.parametrize("cut", [b'{"order_id":"536365","line_nu', b"null", b"[1]", b'"oops"'])
def test_what_is_no_whole_object_may_be_on_two_pages(store: LandingStore, cut: bytes) -> None:
    assert land(store, FakeFeed([[cut, line()], [line(order_id="2"), cut]])).lines == 4


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**40])
def test_a_key_is_the_same_whichever_parser_reads_its_line(
    store: LandingStore, number: int
) -> None:
    plain, odd = served("1", line_number=0), served("1e400", line_number=0)
    pages = [[each.replace(b'_number":0', f'_number":{number}'.encode())] for each in (plain, odd)]
    if number < 2**64:
        with pytest.raises(PageDriftError):
            land(store, FakeFeed([*pages]))
    else:
        assert land(store, FakeFeed([*pages])).lines == 2


def test_one_version_twice_on_one_page_is_the_sources_own(store: LandingStore) -> None:
    assert land(store, FakeFeed([[line(), line()], [line(order_id="2")]])).lines == 3


@pytest.mark.parametrize(
    "broken",
    [
        line(order_id=None),
        without("line_number"),
        line(line_number=1.0),
        line(line_number=9e30),
        without("updated_at"),
        line(order_id={"order_id": "1"}),
    ],
)
def test_a_line_without_a_usable_key_is_page_drift_only_where_its_text_is_on_two_pages(
    store: LandingStore, broken: dict[str, Any]
) -> None:
    # An integer over 64 bits is a float to the parser too.
    text = orjson.dumps(broken).replace(b"9e30", b"9" * 30)[:-1] + b"\n}"
    other = line(order_id="2")
    another = orjson.dumps(broken | {"sku": "22423"})
    assert land(store, FakeFeed([[text, other], [another]])).lines == 3
    with pytest.raises(PageDriftError, match=r"page 1, line 1 .*page 2, line 2"):
        land(store, FakeFeed([[text, other], [another, text]]), "run-2", refetch=True)


def test_a_long_key_or_field_name_is_cut_to_a_line(store: LandingStore) -> None:
    long = line(order_id="x" * 7700)
    with pytest.raises(PageDriftError, match=r"page 1, line 1 .*page 2") as failure:
        land(store, FakeFeed([[long], [long, line()]]))
    assert len(str(failure.value)) < 700
    names = {f"{n:03d}\nREVENUE 1" + "y" * 40_000: 1 for n in range(50)}
    with pytest.raises(SchemaDriftError, match=r"45 more .*not in contract") as drift:
        land(store, FakeFeed([[line() | names]]))
    assert len(str(drift.value)) < 2000 and "\n" not in str(drift.value)


def test_places_count_the_lines_without_an_identity_and_pass_empty_pages(
    store: LandingStore,
) -> None:
    nameless = line(order_id=None, line_number=None, updated_at=None)
    pages = [[nameless, line()], [line(order_id="2")], [nameless, nameless, line()]]
    with pytest.raises(PageDriftError, match=r"page 1, line 2 .*page 3, line 3"):
        land(store, FakeFeed(pages))


# -1 is no hash, so -2 is the nearest to the mark of a line without an identity.
@pytest.mark.parametrize("same", [1, 0, -2])
def test_two_lines_of_one_hash_are_not_one_line(
    store: LandingStore, monkeypatch: pytest.MonkeyPatch, same: int
) -> None:
    monkeypatch.setattr("feira.core.landing.lines.hash", lambda identity: same, raising=False)
    assert land(store, FakeFeed([[line()], [line(order_id="2")]])).lines == 2
    with pytest.raises(PageDriftError):
        land(store, FakeFeed([[line()], [line(), line(order_id="2")]]), "run-2", refetch=True)


def test_a_text_is_shown_on_one_line_of_at_most_200_characters() -> None:
    assert shown("x" * 200) == "x" * 200
    assert shown("x" * 201) == "x" * 200 + "…"
    assert shown("a\nb") == r"'a\nb'"


@pytest.mark.parametrize(
    "created_at",
    [
        "2010-13-01T00:00:00Z",
        "2010-02-30T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0001-01-03T00:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_a_time_that_no_calendar_has_costs_nothing_but_its_line(
    store: LandingStore, created_at: str
) -> None:
    pages = [[line(), line(order_id="2", created_at=created_at)]]
    assert land(store, FakeFeed(pages)).companions["rates"].rows == 3


def test_a_hundred_pages_without_lines_are_read_on(folder_store: LandingStore) -> None:
    empty: list[list[Any]] = [[] for _ in range(100)]
    assert land(folder_store, FakeFeed([*empty, [line()], *empty])).lines == 1


def test_pages_without_lines_may_repeat(store: LandingStore) -> None:
    manifest = land(store, FakeFeed([[line()], [], []]))
    assert [page.rows for page in manifest.files] == [1, 0, 0]


def test_a_feed_that_never_ends_is_left_at_the_line_that_is_too_many(store: LandingStore) -> None:
    class Endless(FakeFeed):
        def pages(self, day: date) -> Iterator[Page]:
            for number in count(1):
                assert number < 5, "it was read on and on"
                yield Page(number, 3, [orjson.dumps(line(order_id=str(number)))])

    with pytest.raises(LandingError, match=r"announced 3 .*served 4 .*page 4"):
        land(store, Endless([]))


@pytest.mark.parametrize("total", [1, 2])
def test_pages_without_lines_that_do_not_end_are_left(
    folder_store: LandingStore, total: int
) -> None:
    class Endless(FakeFeed):
        def pages(self, day: date) -> Iterator[Page]:
            yield Page(1, total, [orjson.dumps(line())])
            for number in count(2):
                assert number < 110, "it was read on and on"
                yield Page(number, total, [])

    message = f"page 102 the API served 101 pages without lines in a row .limit 100. and 1 of {total} lines"
    with pytest.raises(LandingError, match=message):
        land(folder_store, Endless([]))
    assert folder_store.versions(DAY) == []


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=15,
)
@given(sizes=st.lists(st.integers(0, 4), min_size=2, max_size=6), data=st.data())
def test_any_paging_lands_to_the_served_texts_and_any_drift_of_it_is_refused(
    folder_store: LandingStore, sizes: list[int], data: st.DataObject
) -> None:
    numbers = iter(range(1, sum(sizes) + 1))
    pages: list[list[Any]] = [
        [orjson.dumps(line(line_number=next(numbers))) for _ in range(size)] for size in sizes
    ]
    manifest = land(folder_store, FakeFeed(pages), run=uuid4().hex, refetch=True)
    folder = folder_store.folder(DAY, manifest.version)
    landed = [
        gzip.decompress(folder_store.files.cat_file(f"{folder}/{page.name}"))
        for page in manifest.files
    ]
    assert landed == [b"".join(text + b"\n" for text in page) for page in pages]

    filled = [number for number, page in enumerate(pages) if page]
    if len(filled) < 2:
        return
    first = data.draw(st.sampled_from(filled[:-1]))
    second = data.draw(st.sampled_from([number for number in filled if number > first]))
    gone = data.draw(st.integers(0, len(pages[second]) - 1))
    pages[second] = [
        text for n, text in enumerate([pages[first][-1], *pages[second]]) if n != gone + 1
    ]
    with pytest.raises(LandingError, match=r"again on|repeats page"):
        land(folder_store, FakeFeed(pages), run=uuid4().hex, refetch=True)


@pytest.mark.parametrize(
    ("rate", "named"),
    [
        ({"usd_rate": "0"}, "'0'"),
        ({"usd_rate": "0.00000000"}, "'0.00000000'"),
        ({"usd_rate": "-1.5"}, "'-1.5'"),
        ({"usd_rate": "NaN"}, "'NaN'"),
        ({"usd_rate": "1.123456789"}, "'1.123456789'"),
        ({"usd_rate": "1.5\n"}, "'1.5\\n'"),
        ({"usd_rate": " 1.5"}, "' 1.5'"),
        ({"usd_rate": "1_5"}, "'1_5'"),
        ({"usd_rate": "\u0661"}, "'\u0661'"),
        ({"usd_rate": ""}, "''"),
        ({"currency": "USD"}, "USD on 2010-12-01 is 1.5"),
        ({"usd_rate": "12345678901"}, "'12345678901'"),
        ({"usd_rate": "1,5"}, "'1,5'"),
        ({"usd_rate": 1.5}, "usd_rate': 1.5"),
        ({"usd_rate": None}, "usd_rate': None"),
        ({"currency": 5}, "currency': 5"),
        ({"currency": ""}, "currency ''"),
        ({"currency": "GBP\nERROR all rates lost"}, "'GBP\\nERROR all"),
        ({"rate_date": "2010-11-31"}, "'2010-11-31'"),
        ({"rate_date": "20101201"}, "'20101201'"),
    ],
)
def test_a_rate_that_is_none_is_named(
    store: LandingStore, rate: dict[str, Any], named: str
) -> None:
    good = {"rate_date": "2010-12-01", "currency": "GBP", "usd_rate": "1.5"}

    class Feed(FakeFeed):
        def rates(self, first: date, last: date) -> list[Any]:
            # As they are read of an answer, and no constants of this file.
            served: list[Any] = orjson.loads(orjson.dumps([good | rate]))
            return served

    with pytest.raises(LandingError) as failure:
        land(store, Feed([[line()]]))
    assert isinstance(failure.value, PermanentError), "it would be asked for again"
    assert "\n" not in str(failure.value)
    assert named in str(failure.value) and "Nothing was landed" in str(failure.value)
    assert store.versions(DAY) == []


@pytest.mark.parametrize("entry", [None, "GBP", ["2010-12-01", "GBP", "1.5"], {}])
def test_an_entry_that_is_no_rate_is_shown(store: LandingStore, entry: Any) -> None:
    class Feed(FakeFeed):
        def rates(self, first: date, last: date) -> list[Any]:
            return [entry]

    with pytest.raises(LandingError, match=r"rate_date, currency .*usd_rate"):
        land(store, Feed([[line()]]))


class RefusesDays(FakeFeed):
    """A feed that has rates of November and December 2010 alone."""

    def rates(self, first: date, last: date) -> list[Any]:
        if first < date(2010, 11, 1) or last > DAY:
            raise RatesNotServedError(f"{first} to {last}: 422")
        return super().rates(first, last)


@pytest.mark.parametrize(
    "created_at", ["1901-05-05T00:00:00Z", "2010-12-20T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_one_line_of_a_day_without_rates_costs_no_other(
    store: LandingStore, created_at: str
) -> None:
    feed = RefusesDays([[line(), line(order_id="2", created_at=created_at)]])
    manifest = land(store, feed)
    assert (manifest.lines, manifest.companions["rates"].rows) == (2, 3)


def test_an_older_order_that_shares_its_call_with_the_days_own_costs_it_no_rates(
    store: LandingStore,
) -> None:
    """Where that order's week begins before the rates that the source has."""
    later = line(order_id="3", created_at="2010-12-02T00:00:00Z")
    older = line(order_id="2", created_at="2010-11-04T00:00:00Z")
    feed = RefusesDays([[line(), older, later]])
    asked: list[tuple[date, date]] = []

    def rates(first: date, last: date) -> list[Any]:
        asked.append((first, last))
        return RefusesDays.rates(feed, first, last)

    feed.rates = rates  # type: ignore[method-assign]
    manifest = land(store, feed)
    assert (manifest.lines, manifest.companions["rates"].rows) == (3, 3)
    assert asked == [
        (date(2010, 10, 28), DAY),
        (date(2010, 11, 24), DAY),
        (date(2010, 10, 28), date(2010, 11, 4)),
        (date(2010, 11, 25), date(2010, 12, 2)),
    ]


@settings(deadline=None)
@given(
    st.sets(st.dates(date(2009, 1, 1), date(2011, 2, 1)), max_size=12),
    st.booleans(),
    st.dates(date(2009, 1, 1), DAY),
    st.integers(0, 800),
)
@example({DAY - timedelta(days=each) for each in (359, 330, 300, 270, 240)}, True, DAY, 0)
# The last order's call begins behind the one before it, which is refused as its year is too early.
@example(
    {date(2009, 11, 25) + timedelta(days=n) for n in (*range(0, 331, 30), 356, 359)},
    True,
    date(2010, 11, 12),
    400,
)
def test_each_order_has_the_rates_of_its_week_wherever_the_source_has_them(
    dates: set[date], has_day: bool, begin: date, length: int
) -> None:
    dates = dates | {DAY} if has_day else dates - {DAY}
    end = begin + timedelta(days=length)

    def fetch(first: date, last: date) -> list[dict[str, str]]:
        if first < begin or last > end:
            raise RatesNotServedError(f"{first} to {last}: 404")
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        return [{"rate_date": str(day), "currency": "GBP", "usd_rate": "1.5"} for day in days]

    def week(day: date) -> set[str]:
        return {str(day - timedelta(days=age)) for age in range(8)}

    has_rates = {each for each in dates if begin <= each - timedelta(days=7) and each <= end}
    if has_day and DAY not in has_rates:
        with pytest.raises(RatesNotServedError, match=f"2010-11-24 to {DAY}"):
            rates_for(dates, DAY, fetch)
        return
    found = {each["rate_date"] for each in rates_for(dates, DAY, fetch)}
    assert set().union(*map(week, has_rates)) <= found
    assert found <= set().union(*map(week, dates))


def test_rates_of_the_day_itself_that_are_refused_are_an_error(store: LandingStore) -> None:
    class RefusesAll(FakeFeed):
        def rates(self, first: date, last: date) -> list[Any]:
            raise RatesNotServedError(f"{first} to {last}: 404")

    with pytest.raises(RatesNotServedError, match="2010-11-24 to 2010-12-01: 404"):
        land(store, RefusesAll([[line()]]))
    # However many days' orders there are, that one is asked for before theirs.
    asked: list[tuple[date, date]] = []

    def fetch(first: date, last: date) -> list[Any]:
        asked.append((first, last))
        raise RatesNotServedError("404")

    with pytest.raises(RatesNotServedError):
        rates_for({DAY - timedelta(days=number) for number in range(300)}, DAY, fetch)
    assert len(asked) == 2


def test_two_rates_for_one_day_are_an_error_and_one_twice_is_not(store: LandingStore) -> None:
    rate = {"rate_date": "2010-12-01", "currency": "GBP", "usd_rate": "1.5"}
    assert (
        land(store, FakeFeed([[line()]], [rate, rate | {"usd_rate": "1.50"}]))
        .companions["rates"]
        .rows
        == 1
    )
    with pytest.raises(LandingError, match=r"GBP .*2010-12-01: 1\.5 .*1\.6"):
        land(store, FakeFeed([[line()]], [rate, rate | {"usd_rate": "1.6"}]), "run-2", refetch=True)


def test_a_newer_landing_that_was_never_validated_is_taken(store: LandingStore) -> None:
    judge(store, land(store, two_pages()), passed=True)
    land(store, two_pages(), "run-2", refetch=True)
    unread = two_pages()
    assert land(store, unread, "run-3").version == 2
    assert unread.reads == 0


def test_a_refused_newer_landing_is_passed_over(store: LandingStore) -> None:
    judge(store, land(store, two_pages()), passed=True)
    judge(store, land(store, two_pages(), "run-2", refetch=True), passed=False)
    assert land(store, two_pages(), "run-3").version == 1


def test_the_first_error_is_raised_though_cleaning_up_fails(
    store: LandingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*args: Any, **known: Any) -> None:
        raise ConnectionError("S3 is down")

    monkeypatch.setattr(store.files, "rm", down)
    with pytest.raises(SchemaDriftError, match="field gift_note") as failure:
        land(store, FakeFeed([[line(gift_note="web")]]))
    assert any("could not be removed" in note for note in failure.value.__notes__)
    assert store.complete(DAY) == []


def test_a_complete_landing_is_never_removed(
    store: LandingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LandingStore.put_manifest

    def stored_and_then_killed(self: LandingStore, manifest: Manifest) -> str:
        put(self, manifest)
        raise ConnectionResetError("the answer was lost")

    monkeypatch.setattr(LandingStore, "put_manifest", stored_and_then_killed)
    with pytest.raises(ConnectionResetError):
        land(store, two_pages())
    monkeypatch.setattr(LandingStore, "put_manifest", put)
    again = two_pages()
    manifest = land(store, again)
    assert (manifest.version, again.reads) == (1, 0)
    store.require_intact(manifest)


def test_a_manifest_that_is_stored_after_its_put_has_failed_finds_all_its_files(
    store: LandingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way: list[Manifest] = []

    def failed(self: LandingStore, manifest: Manifest) -> str:
        under_way.append(manifest)
        raise TimeoutError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(LandingStore, "put_manifest", failed)
        with pytest.raises(TimeoutError):
            land(store, two_pages())
    assert store.complete(DAY) == []
    store.put_manifest(under_way[0])
    store.require_intact(under_way[0])


def test_what_another_run_completed_is_never_removed(store: LandingStore) -> None:
    theirs: list[Manifest] = []

    class Meanwhile(FakeFeed):
        def pages(self, day: date) -> Iterator[Page]:
            theirs.append(land(store, two_pages(), "run-2", refetch=True))
            store.put_manifest(theirs[0].model_copy(update={"version": 1}))
            yield Page(1, 1, [orjson.dumps(line(gift_note="web"))])

    with pytest.raises(SchemaDriftError):
        land(store, Meanwhile([]))
    assert [manifest.version for manifest in store.complete(DAY)] == [1, 2]


@pytest.mark.parametrize("name", ["manifest.json", "validation.json"])
@pytest.mark.parametrize("content", [b"", b'{"dataset": "sales"', b"[]", b"\xff"])
def test_a_damaged_manifest_or_validation_is_named_and_not_tried_again(
    store: LandingStore, name: str, content: bytes
) -> None:
    judge(store, land(store, two_pages()), passed=True)
    uri = f"{store.folder(DAY, 1)}/{name}"
    store.files.pipe_file(uri, content)
    with pytest.raises(LandingError) as failure:
        store.current(DAY)
    assert isinstance(failure.value, PermanentError)
    assert f"{uri} ({len(content)} bytes)" in str(failure.value)


def test_a_fact_of_a_landing_that_is_none_is_named_with_its_place(store: LandingStore) -> None:
    land(store, two_pages())
    uri = store.manifest_uri(DAY, 1)
    document = orjson.loads(store.files.cat_file(uri))
    document["landing"]["total"] = "3"
    store.files.pipe_file(uri, orjson.dumps(document))
    with pytest.raises(DamagedLandingError, match=r"total: .*integer"):
        store.read_manifest(uri)


@pytest.mark.parametrize("name", ["manifest.json", "validation.json"])
@pytest.mark.parametrize(
    "other", [(DAY + timedelta(days=1), 1), (DAY - timedelta(days=1), 1), (DAY, 2)]
)
def test_a_manifest_or_validation_that_was_copied_from_another_landing_is_named(
    store: LandingStore, name: str, other: tuple[date, int]
) -> None:
    judge(store, land(store, two_pages()), passed=True)
    place = store.folder(*other)
    for each in {"manifest.json", name}:
        content = store.files.cat_file(f"{store.folder(DAY, 1)}/{each}")
        store.files.pipe_file(f"{place}/{each}", content)
    with pytest.raises(DamagedLandingError, match=rf"another landing, .*{DAY} version 1"):
        store.current(other[0])
    with pytest.raises(DamagedLandingError, match=rf"{place}/manifest\.json .*another landing"):
        store.read_manifest(f"{place}/manifest.json")


def test_a_landing_of_an_earlier_release_is_still_read(store: LandingStore) -> None:
    body = orjson.dumps(line()) + b"\n"
    packed, none = gzip.compress(body, mtime=0), gzip.compress(b"", mtime=0)
    files = [("page-00001.ndjson.gz", 1, packed), ("rates.ndjson.gz", 0, none)]
    folder = store.folder(DAY, 1)
    listed = []
    for name, lines, content in files:
        store.files.pipe_file(f"{folder}/{name}", content)
        digest = hashlib.sha256(content).hexdigest()
        listed.append({"name": name, "lines": lines, "bytes": len(content), "sha256": digest})
    store.files.pipe_file(f"{folder}/claim.json", b'{"requested_by":"run-0"}')
    head = {
        "dataset": "sales",
        "extract_day": "2010-12-01",
        "version": 1,
        "contract_version": "1.0.0",
        "fields": list(line()),
        "total": 1,
        "requested_by": "run-0",
    }
    manifest = head | {"pages": listed[:1], "rates": listed[1]}
    store.files.pipe_file(store.manifest_uri(DAY, 1), orjson.dumps(manifest))
    unread = two_pages()
    found = land(store, unread)
    assert (found.version, found.lines, unread.reads) == (1, 1, 0)
    store.require_intact(found)


def test_two_tries_of_one_run_never_share_a_version(store: LandingStore) -> None:
    others: list[Manifest] = []

    class Meanwhile(FakeFeed):
        def pages(self, day: date) -> Iterator[Page]:
            others.append(land(store, FakeFeed([[line()]]), refetch=True))
            yield from super().pages(day)

    mine = land(store, Meanwhile([[line()]]), refetch=True)
    assert (mine.version, others[0].version) == (1, 2)


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
    assert manifest.companions["rates"].rows == 16


def test_the_rates_of_days_that_are_close_are_asked_for_at_once_up_to_a_year() -> None:
    first = date(2005, 3, 1)

    def ranges(*days: int) -> list[tuple[int, int]]:
        found = date_ranges({first + timedelta(days=n) for n in days})
        return [((a - first).days, (b - first).days) for a, b in found]

    assert ranges() == []
    assert ranges(0) == [(-7, 0)]
    assert ranges(0, 3) == [(-7, 3)]
    assert ranges(0, 37) == [(-7, 37)], "a month lies between"
    assert ranges(0, 38) == [(-7, 0), (31, 38)]
    assert ranges(0, 5, 2000, 2005) == [(-7, 5), (1993, 2005)]
    # Without a gap, and no range of more than 366 days.
    assert ranges(*range(0, 800, 2)) == [(-7, 358), (359, 724), (725, 798)]
    assert date_ranges({date.min, date.max}) == [
        (date.min, date.min),
        (date.max - timedelta(days=7), date.max),
    ]


def test_of_the_rates_that_came_only_those_of_the_week_up_to_each_order_date_are_kept(
    store: LandingStore,
) -> None:
    rates = [
        {"rate_date": str(DAY + timedelta(days=n)), "currency": "GBP", "usd_rate": "1.5"}
        for n in range(-60, 20)
    ]
    lines = [line(), line(order_id="2", created_at="2010-11-11T00:00:00Z")]
    later = line(order_id="3", created_at="2010-12-09T00:00:00Z")
    feed = FakeFeed([lines], rates)
    assert land(store, feed).companions["rates"].rows == 16
    assert len(feed.rate_calls) == 1, "the weeks between came too"
    assert (
        land(store, FakeFeed([[*lines, later]], rates), "r2", refetch=True).companions["rates"].rows
        == 24
    )


@given(
    st.sets(st.dates(date(1, 1, 1), date(9999, 12, 31)), max_size=20)
    | st.sets(st.dates(date(2010, 1, 1), date(2014, 12, 31)), min_size=20, max_size=60)
)
@example({date(2005, 1, 1) + timedelta(days=20 * n) for n in range(150)})
def test_the_ranges_of_rates_hold_every_date_and_do_not_overlap(dates: set[date]) -> None:
    ranges = date_ranges(dates)
    for day in dates:
        for age in range(min(8, day.toordinal())):
            assert any(first <= day - timedelta(days=age) <= last for first, last in ranges)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))
    assert all((last - first).days < 366 for first, last in ranges)


@pytest.mark.parametrize(
    ("total", "invalid", "passed"),
    [(0, 0, True), (100, 5, True), (100, 6, False), (3108, 155, True), (3108, 156, False)],
)
def test_the_gate_lets_five_in_a_hundred_pass(total: int, invalid: int, passed: bool) -> None:
    assert passes_gate(total, invalid, 5) is passed


@given(st.integers(1, 9_999), st.integers(1, 10**6))
@example(57, 1)
@example(110, 1)
def test_a_landing_exactly_at_a_fractional_limit_passes_and_one_line_more_does_not(
    hundredths: int, times: int
) -> None:
    total, invalid, limit = 10_000 * times, hundredths * times, hundredths / 100
    assert passes_gate(total, invalid, limit)
    assert not passes_gate(total, invalid + 1, limit)


def test_the_summary_names_each_rule_and_its_count() -> None:
    validation = Validation(
        dataset="sales",
        extract_day=DAY,
        version=1,
        contract_version="1.0.0",
        total=3108,
        valid=2925,
        broken={"quantity_zero": 63, "currency_without_rate": 63, "sku_blank": 120},
        max_invalid_percent=5,
        passed=False,
    )
    assert validation.summary() == (
        "5.89 % of 3,108 lines invalid (limit 5 %): sku_blank 120, "
        "currency_without_rate 63, quantity_zero 63"
    )
    none = validation.model_copy(update={"total": 0, "valid": 0, "broken": {}})
    assert none.summary() == "0.00 % of 0 lines invalid (limit 5 %)"
