"""One hook for two warehouses: loads Parquet on S3 into a table by key, in one transaction.

What stages, asserts, deletes and merges is ``feira.core.warehouse.merge``, as Feira's own pipelines run
it. Here is what differs between the two: the connection, the lock, and how the staged rows are filled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.sdk.exceptions import AirflowFailException

from feira.core.errors import PermanentError
from feira.core.warehouse.copy_rows import copy_command, copy_rows
from feira.core.warehouse.merge import (
    STAGED,
    LoadError,
    LoadRefusedError,
    Merge,
    Statement,
    quoted,
)
from feira.core.warehouse.staged import merge_staged, stage
from feira_provider.datasets.files import s3_files, usable_s3
from feira_provider.hooks.missing import named_if_missing
from feira_provider.hooks.postgres_dsn import postgres_dsn
from feira_provider.hooks.redshift_dsn import redshift_hook
from feira_provider.hooks.warehouse_files import LoadFiles

if TYPE_CHECKING:
    from feira.core.warehouse.column_types import Target

__all__ = ["LoadError", "Loaded", "Merge", "WarehouseHook", "WarehouseRefusedError"]

# COPY takes no parameters: what goes into its text is held to these.
_S3_URL = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[A-Za-z0-9!_.*()/=+:@,-]+")
_ROLE = re.compile(r"default|arn:aws[a-z-]*:iam::\d{12}:role/[\w+=.@/-]+(,arn:aws[\w:+=.@/-]+)*")


class WarehouseRefusedError(LoadError, AirflowFailException):
    """A load was refused, and another try would find the same: Airflow does not retry the task."""


@dataclass(frozen=True)
class Loaded:
    """What a load did to its table, in rows."""

    staged: int
    inserted: int
    updated: int
    deleted: int


class WarehouseHook(DbApiHook):
    """Stages Parquet files that a manifest on S3 lists, and merges them into a table by key.

    The side follows the connection's type: ``postgres`` (15 or newer) or ``redshift``. Beside ``load`` it
    is a hook like the providers' own: ``get_records``, ``get_first``, ``run`` and ``get_conn`` work as
    they do there.

    :param warehouse_conn_id: a ``postgres`` or a ``redshift`` connection
    :param aws_conn_id: an ``aws`` connection that reads the manifest and the files
    :param iam_role: with Redshift, the role that its COPY reads the files with: an ARN or ``default``
        for the cluster's own
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
    def side(self) -> Literal["postgres", "redshift"]:
        """The warehouse that the connection's type names.

        :raises WarehouseRefusedError: for another type
        :raises MissingConnectionError: where there is no such connection
        """
        with named_if_missing(self.get_conn_id()):
            conn_type = self.get_connection(self.get_conn_id()).conn_type
        if conn_type == "postgres":
            return "postgres"
        if conn_type == "redshift":
            return "redshift"
        raise WarehouseRefusedError(
            f"Connection {self.get_conn_id()} is of type {conn_type!r}; a warehouse is of type "
            "postgres or redshift."
        )

    def get_conn(self) -> Any:
        """A DB-API connection, not in autocommit: of psycopg 3 in UTC, or of redshift_connector."""
        if self.side == "redshift":
            return redshift_hook(self.get_conn_id()).get_conn()
        from feira.core.warehouse.schema import connect

        connection = connect(postgres_dsn(self.get_conn_id()))
        connection.autocommit = False
        return connection

    def statements(
        self, merge: Merge, manifest_url: str, targets: Sequence[Target] = ()
    ) -> list[Statement]:
        """Every statement that ``load`` would run, in order. Connects to nothing.

        :param targets: the types of the staged columns, which ``load`` asks the warehouse for: by them the
            merge does not set a key whose equal values are identical, and Redshift's ``drop unchanged``
            compares texts and floats more closely
        :raises WarehouseRefusedError: where the merge, the URL or the role cannot be put into SQL
        """
        with _refusals_fail():
            return [
                self._lock(merge),
                merge.create_staged(),
                merge.describe(self.side),
                Statement("fill staged", self._copy(merge, manifest_url)),
                *merge.after_staging(self.side, targets),
            ]

    def load(self, merge: Merge, manifest_url: str) -> Loaded:
        """Brings the table to what the files say; all of it is committed, or none.

        :param merge: the table, its key and columns, and what becomes of rows that are no more
        :param manifest_url: ``s3://…`` of the manifest that lists the Parquet files
        :raises LoadError: where a file is missing, or its size, rows or SHA-256 are not as the
            manifest states them; the table is then as it was, and a retry may find the file whole
        :raises WarehouseRefusedError: where a file's columns are not the load's, a value is none that its
            column holds as it is, a key is null or a duplicate, in the files or in the table, or boto3 cannot use
            the connection or a bucket's name; no retry is made
        """
        # Here for what it refuses: nothing connects for a load that cannot be.
        self.statements(merge, manifest_url)
        with _refusals_fail(), usable_s3(merge.table, self.aws_conn_id):
            files = LoadFiles(
                merge,
                manifest_url,
                s3_files(self.aws_conn_id),
                names_have_case=self.side == "postgres",
            )
            with closing(self.get_conn()) as connection:
                try:
                    with closing(connection.cursor()) as cursor:
                        cursor.execute(self._lock(merge).sql)

                        def fill(targets: list[Target]) -> None:
                            for each in self.statements(merge, manifest_url, targets):
                                self.log.info("%s: %s", each.name, each.sql)
                            self._fill(connection, cursor, merge, files, targets)

                        staged = stage(
                            cursor, merge, fill, files.manifest.rows, manifest_url, self.side
                        )
                        merged = merge_staged(cursor, merge, staged)
                    connection.commit()
                except BaseException:
                    connection.rollback()
                    raise
        loaded = Loaded(staged.rows, merged.inserted, merged.updated, merged.deleted)
        self.log.info("%s: %s", merge.table, loaded)
        return loaded

    def _lock(self, merge: Merge) -> Statement:
        """A second load waits for the first: on Redshift it would end in a serialization error. On
        PostgreSQL readers go on."""
        merge.require_usable(self.side)
        mode = " IN SHARE ROW EXCLUSIVE MODE" if self.side == "postgres" else ""
        return Statement("lock", f"LOCK TABLE {merge.target}{mode}")

    def _copy(self, merge: Merge, manifest_url: str) -> str:
        """The statement that fills the staged rows."""
        if self.side == "postgres":
            return copy_command(quoted(STAGED), merge.staged_columns, "csv")
        if not _S3_URL.fullmatch(manifest_url):
            raise LoadRefusedError(
                f"{manifest_url!r} cannot stand in a COPY; a manifest's URL is s3://bucket/key of "
                "letters, digits and !_.*()/=+:@,- ."
            )
        if not _ROLE.fullmatch(self.iam_role):
            raise LoadRefusedError(
                f"iam_role is {self.iam_role!r}; it must be arn:aws:iam::<account>:role/<name> or default."
            )
        role = self.iam_role if self.iam_role == "default" else f"'{self.iam_role}'"
        # Columns are taken by position, so it names none.
        return (
            f"COPY {quoted(STAGED)} FROM '{manifest_url}' IAM_ROLE {role} FORMAT PARQUET MANIFEST"
        )

    def _fill(
        self, connection: Any, cursor: Any, merge: Merge, files: LoadFiles, targets: list[Target]
    ) -> None:
        """PostgreSQL takes a stream of the rows; Redshift reads the files, after they were looked at:
        it converts by rules of its own."""
        manifest = files.manifest
        if self.side == "postgres":
            # As text: a column may be of any type that PostgreSQL reads from one.
            copy_rows(
                connection,
                quoted(STAGED),
                merge.staged_columns,
                files.batches(targets),
                binary=False,
            )
            return
        if unsized := [file.url for file in manifest.files if file.size is None]:
            raise LoadError(
                f"{manifest.url} states no content_length for {unsized[0]}; Redshift's COPY of "
                "Parquet needs it for every file."
            )
        # COPY refuses a manifest without files; no rows are staged already.
        if manifest.files:
            files.require_fit(targets)
            cursor.execute(self._copy(merge, manifest.url))


@contextmanager
def _refusals_fail() -> Iterator[None]:
    try:
        yield
    except PermanentError as error:
        raise WarehouseRefusedError(str(error)) from error
