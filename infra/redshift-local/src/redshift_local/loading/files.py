"""Files on S3: what a COPY's URL stands for, a prefix or a manifest."""

from __future__ import annotations

import bz2
import gzip
import json
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from redshift_local.translation.copying import Copy
from redshift_local.translation.errors import RedshiftError


@dataclass(frozen=True)
class S3:
    """Where S3 is: an endpoint of one's own, or AWS's where it is empty."""

    endpoint: str = ""
    region: str = "us-east-1"

    def client(self, credentials: tuple[str, ...], region: str) -> Any:
        """botocore's client, with the statement's own keys; of a role, with those of this process."""
        session = botocore.session.Session()
        if credentials:
            key, secret, token = credentials
            session.set_credentials(key, secret, token or None)
        return session.create_client(
            "s3",
            endpoint_url=self.endpoint or None,
            region_name=region or self.region,
            config=Config(s3={"addressing_style": "path"} if self.endpoint else {}),
        )


@dataclass(frozen=True)
class File:
    url: str
    content: bytes


def parts(url: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key


def read(s3: S3, copy: Copy) -> list[File]:
    """The files of the COPY, decompressed, in the order of their names or of the manifest.

    Raises RedshiftError where there are none, where one that must be is not there, and where a manifest of
    Parquet files does not say how long they are.
    """
    client = s3.client(copy.credentials, copy.region)
    try:
        if copy.manifest:
            found = _of_manifest(client, copy)
        else:
            found = _of_prefix(client, copy.url)
        return [File(url, _decompressed(copy, url, content)) for url, content in found]
    except (BotoCoreError, ClientError) as error:
        raise RedshiftError(f"S3ServiceException: {error}", sqlstate="XX000") from None


def read_one(s3: S3, copy: Copy, url: str) -> bytes:
    """One file, as it is."""
    try:
        content = _get(s3.client(copy.credentials, copy.region), url)
    except (BotoCoreError, ClientError) as error:
        raise RedshiftError(f"S3ServiceException: {error}", sqlstate="XX000") from None
    if content is None:
        raise RedshiftError(f"The file {url} does not exist", sqlstate="XX000")
    return content


def _of_prefix(client: Any, url: str) -> list[tuple[str, bytes]]:
    bucket, prefix = parts(url)
    keys = [
        each["Key"]
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for each in page.get("Contents", [])
    ]
    if not keys:
        raise RedshiftError(f"The specified S3 prefix '{prefix}' does not exist", sqlstate="XX000")
    return [(f"s3://{bucket}/{key}", _get(client, f"s3://{bucket}/{key}") or b"") for key in keys]


def _get(client: Any, url: str) -> bytes | None:
    bucket, key = parts(url)
    try:
        content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            return None
        raise
    return content


def _of_manifest(client: Any, copy: Copy) -> list[tuple[str, bytes]]:
    content = _get(client, copy.url)
    problem = f"Problem reading manifest file - {copy.url}"
    if content is None:
        raise RedshiftError(f"{problem}: it does not exist", sqlstate="XX000")
    try:
        entries = json.loads(content)["entries"]
        listed = [
            (str(each["url"]), each.get("mandatory", False), dict(each.get("meta") or {}))
            for each in entries
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RedshiftError(f"{problem}: it is no JSON object with entries of urls") from None
    found = []
    for url, mandatory, meta in listed:
        if copy.format == "PARQUET" and "content_length" not in meta:
            raise RedshiftError(
                f"{problem}: the meta key content_length is missing for {url}",
                hint="a manifest of a columnar format says of each file how many bytes it has",
            )
        content = _get(client, url)
        if content is not None:
            if copy.format == "PARQUET" and len(content) != meta["content_length"]:
                raise RedshiftError(
                    f"{problem}: {url} has {len(content)} bytes, and content_length is "
                    f"{meta['content_length']}"
                )
            found.append((url, content))
        elif mandatory:
            raise RedshiftError(
                f"{problem}: the mandatory file {url} does not exist", sqlstate="XX000"
            )
    return found


def _decompressed(copy: Copy, url: str, content: bytes) -> bytes:
    try:
        if copy.compression == "GZIP":
            return gzip.decompress(content)
        if copy.compression == "BZIP2":
            return bz2.decompress(content)
    except (OSError, EOFError, ValueError):
        raise RedshiftError(
            f"{url} is no whole file of {copy.compression}", sqlstate="XX000"
        ) from None
    return content
