"""Watches a manifest on S3 until every file that it lists is there, whole."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.triggers.base import BaseTrigger, TriggerEvent
from botocore.exceptions import BotoCoreError, ClientError

from feira.core.landing.manifest import FileManifest, ListedFile, ManifestError, read_manifest
from feira_provider.datasets.files import (
    UnusableS3Error,
    bucket_and_key,
    manifest_fields,
    s3_hook,
    usable_s3,
)
from feira_provider.hooks.missing import (
    MissingConnectionError,
    NoConnectionError,
    named_if_missing,
)
from feira_provider.triggers.own_threads import NoAnswerInTimeError, in_thread, own_threads

if TYPE_CHECKING:
    from aiobotocore.client import AioBaseClient

# Files looked at side by side: enough to hide the latency, few enough for one triggerer.
_AT_ONCE = 16
_MISSING = frozenset({404})
_DENIED = frozenset({401, 403})
_SHOWN = 3
_THREADS = own_threads("s3-manifest")
# Seconds for the connection.
_LOOK_UP = 60.0


class VainWaitError(RuntimeError):
    """Waiting changes nothing: S3 refuses to show the manifest or a file, it cannot be asked with this connection or
    for this bucket, or a landing's manifest, which is never written again, has no such fields."""


@dataclass(frozen=True)
class ManifestState:
    """What a look at a manifest found: complete, or the reason why not yet."""

    reason: str | None
    files: int = 0
    size: int | None = None
    rows: int | None = None

    def result(self, uri: str) -> dict[str, Any]:
        """What the sensor returns: the manifest's URI and its counts, without those not stated."""
        counts = {"files": self.files, "bytes": self.size, "rows": self.rows}
        return {"manifest": uri} | {name: n for name, n in counts.items() if n is not None}


@dataclass(frozen=True)
class ManifestWait:
    """Which manifest is waited for, what makes it complete, and how S3 is reached."""

    uri: str
    aws_conn_id: str | None = "aws_default"
    region_name: str | None = None
    verify: bool | str | None = None
    files_at: Sequence[str] = ("entries",)
    min_rows: int | None = None
    check_sha256: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError where no field is named that lists files."""
        object.__setattr__(self, "files_at", manifest_fields(self.files_at))

    async def look(self) -> ManifestState:
        """Looks once.

        :raises VainWaitError: where S3 answers 401 or 403, the connection is not there, it or a bucket's name is of
            no use, or ``files_at`` does not fit a landing
        """
        try:
            with usable_s3(self.uri, self.aws_conn_id):
                hook = await in_thread(_THREADS, _LOOK_UP, self._hook)
                async with await hook.get_async_conn() as client:
                    return await self._look(client)
        except (NoConnectionError, UnusableS3Error) as error:
            raise VainWaitError(str(error)) from error
        except MissingConnectionError as error:
            return ManifestState(f"{self.uri}: {error}")
        except NoAnswerInTimeError:
            return ManifestState(
                f"{self.uri}: the connection {self.aws_conn_id} was not read in {_LOOK_UP:g} s"
            )
        except (ClientError, BotoCoreError, aiohttp.ClientError, OSError) as error:
            # S3 is down, slow, or breaks off within a body: what a sensor waits through.
            return ManifestState(f"{self.uri}: S3 gave no answer ({type(error).__name__}: {error})")

    def _hook(self) -> S3Hook:
        hook = s3_hook(self.aws_conn_id, self.region_name, self.verify)
        # The hook goes on with what the machine has. That is usual for the connection that is asked for where none is
        # named, and of any other it is a surprise.
        if self.aws_conn_id not in (None, "", hook.conn_config.conn_id, S3Hook.default_conn_name):
            with named_if_missing(self.aws_conn_id):
                hook.get_connection(self.aws_conn_id)
        return hook

    async def _look(self, client: AioBaseClient) -> ManifestState:
        body = await self._read(client, self.uri)
        if body is None:
            return ManifestState(f"{self.uri} does not exist")
        try:
            manifest = read_manifest(body, self.uri, self.files_at)
        except ManifestError as error:
            if self._is_landing(body):
                raise VainWaitError(
                    f"{error} It is the manifest of a landing, which is not written again; leave files_at out."
                ) from error
            return ManifestState(str(error))
        limit = asyncio.Semaphore(_AT_ONCE)

        async def checked(file: ListedFile) -> str | None:
            async with limit:
                return await self._fault(client, file)

        found = await asyncio.gather(*(checked(file) for file in manifest.listed))
        faults = [fault for fault in found if fault is not None]
        return ManifestState(
            self._reason(manifest, faults), len(manifest.files), manifest.size, manifest.rows
        )

    def _is_landing(self, body: bytes) -> bool:
        try:
            return read_manifest(body, self.uri).landing is not None
        except ManifestError:
            return False

    def _reason(self, manifest: FileManifest, faults: list[str]) -> str | None:
        if faults:
            more = f", and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
            return (
                f"{self.uri}: {len(faults)} of {len(manifest.listed)} files are not there: "
                f"{'; '.join(faults[:_SHOWN])}{more}"
            )
        if self.min_rows is not None and (manifest.rows is None or manifest.rows < self.min_rows):
            stated = "no row counts" if manifest.rows is None else f"{manifest.rows} rows"
            return f"{self.uri} states {stated}; at least {self.min_rows} are waited for"
        return None

    async def _fault(self, client: AioBaseClient, file: ListedFile) -> str | None:
        """What is wrong with a file; None where it is as the manifest says."""
        if self.check_sha256 and file.sha256 is None:
            return f"{file.url} has no SHA-256 in the manifest"
        head = await self._answer(client.head_object, file.url)
        if head is None:
            return f"{file.url} does not exist"
        size = head["ContentLength"]
        if file.size is not None and size != file.size:
            return f"{file.url} has {size} bytes of {file.size}"
        if self.check_sha256:
            answer = await self._answer(client.get_object, file.url)
            if answer is None:
                return f"{file.url} does not exist"
            digest = hashlib.sha256()
            async with answer["Body"] as stream:
                while chunk := await stream.read(1 << 20):
                    digest.update(chunk)
            if digest.hexdigest() != file.sha256:
                return f"{file.url} has SHA-256 {digest.hexdigest()[:12]}… of {file.sha256[:12]}…"  # type: ignore[index]
        return None

    async def _read(self, client: AioBaseClient, url: str) -> bytes | None:
        answer = await self._answer(client.get_object, url)
        if answer is None:
            return None
        async with answer["Body"] as stream:
            body: bytes = await stream.read()
        return body

    async def _answer(self, call: Any, url: str) -> Any:
        """S3's answer to a call for one object; None where there is no such object."""
        bucket, key = bucket_and_key(url)
        try:
            return await call(Bucket=bucket, Key=key)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in _MISSING:
                return None
            if status in _DENIED:
                raise VainWaitError(
                    f"S3 answered {status} for {url}. Without s3:ListBucket it answers so for a "
                    f"missing object too; grant s3:GetObject and s3:ListBucket to connection "
                    f"{self.aws_conn_id}."
                ) from error
            raise


