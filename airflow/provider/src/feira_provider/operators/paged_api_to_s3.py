"""Lands the pages of a JSON API on S3: complete, with a manifest, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from feira.core.errors import PermanentError
from feira.core.landing.land import PageDriftError, PageLander
from feira.core.landing.lines import LandedLines
from feira.core.landing.manifest import FileManifest
from feira.core.landing.put_once import http_status, put_once
from feira.core.landing.store import LandingError
from feira_provider.datasets.files import s3_files, s3_folder, usable_s3
from feira_provider.hooks.paged_api import PagedApiHook
from feira_provider.hooks.paging import CursorPaging, Paging

# Another try would be refused as well: no such bucket, or no right to it.
_REFUSED = frozenset({400, 401, 403, 404})


class PagedApiToS3Operator(BaseOperator):
    """Lands every page of an API below an S3 prefix, as gzip NDJSON, and then ``manifest.json``.

    A line is a record's text as it was served: digits, duplicate keys and all. What the pages must
    prove is what Feira's own landings prove: see ``feira.core.landing.land.PageLander``.

    A prefix without a manifest holds nothing: the manifest is written last, and lists each file with
    its rows, bytes and SHA-256 in the form that ``S3ManifestSensor`` waits for. A file is named
    after its content, so the same answers make the same files, and an attempt that died, or one that
    runs at the same time, cannot change what a manifest lists. Where the prefix has a manifest the
    API is not asked again.

    :param endpoint: path below the connection's base URL (templated)
    :param s3_prefix: ``s3://bucket/folder`` for this one extract, and no other form (templated)
    :param request_params: query parameters (templated). They are shown in the UI: tokens belong in
        the connection
    :param paging: how the API says where its next page is
    :param total_at: dotted path, in each page, of the number of records that the API announces
    :param record_key: dotted paths of the fields that tell a record from all others of the extract,
        its version's among them where it can have several. A key that comes on two pages fails the
        try: the data moved while it was read. Without a key a record of equal text on two pages does
    :param allow_repeats: without a key: records of equal text may be on several pages
    :param http_conn_id: a ``paged_api`` or ``http`` connection
    :param aws_conn_id: an ``aws`` connection
    :param overwrite: ask the API although the prefix has a manifest, and replace that
    :param attempts: tries for each page
    :param timeout: seconds to connect, and to wait for an answer's next bytes
    :param total_timeout: seconds for one answer in all; three times ``timeout`` where it is not given
    :return: the manifest's URI
    :raises PageDriftError: where the data moved while it was read: a record on two pages, another
        total on a later page. It is tried again
    :raises AirflowFailException: where another try reads the same: a refusal, broken paging, what
        is no JSON, a page that was served before, a total that is not met; and where a connection is not there or
        cannot be used, or the prefix is no ``s3://`` URL of a bucket
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
        try:
            folder = s3_folder(self.s3_prefix, f"{self.task_id}: s3_prefix")
            with usable_s3(folder, self.aws_conn_id):
                return self._land(folder)
        except PageDriftError:
            # The next try may read the data at rest.
            raise
        except (PermanentError, LandingError) as error:
            raise AirflowFailException(f"{error} {self.s3_prefix} has no manifest.") from error
        except OSError as error:
            if http_status(error) in _REFUSED:
                raise AirflowFailException(
                    f"{self.s3_prefix}: S3 refused: {error.__cause__ or error}. Check the bucket, and the rights of "
                    f"connection {self.aws_conn_id}."
                ) from error
            raise

    def _land(self, folder: str) -> str:
        files = s3_files(self.aws_conn_id)
        uri = f"{folder}/manifest.json"
        lines = LandedLines(None, tuple(self.record_key), self.allow_repeats)
        lander = PageLander(files, folder, self.endpoint, lines, by_content=True)
        if not self.overwrite and files.exists(uri):
            self.log.info("%s is complete already; the API is not asked", uri)
            return uri
        lander.land(
            self.hook().feed_pages(
                self.endpoint,
                self.paging or CursorPaging(),
                parameters=self.request_params,
                total_at=self.total_at,
            )
        )
        body = FileManifest(uri, tuple(lander.landed)).to_json()
        if self.overwrite:
            files.pipe_file(uri, body)
        elif not put_once(files, uri, body):
            self.log.warning("%s was completed by another run in the meantime; it stays", uri)
            return uri
        self.log.info("%s: %s rows in %s files", uri, lander.count, len(lander.landed))
        return uri

    def hook(self) -> PagedApiHook:
        """The hook that reads the API; a subclass may return one with other limits."""
        return PagedApiHook(
            self.http_conn_id,
            attempts=self.attempts,
            timeout=self.timeout,
            total_timeout=self.total_timeout,
        )
