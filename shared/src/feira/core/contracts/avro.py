"""The Avro schema of records with a contract's columns."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from feira.core.contracts.model import Column, Contract, ContractError

_TYPES: dict[str, Any] = {
    "string": "string",
    "int": "int",
    "bigint": "long",
    "double": "double",
    "boolean": "boolean",
    "date": {"type": "int", "logicalType": "date"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "array<string>": {"type": "array", "items": "string"},
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def avro_schema(
    contract: Contract, *, name: str, namespace: str, without: Iterable[str] = ()
) -> str:
    """A record with a field for each column but those ``without``, as JSON.

    A column that may be null is a union with null, which is its default; one with an enum is an
    enumeration of the column's name. Raises ContractError for a value that Avro cannot name.
    """
    left_out = {contract.column(each).name for each in without}
    fields = [_field(each) for each in contract.columns if each.name not in left_out]
    record = {"type": "record", "name": name, "namespace": namespace, "fields": fields}
    return json.dumps(record, separators=(",", ":"))


def _field(column: Column) -> dict[str, Any]:
    type_ = _type(column)
    if column.required:
        return {"name": column.name, "type": type_}
    return {"name": column.name, "type": ["null", type_], "default": None}


def _type(column: Column) -> Any:
    if column.allowed:
        for value in column.allowed:
            if not _NAME.fullmatch(value):
                raise ContractError(
                    f"Column {column.name}: {value!r} cannot be a symbol of an Avro enumeration, "
                    "which has letters, digits and _ alone."
                )
        return {"type": "enum", "name": column.name, "symbols": list(column.allowed)}
    if match := re.fullmatch(r"decimal\((\d+),(\d+)\)", column.type):
        precision, scale = int(match[1]), int(match[2])
        return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}
    return _TYPES[column.type]
