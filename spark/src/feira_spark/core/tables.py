"""Tables of the lake: as their contracts declare them, staged, and pinned by a snapshot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType

from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from feira.core.contracts import Contract
from feira.core.contracts.ddl import iceberg_column, iceberg_ddl
from feira.core.contracts.evolution import Evolution, Stored, compare, require_current
from feira_spark.core.session import CATALOG

STAGING = f"{CATALOG}.staging"
# Of the catalogs Glue takes the fewest names.
_NAME = re.compile("[a-z0-9_]{1,255}")
_TYPES: Mapping[str, T.DataType] = MappingProxyType(
    {
        "string": T.StringType(),
        "int": T.IntegerType(),
        "bigint": T.LongType(),
        "double": T.DoubleType(),
        "boolean": T.BooleanType(),
        "date": T.DateType(),
        "timestamp": T.TimestampType(),
        "array<string>": T.ArrayType(T.StringType()),
    }
)


def spark_type(name: str) -> T.DataType:
    """The type of a contract's column. Spark's own parser is on the server: a call a column."""
    if name in _TYPES:
        return _TYPES[name]
    precision, scale = name.removeprefix("decimal(").removesuffix(")").split(",")
    return T.DecimalType(int(precision), int(scale))


def quoted(name: str) -> str:
    """A name that others have given, as a part of a statement."""
    return f"`{name.replace('`', '``')}`"


def named_for(text: str) -> str:
    """What a name has for a text of others, such as the id of a run: 12 hexadecimal digits of its SHA-256. Catalogs
    take neither every letter nor every length."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def stored(spark: SparkSession, table: str) -> Stored | None:
    """The columns of a lake table; None where it does not exist."""
    try:
        # Iceberg's column of a row's partition has all fields that the table was ever partitioned by, for no
        # further question.
        *fields, partition = spark.table(f"{CATALOG}.{table}").select("*", "_partition").schema
        assert isinstance(partition.dataType, T.StructType)
    except AnalysisException as error:
        if error.getCondition() != "TABLE_OR_VIEW_NOT_FOUND":
            raise
        return None
    return Stored(
        {field.name: field.dataType.simpleString() for field in fields},
        frozenset(field.name for field in fields if not field.nullable),
        partition_by=tuple(partition.dataType.fieldNames()),
    )


def create_missing(spark: SparkSession, contracts: Iterable[Contract]) -> None:
    """Creates the lake tables that do not exist; leaves the others as they are."""
    contracts = list(contracts)
    for namespace in sorted({"staging", *(each.schema for each in contracts)}):
        spark.sql(f"CREATE NAMESPACE IF NOT EXISTS {CATALOG}.{namespace}")
    for contract in contracts:
        spark.sql(iceberg_ddl(contract, catalog=CATALOG))


def require_tables(spark: SparkSession, contracts: Iterable[Contract]) -> None:
    """Creates missing tables; raises ContractError, before a write, where one is not as declared."""
    missing = []
    for contract in contracts:
        change = evolution(spark, contract)
        if change is None:
            missing.append(contract)
        else:
            require_current(contract, "lake", change)
    if missing:
        create_missing(spark, missing)


def evolution(spark: SparkSession, contract: Contract) -> Evolution | None:
    """What the contract asks of the lake's table; None where the table does not exist yet."""
    existing = stored(spark, contract.table)
    if existing is None:
        return None
    if existing.partition_by != contract.partition_by:
        existing = replace(existing, partition_by=_partitioned_by(spark, contract.table))
    return compare(contract, existing)


def _partitioned_by(spark: SparkSession, table: str) -> tuple[str, ...]:
    """By what a lake table is partitioned now."""
    rows = spark.sql(f"DESCRIBE TABLE {CATALOG}.{table}").select("col_name", "data_type").collect()
    names = [row["col_name"] for row in rows]
    begins = next(
        (at for at, name in enumerate(names) if name.startswith("# Partition")), len(rows)
    )
    # With a transform among them each is a numbered part.
    return tuple(
        row["data_type"] if row["col_name"].startswith("Part ") else row["col_name"]
        for row in rows[begins:]
        if not row["col_name"].startswith("#")
    )


def evolve(spark: SparkSession, change: Evolution) -> None:
    """Adds the optional columns of an evolution, all or none, for which rows that exist hold null, and then lets
    those that need no longer have a value take null."""
    columns = ", ".join(iceberg_column(column) for column in change.added)
    if columns:
        spark.sql(f"ALTER TABLE {CATALOG}.{change.table} ADD COLUMNS ({columns})")
    for column in change.relaxed:
        spark.sql(f"ALTER TABLE {CATALOG}.{change.table} ALTER COLUMN {column.name} DROP NOT NULL")


