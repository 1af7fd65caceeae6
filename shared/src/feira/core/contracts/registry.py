"""The contracts of this checkout, by table name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from feira.core.contracts.inherit import as_yaml, read_document
from feira.core.contracts.model import Contract, ContractError
from feira.core.contracts.reader import read_contract
from feira.core.settings import repository_root

_SUFFIX = ".odcs.yaml"
BUILT_SCHEMA = "marts"
"""The schema whose tables dbt builds."""


def contracts_folder() -> Path:
    """Where the contracts are: ``<domain>/<table>.odcs.yaml``."""
    return repository_root() / "shared" / "contracts"


def contract_files(folder: Path | None = None) -> Mapping[str, Path]:
    """Every contract file by its table's name, whatever its domain.

    :raises ContractError: where two domains have a file of one name
    """
    found: dict[str, Path] = {}
    for path in sorted((folder or contracts_folder()).rglob(f"*{_SUFFIX}")):
        table = path.name.removesuffix(_SUFFIX)
        if table in found:
            raise ContractError(f"{path} and {found[table]} are for one table; keep one of them.")
        found[table] = path
    return MappingProxyType(found)


@functools.cache
def contracts(folder: Path | None = None) -> Mapping[str, Contract]:
    """All contracts by table name; each is read once a process."""
    files = contract_files(folder)
    if not files:
        raise ContractError(f"No *{_SUFFIX} in {folder or contracts_folder()}.")
    return MappingProxyType({table: contract(table, folder) for table in sorted(files)})


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

    Only that file is read, and those that it takes fields from: DAG files are parsed often, and need
    one or two.
    """
    files = contract_files(folder)
    path = _file(table, files)
    found = read_contract(path, files)
    if found.table != table:
        raise ContractError(f"{path.name} declares {found.table!r}; name the file after its table.")
    return found


def whole_contract(table: str) -> str:
    """The contract of one table as YAML, with the fields that it takes from others."""
    files = contract_files()
    return as_yaml(read_document(_file(table, files), files))


def _file(table: str, files: Mapping[str, Path]) -> Path:
    if table not in files:
        raise ContractError(f"No contract for {table!r}; there are {', '.join(sorted(files))}.")
    return files[table]
