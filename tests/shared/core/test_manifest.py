"""Manifests: a landing's, Redshift's form and others, and what makes one unusable."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feira.core.landing.manifest import (
    FileManifest,
    ListedFile,
    Manifest,
    ManifestError,
    Validation,
    read_manifest,
)

URL = "s3://lake/orders/manifest.json"
COUNTS = st.none() | st.integers(0, 2**60)
HASHES = st.none() | st.text("0123456789abcdef", min_size=64, max_size=64)
FILES = st.lists(
    st.builds(
        ListedFile,
        st.from_regex(r"s3://[a-z]{3}/[a-z0-9/]{0,8}[a-z0-9]", fullmatch=True),
        COUNTS,
        COUNTS,
        HASHES,
    ),
    unique_by=lambda file: file.url,
)


@given(FILES)
def test_a_manifest_is_read_as_it_was_written(files: list[ListedFile]) -> None:
    manifest = FileManifest(URL, tuple(files))
    assert read_manifest(manifest.to_json(), URL) == manifest
    assert manifest.to_json() == FileManifest(URL, tuple(files)).to_json()


def test_what_unload_writes_is_understood() -> None:
    body = b"""{"entries": [
        {"url": "s3://lake/a/0000_part_00.parquet", "meta": {"content_length": 10, "record_count": 4}},
        {"url": "s3://lake/a/0001_part_00.parquet", "meta": {"content_length": 20, "record_count": 5}}],
        "schema": {"elements": []}, "meta": {"content_length": 30, "record_count": 9},
        "author": {"name": "Amazon Redshift", "version": "1.0.0"}}"""
    manifest = read_manifest(body, URL)
    assert (manifest.rows, manifest.size, len(manifest.files)) == (9, 30, 2)


def test_a_manifest_for_copy_may_state_urls_alone() -> None:
    manifest = read_manifest(b'{"entries": [{"url": "s3://lake/a", "mandatory": true}]}', URL)
    assert manifest.files == (ListedFile("s3://lake/a"),)
    assert (manifest.rows, manifest.size) == (None, None)


def test_names_are_beside_the_manifest() -> None:
    body = {"pages": [{"name": "a.gz", "bytes": 1, "lines": 2}], "rates": {"name": "r.gz"}}
    manifest = read_manifest(json.dumps(body).encode(), URL, ("pages", "rates"))
    assert manifest.files == (
        ListedFile("s3://lake/orders/a.gz", 1, 2),
        ListedFile("s3://lake/orders/r.gz"),
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "is no JSON"),
        ([], "holds a list"),
        ({}, "no field 'entries'; it has none"),
        ('{"a": 1, "entries": [], "entries": []}', "'entries' more than once"),
        ({"files": [], "meta": {}}, "has no field 'entries'; it has files, meta"),
        ({"entries": ["s3://lake/a"]}, "entry 's3://lake/a' is not an object"),
        ({"entries": [{"mandatory": True}]}, "neither url nor name"),
        ({"entries": [{"url": 5}]}, "neither url nor name"),
        ({"entries": [{"url": "https://x/a"}]}, "https://x/a is not on S3"),
        ({"entries": [{"url": "s3://x/a"}, {"url": "s3://x/a"}]}, "lists s3://x/a twice"),
        ({"entries": [{"url": "s3://x/a", "bytes": "7"}]}, "has bytes '7'; it must be a whole"),
        ({"entries": [{"url": "s3://x/a", "bytes": -7}]}, "has bytes -7; it must be a whole"),
        ({"entries": [{"url": "s3://x/a", "rows": True}]}, "has rows True; it must be a whole"),
        ({"entries": [{"url": "s3://x/a", "sha256": 7}]}, "has sha256 7; it is 64 hex digits"),
        ({"entries": [{"url": "s3://x/a", "sha256": ""}]}, "has sha256 ''; it is 64 hex digits"),
        ({"entries": [{"url": "s3://x/a", "sha256": "abc"}]}, "'abc'; it is 64 hex digits"),
        ({"entries": [{"url": "s3://x/a", "rows": 1.0}]}, "has rows 1.0; it must be a whole"),
        ({"entries": [{"name": "../a"}]}, "'../a' leaves its folder"),
        ({"entries": [{"url": "s3://lake/orders/../a"}]}, "leaves its folder"),
        (
            {"entries": [{"url": "s3://x/a", "rows": 4}], "meta": {"record_count": 9}},
            r"record_count of 9 .*\b4 over",
        ),
        (
            {"entries": [{"url": "s3://x/a", "bytes": 4}], "meta": {"content_length": 3}},
            r"content_length of 3 .*\b4 over",
        ),
        (
            {"entries": [{"url": "s3://x/a"}], "meta": {"record_count": 9}},
            r"record_count of 9 .*none over",
        ),
        ({"entries": [{"url": "s3://x/a", "rows": 3}], "meta": {"rows": 9}}, "of 9 for the whole"),
        ({"entries": [], "meta": [9]}, r"whole .*meta .*no object"),
        ({"entries": [{"url": "s3://x/a", "meta": "4 rows"}]}, r"s3://x/a .*meta .*no object"),
        ({"entries": [{"url": "s3://x/a", "rows": 1, "lines": 2}]}, "lines more than once: 1, 2"),
        (
            {"entries": [{"url": "s3://x/a", "bytes": 1, "meta": {"content_length": 2}}]},
            "content_length and bytes more than once: 1, 2",
        ),
        (
            {"entries": [{"url": "s3://x/a", "sha256": "a" * 64, "meta": {"sha256": "b" * 64}}]},
            "sha256 more than once",
        ),
        ({"entries": [{"url": "s3://x/"}]}, "'s3://x/' names no file"),
        ({"entries": [{"url": "s3:///a"}]}, "'s3:///a' names no file"),
        ({"entries": [{"name": "folder/"}]}, "'folder/' names no file"),
        ('{"entries": [{"url": "s3://x/a"}], "entries": []}', "'entries' more than once"),
        (r'{"entries": [{"url": "s3://x/a", "\u0075rl": "s3://x/b"}]}', "'url' more than once"),
    ],
)
def test_an_unusable_manifest_is_named_with_what_is_wrong(body: Any, message: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(ManifestError, match=message) as failure:
        read_manifest(text.encode(), URL)
    assert URL in str(failure.value)


def test_the_duplicate_key_of_a_large_manifest_is_found_in_one_pass() -> None:
    # As many passes as there are keys would take an hour.
    keys = ", ".join(f'"k{number}": 0' for number in range(400_000))
    with pytest.raises(ManifestError, match="'last' more than once"):
        read_manifest(f'{{{keys}, "last": 0, "last": 0}}'.encode(), URL)


FACTS = {"dataset": "orders", "extract_day": "2010-12-01", "version": 1}


def landed(**changes: Any) -> dict[str, Any]:
    """A landing's manifest as it is written, with changes of its landing."""
    files = (ListedFile("s3://lake/orders/page-00001.ndjson.gz", 8, 2, "a" * 64),)
    beside = {"rates": ListedFile("s3://lake/orders/rates.ndjson.gz", 5, 9, "b" * 64)}
    written: dict[str, Any] = json.loads(FileManifest(URL, files, beside, FACTS).to_json())
    return written | changes


