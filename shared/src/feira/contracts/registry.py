"""The contracts of this checkout, by table name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from feira.contracts.model import Contract, ContractError, read_contract
from feira.settings import repository_root


def contracts_folder() -> Path:
    """Where the contract files are."""
    return repository_root() / "shared" / "contracts"


@functools.cache
def contracts(folder: Path | None = None) -> Mapping[str, Contract]:
    """All contracts by table name; read once a process."""
    where = folder or contracts_folder()
    found = [read_contract(path) for path in sorted(where.glob("*.odcs.yaml"))]
    if not found:
        raise ContractError(f"No *.odcs.yaml in {where}.")
    return MappingProxyType({contract.table: contract for contract in found})


def contract(table: str, folder: Path | None = None) -> Contract:
    """The contract of one table; raises ContractError with the tables there are."""
    known = contracts(folder)
    if table not in known:
        raise ContractError(f"No contract for {table!r}; there are {', '.join(sorted(known))}.")
    return known[table]
