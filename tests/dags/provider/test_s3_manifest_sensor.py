"""A sensor that waits for a whole dataset: the manifest and each file it lists, on a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.triggers.base import TriggerEvent
from raw_server import http_answer, raw_server
from s3_bucket import Bucket

from feira.core.lake import landing_store
from feira.core.landing.land import land_day
from feira.core.settings import LakeSettings
from feira.sales.landing import LANDED
from feira_provider.sensors.s3_manifest import S3ManifestSensor
from feira_provider.triggers.s3_manifest import ManifestWait, S3ManifestTrigger
from sales_lines import DAY, FakeFeed, line

PART = b"a part of the dataset"


def manifest(bucket: Bucket, *names: str, **meta: Any) -> str:
    """Writes a manifest that lists these files, each as large as PART; returns its URI."""
    facts = {"content_length": len(PART), "record_count": 2} | meta
    entries = [{"url": f"{bucket.url}/{name}", "meta": facts} for name in names]
    return bucket.put("manifest.json", json.dumps({"entries": entries}).encode())


def reason(uri: str, **options: Any) -> str | None:
    return asyncio.run(ManifestWait(uri, **options).look()).reason


def sensor(uri: str, **options: Any) -> S3ManifestSensor:
    return S3ManifestSensor(task_id="wait", bucket_key=uri, **options)


def event(trigger: S3ManifestTrigger) -> Any:
    async def first() -> TriggerEvent:
        return await anext(trigger.run())

    return asyncio.run(first()).payload


def holds(found: str | None, uri: str, *parts: str) -> bool:
    """Whether it is of that manifest and holds the parts, in this order."""
    return re.search(".*".join(map(re.escape, (uri, *parts))), found or "") is not None


def test_without_a_manifest_the_files_alone_are_not_complete(bucket: Bucket) -> None:
    bucket.put("a", PART)
    uri = f"{bucket.url}/manifest.json"
    assert reason(uri) == f"{uri} does not exist"


def test_a_manifest_alone_is_not_complete(bucket: Bucket) -> None:
    uri = manifest(bucket, "a", "b")
    bucket.put("a", PART)
    assert holds(reason(uri), uri, "1 of 2", f"{bucket.url}/b does not exist")


def test_a_file_of_another_size_is_not_there_yet(bucket: Bucket) -> None:
    uri = manifest(bucket, "a")
    bucket.put("a", PART[:4])
    assert holds(reason(uri), uri, "1 of 1", f"{bucket.url}/a has 4 bytes of {len(PART)}")


def test_of_many_missing_files_the_first_are_named_and_all_are_counted(bucket: Bucket) -> None:
    uri = manifest(bucket, *(f"part-{number:02d}" for number in range(40)))
    assert holds(reason(uri), uri, "40 of 40", "part-02 does not exist, and 37 more")


def test_a_complete_dataset_is_told_with_its_counts(bucket: Bucket) -> None:
    uri = manifest(bucket, "a", "b")
    bucket.put("a", PART)
    bucket.put("b", PART)
    expected = {"manifest": uri, "files": 2, "bytes": 2 * len(PART), "rows": 4}
    assert sensor(uri).execute({}) == expected


def test_a_file_of_the_right_size_and_the_wrong_content_is_found_on_demand(bucket: Bucket) -> None:
    uri = manifest(bucket, "a", sha256=hashlib.sha256(PART).hexdigest())
    bucket.put("a", PART[::-1])
    assert reason(uri) is None
    found = reason(uri, check_sha256=True)
    assert found is not None and f"{bucket.url}/a has SHA-256" in found
    bucket.put("a", PART)
    assert reason(uri, check_sha256=True) is None


def test_a_hash_that_is_to_be_checked_must_be_stated(bucket: Bucket) -> None:
    uri = manifest(bucket, "a")
    bucket.put("a", PART)
    assert holds(reason(uri, check_sha256=True), uri, "1 of 1", f"{bucket.url}/a has no SHA-256")


def test_too_few_rows_are_not_complete(bucket: Bucket) -> None:
    uri = manifest(bucket, "a")
    bucket.put("a", PART)
    assert reason(uri, min_rows=2) is None
    assert holds(reason(uri, min_rows=3), uri, "2 rows", "at least 3")


def test_no_files_are_a_complete_dataset_unless_rows_are_asked_for(bucket: Bucket) -> None:
    uri = manifest(bucket)
    assert reason(uri) is None
    assert holds(reason(uri, min_rows=1), uri, "0 rows", "at least 1")


def test_a_half_written_manifest_is_waited_for(bucket: Bucket) -> None:
    uri = bucket.put("manifest.json", b'{"entries": [')
    found = reason(uri)
    assert found is not None and f"{uri} is no JSON" in found


def test_a_landing_of_the_platform_is_waited_for_by_its_own_manifest(
    bucket: Bucket, s3_endpoint: str
) -> None:
    settings = LakeSettings(
        bucket.url, endpoint=s3_endpoint, access_key="test", secret_key="test", catalog="hadoop"
    )
    feed = FakeFeed([[line(), line(line_number=2)], [line(order_id="2")]])
    store = landing_store(settings, "sales")
    _, uri = land_day(LANDED, feed, store, DAY, requested_by="run-1")
    complete = sensor(uri, check_sha256=True).execute({})
    assert (complete["files"], complete["rows"]) == (2, 3), "the rates are no rows of it"
    for name in ("page-00002.ndjson.gz", "rates.ndjson.gz"):
        missing = f"{store.folder(DAY, 1)}/{name}"
        kept = store.files.cat_file(missing)
        store.files.rm(missing)
        assert holds(reason(uri, check_sha256=True), uri, "1 of 3", f"{missing} does not exist")
        store.files.pipe_file(missing, kept)
    # As a landing of version 1 was waited for: no wait makes these fields.
    older = {"files_at": ("pages", "rates")}
    for deferrable in (False, True):
        with pytest.raises(AirflowFailException, match=r"no field 'pages'.*files_at"):
            sensor(uri, deferrable=deferrable, **older).execute({})
    vain = event(S3ManifestTrigger(uri, 0.01, time.time() + 60, **older))
    assert vain["status"] == "error" and "'pages'" in vain["message"]


def test_the_trigger_fires_when_the_last_file_comes(bucket: Bucket) -> None:
    uri = manifest(bucket, "a")

    class Producer(ManifestWait):
        """Writes the missing file after the first look."""

        async def look(self) -> Any:
            state = await super().look()
            bucket.put("a", PART)
            return state

    trigger = S3ManifestTrigger(uri, 0.01, time.time() + 60)
    trigger.wait = Producer(uri)
    assert event(trigger) == {
        "status": "complete",
        "result": {"manifest": uri, "files": 1, "bytes": len(PART), "rows": 2},
    }


def test_where_the_deadline_is_nearer_than_the_next_look_it_looks_once_more_then(
    bucket: Bucket,
) -> None:
    uri = manifest(bucket, "a")

    class Producer(ManifestWait):
        async def look(self) -> Any:
            state = await super().look()
            bucket.put("a", PART)
            trigger.deadline = time.time() + 0.3
            return state

    trigger = S3ManifestTrigger(uri, 3600, time.time() + 60)
    trigger.wait = Producer(uri)
    assert event(trigger)["status"] == "complete"


@pytest.mark.parametrize("name", ["a.ndjson?x=1", "a#b", "a?versionId=2#c"])
def test_a_file_and_a_manifest_are_looked_for_by_their_names_letter_for_letter(
    bucket: Bucket, name: str
) -> None:
    bucket.put(name.partition("?")[0].partition("#")[0], PART)
    uri = manifest(bucket, name)
    assert holds(reason(uri), uri, "1 of 1", f"{bucket.url}/{name} does not exist")
    bucket.put(name, PART)
    assert sensor(uri).execute({})["files"] == 1
    odd = bucket.put(f"{name}.manifest.json", bucket.get(uri))
    assert sensor(odd).execute({})["manifest"] == odd


def test_a_text_is_one_field_that_lists_files_and_no_field_is_refused(bucket: Bucket) -> None:
    uri = bucket.put("other.json", json.dumps({"files": [{"name": "a"}], "n": 1}).encode())
    assert holds(reason(uri, files_at="files"), uri, "1 of 1", f"{bucket.url}/a does not exist")
    bucket.put("a", PART)
    assert sensor(uri, files_at="files").execute({})["files"] == 1
    templated = sensor(uri, files_at="{{ field }}")
    templated.render_template_fields({"field": "files"})
    assert templated.execute({})["files"] == 1
    for nothing in ("", [], [""], ["files", ""]):
        for deferrable in (False, True):
            with pytest.raises(AirflowFailException, match="files_at is "):
                sensor(uri, files_at=nothing, deferrable=deferrable).execute({})


def in_vain(uri: str, words: str, **options: Any) -> None:
    for deferrable in (False, True):
        with pytest.raises(AirflowFailException, match=words):
            sensor(uri, deferrable=deferrable, timeout=60, **options).execute({})
    fired = event(S3ManifestTrigger(uri, 0.01, time.time() + 60, **options))
    assert fired["status"] == "error" and re.search(words, fired["message"])


def test_a_connection_that_is_not_there_is_not_waited_for(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the machine has would do: the connection that was asked for would not have been used.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    in_vain(manifest(bucket), "no connection nowhere", aws_conn_id="nowhere")


def test_without_aws_default_what_the_machine_has_is_taken(
    bucket: Bucket, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = manifest(bucket)
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    assert reason(uri) is None
    assert reason(uri, aws_conn_id=None) is None


def test_a_bucket_whose_name_is_none_is_not_waited_for(bucket: Bucket) -> None:
    in_vain("s3://La ke/manifest.json", 'La ke/manifest.json: .*bucket name "La ke"')
    listed = {"entries": [{"url": "s3://b{x}/a"}]}
    uri = bucket.put("manifest.json", json.dumps(listed).encode())
    in_vain(uri, r'manifest\.json: .*bucket name "b\{x\}".* connection aws_default')


def test_a_profile_that_is_not_there_is_not_waited_for(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"profile_name": "nobody", "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_S3", json.dumps({"conn_type": "aws", "extra": extra}))
    in_vain(manifest(bucket), "nobody.* connection s3", aws_conn_id="s3")


def test_at_the_deadline_the_trigger_says_which_file_is_missing(bucket: Bucket) -> None:
    uri = manifest(bucket, "a")
    found = event(S3ManifestTrigger(uri, 0.01, time.time()))
    assert found["status"] == "timeout"
    assert found["message"].endswith(f"{bucket.url}/a does not exist")


def test_a_trigger_is_made_again_from_what_it_serializes() -> None:
    path, arguments = S3ManifestTrigger(
        "s3://lake/m", 5, 123.0, files_at=("pages",), min_rows=1, check_sha256=True
    ).serialize()
    assert path == "feira_provider.triggers.s3_manifest.S3ManifestTrigger"
    json.dumps(arguments)
    assert S3ManifestTrigger(**arguments).serialize() == (path, arguments)


def test_an_incomplete_dataset_takes_no_worker(bucket: Bucket) -> None:
    uri = manifest(bucket, "a")
    with pytest.raises(TaskDeferred) as deferred:
        sensor(uri, timeout=60, poke_interval=5, min_rows=1, deferrable=True).execute({})
    trigger = deferred.value.trigger
    assert isinstance(trigger, S3ManifestTrigger)
    assert (trigger.wait.uri, trigger.poke_interval, trigger.wait.min_rows) == (uri, 5, 1)
    assert 50 < trigger.deadline - time.time() <= 60


def timed_out(uri: str, **options: Any) -> None:
    late = {"status": "timeout", "message": "s3://lake/b does not exist"}
    resumed(sensor(uri, timeout=60, **options), late)


def resumed(waiting: S3ManifestSensor, event: dict[str, Any]) -> Any:
    """What Airflow calls when the trigger has fired."""
    return waiting.resume_execution("execute_complete", {"event": event}, {})


def waited_here(uri: str, **options: Any) -> None:
    sensor(uri, timeout=0, poke_interval=0, deferrable=False, **options).execute({})


@pytest.mark.parametrize("wait", [timed_out, waited_here])
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, AirflowSensorTimeout),
        ({"soft_fail": True}, AirflowSkipException),
        ({"never_fail": True}, AirflowSkipException),
    ],
)
def test_a_timeout_names_what_is_missing_and_a_soft_one_skips(
    bucket: Bucket, wait: Callable[..., None], options: dict[str, bool], kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"within \d+ s: .*/b does not exist"):
        wait(manifest(bucket, "b"), **options)


class Refuses(BaseHTTPRequestHandler):
    """Answers 403, as S3 does without permission."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a manifest that S3 does not show."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    extra = {"endpoint_url": f"http://127.0.0.1:{server.server_port}", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    yield "s3://lake/manifest.json"
    server.shutdown()
    server.server_close()


def looked_first(uri: str, **options: Any) -> None:
    sensor(uri, deferrable=True, **options).execute({})


def was_told(uri: str, **options: Any) -> None:
    fired = event(S3ManifestTrigger(uri, 0.01, time.time() + 60))
    resumed(sensor(uri, deferrable=True, **options), fired)


def after_a_look_that_found_nothing(uri: str, **options: Any) -> None:
    waiting = sensor(uri, timeout=60, poke_interval=0, deferrable=False, **options)
    waiting._reason = "s3://lake/b does not exist"
    waiting.execute({})


@pytest.mark.parametrize(
    "wait", [looked_first, was_told, waited_here, after_a_look_that_found_nothing]
)
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, AirflowFailException),
        ({"soft_fail": True}, AirflowFailException),
        ({"never_fail": True}, AirflowSkipException),
    ],
)
def test_a_refusal_of_s3_ends_the_wait_at_once_and_says_what_to_grant(
    refused: str, wait: Callable[..., None], options: dict[str, bool], kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=rf"403 for {refused}.*s3:ListBucket"):
        wait(refused, **options)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("uri", ["lake/manifest.json", "s3:///manifest.json", "None"])