class S3ManifestTrigger(BaseTrigger):
    """Fires when a manifest is complete, when it is not by the deadline, or when S3 refuses.

    :param uri: the manifest's ``s3://`` URI
    :param poke_interval: seconds between two looks
    :param deadline: seconds since the epoch; then it looks for the last time
    :param aws_conn_id: an ``aws`` connection
    :param region_name: the bucket's region, where the connection does not say
    :param verify: as boto3 takes it: check certificates, or a bundle to check them with
    :param files_at: the manifest's fields that list files
    :param min_rows: rows that the manifest must state
    :param check_sha256: read every file and compare its SHA-256
    """

    def __init__(
        self,
        uri: str,
        poke_interval: float,
        deadline: float,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        files_at: Sequence[str] = ("entries",),
        min_rows: int | None = None,
        check_sha256: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poke_interval = poke_interval
        self.deadline = deadline
        self.wait = ManifestWait(
            uri, aws_conn_id, region_name, verify, files_at, min_rows, check_sha256
        )

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments that make this trigger again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {
            **vars(self.wait),
            "files_at": list(self.wait.files_at),
            "poke_interval": self.poke_interval,
            "deadline": self.deadline,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields one event: ``complete`` with ``result``, or ``timeout`` or ``error`` with
        ``message``."""
        while True:
            last = time.time() >= self.deadline
            try:
                state = await self.wait.look()
            except VainWaitError as error:
                yield TriggerEvent({"status": "error", "message": str(error)})
                return
            if state.reason is None:
                yield TriggerEvent({"status": "complete", "result": state.result(self.wait.uri)})
                return
            if last:
                yield TriggerEvent({"status": "timeout", "message": state.reason})
                return
            self.log.info("Not complete yet: %s", state.reason)
            await asyncio.sleep(min(self.poke_interval, max(0, self.deadline - time.time())))
