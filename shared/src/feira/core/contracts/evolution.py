"""What a contract asks of a table that already exists: nothing, a column added or made optional, or too much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feira.core.contracts.model import Column, Contract, ContractError
from feira.core.errors import Remedy


@dataclass(frozen=True)
class Stored:
    """The columns of an existing table: their types, in the contract's words, and which of them take no null; of
    which a row's key is, and by which rows are, or once were, partitioned, None where the table does not say."""

    types: Mapping[str, str]
    required: frozenset[str] = frozenset()
    key: frozenset[str] | None = None
    partition_by: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Evolution:
    """The difference between a contract and an existing table.

    ``added`` are optional columns that a migration can add, ``relaxed`` those that are there, take no null
    and need no longer have a value. ``refused`` says, a sentence for each, what the table cannot take.
    """

    table: str
    added: tuple[Column, ...] = ()
    relaxed: tuple[Column, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def asked(self) -> list[str]:
        """What a migration is to do, in the words of what the table is."""
        return [
            *(f"no column {each.name}" for each in self.added),
            *(f"column {each.name} takes no null" for each in self.relaxed),
        ]


def compare(contract: Contract, stored: Stored) -> Evolution:
    """Holds the contract against a table.

    A column that is declared as required and takes null in the table is no difference: rows of before may
    have none, and those that come are judged by the contract.
    """
    existing = stored.types
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
    if stored.key is not None and stored.key != {*contract.primary_key}:
        refused.append(
            f"its key is ({', '.join(sorted(stored.key))}) in the table and "
            f"({', '.join(contract.primary_key)}) in the contract; rows that are one by the other key may "
            "be several"
        )
    if stored.partition_by is not None and stored.partition_by != contract.partition_by:
        refused.append(
            f"it is partitioned by ({', '.join(stored.partition_by)}) and by "
            f"({', '.join(contract.partition_by)}) in the contract; what was written stays as it is"
        )
    relaxed = [column for name, column in declared.items() if name in stored.required]
    return Evolution(
        contract.table,
        tuple(each for each in added if not each.required),
        tuple(each for each in relaxed if not each.required),
        tuple(refused),
    )


def require_current(contract: Contract, where: str, evolution: Evolution) -> None:
    """Raises ContractError unless the table is as the contract declares it; writes nothing."""
    if evolution.refused:
        raise ContractError(
            f"{contract.table} in the {where} cannot take contract {contract.version}: "
            f"{'; '.join(evolution.refused)}. Nothing was written. "
            f"Put the contract back, or make a table of a new name."
        )
    if asked := evolution.asked:
        raise ContractError(
            f"{contract.table} in the {where} is not as contract {contract.version} declares it: "
            f"{', '.join(asked)}. Nothing was written."
        ).fixed_by(Remedy.MIGRATE)
