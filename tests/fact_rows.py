"""Rows of the fact, and differences made of them, that tests of several layers share."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from feira.core.contracts import Contract, contract
from feira.core.contracts.ddl import warehouse_type
from feira.core.warehouse.apply import Difference

FACT = contract("sales.fact")
NOON = dt.datetime(2011, 1, 3, 12, tzinfo=dt.UTC)
Row = dict[str, Any]
WAREHOUSE_COLUMNS = ", ".join(f"{column.name} {warehouse_type(column)}" for column in FACT.columns)

_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "array<string>": pa.list_(pa.string()),
}


def arrow_schema(table: Contract) -> pa.Schema:
    """A contract's columns as Arrow fields; a required one is not nullable."""

    def arrow_type(declared: str) -> pa.DataType:
        if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", declared):
            return pa.decimal128(int(match[1]), int(match[2]))
        return _ARROW[declared]

    return pa.schema(
        [
            pa.field(column.name, arrow_type(column.type), nullable=not column.required)
            for column in table.columns
        ]
    )


def fact_row(order_id: str, line_number: int, **known: Any) -> Row:
    """A row of the fact: a completed product line of a known customer, but for what is given.

    ``amount_usd`` is text or a number; the dollar is its currency. A column that the contract has gained
    is null.
    """
    updated_at = known.get("updated_at", NOON)
    order_date = known.get("order_date", NOON.date())
    amount = Decimal(known.get("amount_usd", "1"))
    return {
        **dict.fromkeys(FACT.column_names),
        "order_id": order_id,
        "line_number": line_number,
        "sku": "22423",
        "description": "REGENCY CAKESTAND",
        "quantity": 1,
        "unit_price": abs(amount),
        "currency": "USD",
        "status": "completed",
        "customer_id": 17850,
        "country": "United Kingdom",
        "created_at": updated_at,
        "updated_at": updated_at,
        "order_date": order_date,
        "amount": amount,
        "fx_rate": Decimal(1),
        "fx_date": order_date,
        "line_kind": "product",
        "extract_day": updated_at.date(),
        **known,
        "amount_usd": amount,
    }


def batch(changes: list[tuple[str, Row]]) -> pa.RecordBatch:
    """An Arrow batch of (``INSERT`` or ``DELETE``, row)."""
    schema = arrow_schema(FACT).append(pa.field("change", pa.string(), nullable=False))
    rows = [{**row, "change": change} for change, row in changes]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def read_of(*batches: pa.RecordBatch) -> Callable[[Sequence[str]], Iterable[pa.RecordBatch]]:
    """A difference's ``read`` of these batches."""
    return lambda columns: (each.select(columns) for each in batches)


def difference(
    snapshot: int, *changes: tuple[str, Row], whole: bool = False, rows: int | None = None
) -> Difference:
    """The difference that brings the warehouse to a snapshot; ``rows`` is announced if given."""
    announced = len(changes) if rows is None else rows
    return Difference(snapshot, whole, announced, read_of(batch(list(changes))))


def whole(snapshot: int, *rows: Row) -> Difference:
    """The whole table at a snapshot."""
    return difference(snapshot, *(("INSERT", row) for row in rows), whole=True)
