"""The Arrow schema of a contract."""

from __future__ import annotations

import re

import pyarrow as pa

from feira.core.contracts.model import Column, Contract

_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "array<string>": pa.list_(pa.string()),
}


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a column; timestamps are microseconds in UTC."""
    if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", column.type):
        return pa.decimal128(int(match[1]), int(match[2]))
    return _ARROW[column.type]


def arrow_schema(contract: Contract) -> pa.Schema:
    """Fields in declared order; a required column is not nullable."""
    return pa.schema(
        [
            pa.field(column.name, arrow_type(column), nullable=not column.required)
            for column in contract.columns
        ]
    )
