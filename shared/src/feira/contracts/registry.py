"""The contracts of this checkout, by table name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from feira.contracts.model import Contract, ContractError
from feira.contracts.reader import read_contract
from feira.settings import repository_root

_SUFFIX = ".odcs.yaml"
BUILT_SCHEMA = "marts"
"""The schema whose tables dbt builds."""


def contracts_folder() -> Path:
    """Where the contract files are."""
    return repository_root() / "shared" / "contracts"


@functools.cache
def contracts(folder: Path | None = None) -> Mapping[str, Contract]:
    """All contracts by table name; each is read once a process."""
    where = folder or contracts_folder()
    tables = [path.name.removesuffix(_SUFFIX) for path in sorted(where.glob(f"*{_SUFFIX}"))]
    if not tables:
        raise ContractError(f"No *{_SUFFIX} in {where}.")
    return MappingProxyType({table: contract(table, folder) for table in tables})


def stored_in(server: str) -> tuple[Contract, ...]:
    """The contracts of tables on a server, ``lake`` or ``warehouse``, but for those that dbt builds."""
    return tuple(
        each
        for each in contracts().values()
        if server in each.servers and each.schema != BUILT_SCHEMA
    )


@functools.cache
def contract(table: str, folder: Path | None = None) -> Contract:
    """The contract of one table, from the file of its name; raises ContractError with what there is.

    Only that file is read: DAG files are parsed often, and need one or two.
    """
    path = (folder or contracts_folder()) / f"{table}{_SUFFIX}"
    if not path.is_file():
        known = sorted(each.name.removesuffix(_SUFFIX) for each in path.parent.glob(f"*{_SUFFIX}"))
        raise ContractError(f"No contract for {table!r}; there are {', '.join(known)}.")
    found = read_contract(path)
    if found.table != table:
        raise ContractError(f"{path.name} declares {found.table!r}; name the file after its table.")
    return found
