"""One table's contract, as the few things that code is derived from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from feira.core.contracts.document import ContractError

__all__ = ["Column", "Contract", "ContractError", "Lookup", "RowRule", "RuleInput"]

ASSET = "feira.asset"

# What a landed line may break beside a contract's row rules: the first two alone, the others by field,
# as in ``sku_absent``.
UNREADABLE, DUPLICATE_KEY = "line_unreadable", "duplicate_key"
SHAPE = ("absent", "null", "type", "too_long")


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
class Lookup:
    """A value of what was landed beside the lines: of its rows with equal values the newest, or whether
    there is any.

    ``companion`` is its name in the landing's manifest; ``equal`` maps columns here to columns there.
    With ``value`` it is that column of the row with the greatest ``newest``, a date from ``days`` before
    ``until`` to ``until`` itself.
    """

    companion: str
    equal: Mapping[str, str]
    value: str | None = None
    newest: str | None = None
    until: str | None = None
    days: int = 0


@dataclass(frozen=True)
class RuleInput:
    """What row rules may name beside the fields: an expression, a value looked up, or given with the rows."""

    name: str
    type: str
    expression: str | None = None
    lookup: Lookup | None = None


@dataclass(frozen=True)
class RowRule:
    """A rule that a row breaks where ``broken_when``, in the language of ``rule_sql``, is true."""

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
    rule_inputs: tuple[RuleInput, ...]
    """In an order in which each names only what is before it."""
    row_rules: tuple[RowRule, ...]
    max_invalid_percent: float | None
    asset: str | None
    """Name of the Airflow asset that its days are announced by; None where nothing is."""
    latency: timedelta | None = None
    """How long after its end a day is there at the latest; None where nothing is promised."""

    @property
    def schema(self) -> str:
        """The part of the table's name before the point."""
        return self.table.partition(".")[0]

    @property
    def rule_names(self) -> dict[str, str]:
        """What row rules may name, with its type: the columns and the inputs."""
        columns = {column.name: column.type for column in self.columns}
        return columns | {each.name: each.type for each in self.rule_inputs}

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
