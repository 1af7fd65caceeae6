"""What differs between a warehouse on PostgreSQL and one on Redshift; all other SQL is such as both take.

Which of them a connection leads to, the server says: Redshift announces PostgreSQL 8.0.2.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
import pyarrow as pa
from psycopg.pq import TransactionStatus

from feira.core.contracts.ddl import Dialect
from feira.core.warehouse.column_types import UnfitError
from feira.core.warehouse.copy_rows import copy_rows

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_FIRST_OF_POSTGRES = 90_000
# A COPY reads several files at once, a slice each.
_ROWS_A_FILE = 1_000_000
# Or of a workgroup; with .cn in China.
_CLUSTER = re.compile(
    r"(?P<name>[^.]+)\.[^.]+\.(?P<region>[^.]+)\.redshift(-serverless)?\.amazonaws\.com(\.cn)?"
)


class StagingError(RuntimeError):
    """Rows are to be loaded into Redshift, and it was not said where it can read them."""


@dataclass(frozen=True)
class Staging:
    """Where Redshift's COPY finds rows, and what it may read them with.

    :param files: of the store, by ``s3://`` URLs
    :param folder: ``s3://bucket/prefix`` of the loads of one table, which queue; it holds nothing else, and is
        gone after each COPY
    :param iam_role: the ARN of a role that may read them, or ``default`` for the cluster's own
    """

    files: AbstractFileSystem
    folder: str
    iam_role: str = "default"


class Side(ABC):
    """A kind of warehouse; SQL is run on the caller's connection and in its transaction."""

    dialect: ClassVar[Dialect]
    now: ClassVar[str]
    """SQL: the time at the server."""
    text: ClassVar[str]
    """The type of a text of any length."""
    bytewise: ClassVar[str]
    """SQL after a text: in the order of its bytes, whatever the database's collation."""
    refused: ClassVar[tuple[type[Exception], ...]]
    """What is raised for a row that the warehouse cannot hold, and for no lost connection."""
    drops_not_null: ClassVar[bool]
    """Whether a column of a table that is there can be made to take null."""

    @abstractmethod
    def begin(self, connection: psycopg.Connection) -> None:
        """Prepares a new session."""

    @abstractmethod
    def lineage_server(self, host: str) -> str:
        """OpenLineage's name of the server, without its port."""

    @abstractmethod
    def lock(self, table: str) -> str:
        """The statement that keeps other writers of the table waiting until the transaction's end."""

    @abstractmethod
    def find_temporary_first(self, connection: psycopg.Connection) -> None:
        """Until the transaction's end a table's bare name is the temporary one's, where there is one."""

    @abstractmethod
    def look_up_by_key(self, connection: psycopg.Connection) -> None:
        """Until the transaction's end rows are looked up by their keys, whatever a scan seems to cost."""

    @abstractmethod
    def one_moment(self, connection: psycopg.Connection) -> AbstractContextManager[None]:
        """A transaction in which every query sees the same state."""

    @abstractmethod
    def undone_when_refused(self, connection: psycopg.Connection) -> AbstractContextManager[None]:
        """A block that has changed nothing where it raises one of ``refused``; any other error may have
        ended the transaction. It is a transaction of its own where none is open."""

    @abstractmethod
    def drop_refused(self, connection: psycopg.Connection, table: str) -> None:
        """Drops the temporary table that such a block made before it raised, where that has left it."""

    @abstractmethod
    def refuses_breaches(
        self,
        connection: psycopg.Connection,
        table: str,
        key: Iterable[str],
        required: Iterable[str],
    ) -> bool:
        """Whether the table itself refuses a second row of a key, and a null in the key or another of the
        required columns."""

    @abstractmethod
    def missing_indexes(
        self, connection: psycopg.Connection, table: str, columns: Iterable[str]
    ) -> list[str]:
        """Those of the columns that no index of the table begins with; none where there is no table."""

    @abstractmethod
    def copy(
        self,
        connection: psycopg.Connection,
        table: str,
        columns: list[str],
        batches: Iterable[pa.RecordBatch],
        staging: Staging | None,
    ) -> None:
        """Copies batches of those columns, all that the table has, to the table. Their types are its own:
        see ``column_types``."""

    @abstractmethod
    def free_of(self, table: str, where: str) -> str:
        """SQL: ``where``, and no load that still runs has changed the row. The table's key is
        ``changed_date``."""


