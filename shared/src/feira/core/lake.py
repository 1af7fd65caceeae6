"""The lake as files, and its Iceberg tables read without a JVM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from feira.core.errors import PermanentError, first_line
from feira.core.landing.store import LandingStore
from feira.core.settings import LakeSettings, SettingsError

if TYPE_CHECKING:
    # Who only lands, or looks at what was landed, needs none of 25 MiB and 7 MiB.
    import pyarrow as pa
    from fsspec import AbstractFileSystem

_BATCH_ROWS = 16_384
_PIECE_BYTES = 2**20
# A server holds each part whole until it has checked its signature: of the parts of 50 MB that s3fs sends by
# itself, two at once are more than the local server's heap. Less than this S3 does not take.
_PART_BYTES = 5 * 2**20
# Spark reads a path with one of these as a pattern, and finds no file or others.
_PATTERN = "*?[]{}\\"


def lake_files(settings: LakeSettings, patience: float | None = None) -> AbstractFileSystem:
    """The object store as a filesystem; without a listing cache, since other processes write too.

    :param patience: seconds without an answer after which a read of it is an error, where a person waits;
        by default each is tried again for minutes
    :raises SettingsError: where Spark would read the lake's URI as a pattern
    """
    if any(each in settings.root for each in _PATTERN):
        raise SettingsError(
            f"The lake is at {settings.root}, and its URI may hold none of {' '.join(_PATTERN)}: Spark reads them "
            "as a pattern of names. Give it a folder without them."
        )
    if settings.root.startswith("file://"):
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem(auto_mkdir=True)
    from s3fs import S3FileSystem

    options = {
        **settings.storage_options(),
        "use_listings_cache": False,
        "default_block_size": _PART_BYTES,
        "fixed_upload_size": True,
    }
    if patience is None:
        return S3FileSystem(**options)
    once = {"retries": {"total_max_attempts": 1}, "read_timeout": patience}
    options["config_kwargs"] = {**options.get("config_kwargs", {}), **once}
    files = S3FileSystem(**options)
    files.retries = 1
    return files


def landing_store(
    settings: LakeSettings, dataset: str, patience: float | None = None
) -> LandingStore:
    """The landings of one dataset; ``patience`` as in ``lake_files``."""
    return LandingStore(lake_files(settings, patience), settings.root, dataset)


class SnapshotFileGoneError(PermanentError, FileNotFoundError):
    """A file of a snapshot is no longer there; the message names it and the snapshot."""


def read_snapshot(
    settings: LakeSettings, metadata_uri: str, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """The rows of the snapshot that a ``metadata.json`` pins, in batches: memory stays flat. Of all columns, or
    of those that are named, in the table's order.

    For a table that was written once, such as a staged difference. Raises ValueError where rows were
    deleted beside their file, or a file has not the table's columns: it was written before they
    changed; SnapshotFileGoneError where one is no longer there.
    """
    try:
        yield from _rows(settings, metadata_uri, columns)
    except FileNotFoundError as error:
        raise SnapshotFileGoneError(
            f"{metadata_uri}, or a file that it names, is no longer there: {first_line(error)}. What was "
            "staged there is removed once it was used; run the step that stages it again."
        ) from error


def _rows(
    settings: LakeSettings, metadata_uri: str, columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq
    from pyiceberg.table import StaticTable

    properties = {
        "s3.endpoint": settings.endpoint,
        "s3.access-key-id": settings.access_key,
        "s3.secret-access-key": settings.secret_key,
        "s3.session-token": settings.session_token,
        "s3.region": settings.region,
    }
    table = StaticTable.from_metadata(
        metadata_uri, {name: value for name, value in properties.items() if value}
    )
    names = list(table.schema().column_names)
    # PyIceberg's own reader holds every file of the snapshot at once, whole.
    for task in table.scan().plan_files():
        path = task.file.file_path
        if task.delete_files:
            raise ValueError(f"{path} has delete files beside it; read {metadata_uri} with Spark.")
        # In buffered pieces: otherwise all columns of a row group, which may be the file, are held.
        with (
            table.io.new_input(path).open() as stream,
            pq.ParquetFile(stream, buffer_size=_PIECE_BYTES, pre_buffer=False) as file,
        ):
            if file.schema_arrow.names != names:
                raise ValueError(
                    f"{path} holds {file.schema_arrow.names}, the table {names}; "
                    f"read {metadata_uri} with Spark."
                )
            yield from file.iter_batches(_BATCH_ROWS, columns=columns)
