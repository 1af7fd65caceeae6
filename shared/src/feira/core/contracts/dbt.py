"""The YAML by which dbt knows the warehouse's tables: sources, and the marts' columns and tests.

It is written into the copy of the project that dbt is run on, and never committed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from feira.core.contracts.ddl import Dialect, warehouse_type
from feira.core.contracts.model import Column, Contract
from feira.core.contracts.registry import BUILT_SCHEMA, on_server

DECLARED = Path("models/declared")
HEADER = "# generated from shared/contracts; edit the contracts instead\n"


def write_declared(
    project: Path,
    tables: Mapping[str, Contract] | None = None,
    dialect: Dialect = "postgres",
) -> list[Path]:
    """Writes what ``render`` gives into a dbt project, in the place of what was generated before."""
    shutil.rmtree(project / DECLARED, ignore_errors=True)
    (project / DECLARED).mkdir()
    for path, text in (files := render(tables, dialect)).items():
        (project / path).write_text(text, encoding="utf-8")
    return [project / path for path in files]


def render(
    tables: Mapping[str, Contract] | None = None, dialect: Dialect = "postgres"
) -> dict[Path, str]:
    """File contents by path in the dbt project; ``tables`` are the checkout's unless given, their columns'
    types the warehouse's of that ``dialect``.

    Every table of the warehouse is in the file of its schema: those of ``marts`` as models, the others
    as sources.
    """
    given = tables.values() if tables else on_server("warehouse")
    held = [each for each in given if "warehouse" in each.servers]
    files = {}
    for schema in sorted({c.schema for c in held}):
        of_schema = [c for c in held if c.schema == schema]
        models = [
            _table(c, dialect) | {"config": {"materialized": c.physical_type}} for c in of_schema
        ]
        sources = [{"name": schema, "tables": [_table(c, dialect) for c in of_schema]}]
        known = {"models": models} if schema == BUILT_SCHEMA else {"sources": sources}
        files[DECLARED / f"{schema}.yml"] = _text({"version": 2} | known)
    return files


def _table(contract: Contract, dialect: Dialect) -> dict[str, Any]:
    name = contract.table.split(".")[1]
    return {
        "name": name,
        "description": contract.description,
        "columns": [_column(column, dialect) for column in contract.columns],
        "data_tests": [
            {
                "keeps_contract": {
                    "name": f"{contract.table.replace('.', '_')}_keeps_its_contract",
                    "arguments": _rules(contract),
                }
            }
        ],
    }


def _column(column: Column, dialect: Dialect) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": column.name,
        "data_type": warehouse_type(column, dialect),
        "description": column.description,
    }
    if column.classification:
        entry["config"] = {"meta": {"classification": column.classification}}
    return entry


def _rules(contract: Contract) -> dict[str, Any]:
    allowed = {column.name: list(column.allowed) for column in contract.columns if column.allowed}
    rules = {
        "required": contract.required_columns,
        "allowed": allowed,
        "key": list(contract.primary_key),
    }
    return {name: rule for name, rule in rules.items() if rule}


def _text(content: dict[str, Any]) -> str:
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return HEADER + body