def current_snapshot(spark: SparkSession, table: str, branch: str = "main") -> int | None:
    """The snapshot id of a branch; None for a table that was never written."""
    refs = spark.table(f"{CATALOG}.{table}.refs").where(F.col("name") == branch)
    row = refs.select("snapshot_id").first()
    return int(row["snapshot_id"]) if row else None


def rows_at(spark: SparkSession, table: str, snapshot: int | None) -> DataFrame:
    """The rows at a snapshot; none where that is None. A column that the table has gained since is null."""
    now = spark.table(f"{CATALOG}.{table}")
    if snapshot is None:
        return now.limit(0)
    rows = spark.sql(f"SELECT * FROM {CATALOG}.{table} VERSION AS OF {snapshot}")
    # A snapshot is read with the columns that it was written with.
    written = set(rows.columns)
    gained = [each for each in now.schema if each.name not in written]
    return rows.select("*", *(F.lit(None).cast(each.dataType).alias(each.name) for each in gained))


def view_at(spark: SparkSession, table: str, snapshot: int) -> str:
    """The name of a temporary view of ``rows_at``, for SQL."""
    name = f"{table.replace('.', '_')}_at_{snapshot}"
    rows_at(spark, table, snapshot).createOrReplaceTempView(name)
    return name


def metadata_uri(spark: SparkSession, table: str) -> str:
    """URI of the table's current ``metadata.json``, which pins its current snapshot.

    ``table`` is named with its catalog.
    """
    entries = spark.table(f"{table}.metadata_log_entries").select("file").collect()
    return str(entries[-1]["file"])


def pinned(spark: SparkSession, table: str) -> tuple[str, int | None]:
    """``metadata_uri`` and ``current_snapshot`` of a table, by one query; named with its catalog."""
    none = F.lit(None)
    refs = spark.table(f"{table}.refs").where("name = 'main'")
    entries = spark.table(f"{table}.metadata_log_entries")
    found = (
        refs.select(none.cast("string").alias("file"), "snapshot_id")
        .unionByName(entries.select("file", none.cast("bigint").alias("snapshot_id")))
        .collect()
    )
    snapshots = [row["snapshot_id"] for row in found if row["file"] is None]
    return str(found[-1]["file"]), snapshots[0] if snapshots else None


def as_declared(
    rows: DataFrame, contract: Contract, given: Mapping[str, Column] = MappingProxyType({})
) -> DataFrame:
    """The contract's columns, in its order and of its types: what is given, and the rest from the rows by name."""
    return rows.select(
        *(
            given.get(each.name, F.col(each.name)).cast(each.type).alias(each.name)
            for each in contract.columns
        )
    )


@contextmanager
def kept(found: DataFrame) -> Iterator[DataFrame]:
    """The rows, computed once however often they are read inside ``with``."""
    rows = found.persist()
    try:
        yield rows
    finally:
        rows.unpersist()


def write_staged(rows: DataFrame, table: str) -> None:
    """Writes the rows to a staging table, in the place of what it held.

    :raises ValueError: for a name that not every catalog takes
    """
    name = table.rpartition(".")[2]
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"A staging table is to be named {name!r} ({len(name)} characters), and a catalog may take no more "
            "than 255 of a-z, 0-9 and _. Name what is of others by named_for."
        )
    rows.writeTo(table).using("iceberg").tableProperty("format-version", "2").createOrReplace()


def replace_rows(rows: DataFrame, table: str, partition: Column, gone: Column) -> None:
    """Replaces those rows of a partition that are gone, by one commit; others write other partitions meanwhile.

    A file that a compaction has written holds rows that are gone beside rows that stay. Iceberg drops whole files
    alone, so then the partition is written anew.

    :param table: named without its catalog
    :param gone: true or false of each row, by columns whose values are in a file's metadata
    """
    target = f"{CATALOG}.{table}"
    try:
        rows.writeTo(target).overwrite(partition & gone)
    except Exception as error:
        if "some, but not all, rows match" not in str(error):
            raise
        spark = rows.sparkSession
        base = current_snapshot(spark, table)
        stay = rows_at(spark, table, base).where(partition & ~gone)
        (
            rows.unionByName(stay)
            .writeTo(target)
            # Else it would take away what others have written there meanwhile.
            .option("isolation-level", "serializable")
            .option("validate-from-snapshot-id", str(base))
            .overwrite(partition)
        )


def drop_staged(spark: SparkSession, *prefixes: str) -> list[str]:
    """Drops the staging tables whose names begin so; returns their names."""
    names = [row["tableName"] for row in spark.sql(f"SHOW TABLES IN {STAGING}").collect()]
    dropped = [name for name in names if name.startswith(prefixes)]
    for name in dropped:
        spark.sql(f"DROP TABLE IF EXISTS {STAGING}.{quoted(name)} PURGE")
    return dropped
