"""Reads the files of a dataset whole or not at all: gzip to its last byte, size and SHA-256 as listed.

DuckDB and pyarrow take a gzip file that was cut short for a complete one, so nothing here leaves
decompression to them. Files are streamed: memory does not grow with them.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from feira.core.landing.manifest import ListedFile
from feira.core.settings import SettingsError, verify_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from fsspec import AbstractFileSystem

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_MAGIC = {
    _GZIP: "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
    **{b"BZh%d1AY&SY" % level: "bzip2" for level in range(1, 10)},
}


def s3_hook(
    aws_conn_id: str | None,
    region_name: str | None = None,
    verify: bool | str | None = None,
) -> S3Hook:
    """Airflow's hook. The connection's ``verify`` may be a text, as it is in one that is given as a URL, or blank."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    hook = S3Hook(aws_conn_id, region_name=region_name, verify=verify)
    hook.conn_config.verify = verify_of(hook.verify)
    return hook


def s3_files(aws_conn_id: str | None) -> AbstractFileSystem:
    """S3 as an ``aws`` connection says, its ``verify`` too, which Airflow's own ``get_fs`` leaves out."""
    from airflow.providers.amazon.aws.fs.s3 import get_fs

    files = get_fs(aws_conn_id)
    if (verify := s3_hook(aws_conn_id).verify) is not None:
        files.client_kwargs = {**files.client_kwargs, "verify": verify}
    return files


class UnusableS3Error(SettingsError):
    """S3 cannot be asked, now or later: with this connection, for this bucket, or below this prefix."""


@contextmanager
def usable_s3(what: str, aws_conn_id: str | None) -> Iterator[None]:
    """Around what asks S3.

    :param what: what is asked for; begins the message
    :raises UnusableS3Error: where boto3 cannot use the connection, or a bucket's name
    """
    from botocore.exceptions import (
        InvalidRegionError,
        ParamValidationError,
        PartialCredentialsError,
        ProfileNotFound,
    )

    unusable = (ParamValidationError, ProfileNotFound, PartialCredentialsError, InvalidRegionError)
    try:
        yield
    except Exception as error:
        # s3fs makes errors of its own of some.
        cause = next(
            (each for each in (error, error.__cause__) if isinstance(each, unusable)), None
        )
        if cause is None:
            raise
        raise UnusableS3Error(
            f"{what}: S3 cannot be asked ({' '.join(str(cause).split())[:300]}). Check the bucket's name, and the "
            f"connection {aws_conn_id}."
        ) from error


def s3_folder(url: str, what: str) -> str:
    """The URL of a folder on S3, without the slashes at its end.

    :param what: names it in the message
    :raises UnusableS3Error: where it is no ``s3://`` URL. s3fs would write below others too, and what is written names
        the files by it, for readers that know no others
    """
    if not re.match("s3://[^/]", str(url)):
        raise UnusableS3Error(f"{what} is {url!r}; it must be s3://bucket/folder.")
    return url.rstrip("/")


