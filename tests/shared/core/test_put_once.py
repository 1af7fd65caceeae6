"""Who was first: on the stack's S3 server, on moto, in a folder, and by AWS's codes."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from fsspec import AbstractFileSystem

from feira.core.lake import lake_files
from feira.core.landing.put_once import put_once
from feira.core.settings import LakeSettings


@pytest.fixture(params=["s3proxy", "moto", "folder"])
def lake(request: pytest.FixtureRequest, s3_endpoint: str, tmp_path: Path) -> LakeSettings:
    if request.param == "s3proxy":
        found: LakeSettings = request.getfixturevalue("proxy")
        return found
    if request.param == "moto":
        return LakeSettings("s3://lake", s3_endpoint, "test", "test", catalog="hadoop")
    return LakeSettings(f"file://{tmp_path}", catalog="hadoop")


def test_the_first_put_is_stored_and_another_is_refused(lake: LakeSettings) -> None:
    files, uri = lake_files(lake), f"{lake.root}/{uuid4().hex}/claim.json"
    assert put_once(files, uri, b"first")
    assert not put_once(files, uri, b"second")
    assert files.cat_file(uri) == b"first"


def test_the_own_content_is_a_success(lake: LakeSettings) -> None:
    files, uri = lake_files(lake), f"{lake.root}/{uuid4().hex}/manifest.json"
    assert put_once(files, uri, b"mine")
    assert put_once(files, uri, b"mine")


def test_of_many_writers_at_once_one_is_first(lake: LakeSettings) -> None:
    uri = f"{lake.root}/{uuid4().hex}/claim.json"
    files = lake_files(lake)
    with ThreadPoolExecutor(8) as writers:
        bodies = [str(n).encode() for n in range(8)]
        stored = list(writers.map(lambda body: put_once(files, uri, body), bodies))
    assert sum(stored) == 1
    assert files.cat_file(uri) == bodies[stored.index(True)]
    assert [name.rsplit("/", 1)[-1] for name in files.ls(uri.rsplit("/", 1)[0], detail=False)] == [
        "claim.json"
    ]


def test_a_writer_that_comes_between_look_and_put_is_not_overwritten_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, uri = lake_files(LakeSettings(f"file://{tmp_path}")), f"file://{tmp_path}/v1/claim.json"
    assert put_once(files, uri, b"first")
    monkeypatch.setattr(files, "exists", lambda *args, **known: False)
    assert not put_once(files, uri, b"second")
    assert files.cat_file(uri) == b"first"


def test_a_full_disk_is_reported_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, body: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        put_once(lake_files(LakeSettings(f"file://{tmp_path}")), f"file://{tmp_path}/k", b"mine")


def client_error(status: int, code: str) -> OSError:
    """As s3fs raises it for AWS's answer."""
    from s3fs.errors import translate_boto_error

    answer: Any = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error: OSError = translate_boto_error(ClientError(answer, "PutObject"))
    return error


class Scripted(AbstractFileSystem):  # type: ignore[misc]
    """Raises what it is told, put by put; ``held`` is what a reader then finds."""

    def __init__(self, puts: list[Exception | None], held: bytes | Exception | None) -> None:
        self.puts, self.held = puts, held

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **known: Any) -> None:
        assert mode == "create", "a put without a condition"
        error = self.puts.pop(0)
        if error is not None:
            raise error
        self.held = value

    def cat_file(self, path: str, *args: Any, **known: Any) -> bytes:
        if isinstance(self.held, Exception):
            raise self.held
        if self.held is None:
            raise FileNotFoundError(path)
        return self.held


TAKEN = client_error(412, "PreconditionFailed")
CONFLICT = client_error(409, "ConditionalRequestConflict")
DENIED = client_error(403, "AccessDenied")


@pytest.mark.parametrize("refusal", [TAKEN, CONFLICT, FileExistsError("x")])
def test_each_of_the_refusals_means_taken(refusal: Exception) -> None:
    assert not put_once(Scripted([refusal], b"other"), "s3://b/k", b"mine")
    assert put_once(Scripted([refusal], b"mine"), "s3://b/k", b"mine")


def test_a_conflict_that_left_nothing_behind_is_tried_again_and_not_for_ever() -> None:
    store = Scripted([CONFLICT, CONFLICT, None], None)
    assert put_once(store, "s3://b/k", b"mine") and store.held == b"mine"
    with pytest.raises(OSError):
        put_once(Scripted([CONFLICT] * 3, None), "s3://b/k", b"mine")


def test_a_put_whose_answer_was_lost_is_done_where_its_content_is_there() -> None:
    assert put_once(Scripted([ConnectionResetError("lost")], b"mine"), "s3://b/k", b"mine")


@pytest.mark.parametrize("held", [None, b"other"])
def test_an_error_that_is_no_refusal_is_raised(held: bytes | None) -> None:
    for error in (DENIED, ConnectionResetError("lost"), client_error(400, "InvalidRequest")):
        with pytest.raises(type(error)) as failure:
            put_once(Scripted([error], held), "s3://b/k", b"mine")
        assert failure.value is error


def test_the_first_error_is_raised_where_the_store_does_not_answer_after_it() -> None:
    with pytest.raises(PermissionError):
        put_once(Scripted([DENIED], ConnectionError("down")), "s3://b/k", b"mine")
