"""The contracts of this checkout, by table name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from feira.core.contracts.document import read_yaml
from feira.core.contracts.inherit import as_yaml, read_document
from feira.core.contracts.model import ASSET, Contract, ContractError
from feira.core.settings import repository_root

_SUFFIX = ".odcs.yaml"
BUILT_SCHEMA = "marts"
"""The schema whose tables dbt builds."""
INTERMEDIATE_SCHEMA = "intermediate"
"""The schema of what dbt makes them of; no contract names it, and nobody but dbt reads it."""


def contracts_folder() -> Path:
    """Where the contracts are: ``<domain>/<table>.odcs.yaml``."""
    return repository_root() / "shared" / "contracts"


def contract_files(folder: Path | None = None) -> Mapping[str, Path]:
    """Every contract file by its table's name, whatever its domain; hidden files are none.

    :raises ContractError: where two domains have a file of one name
    """
    found: dict[str, Path] = {}
    for path in sorted((folder or contracts_folder()).rglob(f"*{_SUFFIX}")):
        # Such as an editor's lock of an open file, a link that leads nowhere.
        if path.name.startswith("."):
            continue
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


def on_server(server: str, folder: Path | None = None) -> tuple[Contract, ...]:
    """The contracts of tables on a server, such as ``lake`` or ``warehouse``. The others are read and not judged:
    judging is what takes time.

    :raises ContractError: where one of them, or one that does not plainly say its servers, is not usable
    """
    files = contract_files(folder)
    return tuple(
        contract(table, folder) for table in sorted(files) if _may_be_on(server, files[table])
    )


def _may_be_on(server: str, path: Path) -> bool:
    match read_yaml(path).get("servers"):
        case [*each] if all(isinstance(one, dict) for one in each):
            return any(one.get("server") == server for one in each)
    return True


def stored_in(server: str) -> tuple[Contract, ...]:
    """The contracts of tables on a server, ``lake`` or ``warehouse``, but for those that dbt builds."""
    return tuple(each for each in on_server(server) if each.schema != BUILT_SCHEMA)


@functools.cache
def contract(table: str, folder: Path | None = None) -> Contract:
    """The contract of one table, from the file of its name; raises ContractError with what there is.

    Only that file is read, and those that it takes fields from.
    """
    # It brings sqlglot, of which a DAG file that names an asset has no need.
    from feira.core.contracts.reader import read_contract

    files = contract_files(folder)
    path = _file(table, files)
    found = read_contract(path, files)
    if found.table != table:
        raise ContractError(f"{path.name} declares {found.table!r}; name the file after its table.")
    return found


@dataclass(frozen=True)
class AssetName:
    """What of a contract names the asset that its table's days are announced by."""

    contract: str
    version: str
    asset: str
    server: str


def asset_name(table: str, folder: Path | None = None) -> AssetName:
    """The name of a table's asset, with the last of the table's servers.

    DAG files are parsed often, so no more of the contract is judged here: whoever uses the table reads
    ``contract``, which judges all of it. Where these parts are not plainly there, that says why.
    """
    match read_yaml(_file(table, contract_files(folder))):
        case {
            "id": str(id_),
            "version": str(version),
            "servers": [*_, {"server": str(server)}],
            "customProperties": [*custom],
        }:
            match [
                each for each in custom if isinstance(each, dict) and each.get("property") == ASSET
            ]:
                case [{"value": str(asset)}] if all(map(str.strip, (id_, version, server, asset))):
                    return AssetName(id_, version, asset, server)
    declared = contract(table, folder)
    if declared.asset is None:
        raise ContractError(f"{declared.id} names no asset; state the property {ASSET}.")
    return AssetName(declared.id, declared.version, declared.asset, declared.servers[-1])


def whole_contract(table: str) -> str:
    """The contract of one table as YAML, with the fields that it takes from others."""
    files = contract_files()
    return as_yaml(read_document(_file(table, files), files))


def _file(table: str, files: Mapping[str, Path]) -> Path:
    if table not in files:
        raise ContractError(f"No contract for {table!r}; there are {', '.join(sorted(files))}.")
    return files[table]
