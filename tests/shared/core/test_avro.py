"""The Avro schema that follows from a contract."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import fastavro
import pytest

from feira.core.contracts import Column, ContractError, contract
from feira.core.contracts.avro import avro_schema

ALL_TYPES = replace(
    contract("sales.fact"),
    columns=(
        Column("name", "string", True),
        Column("units", "int", False),
        Column("total", "bigint", False),
        Column("share", "double", False),
        Column("open", "boolean", True),
        Column("day", "date", True),
        Column("at", "timestamp", True),
        Column("price", "decimal(18,4)", True),
        Column("kind", "string", False, allowed=("a", "b_2")),
        Column("rules", "array<string>", True),
        Column("landed_from", "string", True),
    ),
)
ROW: dict[str, Any] = {
    "name": "São Paulo",
    "units": -(2**31),
    "total": 2**63 - 1,
    "share": 0.1,
    "open": True,
    "day": date(1582, 10, 10),
    "at": datetime(2010, 12, 1, 8, 26, 0, 1, tzinfo=UTC),
    "price": Decimal("-12345678901234.5678"),
    "kind": "b_2",
    "rules": ["x", ""],
}


def schema() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(
        avro_schema(ALL_TYPES, name="Row", namespace="test", without=["landed_from"])
    )
    return made


def test_every_type_of_a_contract_holds_its_values() -> None:
    parsed = fastavro.parse_schema(schema())
    for row in (ROW, ROW | {"units": None, "total": None, "share": None, "kind": None}):
        into = BytesIO()
        fastavro.schemaless_writer(into, parsed, row, strict=True)
        assert fastavro.schemaless_reader(BytesIO(into.getvalue()), parsed, None) == row


def test_a_record_has_the_columns_in_their_order_and_only_those_that_may_be_null_have_a_default() -> (
    None
):
    fields = schema()["fields"]
    assert [field["name"] for field in fields] == list(ROW)
    assert {field["name"] for field in fields if "default" in field} == {
        "units",
        "total",
        "share",
        "kind",
    }


def test_a_value_that_avro_cannot_name_is_refused_with_its_column() -> None:
    kind = Column("kind", "string", True, allowed=("a", "add to cart"))
    with pytest.raises(ContractError, match=r"Column kind: 'add to cart'"):
        avro_schema(replace(ALL_TYPES, columns=(kind,)), name="Row", namespace="test")


def test_a_column_to_leave_out_that_is_none_is_refused() -> None:
    with pytest.raises(ContractError, match="no column 'landed'"):
        avro_schema(ALL_TYPES, name="Row", namespace="test", without=["landed"])
