"""What differs between the two warehouses: the connection, the lock, and how Parquet is staged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.amazon.aws.hooks.redshift_sql import RedshiftSQLHook
from airflow.providers.postgres.hooks.postgres import PostgresHook

from feira.core.landing.manifest import FileManifest
from feira_provider.datasets.files import DatasetError, require_rows, require_size, stored_bytes
from feira_provider.hooks.warehouse_statements import (
    STAGED,
    Merge,
    Statement,
    WarehouseError,
    WarehouseRefusedError,
    quoted,
)
from feira_provider.hooks.warehouse_types import Target, UnfitError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from fsspec import AbstractFileSystem

# COPY takes no parameters: what goes into its text is held to these.
_S3_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9!_.*()/=+:@,-]+")
_ROLE = re.compile(r"default|arn:aws[a-z-]*:iam::\d{12}:role/[\w+=.@/-]+(,arn:aws[\w:+=.@/-]+)*")

STAGE = "stage"


class WarehouseSide(Protocol):
    """A kind of warehouse."""

    dialect: str

    def sql_hook(self, conn_id: str) -> DbApiHook:
        """The provider's hook for a connection of this kind."""

    def before_staging(self, merge: Merge) -> list[Statement]:
        """What opens the transaction."""

    def stage_statement(self, merge: Merge, manifest_url: str) -> Statement:
        """The statement that fills the staged rows."""

    def stage(
        self,
        cursor: Any,
        statement: Statement,
        merge: Merge,
        manifest: FileManifest,
        files: AbstractFileSystem,
        targets: Sequence[Target],
    ) -> None:
        """Runs that statement."""


class PostgresSide:
    """PostgreSQL 15 or newer: rows are streamed from the files through ``COPY … FROM STDIN``."""

    dialect = "postgres"

    def sql_hook(self, conn_id: str) -> DbApiHook:
        """PostgresHook."""
        return PostgresHook(postgres_conn_id=conn_id)

    def before_staging(self, merge: Merge) -> list[Statement]:
        """UTC for times without a zone; readers go on, a second load waits for the first."""
        return [
            Statement("time zone", "SELECT set_config('TimeZone', 'UTC', true)"),
            Statement("lock", f"LOCK TABLE {merge.target} IN SHARE ROW EXCLUSIVE MODE"),
        ]

    def stage_statement(self, merge: Merge, manifest_url: str) -> Statement:
        """The COPY that takes the stream."""
        names = ", ".join(quoted(name) for name in merge.file_columns)
        return Statement(STAGE, f"COPY {quoted(STAGED)} ({names}) FROM STDIN WITH (FORMAT csv)")

    def stage(
        self,
        cursor: Any,
        statement: Statement,
        merge: Merge,
        manifest: FileManifest,
        files: AbstractFileSystem,
        targets: Sequence[Target],
    ) -> None:
        """Streams every file in batches: memory does not grow with the dataset."""
        chunks = _csv_chunks(merge, manifest, files, targets)
        if hasattr(cursor, "copy"):
            with cursor.copy(statement.sql) as copy:
                for chunk in chunks:
                    copy.write(chunk)
        else:
            # psycopg 2, where the provider was installed with that.
            cursor.copy_expert(statement.sql, _Stream(chunks))