def test_what_is_no_uri_of_a_manifest_is_not_tried_again(uri: str, deferrable: bool) -> None:
    with pytest.raises(AirflowFailException, match=r"^wait: "):
        sensor(uri, timeout=60, deferrable=deferrable).execute({})


def reason_from(url: str, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """What is said of a manifest on the S3 server at this address."""
    extra = {"endpoint_url": url, "config_kwargs": {"retries": {"max_attempts": 0}}}
    connection = {"conn_type": "aws", "login": "test", "password": "test", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps(connection))
    return reason("s3://lake/manifest.json", region_name="us-east-1")


def test_a_server_that_is_down_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reason_from("http://127.0.0.1:9", monkeypatch)
    assert holds(found, "s3://lake/manifest.json", "no answer")


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", http_answer(b"{", length=1000)])
def test_a_server_that_breaks_off_anywhere_is_waited_for(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_server(lambda connection, _: connection.sendall(sent)) as broken:
        found = reason_from(broken.url, monkeypatch)
    assert holds(found, "s3://lake/manifest.json", "no answer")


def test_a_connection_that_is_not_read_in_time_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = "feira_provider.triggers.s3_manifest."
    monkeypatch.setattr(f"{place}_LOOK_UP", 0.05)
    monkeypatch.setattr(f"{place}_THREADS", threads := ThreadPoolExecutor(1))
    over = threading.Event()
    held = threads.submit(over.wait, 60)
    found = reason("s3://lake/manifest.json", aws_conn_id="lake")
    assert not held.done()
    over.set()
    threads.shutdown()
    assert found == "s3://lake/manifest.json: the connection lake was not read in 0.05 s"


def test_key_and_bucket_are_templates(bucket: Bucket) -> None:
    templated = sensor("orders/{{ day }}/manifest.json", bucket_name="{{ lake }}")
    templated.render_template_fields({"day": "2010-12-01", "lake": "lake"})
    assert templated._wait().uri == "s3://lake/orders/2010-12-01/manifest.json"
