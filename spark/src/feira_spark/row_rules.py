"""A contract's row rules as one Spark expression: every row's list of broken rules in a single pass.

A rule's expression has SQL's three values: a rule whose inputs are null is not broken, because the
field's own ``_absent``, ``_null`` or ``_type`` rule already names the cause.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from feira.contracts import Contract
from feira.contracts.model import Column as ContractColumn


def parse_schema(contract: Contract) -> T.StructType:
    """The schema by which a landed JSON line is parsed; every field may be null."""
    return T.StructType(
        [
            T.StructField(column.name, T.DataType.fromDDL(column.type), nullable=True)
            for column in contract.columns
        ]
    )


def broken_rules(contract: Contract, landed_fields: Iterable[str], raw: str = "raw") -> Column:
    """Sorted names of the rules that a row breaks: array<string>, empty for a valid row.

    The frame holds ``raw`` (the compact JSON of the line), the contract's fields as ``parse_schema``
    reads them, and what else the rules name. ``landed_fields`` are the fields that the landing's
    contract knew: an older landing is not blamed for a column that was added since.
    """
    landed = set(landed_fields)
    rules: dict[str, Column] = {}
    for column in contract.columns:
        if column.name in landed:
            rules |= _shape_rules(column, F.col(raw))
    for rule in contract.row_rules:
        rules[rule.name] = F.expr(rule.broken_when)
    names = [F.when(rules[name], F.lit(name)) for name in sorted(rules)]
    # Spark compiles coalesce, but interprets array_compact and all that is in it: only for the rows
    # that break a rule. Flat, since Connect's protocol refuses a tree as deep as there are rules.
    return F.when(F.coalesce(*names).isNull(), F.array().cast("array<string>")).otherwise(
        F.array_compact(F.array(*names))
    )


def well_typed(contract: Contract, line: str, raw: str = "raw") -> list[Column]:
    """The fields of a parsed line, null where the JSON type is not the contract's.

    Spark's JSON reader gives null for a text where a number is due, but takes a number for a text.
    In compact JSON a text field is written ``"name":"`` exactly; inside a value its quotes would be
    escaped, so the probe cannot be misled by a description. U+0000 counts as a wrong type:
    PostgreSQL's text cannot hold it.
    """
    fields = []
    for column in contract.columns:
        value = F.col(f"{line}.{column.name}")
        if column.type == "string":
            is_text = F.col(raw).contains(f'"{column.name}":"') & ~value.contains("\x00")
            value = F.when(is_text, value)
        fields.append(value.alias(column.name))
    return fields


def _shape_rules(column: ContractColumn, raw: Column) -> dict[str, Column]:
    """Absent, null and wrong JSON type, told apart by the line's text where the value is null."""
    key = f'"{column.name}":'
    missing = F.col(column.name).isNull()
    present, null = raw.contains(key), raw.contains(f"{key}null")
    rules = {
        f"{column.name}_absent": missing & ~present,
        f"{column.name}_type": missing & present & ~null,
    }
    if column.required:
        rules[f"{column.name}_null"] = missing & null
    return rules