class RedshiftSide:
    """Redshift: its own COPY reads the manifest and the files.

    :param iam_role: the role that reads the bucket: an ARN, or ``default`` for the cluster's own
    """

    dialect = "redshift"

    def __init__(self, iam_role: str = "default") -> None:
        if not _ROLE.fullmatch(iam_role):
            raise WarehouseRefusedError(
                f"iam_role is {iam_role!r}; it must be arn:aws:iam::<account>:role/<name> or default."
            )
        self.iam_role = iam_role

    def sql_hook(self, conn_id: str) -> DbApiHook:
        """RedshiftSQLHook."""
        return RedshiftSQLHook(redshift_conn_id=conn_id)

    def before_staging(self, merge: Merge) -> list[Statement]:
        """A second load waits for the first, instead of ending in a serialization error."""
        return [Statement("lock", f"LOCK TABLE {merge.target}")]

    def stage_statement(self, merge: Merge, manifest_url: str) -> Statement:
        """The COPY; columns are taken by position, so it names none."""
        if not _S3_URL.fullmatch(manifest_url):
            raise WarehouseRefusedError(
                f"{manifest_url!r} cannot stand in a COPY; a manifest's URL is s3://bucket/key of "
                "letters, digits and !_.*()/=+:@,- ."
            )
        role = self.iam_role if self.iam_role == "default" else f"'{self.iam_role}'"
        return Statement(
            STAGE,
            f"COPY {quoted(STAGED)} FROM '{manifest_url}' IAM_ROLE {role} FORMAT PARQUET MANIFEST",
        )

    def stage(
        self,
        cursor: Any,
        statement: Statement,
        merge: Merge,
        manifest: FileManifest,
        files: AbstractFileSystem,
        targets: Sequence[Target],
    ) -> None:
        """Lets Redshift read the files. COPY of Parquet needs every size, and at least one file."""
        if not manifest.files:
            # COPY refuses a manifest without files; no rows are staged already.
            return
        if unsized := [file.url for file in manifest.files if file.size is None]:
            raise WarehouseError(
                f"{manifest.url} states no content_length for {unsized[0]}; Redshift's COPY of "
                "Parquet needs it for every file."
            )
        # Redshift reads the files itself, and converts by rules of its own: only what fits may come.
        for file in manifest.files:
            with _parquet(file.url, files) as parquet:
                found = dict(zip(merge.file_columns, parquet.schema_arrow.types, strict=True))
                doubtful = [each for each in targets if not each.is_own(found[each.column])]
                names = [each.column for each in doubtful]
                for batch in parquet.iter_batches(columns=names) if names else ():
                    _converted(batch, doubtful, merge, file.url)
        cursor.execute(statement.sql)


def require_files(merge: Merge, manifest: FileManifest, files: AbstractFileSystem) -> None:
    """Reads each file's footer, and all of it where the manifest states a SHA-256.

    :raises WarehouseError: where a file is missing or not as the manifest states it
    :raises WarehouseRefusedError: where a file's columns are not the load's, in name and order:
        Redshift takes them by position, and would load them into one another
    """
    for file in manifest.files:
        with _parquet(file.url, files) as parquet:
            found, rows = parquet.schema_arrow.names, parquet.metadata.num_rows
        if found != merge.file_columns:
            raise WarehouseRefusedError(
                f"{merge.table}: {file.url} has the columns {', '.join(found)}; the load expects "
                f"{', '.join(merge.file_columns)}, in this order. Nothing was changed."
            )
        try:
            require_size(file, files.size(file.url))
            require_rows(file, rows)
            if file.sha256 is not None:
                for _ in stored_bytes(file, files):
                    """The digest is taken on the way."""
        except DatasetError as error:
            raise WarehouseError(f"{merge.table}: {error} Nothing was changed.") from error


def _parquet(url: str, files: AbstractFileSystem) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(files.open(url))
    except FileNotFoundError:
        raise WarehouseError(
            f"{url} does not exist, although a manifest lists it. Nothing was changed; wait for "
            "the manifest with S3ManifestSensor."
        ) from None
    except pa.ArrowInvalid as error:
        raise WarehouseError(f"{url} is no Parquet file: {error}. Nothing was changed.") from error


def _converted(
    batch: pa.RecordBatch, targets: Sequence[Target], merge: Merge, url: str
) -> pa.RecordBatch:
    """The batch with its columns as the warehouse holds them.

    :raises WarehouseRefusedError: naming file, column, value and type where one does not fit
    """
    import pyarrow as pa

    columns = []
    for target in targets:
        try:
            columns.append(target.convert(batch.column(target.column)))
        except UnfitError as error:
            raise WarehouseRefusedError(
                f"{merge.table}: {url} has {error.found} in {target.column}, which its type "
                f"{target.type} does not hold as it is: {error.cause}. The table was not changed. "
                "Write the file with values that fit, or widen the column."
            ) from error
    return pa.record_batch(columns, names=[target.column for target in targets])


def _csv_chunks(
    merge: Merge,
    manifest: FileManifest,
    files: AbstractFileSystem,
    targets: Sequence[Target],
) -> Iterator[bytes | memoryview]:
    """The rows as CSV: texts are quoted and nulls are not, so COPY can tell "" from null."""
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False)
    for file in manifest.files:
        with _parquet(file.url, files) as parquet:
            for batch in parquet.iter_batches(columns=merge.file_columns):
                sink = BytesIO()
                csv.write_csv(_converted(batch, targets, merge, file.url), sink, options)
                yield sink.getvalue()


class _Stream:
    """Chunks as the file that psycopg 2 reads from."""

    def __init__(self, chunks: Iterator[bytes | memoryview]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most ``size``; none at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = bytes(chunk)
        if size < 0:
            size = len(self._rest)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken
