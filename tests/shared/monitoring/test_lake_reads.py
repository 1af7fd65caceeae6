"""The lake read by signed requests, as s3fs reads it: on the stack's S3 server, which checks them, and on moto."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from fsspec.implementations.local import LocalFileSystem
from s3fs import S3FileSystem

import landed_sales
from answering import ONE_NAME, answering
from feira.core.lake import lake_files
from feira.core.landing.store import LandingStore
from feira.core.settings import LakeSettings
from feira.monitoring.lake_reads import SignedReads, lake_reads


@pytest.fixture(params=["s3proxy", "moto"])
def lake(request: pytest.FixtureRequest) -> LakeSettings:
    """An empty prefix."""
    if request.param == "s3proxy":
        found: LakeSettings = request.getfixturevalue("proxy")
    else:
        endpoint = request.getfixturevalue("s3_endpoint")
        found = LakeSettings("s3://lake", endpoint, "test", "test", catalog="hadoop")
    return replace(found, root=f"{found.root}/{uuid4().hex}")


def test_files_and_folders_are_those_that_were_written(lake: LakeSettings) -> None:
    written, reads = lake_files(lake), lake_reads(lake, 5)
    assert isinstance(reads, SignedReads)
    odd = "a day=1+2 é%20~.json"
    for name in ("v1/one.json", f"v1/{odd}", "v1/deep/two.json", "v10/three.json"):
        written.pipe_file(f"{lake.root}/{name}", name.encode())
    assert reads.cat_file(f"{lake.root}/v1/{odd}") == f"v1/{odd}".encode()
    for folder in (lake.root, f"{lake.root}/v1", f"{lake.root}/v1/"):
        assert sorted(reads.ls(folder)) == sorted(written.ls(folder, detail=False))
    for missing in (reads.ls, reads.cat_file):
        with pytest.raises(FileNotFoundError, match="v2"):
            missing(f"{lake.root}/v2")


def test_a_folder_of_more_than_one_page_is_listed_whole() -> None:
    asked = "/b?list-type=2&delimiter=%2F&prefix=a%20day%2F"
    pages = {
        asked: b"""<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <NextContinuationToken>1+/=</NextContinuationToken>
            <CommonPrefixes><Prefix>a day/v1/</Prefix></CommonPrefixes></ListBucketResult>""",
        # Without a namespace, as some stores have it.
        f"{asked}&continuation-token=1%2B%2F%3D": b"""<ListBucketResult>
            <Contents><Key>a day/x.json</Key></Contents></ListBucketResult>""",
    }
    with answering({path: (200, page) for path, page in pages.items()}) as store:
        reads = lake_reads(LakeSettings("s3://b", store.url, "key", "secret"), 5)
        assert reads.ls("s3://b/a day") == ["b/a day/v1", "b/a day/x.json"]


def test_landings_are_found_by_it(lake: LakeSettings) -> None:
    day = date(2010, 12, 2)
    landed_sales.land(LandingStore(lake_files(lake), lake.root, "sales"), day, 3, 3, {}, 8)
    found = LandingStore(lake_reads(lake, 5), lake.root, "sales")
    assert found.days() == [day]
    current = found.current(day)
    assert current is not None and current[1].total == 3


def test_a_key_that_is_not_the_stores_is_refused_with_its_code(proxy: LakeSettings) -> None:
    for wrong in (replace(proxy, secret_key="other"), replace(proxy, access_key="other")):
        with pytest.raises(OSError, match=r"x\.json: http.* answered 403 [A-Z]\w+"):
            lake_reads(wrong, 5).cat_file(f"{proxy.root}/x.json")


@pytest.mark.parametrize("direct", ["", "127.0.0.1", "localhost,127.0.0.1", "other.example", "*"])
def test_a_proxy_is_asked_where_the_clients_of_aws_ask_it(
    direct: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering({"/b": (200, ONE_NAME)}) as store, answering({}) as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, direct)
        lake = LakeSettings("s3://b", store.url, "key", "secret")
        asked = []
        for files in (lake_reads(lake, 5), lake_files(lake, 5)):
            proxy.asked.clear()
            with suppress(FileNotFoundError):
                assert files.ls("s3://b/a", detail=False) == ["b/a/x"]
            asked.append(bool(proxy.asked))
        assert asked == [direct in ("", "other.example")] * 2


def test_a_temporary_key_and_its_region_are_signed() -> None:
    with answering({"/b/k": (200, b"found")}) as store:
        lake = LakeSettings("s3://b", f"{store.url}/", "key", "secret", "token", "eu-west-3")
        assert lake_reads(lake, 5).cat_file("s3://b/k") == b"found"
    (headers,) = store.asked
    assert headers["x-amz-security-token"] == "token"
    assert re.search(r"Credential=key/\d{8}/eu-west-3/s3/aws4_request", headers["authorization"])
    assert "x-amz-security-token" in headers["authorization"]


def test_a_stores_certificate_is_held_against_what_the_clients_of_aws_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lake = LakeSettings("s3://b", "https://127.0.0.1:9", "key", "secret")
    # Of the session that reads, which no test has a certificate for.
    asked: list[object] = []

    def get(url: str, *, verify: object, **_: object) -> None:
        asked.append(verify)
        raise OSError

    def ask(lake: LakeSettings) -> object:
        reads = lake_reads(lake, 5)
        assert isinstance(reads, SignedReads)
        monkeypatch.setattr(reads.session, "get", get)
        with pytest.raises(OSError):
            reads.cat_file("s3://b/k")
        return asked[-1]

    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    assert ask(lake) is True
    monkeypatch.setenv("AWS_CA_BUNDLE", "/everybodys.pem")
    assert ask(lake) == "/everybodys.pem"
    assert ask(replace(lake, verify="/ours.pem")) == "/ours.pem"
    assert ask(replace(lake, verify=False)) is False


def test_what_is_no_answer_of_a_store_is_an_error_that_names_it() -> None:
    with answering({"/b": (200, b"<html>Log in"), "/b/k": (302, b"")}) as store:
        reads = lake_reads(LakeSettings("s3://b", store.url, "key", "secret"), 5)
        with pytest.raises(OSError, match=r"s3://b/x: http://\S+ answered what is no list"):
            reads.ls("s3://b/x")
        with pytest.raises(OSError, match=r"s3://b/k: http://\S+ answered 302"):
            reads.cat_file("s3://b/k")
    with pytest.raises(OSError, match="Connection"):
        reads.cat_file("s3://b/k")


def test_a_folder_and_a_store_whose_key_is_looked_up_are_read_as_before(tmp_path: Path) -> None:
    folder = LakeSettings(f"file://{tmp_path}", catalog="hadoop")
    assert isinstance(lake_reads(folder, 5), LocalFileSystem)
    aws = LakeSettings("s3://b", region="eu-west-3")
    for each in (
        aws,
        replace(aws, endpoint="http://minio"),
        replace(aws, access_key="k", secret_key="s"),
    ):
        assert isinstance(lake_reads(each, 5), S3FileSystem)