class _Postgres(Side):
    dialect = "postgres"
    now = "now()"
    text = "text"
    bytewise = ' COLLATE "C"'
    refused = (
        psycopg.DataError,
        psycopg.IntegrityError,
        psycopg.errors.ProgramLimitExceeded,
        UnfitError,
    )
    drops_not_null = True

    def begin(self, connection: psycopg.Connection) -> None:
        """Nothing is to be prepared."""

    def lineage_server(self, host: str) -> str:
        return f"postgres://{host}"

    def lock(self, table: str) -> str:
        return f"LOCK TABLE {table} IN EXCLUSIVE MODE"

    def find_temporary_first(self, connection: psycopg.Connection) -> None:
        # So it is unless the role's or the database's path names pg_temp after another schema.
        connection.execute(
            "SELECT set_config('search_path', "
            "concat_ws(', ', 'pg_temp', nullif(current_setting('search_path'), '')), TRUE)"
        )

    def look_up_by_key(self, connection: psycopg.Connection) -> None:
        # A day's keys are looked up in the index, which costs what the day has. By the default, four, a
        # scan of the whole table seems cheaper until it is large; and of a merge it is not seen that it
        # reads all keys up to the day's, which mostly are the last.
        connection.execute("SET LOCAL random_page_cost = 1.1")
        connection.execute("SET LOCAL enable_mergejoin = off")

    @contextmanager
    def one_moment(self, connection: psycopg.Connection) -> Iterator[None]:
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield

    @contextmanager
    def undone_when_refused(self, connection: psycopg.Connection) -> Iterator[None]:
        with connection.transaction():
            yield

    def drop_refused(self, connection: psycopg.Connection, table: str) -> None:
        """It is gone: another table of that name would be dropped."""

    def refuses_breaches(
        self,
        connection: psycopg.Connection,
        table: str,
        key: Iterable[str],
        required: Iterable[str],
    ) -> bool:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t AND i.indisprimary AND i.indisvalid "
            "AND i.indimmediate AND ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t AND "
            "a.attnum = ANY(i.indkey) ORDER BY 1) = %s::name[]) "
            "AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = t AND a.attname = ANY(%s) "
            "AND NOT a.attnotnull) FROM to_regclass(%s) AS t",
            [sorted(key), list(required), table],
        ).fetchone()
        return bool(row and row[0])

    def missing_indexes(
        self, connection: psycopg.Connection, table: str, columns: Iterable[str]
    ) -> list[str]:
        rows = connection.execute(
            "SELECT a.attname FROM pg_attribute a WHERE a.attrelid = to_regclass(%s) "
            "AND a.attname = ANY(%s) AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = "
            "a.attrelid AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL) ORDER BY 1",
            [table, list(columns)],
        )
        return [name for (name,) in rows]

    def copy(
        self,
        connection: psycopg.Connection,
        table: str,
        columns: list[str],
        batches: Iterable[pa.RecordBatch],
        staging: Staging | None,
    ) -> None:
        copy_rows(connection, table, columns, batches)

    def free_of(self, table: str, where: str) -> str:
        # A row that is locked is one that a load changes now. Waiting for it could be a deadlock.
        return (
            f"changed_date IN (SELECT changed_date FROM {table} WHERE {where} "
            "FOR UPDATE SKIP LOCKED)"
        )