def test_a_landing_keeps_its_facts_and_its_companions_are_no_rows_of_it() -> None:
    found = read_manifest(json.dumps(landed()).encode(), URL)
    assert found.landing == FACTS
    assert (found.rows, found.size) == (2, 8)
    assert [file.name for file in found.listed] == ["page-00001.ndjson.gz", "rates.ndjson.gz"]
    assert read_manifest(found.to_json(), URL) == found


def test_a_manifest_is_stored_in_the_form_of_redshift() -> None:
    meta = {"content_length": 8, "record_count": 2}
    page, rates = (
        {"url": f"s3://lake/orders/{name}.ndjson.gz", "mandatory": True, "meta": stated}
        for name, stated in (
            ("page-00001", {**meta, "sha256": "a" * 64}),
            ("rates", {"content_length": 5, "record_count": 9, "sha256": "b" * 64}),
        )
    )
    assert landed() == {
        "entries": [page],
        "meta": meta,
        "author": {"name": "feira", "version": "2"},
        "landing": {**FACTS, "companions": {"rates": rates}},
    }
    body = landed()
    body["landing"] |= REST
    again = Manifest.read(json.dumps(body).encode(), URL).to_json(URL)
    assert json.loads(again) == body


def test_a_manifest_of_another_scheme_lists_files_of_that_alone() -> None:
    body = b'{"entries": [{"url": "s3://lake/a"}]}'
    with pytest.raises(ManifestError, match="s3://lake/a is not on file://"):
        read_manifest(body, "file:///lake/manifest.json")


def test_what_the_whole_states_counts_however_the_entries_field_is_given() -> None:
    body = b'{"entries": [{"url": "s3://lake/a", "rows": 4}], "meta": {"rows": 9}}'
    with pytest.raises(ManifestError, match=r"\bof 9 .*\b4 over"):
        read_manifest(body, URL, ["entries"])


def test_a_manifest_that_is_nested_deep_is_refused_by_name() -> None:
    for depth in (900, 1000, 100_000):
        with pytest.raises(ManifestError, match=URL):
            read_manifest(b"[" * depth + b"]" * depth, URL)


