"""One table's contract: the ODCS v3.1 document, read into the few things that code is derived from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from open_data_contract_standard.model import (
    DataQuality,
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
)

from feira.contracts.identifiers import name_problem
from feira.errors import PermanentError

_TYPE = re.compile(r"string|int|bigint|boolean|date|timestamp|array<string>|decimal\(\d+,\d+\)")


class ContractError(PermanentError, ValueError):
    """A contract is not usable, or a table cannot take it; the message names contract and place."""


@dataclass(frozen=True)
class Column:
    """A column. ``type`` is in Spark SQL's words: string, int, decimal(18,4), timestamp, …"""

    name: str
    type: str
    required: bool
    description: str = ""
    classification: str | None = None
    allowed: tuple[str, ...] = ()
    max_length: int | None = None
    """Most characters (code points) that a text may have."""


@dataclass(frozen=True)
class RowRule:
    """A rule that a row breaks where ``broken_when``, a Spark SQL expression, is true."""

    name: str
    broken_when: str
    description: str


@dataclass(frozen=True)
class Contract:
    """A table as its contract declares it."""

    id: str
    version: str
    table: str
    """Name with its schema, as in ``sales.fact``; the same in lake and warehouse."""
    physical_type: str
    description: str
    servers: tuple[str, ...]
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    partition_by: tuple[str, ...]
    row_rules: tuple[RowRule, ...]
    max_invalid_percent: float | None
    asset: str | None
    """Name of the Airflow asset that its days are announced by; None where nothing is."""

    @property
    def column_names(self) -> list[str]:
        """Names in declared order."""
        return [column.name for column in self.columns]

    @property
    def required_columns(self) -> list[str]:
        """Names of the columns that are never null."""
        return [column.name for column in self.columns if column.required]

    def column(self, name: str) -> Column:
        """The column of that name; raises ContractError where there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ContractError(f"{self.id} {self.version} has no column {name!r}.")


def read_contract(path: Path) -> Contract:
    """Reads one ODCS file; raises ContractError naming the file and what is missing or unknown."""
    try:
        document = OpenDataContractStandard.from_file(str(path))
    except Exception as error:
        raise ContractError(f"{path.name} is not an ODCS document: {error}") from error
    if document.apiVersion != "v3.1.0":
        raise ContractError(f"{path.name}: apiVersion is {document.apiVersion!r}, not 'v3.1.0'.")
    if not document.schema_ or len(document.schema_) != 1:
        raise ContractError(f"{path.name} must declare exactly one schema object.")
    schema = document.schema_[0]
    properties = schema.properties or []
    columns = tuple(_column(path, item) for item in properties)
    for column in columns:
        if problem := name_problem(column.name, schema.physicalName or ""):
            raise ContractError(
                f"{path.name}: column {column.name} {problem}; choose another name."
            )
    if len({column.name for column in columns}) != len(columns):
        raise ContractError(f"{path.name} declares a column twice.")
    keyed = sorted(
        (item for item in properties if item.primaryKey), key=lambda p: p.primaryKeyPosition or 0
    )
    parted = sorted(
        (item for item in properties if item.partitioned), key=lambda p: p.partitionKeyPosition or 0
    )
    return Contract(
        id=_stated(path, "id", document.id),
        version=_stated(path, "version", document.version),
        table=_stated(path, "schema.physicalName", schema.physicalName),
        physical_type=_stated(path, "schema.physicalType", schema.physicalType),
        description=schema.description or "",
        servers=tuple(server.server or "" for server in document.servers or []),
        columns=columns,
        primary_key=tuple(str(item.name) for item in keyed),
        partition_by=tuple(str(item.name) for item in parted),
        row_rules=tuple(
            RowRule(rule.name or "", str(rule.implementation).strip(), rule.description or "")
            for rule in schema.quality or []
            if rule.type == "custom" and rule.engine == "spark"
        ),
        max_invalid_percent=_gate(schema),
        asset=next(
            (
                str(item.value)
                for item in document.customProperties or []
                if item.property == "feira.asset"
            ),
            None,
        ),
    )


def _stated(path: Path, what: str, value: str | None) -> str:
    if not value:
        raise ContractError(f"{path.name} states no {what}.")
    return value


def _gate(schema: SchemaObject) -> float | None:
    gates: list[DataQuality] = [
        rule
        for rule in schema.quality or []
        if rule.engine == "feira-gate" and rule.unit == "percent"
    ]
    limit = gates[0].mustBeLessOrEqualTo if gates else None
    return float(limit) if limit is not None else None


def _column(path: Path, item: SchemaProperty) -> Column:
    name = item.name or ""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ContractError(f"{path.name}: column name {name!r} must be lower_snake_case.")
    type_ = (item.physicalType or "").replace(" ", "")
    if not _TYPE.fullmatch(type_):
        raise ContractError(
            f"{path.name}: column {name} has physicalType {item.physicalType!r}; "
            "it may be string, int, bigint, boolean, date, timestamp, decimal(P,S) or array<string>."
        )
    return Column(
        name=name,
        type=type_,
        required=bool(item.required),
        description=item.description or "",
        classification=item.classification,
        allowed=tuple(str(entry.value) for entry in item.enum or []),
        max_length=(item.logicalTypeOptions or {}).get("maxLength"),
    )