def bucket_and_key(url: str) -> tuple[str, str]:
    """Of an ``s3://`` URL. The key is what follows the bucket, letter for letter: ``?`` and ``#`` begin no query there.

    :raises AirflowException: where it is no URL of an object
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    scheme, _, place = url.partition("://")
    bucket, _, key = place.partition("/")
    return (bucket, key) if scheme in ("s3", "s3a", "s3n") and bucket else S3Hook.parse_s3_url(url)


def manifest_fields(files_at: Sequence[str]) -> tuple[str, ...]:
    """The fields of a manifest that list files; a text is one field.

    :raises ValueError: where none is named: a dataset without files would be complete
    """
    fields = (files_at,) if isinstance(files_at, str) else tuple(files_at)
    if not fields or not all(fields):
        raise ValueError(
            f"files_at is {files_at!r}; it must name the fields of the manifest that list files, as entries."
        )
    return fields


class DatasetError(ValueError):
    """The dataset is not complete, or not what it is said to be; the message names a file and why."""


def stored_bytes(file: ListedFile, files: AbstractFileSystem) -> Iterator[bytes]:
    """The bytes of a file as it is stored.

    :raises DatasetError: where there is no such file; and at its end, where its size or SHA-256 is not
        what the manifest states
    """
    digest, size = hashlib.sha256(), 0
    try:
        with files.open(file.url, "rb") as stored:
            while chunk := stored.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                yield chunk
    except FileNotFoundError:
        raise DatasetError(
            f"{file.url} does not exist, although it is listed; wait for the whole dataset, for a "
            "manifest with S3ManifestSensor."
        ) from None
    require_size(file, size)
    _require(file, "SHA-256", digest.hexdigest(), file.sha256)


def require_rows(file: ListedFile, rows: int) -> None:
    """Raises DatasetError where a file has other rows than the manifest states."""
    _require(file, "row count", rows, file.rows, " rows")


def require_size(file: ListedFile, size: int) -> None:
    """Raises DatasetError where a file has other bytes than the manifest states."""
    _require(file, "size", size, file.size, " bytes")


def _require(
    file: ListedFile, what: str, found: int | str, stated: int | str | None, unit: str = ""
) -> None:
    if stated is not None and found != stated:
        raise DatasetError(
            f"{file.url}: the manifest states a {what} of {stated}{unit}, found {found}{unit}; the "
            "file is incomplete or was written again. Write file and manifest again."
        )


def spooled(file: ListedFile, files: AbstractFileSystem, path: Path) -> Path:
    """Copies a file to a local path, as it is stored; returns the path.

    :raises DatasetError: as ``stored_bytes``
    """
    with path.open("wb") as local:
        for chunk in stored_bytes(file, files):
            local.write(chunk)
    return path


def unpacked(file: ListedFile, files: AbstractFileSystem, file_format: str) -> io.BufferedReader:
    """A text file's bytes, unpacked where its name ends in ``.gz``.

    :raises DatasetError: while it is read, where it is not the gzip file that its name says, is
        packed though its name does not say so, is cut short, or fails a check of its own or of the
        manifest
    """
    chunks = _unpacked(file, stored_bytes(file, files), file_format)
    return io.BufferedReader(_Chunks(chunks), _CHUNK)


class _Chunks(io.RawIOBase):
    """Bytes that come in chunks, as a file. It copies what is left of a chunk: to be read in large pieces."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fills the buffer with the next bytes; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        view = memoryview(buffer).cast("B")
        taken = min(len(view), len(self._rest))
        view[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        return taken


def _unpacked(file: ListedFile, stored: Iterator[bytes], file_format: str) -> Iterator[bytes]:
    unreadable = f"{file.url} cannot be read as {file_format}"
    first = next(stored, b"")
    packing = next((name for magic, name in _MAGIC.items() if first.startswith(magic)), None)
    named_gzip = file.url.endswith(".gz")
    if named_gzip and packing != "gzip":
        found = f"packed with {packing}" if packing else "not packed" if first else "empty"
        raise DatasetError(
            f"{unreadable}: its name ends in .gz, its content is {found}. Write it again, or rename it."
        )
    if packing and not named_gzip:
        raise DatasetError(
            f"{unreadable}: it is packed with {packing}, which its name does not say. Only gzip is "
            "unpacked, from files whose names end in .gz."
        )
    if not named_gzip:
        if first:
            yield first
        yield from stored
        return
    yield from _members(unreadable, first, stored)


def _members(unreadable: str, first: bytes, stored: Iterator[bytes]) -> Iterator[bytes]:
    """What the members of a gzip file hold; zlib checks the CRC and the length of each."""
    member, packed, padding = zlib.decompressobj(wbits=31), first, False
    while True:
        try:
            while packed:
                if padding or member.eof:
                    # Members may follow one another, and zeros may fill the last block of a tape.
                    padding = padding or not packed.startswith(_GZIP[:1])
                    if padding:
                        if packed.strip(b"\x00"):
                            raise DatasetError(
                                f"{unreadable}: bytes follow its gzip data that are none. Write it again."
                            )
                        break
                    member = zlib.decompressobj(wbits=31)
                plain = member.decompress(packed, _CHUNK)
                packed = member.unused_data if member.eof else member.unconsumed_tail
                if plain:
                    yield plain
        except zlib.error as error:
            raise DatasetError(
                f"{unreadable}: its gzip data is damaged ({error}). Write it again."
            ) from error
        chunk = next(stored, None)
        if chunk is None:
            break
        packed = chunk
    while not member.eof:
        # All input is taken; what zlib still holds back comes without it.
        plain = member.decompress(b"", _CHUNK)
        if not plain:
            raise DatasetError(
                f"{unreadable}: it is cut short, its gzip data has no end. Write it again."
            )
        yield plain
