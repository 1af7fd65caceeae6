"""The Parquet files of a load: as their manifest states them, and batch by batch as a warehouse holds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from feira.core.landing.manifest import FileManifest, ManifestError, read_manifest
from feira.core.warehouse.merge import LoadError, LoadRefusedError, Merge
from feira_provider.datasets.files import DatasetError, require_rows, require_size, stored_bytes

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from fsspec import AbstractFileSystem

    from feira.core.warehouse.column_types import Target


class LoadFiles:
    """The files that a manifest on S3 lists, for one load.

    :param names_have_case: whether the warehouse tells ``Id`` from ``id``
    :raises LoadError: where the manifest or a file is missing, or a file is not as it is stated
    :raises LoadRefusedError: where the manifest cannot be read, or a file's columns are not the
        load's, in name and order: Redshift takes them by position, and would load them into one another
    """

    def __init__(
        self,
        merge: Merge,
        manifest_url: str,
        files: AbstractFileSystem,
        *,
        names_have_case: bool = True,
    ) -> None:
        self._merge, self._files = merge, files
        self._named = str if names_have_case else str.lower
        try:
            body = files.cat_file(manifest_url)
        except FileNotFoundError:
            raise LoadError(
                f"{merge.table}: there is no manifest at {manifest_url}. Nothing was changed."
            ) from None
        try:
            self.manifest: FileManifest = read_manifest(body, manifest_url)
        except ManifestError as error:
            raise LoadRefusedError(f"{merge.table}: {error} Nothing was changed.") from error
        self._require()

    def _require(self) -> None:
        """Reads each file's footer, and all of it where the manifest states a SHA-256."""
        table, expected = self._merge.table, self._merge.staged_columns
        for file in self.manifest.files:
            with self._parquet(file.url) as parquet:
                found, rows = parquet.schema_arrow.names, parquet.metadata.num_rows
            if [*map(self._named, found)] != [*map(self._named, expected)]:
                raise LoadRefusedError(
                    f"{table}: {file.url} has the columns {', '.join(found)}; the load expects "
                    f"{', '.join(expected)}, in this order. Nothing was changed."
                )
            try:
                require_size(file, self._files.size(file.url))
                require_rows(file, rows)
                if file.sha256 is not None:
                    for _ in stored_bytes(file, self._files):
                        """The digest is taken on the way."""
            except DatasetError as error:
                raise LoadError(f"{table}: {error} Nothing was changed.") from error

    def batches(self, targets: Sequence[Target]) -> Iterator[pa.RecordBatch]:
        """All rows, with their columns as the warehouse holds them: memory does not grow with them."""
        for file in self.manifest.files:
            with self._parquet(file.url) as parquet, self._unfit_refused(file.url):
                yield from self._fitted(parquet, targets)

    def require_fit(self, targets: Sequence[Target]) -> None:
        """Looks at the files' types, and at the values that might not fit, for Redshift's COPY: it reads the
        files by itself."""
        for file in self.manifest.files:
            with self._parquet(file.url) as parquet, self._unfit_refused(file.url):
                types = zip(targets, parquet.schema_arrow.types, strict=True)
                doubtful = [each for each, type_ in types if not each.require_copied(type_)]
                for _ in self._fitted(parquet, doubtful) if doubtful else ():
                    """The values are looked at on the way."""

    def _fitted(
        self, parquet: pq.ParquetFile, targets: Sequence[Target]
    ) -> Iterator[pa.RecordBatch]:
        from feira.core.warehouse.column_types import fit

        # A file may have the names in other case.
        in_file = dict(zip(self._merge.staged_columns, parquet.schema_arrow.names, strict=True))
        names = [each.column for each in targets]
        read = [in_file[name] for name in names]
        for batch in parquet.iter_batches(columns=read):
            yield fit(batch.select(read).rename_columns(names), targets)

    @contextmanager
    def _unfit_refused(self, url: str) -> Iterator[None]:
        from feira.core.warehouse.column_types import UnfitError

        try:
            yield
        except UnfitError as error:
            raise LoadRefusedError(
                f"{self._merge.table}: {url} has {error}. The table was not changed. "
                "Write the file with types and values that fit, or widen the column."
            ) from error

    def _parquet(self, url: str) -> pq.ParquetFile:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return pq.ParquetFile(self._files.open(url))
        except FileNotFoundError:
            raise LoadError(
                f"{url} does not exist, although a manifest lists it. Nothing was changed; wait for "
                "the manifest with S3ManifestSensor."
            ) from None
        except pa.ArrowInvalid as error:
            raise LoadError(f"{url} is no Parquet file: {error}. Nothing was changed.") from error