def test_a_landing_of_version_1_is_read_alike() -> None:
    page = {"name": "page-00001.ndjson.gz", "bytes": 8, "lines": 2, "sha256": "a" * 64}
    rates = {"name": "rates.ndjson.gz", "bytes": 5, "lines": 9, "sha256": "b" * 64}
    older = FACTS | {"pages": [page], "rates": rates}
    found = read_manifest(json.dumps(older).encode(), URL)
    assert found == read_manifest(json.dumps(landed()).encode(), URL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"author": {"name": "feira", "version": "3"}}, "version '3'; this release reads 2"),
        ({"author": {"name": "feira"}}, "version None; this release reads 2"),
        ({"landing": []}, "no usable 'landing'"),
        ({"landing": FACTS}, "no usable 'landing'"),
        ({"landing": FACTS | {"companions": {"rates": 5}}}, "entry 5 is not an object"),
    ],
)
def test_a_manifest_of_ours_that_this_release_does_not_know_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ManifestError, match=message) as failure:
        read_manifest(json.dumps(landed(**changes)).encode(), URL)
    assert URL in str(failure.value)


def test_a_field_named_landing_in_a_manifest_of_another_make_is_its_own() -> None:
    body = landed(author={"name": "Amazon Redshift", "version": "1.0.0"}, landing="runway 2")
    found = read_manifest(json.dumps(body).encode(), URL)
    assert (found.landing, found.companions, found.rows) == (None, {}, 2)


REST = {"contract_version": "1", "fields": [], "total": 2, "requested_by": "run"}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"total": 3}, "its files hold 2 lines, its total is 3"),
        ({"total": "2"}, "total"),
        ({"total": 2.0}, "total"),
        ({"version": True}, "version"),
        ({"extract_day": 1291161600}, "extract_day"),
        ({"extract_day": "1291161600"}, "extract_day"),
        ({"extract_day": "2010-12-01T00:00:00"}, "extract_day"),
        ({"fields": "sku"}, "fields"),
    ],
)
def test_a_fact_of_a_landing_is_of_its_type_and_the_total_is_that_of_its_files(
    facts: dict[str, Any], message: str
) -> None:
    body = landed()
    body["landing"] |= REST
    assert Manifest.read(json.dumps(body).encode(), URL).extract_day == date(2010, 12, 1)
    body["landing"] |= facts
    with pytest.raises(ValueError, match=message):
        Manifest.read(json.dumps(body).encode(), URL)


FOUND = {"dataset": "orders", "extract_day": "2010-12-01", "version": 1, "contract_version": "1"}
FOUND |= {"total": 100, "valid": 95, "broken": {}, "max_invalid_percent": 5, "passed": True}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"valid": 94}, "passed is True, and it has 6.00 % of 100 lines invalid"),
        ({"passed": False}, "passed is False, and it has 5.00 % of 100 lines invalid"),
        ({"valid": 101}, "101 of 100 lines cannot be valid"),
        ({"total": -1, "valid": -1}, "-1 of -1 lines cannot be valid"),
        ({"passed": "yes"}, "passed"),
        ({"passed": 1}, "passed"),
        ({"max_invalid_percent": float("nan")}, "max_invalid_percent"),
        ({"max_invalid_percent": 101}, "max_invalid_percent"),
        ({"max_invalid_percent": 100.5}, "max_invalid_percent"),
        ({"valid": 100, "max_invalid_percent": -0.5, "passed": False}, "max_invalid_percent"),
    ],
)
def test_a_validation_that_contradicts_itself_is_none(facts: dict[str, Any], message: str) -> None:
    assert Validation.model_validate_json(json.dumps(FOUND)).passed
    with pytest.raises(ValueError, match=message):
        Validation.model_validate_json(json.dumps(FOUND | facts))


@pytest.mark.parametrize("missing", ["record_count", "sha256"])
def test_a_landing_whose_pages_state_no_count_or_hash_is_none(missing: str) -> None:
    body = landed()
    del body["entries"][0]["meta"][missing]
    body["landing"] |= REST
    assert Manifest.read(json.dumps(landed(landing=body["landing"])).encode(), URL).lines == 2
    body["meta"] = {}
    with pytest.raises(ValueError, match=r"page-00001\.ndjson\.gz .*no SHA-256"):
        Manifest.read(json.dumps(body).encode(), URL)


def test_a_manifest_of_no_landing_is_not_taken_for_one() -> None:
    with pytest.raises(ManifestError, match="of no landing"):
        Manifest.read(FileManifest(URL, ()).to_json(), URL)
