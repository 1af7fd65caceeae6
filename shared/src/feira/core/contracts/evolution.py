"""What a contract asks of a table that already exists: nothing, an added column, or too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feira.core.contracts.model import Column, Contract, ContractError
from feira.core.errors import Remedy


@dataclass(frozen=True)
class Evolution:
    """The difference between a contract and an existing table.

    ``added`` are optional columns that a migration can add. ``refused`` says, a sentence for
    each, what the table cannot take.
    """

    table: str
    added: tuple[Column, ...]
    refused: tuple[str, ...]


def compare(contract: Contract, existing: Mapping[str, str]) -> Evolution:
    """Holds the contract against a table's columns: name to type, in the contract's words."""
    declared = {column.name: column for column in contract.columns}
    refused = [
        f"column {name} ({type_}) is in the table and no longer in the contract; a dropped column "
        "loses data"
        for name, type_ in existing.items()
        if name not in declared
    ]
    refused += [
        f"column {name} is {existing[name]} in the table and {column.type} in the contract; "
        "a changed type needs a new column"
        for name, column in declared.items()
        if name in existing and existing[name] != column.type
    ]
    added = [column for name, column in declared.items() if name not in existing]
    refused += [
        f"column {column.name} is new and required; rows that exist have no value for it, so "
        "declare it without `required`"
        for column in added
        if column.required
    ]
    return Evolution(contract.table, tuple(c for c in added if not c.required), tuple(refused))


def require_current(contract: Contract, where: str, existing: Mapping[str, str]) -> None:
    """Raises ContractError unless the table is as the contract declares it; writes nothing."""
    evolution = compare(contract, existing)
    if evolution.refused:
        raise ContractError(
            f"{contract.table} in the {where} cannot take contract {contract.version}: "
            f"{'; '.join(evolution.refused)}. Nothing was written. "
            f"Put the contract back, or make a table of a new name."
        )
    if evolution.added:
        names = ", ".join(column.name for column in evolution.added)
        raise ContractError(
            f"{contract.table} in the {where} has no column {names}, which contract "
            f"{contract.version} declares. Nothing was written."
        ).fixed_by(Remedy.MIGRATE)
