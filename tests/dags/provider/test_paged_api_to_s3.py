"""Landing an API's pages on S3: complete with a manifest, the same twice, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from botocore.exceptions import ClientError, EndpointConnectionError
from s3_bucket import Bucket
from s3fs import S3FileSystem
from s3fs.errors import translate_boto_error
from scripted_api import ScriptedApi, scripted_api

from feira.core.landing.land import Page, PageDriftError, TotalChangedError
from feira_provider.hooks.missing import MissingConnectionError
from feira_provider.hooks.paged_api import PagedApiError, PagedApiHook
from feira_provider.hooks.paging import CursorPaging, LinkPaging
from feira_provider.operators.paged_api_to_s3 import PagedApiToS3Operator


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


def test_a_feed_of_odata_is_landed_to_its_last_page(api: ScriptedApi, bucket: Bucket) -> None:
    link = {"@odata.nextLink": "orders?$skip=2"}
    api.says({"@odata.count": 3, "value": [{"@odata.id": "a"}, {"@odata.id": "b"}], **link})
    api.says({"@odata.count": 3, "value": [{"@odata.id": "c"}]})
    uri = land(
        bucket,
        paging=LinkPaging(records_at="value", link_at="@odata.nextLink"),
        total_at="@odata.count",
        record_key="@odata.id",
    )
    pages = [
        gzip.decompress(bucket.get(each["url"])) for each in json.loads(bucket.get(uri))["entries"]
    ]
    assert b"".join(pages).splitlines() == [b'{"@odata.id": "%c"}' % each for each in b"abc"]
    assert api.asked == [{}, {"$skip": "2"}]


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
    with pytest.raises(PagedApiError, match=r"orders, page 2: .*503 .*1 tries"):
        land(bucket)
    assert [name for name in bucket.names() if not name.startswith("page-")] == []
    two_pages(api)
    listed = json.loads(bucket.get(land(bucket)))["entries"]
    assert len(listed) == 2 and len(bucket.names()) == 4
    assert b"old" not in b"".join(gzip.decompress(bucket.get(each["url"])) for each in listed)


def test_of_two_runs_at_once_the_first_to_complete_stays_whole(
    api: ScriptedApi, bucket: Bucket
) -> None:
    """The other run completes the prefix when this one has read its pages."""

    class Slow(PagedApiHook):
        def feed_pages(self, *arguments: Any, **options: Any) -> Iterator[Page]:
            yield from super().feed_pages(*arguments, **options)
            two_pages(api)
            land(bucket)

    class Interrupted(PagedApiToS3Operator):
        def hook(self) -> PagedApiHook:
            return Slow(self.http_conn_id)

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
        (
            {"items": [{"id": 1}], "total": 2},
            "orders: page 2 (URL) repeats page 1 line for line (1",
        ),
        ({"items": [], "total": 2}, "orders: the API announced 2 lines and served 1"),
        (
            {"items": [{"id": 2}, {"id": 3}], "total": 2},
            "orders: the API announced 2 lines and served 3 by page 2 (URL)",
        ),
        (
            {"items": [{"id": 2}], "total": 2.5},
            "orders, page 2: URL answered 200: it has no usable 'total'",
        ),
        ({"items": [{"id": 2}], "total": True}, "no usable 'total'"),
        ({"items": [{"id": 2}], "total": "2"}, "no usable 'total'"),
        ({"items": [{"id": 2}], "total": -2}, "no usable 'total'"),
        ({"items": [{"id": 2}]}, "no usable 'total'"),
    ],
)
def test_what_the_api_serves_against_its_word_is_not_complete_and_not_tried_again(
    api: ScriptedApi, bucket: Bucket, second: dict[str, Any], message: str
) -> None:
    api.says({"items": [{"id": 1}], "next_cursor": "b", "total": 2}).says(second)
    with pytest.raises(AirflowFailException) as failure:
        land(bucket, total_at="total")
    assert message.replace("URL", f"{api.url}/orders?cursor=b") in str(failure.value)
    assert "manifest.json" not in bucket.names()


def test_a_total_that_moves_while_the_pages_are_read_is_tried_again(
    api: ScriptedApi, bucket: Bucket
) -> None:
    api.says({"items": [{"id": 1}], "next_cursor": "b", "total": 2})
    api.says({"items": [{"id": 2}], "next_cursor": None, "total": 3})
    with pytest.raises(TotalChangedError, match=r"page 2 \(.*\?cursor=b\): .* 2 to 3"):
        land(bucket, total_at="total")
    assert "manifest.json" not in bucket.names()


def test_a_refusal_fails_for_good_and_names_the_folder(api: ScriptedApi, bucket: Bucket) -> None:
    api.says({"detail": "no"}, 404)
    with pytest.raises(AirflowFailException, match=rf"404: no {bucket.url} .*no manifest"):
        land(bucket)


def lines_of(bucket: Bucket, uri: str) -> list[str]:
    entries = json.loads(bucket.get(uri))["entries"]
    packed = b"".join(gzip.decompress(bucket.get(entry["url"])) for entry in entries)
    return packed.decode().removesuffix("\n").split("\n")


def test_records_are_written_as_they_were_served(api: ScriptedApi, bucket: Bucket) -> None:
    records = [
        '{"price": 1.10, "big": 1e400, "n": 123456789012345678901234567890}',
        '{"q":5,"q":7}',
        '"oops"',
        "null",
        '{"t": "\\u00e9\\n"}',
    ]
    pretty = '{\r\n  "a": [\n1]}'
    api.says(f'{{"items": [{", ".join([*records, pretty])}], "total": 6}}')
    uri = land(bucket, total_at="total")
    assert lines_of(bucket, uri) == [*records, '{    "a": [ 1]}']


def drifting(api: ScriptedApi, first: list[Any], second: list[Any]) -> None:
    api.answers.clear()
    total = len(first) + len(second)
    api.says({"items": first, "next_cursor": "b", "total": total})
    api.says({"items": second, "total": total})


ROWS = [{"id": n, "at": "10:00", "x": {"k": n}} for n in range(10)]


@pytest.mark.parametrize(
    ("options", "again", "named"),
    [
        ({}, ROWS[4], '{"id": 4, "at": "10:00", "x": {"k": 4}}'),
        ({"record_key": "id"}, {**ROWS[4], "at": "10:07"}, "[4] (id)"),
        ({"record_key": ["at", "x.k"]}, ROWS[4], '["10:00",4] (at, x.k)'),
        ({"record_key": ["id"], "allow_repeats": True}, ROWS[4], "[4] (id)"),
    ],
)
def test_a_record_on_two_pages_is_tried_again_though_the_total_is_met(
    api: ScriptedApi, bucket: Bucket, options: dict[str, Any], again: Any, named: str
) -> None:
    drifting(api, ROWS[:5], [again, *ROWS[5:9]])
    with pytest.raises(PageDriftError) as failure:
        land(bucket, total_at="total", **options)
    for part in ("is on page 1, line 5 and again on page 2, line 1", named):
        assert part in str(failure.value)
    assert "manifest.json" not in bucket.names()


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        ({"allow_repeats": True}, [1, 2], [2, 3]),
        ({}, [1, 1], [2, 2]),
        ({}, [{"id": 1, "v": 1}], [{"id": 1, "v": 2}]),
        ({"record_key": ["id", "v"]}, [{"id": 1, "v": 1}], [{"id": 1, "v": 2}]),
        ({"record_key": ["id"]}, [{"id": 1}, {"id": 1, "v": 2}], [{"id": "1"}]),
        ({}, [], []),
    ],
)
def test_records_that_are_not_the_same_or_may_be_are_landed(
    api: ScriptedApi, bucket: Bucket, options: dict[str, Any], first: list[Any], second: list[Any]
) -> None:
    drifting(api, first, second)
    manifest = json.loads(bucket.get(land(bucket, total_at="total", **options)))
    assert manifest["meta"]["record_count"] == len(first) + len(second)


@pytest.mark.parametrize("record", ["oops", None, {"x": 1}, {"id": 1, "x": []}])
def test_a_record_without_its_key_fails_and_is_named(
    api: ScriptedApi, bucket: Bucket, record: Any
) -> None:
    api.says({"items": [{"id": 0, "x": {"k": 1}}, record]})
    with pytest.raises(AirflowFailException, match=r"page 1 .*: page 1, line 2 .*key \(id, x\.k\)"):
        land(bucket, record_key=["id", "x.k"])


def s3_error(status: int, code: str) -> Exception:
    """As s3fs raises it for S3's answer."""
    answer: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = translate_boto_error(ClientError(answer, "PutObject"))
    return error


