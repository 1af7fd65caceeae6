"""Lands the pages of a JSON API on S3: complete, with a manifest, or not at all."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException
from botocore.exceptions import BotoCoreError, ClientError

from feira_provider.datasets.manifest import FileManifest, ListedFile
from feira_provider.hooks.paged_api import ApiPage, PagedApiError, PagedApiHook, shown
from feira_provider.hooks.paging import CursorPaging, Paging, whole_number_at
from feira_provider.operators.page_checks import PageChecks, PageError

MANIFEST = "manifest.json"

# S3 answers 412 where the object exists, and 409 where another put of it goes on.
_TAKEN = frozenset({409, 412})
# Another try would be refused as well: no such bucket, or no right to it.
_REFUSED = frozenset({400, 401, 403, 404})
_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class PagedApiToS3Operator(BaseOperator):
    """Lands every page of an API below an S3 prefix, as gzip NDJSON, and then ``manifest.json``.

    A line is a record's text as it was served: digits, duplicate keys and all.

    A prefix without a manifest holds nothing: the manifest is written last, and lists each file with
    its rows, bytes and SHA-256 in the form that ``S3ManifestSensor`` waits for. A file is named
    after its content, so the same answers make the same files, and an attempt that died, or one that
    runs at the same time, cannot change what a manifest lists. Where the prefix has a manifest the
    API is not asked again.

    :param endpoint: path below the connection's base URL (templated)
    :param s3_prefix: ``s3://bucket/folder`` for this one extract (templated)
    :param request_params: query parameters (templated). They are shown in the UI: tokens belong in
        the connection
    :param paging: how the API says where its next page is
    :param total_at: dotted path, in each page, of the number of records that the API announces
    :param record_key: dotted paths of the fields that tell a record from all others of the extract,
        its version's among them where it can have several. A key that comes on two pages fails the
        run: the data moved while it was read. Without a key a record of equal text on two pages does
    :param allow_repeats: without a key: records of equal text may be on several pages
    :param http_conn_id: an ``http`` connection
    :param aws_conn_id: an ``aws`` connection
    :param overwrite: ask the API although the prefix has a manifest, and replace that
    :param attempts: tries for each page
    :param timeout: seconds to connect, and to wait for an answer's next bytes
    :param total_timeout: seconds for one answer in all; three times ``timeout`` where it is not given
    :return: the manifest's URI
    :raises AirflowFailException: where another try reads the same: a refusal, broken paging, what
        is no JSON, a page or a record that was served before, a total that is not met
    """

    template_fields: Sequence[str] = ("endpoint", "s3_prefix", "request_params")
    template_fields_renderers = {"request_params": "json"}  # noqa: RUF012 (as Airflow declares it)
    ui_color = "#dbe9f4"

    def __init__(
        self,
        *,
        endpoint: str,
        s3_prefix: str,
        request_params: dict[str, str] | None = None,
        paging: Paging | None = None,
        total_at: str | None = None,
        record_key: Sequence[str] = (),
        allow_repeats: bool = False,
        http_conn_id: str = PagedApiHook.default_conn_name,
        aws_conn_id: str = "aws_default",
        overwrite: bool = False,
        attempts: int | None = None,
        timeout: float | None = None,
        total_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.endpoint = endpoint
        self.s3_prefix = s3_prefix
        self.request_params = request_params
        self.paging = paging
        self.total_at = total_at
        self.record_key = [record_key] if isinstance(record_key, str) else list(record_key)
        self.allow_repeats = allow_repeats
        self.http_conn_id = http_conn_id
        self.aws_conn_id = aws_conn_id
        self.overwrite = overwrite
        self.attempts = attempts
        self.timeout = timeout
        self.total_timeout = total_timeout

    def execute(self, context: Context) -> str:
        """Lands the pages, unless they are there already; returns the manifest's URI."""
        s3 = S3Hook(self.aws_conn_id)
        folder = self.s3_prefix.rstrip("/")
        uri = f"{folder}/{MANIFEST}"
        bucket, key = S3Hook.parse_s3_url(uri)
        try:
            if not self.overwrite and s3.check_for_key(key, bucket):
                self.log.info("%s is complete already; the API is not asked", uri)
                return uri
            manifest = FileManifest(uri, tuple(self._land(s3, folder)))
            if not self._complete(s3, bucket, key, manifest):
                self.log.warning("%s was completed by another run in the meantime; it stays", uri)
                return uri
        except PagedApiError as error:
            if error.transient:
                raise
            raise AirflowFailException(f"{error} {folder} has no manifest.") from error
        except ClientError as error:
            if _status(error) in _REFUSED:
                raise AirflowFailException(
                    f"{folder}: S3 refused: {error}. Check the bucket, and the rights of connection "
                    f"{self.aws_conn_id}."
                ) from error
            raise
        self.log.info("%s: %s rows in %s files", uri, manifest.rows, len(manifest.files))
        return uri

    def hook(self) -> PagedApiHook:
        """The hook that reads the API; a subclass may return one with other limits."""
        return PagedApiHook(
            self.http_conn_id,
            attempts=self.attempts,
            timeout=self.timeout,
            total_timeout=self.total_timeout,
        )

    def _land(self, s3: S3Hook, folder: str) -> list[ListedFile]:
        files: list[ListedFile] = []
        checks = PageChecks(self.record_key, allow_repeats=self.allow_repeats)
        total: int | None = None
        for page in self.hook().api_pages(
            self.endpoint, self.paging or CursorPaging(), parameters=self.request_params
        ):
            try:
                checks.add(page)
            except PageError as error:
                raise AirflowFailException(
                    f"{self._place(page)}: {error} {folder} has no manifest; run the task again, and "
                    "if it stays so ask the API's owner."
                ) from error
            total = self._announced(page, total)
            files.append(_write(s3, folder, page))
        landed = sum(file.rows or 0 for file in files)
        if total is not None and landed != total:
            raise AirflowFailException(
                f"{self._place(page)}: it is the last page, and the API announced {total} records and "
                f"served {landed}. {folder} has no manifest; run the task again, and if it stays so "
                "ask the API's owner."
            )
        return files

    def _place(self, page: ApiPage) -> str:
        return f"{self.endpoint}, page {page.number}: {shown(page.url)} answered 200"

    def _announced(self, page: ApiPage, before: int | None) -> int | None:
        if self.total_at is None:
            return None
        try:
            total = whole_number_at(page.body, self.total_at)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise AirflowFailException(
                f"{self._place(page)}: there is no number at {self.total_at!r} "
                f"({error}); check total_at."
            ) from error
        if before is not None and total != before:
            # The data moved while it was read: the next try may read it at rest.
            raise PagedApiError(
                f"{self._place(page)}: the total changed from {before} to {total} while the pages "
                "were read; nothing is complete. The retry reads them from the first.",
                url=page.url,
                page=page.number,
                status=200,
                transient=True,
            )
        return total

    def _complete(self, s3: S3Hook, bucket: str, key: str, manifest: FileManifest) -> bool:
        """Writes the manifest; False where, without ``overwrite``, another run was faster."""
        condition = {} if self.overwrite else {"IfNoneMatch": "*"}
        client: Any = s3.get_conn()
        body = manifest.to_json()
        try:
            client.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                ContentType="application/json",
                **condition,
                **s3.extra_args,
            )
        except (ClientError, BotoCoreError) as error:
            found = _stored(client, bucket, key)
            # Stored, and the answer was lost: the client's own second try finds the first.
            if found == body:
                return True
            if found is not None and isinstance(error, ClientError) and _status(error) in _TAKEN:
                return False
            raise
        return True


def _stored(client: Any, bucket: str, key: str) -> bytes | None:
    """The object; None where it is not to be had. Why not is never more than the first error."""
    try:
        found: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except (ClientError, BotoCoreError):
        return None
    return found


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def _write(s3: S3Hook, folder: str, page: ApiPage) -> ListedFile:
    # Between a record's values a line may end, inside of them JSON has no line's end.
    lines = [record.translate(_ONE_LINE) + b"\n" for record in page.raw]
    # Level 1: three times faster than the default for a tenth more bytes. No time stamp, so that
    # the same page gives the same file.
    packed = gzip.compress(b"".join(lines), compresslevel=1, mtime=0)
    digest = hashlib.sha256(packed).hexdigest()
    url = f"{folder}/page-{page.number:05d}-{digest[:12]}.ndjson.gz"
    bucket, key = S3Hook.parse_s3_url(url)
    s3.load_bytes(packed, key, bucket, replace=True)
    return ListedFile(url, size=len(packed), rows=len(lines), sha256=digest)
