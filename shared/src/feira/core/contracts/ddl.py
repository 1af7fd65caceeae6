"""SQL that a contract becomes: Iceberg tables for Spark, and warehouse tables for PostgreSQL or Redshift."""

from __future__ import annotations

import re
from typing import Literal

from feira.core.contracts.model import Column, Contract, ContractError

Dialect = Literal["postgres", "redshift"]

_WAREHOUSE: dict[Dialect, dict[str, str]] = {
    "postgres": {
        "string": "text",
        "int": "integer",
        "bigint": "bigint",
        "boolean": "boolean",
        "date": "date",
        "timestamp": "timestamptz",
    },
    "redshift": {
        "string": "varchar(65535)",
        "int": "integer",
        "bigint": "bigint",
        "boolean": "boolean",
        "date": "date",
        "timestamp": "timestamptz",
    },
}


def iceberg_ddl(contract: Contract, *, catalog: str = "lake") -> str:
    """``CREATE TABLE IF NOT EXISTS`` in Spark SQL, format version 2, copy on write.

    Copy on write because a changelog between two snapshots cannot be read through delete files.
    """
    columns = ",\n  ".join(iceberg_column(column) for column in contract.columns)
    partitioned = f"\nPARTITIONED BY ({', '.join(contract.partition_by)})" * bool(
        contract.partition_by
    )
    # Iceberg's default hash distribution is kept for partitioned tables: one file a partition.
    return (
        f"CREATE TABLE IF NOT EXISTS {catalog}.{contract.table} (\n  {columns}\n)\nUSING iceberg"
        f"{partitioned}\nCOMMENT {_spark_literal(contract.description)}\nTBLPROPERTIES (\n"
        "  'format-version' = '2',\n"
        "  'write.merge.mode' = 'copy-on-write',\n"
        "  'write.delete.mode' = 'copy-on-write',\n"
        "  'write.update.mode' = 'copy-on-write',\n"
        "  'commit.retry.num-retries' = '10',\n"
        f"  'feira.contract' = {_spark_literal(contract.id)},\n"
        f"  'feira.contract-version' = {_spark_literal(contract.version)}\n)"
    )


def warehouse_type(column: Column, dialect: Dialect = "postgres") -> str:
    """The warehouse's type for a column; raises ContractError for one it cannot hold."""
    if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", column.type):
        return f"numeric({match[1]},{match[2]})"
    try:
        return _WAREHOUSE[dialect][column.type]
    except KeyError:
        raise ContractError(
            f"Column {column.name} of type {column.type} has no type in {dialect}."
        ) from None


def warehouse_ddl(contract: Contract, dialect: Dialect = "postgres") -> str:
    """``CREATE TABLE IF NOT EXISTS`` with nullability and primary key.

    Redshift keeps a primary key as a hint to its planner and does not enforce it; the load asserts.
    """
    columns = ",\n  ".join(
        f"{column.name} {warehouse_type(column, dialect)}{' NOT NULL' * column.required}"
        for column in contract.columns
    )
    key = f",\n  PRIMARY KEY ({', '.join(contract.primary_key)})" * bool(contract.primary_key)
    return f"CREATE TABLE IF NOT EXISTS {contract.table} (\n  {columns}{key}\n)"


def iceberg_column(column: Column) -> str:
    """A column's definition in Spark SQL."""
    null = " NOT NULL" if column.required else ""
    return f"{column.name} {column.type}{null} COMMENT {_spark_literal(column.description)}"


def _spark_literal(text: str) -> str:
    # Spark substitutes ${...} in the text of a statement before it parses it.
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("$", "\\u0024")
    return f"'{escaped}'"