LOST = [
    EndpointConnectionError(endpoint_url="http://s3.test"),
    s3_error(412, "PreconditionFailed"),
    s3_error(409, "ConditionalRequestConflict"),
    s3_error(412, ""),
    s3_error(500, "InternalError"),
]


def with_put(monkeypatch: pytest.MonkeyPatch, put: Callable[[Any, bytes], None]) -> None:
    """Every conditional put goes through ``put``, which gets the real one and the body."""
    real = S3FileSystem.pipe_file

    def pipe_file(self: S3FileSystem, path: str, value: bytes, mode: str = "overwrite") -> None:
        if mode == "create":
            put(lambda: real(self, path, value, mode=mode), value)
        else:
            real(self, path, value)

    monkeypatch.setattr(S3FileSystem, "pipe_file", pipe_file)


@pytest.mark.parametrize("error", LOST, ids=str)
def test_a_put_whose_answer_was_lost_and_that_finds_its_own_manifest_is_done(
    api: ScriptedApi,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def put(real: Any, body: bytes) -> None:
        real()
        raise error

    with_put(monkeypatch, put)
    two_pages(api)
    assert len(lines_of(bucket, land(bucket))) == 3
    assert "another run" not in caplog.text


@pytest.mark.parametrize("error", LOST[1:4], ids=str)
def test_a_manifest_of_another_run_stays(
    api: ScriptedApi, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def put(real: Any, body: bytes) -> None:
        bucket.put("manifest.json", b"theirs")
        raise error

    with_put(monkeypatch, put)
    two_pages(api)
    assert bucket.get(land(bucket)) == b"theirs"


@pytest.mark.parametrize("error", LOST, ids=str)
def test_a_put_that_failed_and_left_nothing_is_the_error_that_is_reported(
    api: ScriptedApi, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def put(real: Any, body: bytes) -> None:
        raise error

    with_put(monkeypatch, put)
    two_pages(api)
    with pytest.raises(type(error)) as failure:
        land(bucket)
    assert failure.value is error
    assert "manifest.json" not in bucket.names()


def test_a_bucket_that_is_not_there_is_not_tried_again(api: ScriptedApi, bucket: Bucket) -> None:
    two_pages(api)
    with pytest.raises(AirflowFailException, match=r"s3://no-such-bucket/x: S3 refused: .*NoSuchB"):
        land(Bucket("s3://no-such-bucket/x", bucket.client))


@pytest.mark.parametrize(
    "prefix",
    [
        *("lake/orders", "s3a://lake/orders", "s3n://lake/orders", "S3://lake/orders", " s3://lake/orders"),
        *("gs://lake/orders", "file:///tmp/orders", "/tmp/orders", "", "s3://", "s3:///orders", "s3:/lake/orders"),
        *("None", None),
    ],
)  # fmt: skip
def test_a_prefix_that_no_reader_knows_is_refused_and_the_api_not_asked(
    api: ScriptedApi, prefix: Any
) -> None:
    operator = PagedApiToS3Operator(task_id="land", endpoint="orders", s3_prefix=prefix)
    with pytest.raises(AirflowFailException) as failure:
        operator.execute({})
    assert str(failure.value).startswith(
        f"land: s3_prefix is {prefix!r}; it must be s3://bucket/folder."
    )
    assert api.asked == []


@pytest.mark.parametrize("stated", [None, '{"conn_type": "http", "host"'])
def test_a_connection_to_the_api_that_cannot_be_read_is_not_tried_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, stated: str | None
) -> None:
    if stated is not None:
        monkeypatch.setenv("AIRFLOW_CONN_SHOP", stated)
    with pytest.raises(AirflowFailException) as failure:
        land(bucket, http_conn_id="shop")
    words = "There is no connection shop" if stated is None else "Connection shop cannot be read"
    assert str(failure.value).startswith(words)
    assert str(failure.value).endswith(f"{bucket.url} has no manifest.")


def test_a_secrets_back_end_that_fails_is_tried_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(cls: type[PagedApiHook], conn_id: str) -> Any:
        raise MissingConnectionError(f"Connection {conn_id} could not be read: it fails.")

    monkeypatch.setattr(PagedApiHook, "get_connection", classmethod(read))
    with pytest.raises(MissingConnectionError):
        land(bucket)


def test_a_bucket_whose_name_is_none_is_not_tried_again(api: ScriptedApi, bucket: Bucket) -> None:
    operator = PagedApiToS3Operator(task_id="land", endpoint="orders", s3_prefix="s3://La ke/x")
    with pytest.raises(AirflowFailException) as failure:
        operator.execute({})
    assert re.match(
        r's3://La ke/x: S3 cannot be asked .*bucket name "La ke".* connection aws_default\.',
        str(failure.value),
    )
    assert api.asked == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"extra": {"profile_name": "nobody", "region_name": "us-east-1"}}, "nobody"),
        ({"extra": {"region_name": "no region"}}, "no region"),
    ],
)
def test_a_connection_to_s3_that_cannot_be_used_is_not_tried_again(
    api: ScriptedApi,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, Any],
    words: str,
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_S3",
        json.dumps({"conn_type": "aws", "login": "test", "password": "test"} | fields),
    )
    with pytest.raises(AirflowFailException) as failure:
        land(bucket, aws_conn_id="s3")
    assert re.search(f"S3 cannot be asked .*{words}.* connection s3\\.", str(failure.value))
    assert api.asked == []


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
