"""Landing an API's pages on S3: complete with a manifest, the same twice, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from s3_bucket import Bucket
from scripted_api import ScriptedApi, scripted_api

from feira_airflow.hooks.paged_api import PagedApiError
from feira_airflow.hooks.paging import CursorPaging
from feira_airflow.operators.paged_api_to_s3 import PagedApiToS3Operator


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedApi]:
    with scripted_api() as scripted:
        monkeypatch.setenv("AIRFLOW_CONN_HTTP_DEFAULT", scripted.url)
        yield scripted


def land(bucket: Bucket, **options: Any) -> str:
    operator = PagedApiToS3Operator(
        task_id="land", endpoint="orders", s3_prefix=bucket.url, attempts=1, **options
    )
    return operator.execute({})


def two_pages(api: ScriptedApi) -> None:
    api.answers.clear()
    api.says({"items": [{"id": 1}, {"id": 2}], "next_cursor": "b", "total": 3})
    api.says({"items": [{"id": 3, "note": "é\n"}], "next_cursor": None, "total": 3})


def test_the_manifest_names_every_page_with_its_rows_bytes_and_hash(
    api: ScriptedApi, bucket: Bucket
) -> None:
    two_pages(api)
    uri = land(bucket, total_at="total")
    assert uri == f"{bucket.url}/manifest.json"
    manifest = json.loads(bucket.get(uri))
    rows: list[Any] = []
    for entry in manifest["entries"]:
        packed = bucket.get(entry["url"])
        lines = gzip.decompress(packed).splitlines()
        assert entry["mandatory"] is True
        assert entry["meta"] == {
            "content_length": len(packed),
            "record_count": len(lines),
            "sha256": hashlib.sha256(packed).hexdigest(),
        }
        rows += [json.loads(line) for line in lines]
    assert rows == [{"id": 1}, {"id": 2}, {"id": 3, "note": "é\n"}]
    assert manifest["meta"]["record_count"] == 3


def test_the_same_answers_make_the_same_files_and_manifest(
    api: ScriptedApi, bucket: Bucket
) -> None:
    two_pages(api)
    uri = land(bucket)
    first = {name: bucket.get(f"{bucket.url}/{name}") for name in bucket.names()}
    two_pages(api)
    assert land(bucket, overwrite=True) == uri
    assert {name: bucket.get(f"{bucket.url}/{name}") for name in bucket.names()} == first


def test_a_complete_prefix_is_not_asked_for_again(api: ScriptedApi, bucket: Bucket) -> None:
    two_pages(api)
    uri = land(bucket)
    asked = len(api.asked)
    assert land(bucket) == uri
    assert len(api.asked) == asked


def test_an_attempt_that_died_is_not_complete_and_the_next_does_not_mix_with_it(
    api: ScriptedApi, bucket: Bucket
) -> None:
    api.says({"items": [{"id": "old"}], "next_cursor": "b"}).says("", 503)
    with pytest.raises(PagedApiError, match=r"orders, page 2: .* answered 503 after 1 tries"):
        land(bucket)
    assert [name for name in bucket.names() if not name.startswith("page-")] == []
    two_pages(api)
    listed = json.loads(bucket.get(land(bucket)))["entries"]
    assert len(listed) == 2 and len(bucket.names()) == 4
    assert b"old" not in b"".join(gzip.decompress(bucket.get(each["url"])) for each in listed)


def test_of_two_runs_at_once_the_first_to_complete_stays_whole(
    api: ScriptedApi, bucket: Bucket
) -> None:
    """The other run completes the prefix while this one still reads its pages."""

    class Interrupted(PagedApiToS3Operator):
        def _land(self, *arguments: Any) -> Any:
            files = super()._land(*arguments)
            two_pages(api)
            land(bucket)
            return files

    api.says({"items": [{"id": "mine"}], "next_cursor": None})
    operator = Interrupted(task_id="land", endpoint="orders", s3_prefix=bucket.url)
    manifest = json.loads(bucket.get(operator.execute({})))
    pages = [gzip.decompress(bucket.get(each["url"])) for each in manifest["entries"]]
    assert b"mine" not in b"".join(pages) and len(pages) == 2


def test_no_records_are_a_complete_dataset_of_no_rows(api: ScriptedApi, bucket: Bucket) -> None:
    api.says({"items": [], "next_cursor": None, "total": 0})
    manifest = json.loads(bucket.get(land(bucket, total_at="total")))
    assert manifest["meta"]["record_count"] == 0 and len(manifest["entries"]) == 1


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"items": [{"id": 1}], "total": 2}, r"page 2 repeats page 1 record for record"),
        ({"items": [], "total": 2}, r".* announced 2 records and served 1\."),
        ({"items": [{"id": 2}]}, r"there is no number at 'total'"),
        ({"items": [{"id": 2}], "total": "many"}, r"there is no number at 'total'"),
    ],
)
def test_what_the_api_serves_against_its_word_is_not_complete_and_not_tried_again(
    api: ScriptedApi, bucket: Bucket, second: dict[str, Any], message: str
) -> None:
    api.says({"items": [{"id": 1}], "next_cursor": "b", "total": 2}).says(second)
    place = f"^orders, page 2: {api.url}/orders\\?cursor=b answered 200: "
    with pytest.raises(AirflowFailException, match=place + message):
        land(bucket, total_at="total")
    assert "manifest.json" not in bucket.names()


def test_a_total_that_moves_while_the_pages_are_read_is_tried_again(
    api: ScriptedApi, bucket: Bucket
) -> None:
    api.says({"items": [{"id": 1}], "next_cursor": "b", "total": 2})
    api.says({"items": [{"id": 2}], "next_cursor": None, "total": 3})
    with pytest.raises(
        PagedApiError, match=r"page 2: .*\?cursor=b answered 200: the total changed from 2 to 3"
    ):
        land(bucket, total_at="total")
    assert "manifest.json" not in bucket.names()


def test_a_refusal_fails_for_good_and_names_the_folder(api: ScriptedApi, bucket: Bucket) -> None:
    api.says({"detail": "no"}, 404)
    with pytest.raises(AirflowFailException, match=rf"404: no {bucket.url} has no manifest"):
        land(bucket)


def test_endpoint_prefix_and_parameters_are_templates() -> None:
    operator = PagedApiToS3Operator(
        task_id="land",
        endpoint="{{ what }}",
        s3_prefix="s3://lake/{{ day }}",
        request_params={"date": "{{ day }}"},
        paging=CursorPaging(),
    )
    operator.render_template_fields({"what": "orders", "day": "2010-12-01"})
    assert operator.endpoint == "orders"
    assert operator.s3_prefix == "s3://lake/2010-12-01"
    assert operator.request_params == {"date": "2010-12-01"}