class _Redshift(Side):
    """Keys are enforced by nobody, so that of a row only its values can be refused, and those were looked at
    before they are sent."""

    dialect = "redshift"
    now = "sysdate"
    text = "varchar(65535)"
    # It orders no text otherwise, and knows no other collation by that name.
    bytewise = ""
    refused = (UnfitError,)
    drops_not_null = False

    def begin(self, connection: psycopg.Connection) -> None:
        # What psycopg prepares by itself it also deallocates, in words that Redshift does not take.
        connection.prepare_threshold = None

    def lineage_server(self, host: str) -> str:
        on_aws = _CLUSTER.fullmatch(host.lower())
        return f"redshift://{on_aws['name']}.{on_aws['region']}" if on_aws else f"redshift://{host}"

    def lock(self, table: str) -> str:
        return f"LOCK TABLE {table}"

    def find_temporary_first(self, connection: psycopg.Connection) -> None:
        """It is."""

    def look_up_by_key(self, connection: psycopg.Connection) -> None:
        """There is no index to look in."""

    @contextmanager
    def one_moment(self, connection: psycopg.Connection) -> Iterator[None]:
        # Of whatever isolation: a transaction sees the state of its first query.
        with connection.transaction():
            yield

    @contextmanager
    def undone_when_refused(self, connection: psycopg.Connection) -> Iterator[None]:
        # There are no savepoints, and what is refused was not sent.
        if connection.info.transaction_status == TransactionStatus.IDLE:
            with connection.transaction():
                yield
        else:
            yield

    def drop_refused(self, connection: psycopg.Connection, table: str) -> None:
        connection.execute(f"DROP TABLE {table}")

    def refuses_breaches(
        self,
        connection: psycopg.Connection,
        table: str,
        key: Iterable[str],
        required: Iterable[str],
    ) -> bool:
        return False

    def missing_indexes(
        self, connection: psycopg.Connection, table: str, columns: Iterable[str]
    ) -> list[str]:
        return []

    def copy(
        self,
        connection: psycopg.Connection,
        table: str,
        columns: list[str],
        batches: Iterable[pa.RecordBatch],
        staging: Staging | None,
    ) -> None:
        if staging is None:
            raise StagingError(
                f"{table}: Redshift reads rows from S3, and no folder was named to stage them in."
            )
        folder = staging.folder.rstrip("/")
        # A load that was killed has left its files.
        _remove(staging.files, folder)
        role = staging.iam_role if staging.iam_role == "default" else f"'{staging.iam_role}'"
        try:
            entries = list(_files(staging.files, folder, columns, batches))
            if entries:
                manifest = f"{folder}/manifest.json"
                staging.files.pipe_file(manifest, json.dumps({"entries": entries}).encode())
                # Columns are taken by position, so it names none.
                connection.execute(
                    f"COPY {table} FROM '{manifest}' IAM_ROLE {role} FORMAT PARQUET MANIFEST".encode()
                )
        finally:
            _remove(staging.files, folder)

    def free_of(self, table: str, where: str) -> str:
        # A load locks the whole table: this waits for it, and then may have to be tried again.
        return where


def _remove(files: AbstractFileSystem, folder: str) -> None:
    if files.exists(folder):
        files.rm(folder, recursive=True)


def _files(
    files: AbstractFileSystem, folder: str, columns: list[str], batches: Iterable[pa.RecordBatch]
) -> Iterator[dict[str, Any]]:
    """Writes the batches as Parquet, one at a time; what a manifest says of each file."""
    from pyarrow import parquet

    remaining = (batch.select(columns) for batch in batches if batch.num_rows)
    batch = next(remaining, None)
    number = 0
    while batch is not None:
        url, rows = f"{folder}/{number:05d}.parquet", 0
        with files.open(url, "wb") as file, parquet.ParquetWriter(file, batch.schema) as writer:
            while batch is not None and rows < _ROWS_A_FILE:
                writer.write_batch(batch)
                rows += batch.num_rows
                batch = next(remaining, None)
        yield {
            "url": url,
            "mandatory": True,
            "meta": {"content_length": files.size(url), "record_count": rows},
        }
        number += 1


POSTGRES, REDSHIFT = _Postgres(), _Redshift()


def side_of(connection: psycopg.Connection) -> Side:
    """The kind of warehouse that the connection leads to."""
    return POSTGRES if connection.info.server_version >= _FIRST_OF_POSTGRES else REDSHIFT


def among(column: str, values: Iterable[Any]) -> tuple[str, list[Any]]:
    """SQL that is true where a column has one of the values, and the values that go with it: of Redshift's
    parameters none is an array."""
    found = list(values)
    return (f"{column} IN ({', '.join(['%s'] * len(found))})" if found else "FALSE"), found
