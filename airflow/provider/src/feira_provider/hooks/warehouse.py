"""One hook for two warehouses: loads Parquet on S3 into a table by key, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow.providers.amazon.aws.fs.s3 import get_fs
from airflow.providers.common.sql.hooks.sql import DbApiHook

from feira.core.landing.manifest import FileManifest, ManifestError, read_manifest
from feira_provider.hooks.warehouse_sides import (
    STAGE,
    PostgresSide,
    RedshiftSide,
    WarehouseSide,
    require_files,
)
from feira_provider.hooks.warehouse_statements import (
    DESCRIBE,
    Merge,
    Statement,
    WarehouseError,
    WarehouseRefusedError,
)
from feira_provider.hooks.warehouse_types import Target


@dataclass(frozen=True)
class Loaded:
    """What a load did to its table, in rows."""

    staged: int
    inserted: int
    updated: int
    deleted: int


class WarehouseHook(DbApiHook):
    """Stages Parquet files that a manifest on S3 lists, and merges them into a table by key.

    The side follows the connection's type: ``postgres`` or ``redshift``. Beside ``load`` it is a
    hook like the providers' own: ``get_records``, ``get_first``, ``run`` and ``get_conn`` work as
    they do there.

    :param warehouse_conn_id: a ``postgres`` or a ``redshift`` connection
    :param aws_conn_id: an ``aws`` connection that reads the manifest and the files
    :param iam_role: with Redshift, the role that its COPY reads the files with: an ARN or ``default``
    """

    conn_name_attr = "warehouse_conn_id"
    default_conn_name = "warehouse_default"
    hook_name = "Warehouse (PostgreSQL or Redshift)"
    supports_autocommit = True

    def __init__(
        self,
        *args: Any,
        aws_conn_id: str | None = "aws_default",
        iam_role: str = "default",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.aws_conn_id = aws_conn_id
        self.iam_role = iam_role

    @cached_property
    def side(self) -> WarehouseSide:
        """The side that the connection's type names.

        :raises WarehouseRefusedError: for another type
        """
        conn_type = self.get_connection(self.get_conn_id()).conn_type
        if conn_type == "postgres":
            return PostgresSide()
        if conn_type == "redshift":
            return RedshiftSide(self.iam_role)
        raise WarehouseRefusedError(
            f"Connection {self.get_conn_id()} is of type {conn_type!r}; a warehouse is of type "
            "postgres or redshift."
        )

    def get_conn(self) -> Any:
        """A DB-API connection as the provider's hook makes it, not in autocommit."""
        return self.side.sql_hook(self.get_conn_id()).get_conn()

    def statements(self, merge: Merge, manifest_url: str) -> list[Statement]:
        """Every statement that ``load`` would run, in order. Connects to nothing."""
        return [
            *self.side.before_staging(merge),
            merge.create_staged(),
            merge.describe_staged(),
            self.side.stage_statement(merge, manifest_url),
            *merge.after_staging(),
        ]

    def load(self, merge: Merge, manifest_url: str) -> Loaded:
        """Brings the table to what the files say; all of it is committed, or none.

        :param merge: the table, its key and columns, and what becomes of rows that are no more
        :param manifest_url: ``s3://…`` of the manifest that lists the Parquet files
        :raises WarehouseError: where a file is missing, or its size, rows or SHA-256 are not as the
            manifest states them; the table is then as it was, and a retry may find the file whole
        :raises WarehouseRefusedError: where a file's columns are not the load's, a value is none that its
            column holds as it is, or a key is null or a duplicate; no retry is made
        """
        statements = self.statements(merge, manifest_url)
        files = get_fs(self.aws_conn_id)
        try:
            body = files.cat_file(manifest_url)
        except FileNotFoundError:
            raise WarehouseError(
                f"{merge.table}: there is no manifest at {manifest_url}. Nothing was changed."
            ) from None
        try:
            manifest = read_manifest(body, manifest_url)
        except ManifestError as error:
            raise WarehouseRefusedError(f"{merge.table}: {error} Nothing was changed.") from error
        require_files(merge, manifest, files)
        counts: dict[str, int] = {}
        targets: list[Target] = []
        with closing(self.get_conn()) as connection:
            try:
                with closing(connection.cursor()) as cursor:
                    for statement in statements:
                        self.log.info("%s: %s", statement.name, statement.sql)
                        if statement.name == STAGE:
                            self.side.stage(cursor, statement, merge, manifest, files, targets)
                        else:
                            cursor.execute(statement.sql, statement.values or None)
                        if statement.name == DESCRIBE:
                            targets += [Target(*_values(row)) for row in cursor.fetchall()]
                        if statement.name.startswith("count "):
                            counts[statement.name] = _first(cursor.fetchone())
                            _require(merge, manifest, statement.name, counts[statement.name])
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
        loaded = Loaded(
            staged=counts["count staged"],
            inserted=counts["count changes"] - counts["count updates"],
            updated=counts["count updates"],
            deleted=counts.get("count gone", 0),
        )
        self.log.info("%s: %s", merge.table, loaded)
        return loaded


def _first(row: Sequence[Any] | dict[str, Any] | None) -> int:
    """The one value of a row, whichever kind of row the connection gives."""
    if row is None:
        raise WarehouseError("A count gave no row; the connection does not behave as DB-API asks.")
    return int(_values(row)[0])


def _values(row: Sequence[Any] | dict[str, Any]) -> list[Any]:
    return list(row.values() if isinstance(row, dict) else row)


def _require(merge: Merge, manifest: FileManifest, name: str, count: int) -> None:
    """Raises WarehouseError where a count of the staged rows says that they must not be merged."""
    if name == "count staged" and manifest.rows is not None and count != manifest.rows:
        raise WarehouseError(
            f"{merge.table}: {count} rows were staged of the {manifest.rows} that {manifest.url} "
            "states; the table was not changed. Has a file been written again since?"
        )
    if name in ("count null keys", "count repeated keys") and count:
        fault = "rows with a null" if name == "count null keys" else "duplicate keys"
        raise WarehouseRefusedError(
            f"{merge.table}: {manifest.url} holds {count} {fault} in ({', '.join(merge.key)}); the "
            "table was not changed. Fix or deduplicate the files."
        )
