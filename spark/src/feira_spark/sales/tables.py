"""Reading and writing the sales tables of the lake: names, snapshots, staging."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from pyspark.sql import SparkSession

from feira.core.contracts import Contract
from feira.core.contracts.ddl import iceberg_column, iceberg_ddl
from feira.core.contracts.evolution import Evolution, compare, require_current
from feira_spark.core.session import CATALOG

LAKE_TABLES = ("sales.order_lines", "sales.fact", "sales.quarantine")
STAGING = f"{CATALOG}.staging"


def staging_table(day: date, version: int) -> str:
    """The table that holds one landing's validated lines until its day is published."""
    return f"{STAGING}.sales_{day:%Y%m%d}_v{version:04d}"


def table_types(spark: SparkSession, table: str) -> dict[str, str] | None:
    """Column names and types of a lake table in the contract's words; None where it does not exist."""
    if not spark.catalog.tableExists(f"{CATALOG}.{table}"):
        return None
    schema = spark.table(f"{CATALOG}.{table}").schema
    return {field.name: field.dataType.simpleString() for field in schema.fields}


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
        existing = table_types(spark, contract.table)
        if existing is None:
            missing.append(contract)
        else:
            require_current(contract, "lake", existing)
    if missing:
        create_missing(spark, missing)


def evolution(spark: SparkSession, contract: Contract) -> Evolution | None:
    """What the contract asks of the lake's table; None where the table does not exist yet."""
    existing = table_types(spark, contract.table)
    return compare(contract, existing) if existing is not None else None


def add_columns(spark: SparkSession, change: Evolution) -> None:
    """Adds the optional columns of an evolution, all or none; rows that exist hold null."""
    columns = ", ".join(iceberg_column(column) for column in change.added)
    if columns:
        spark.sql(f"ALTER TABLE {CATALOG}.{change.table} ADD COLUMNS ({columns})")


def current_snapshot(spark: SparkSession, table: str, branch: str = "main") -> int | None:
    """The snapshot id of a branch; None for a table that was never written."""
    row = spark.sql(
        f"SELECT snapshot_id FROM {CATALOG}.{table}.refs WHERE name = :branch",
        args={"branch": branch},
    ).first()
    return int(row["snapshot_id"]) if row else None


def metadata_uri(spark: SparkSession, table: str) -> str:
    """URI of the table's current ``metadata.json``, which pins its current snapshot.

    ``table`` is named with its catalog.
    """
    entries = spark.sql(f"SELECT file FROM {table}.metadata_log_entries").collect()
    return str(entries[-1]["file"])
