"""A real warehouse with an empty fact, and dbt on it, for the tests of the marts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from fact_rows import fact_row
from feira.core.contracts import Contract, contract
from feira.core.contracts.ddl import Dialect, warehouse_ddl
from feira.core.settings import repository_root
from feira_airflow.summary.marts import build_marts
from feira_local.stack.postgres import Dsns

PROJECT = repository_root() / "infra" / "dbt"


@dataclass(frozen=True)
class Warehouse:
    """A PostgreSQL with the stack's roles, or what stands for Redshift; ``scratch`` takes what dbt writes,
    for warm parses."""

    dsns: Dsns
    scratch: Path
    dialect: Dialect = "postgres"

    def build(
        self,
        project_dir: Path = PROJECT,
        scratch: Path | None = None,
        tables: Mapping[str, Contract] | None = None,
        *,
        whole: bool = True,
    ) -> dict[str, int]:
        """Rows by mart. Lines that a test puts into the fact are noted by nobody, so all is built anew."""
        return build_marts(
            self.dsns.dbt,
            project_dir=project_dir,
            target_dir=scratch or self.scratch,
            tables=tables,
            dialect=self.dialect,
            whole=whole,
        )

    def empty(self) -> None:
        """The fact's table, without rows; marts may be there from another test."""
        self.change(warehouse_ddl(contract("sales.fact"), self.dialect))
        self.change("truncate sales.fact")

    def put(self, *lines: dict[str, Any]) -> None:
        """Adds lines to the fact."""
        columns = contract("sales.fact").column_names
        with psycopg.connect(self.dsns.warehouse_loader) as loader:
            names, marks = ", ".join(columns), ", ".join(f"%({name})s" for name in columns)
            loader.cursor().executemany(
                f"insert into sales.fact ({names}) values ({marks})".encode(), lines
            )

    def change(self, statement: str) -> None:
        """Runs a statement as the role that owns the fact."""
        with psycopg.connect(self.dsns.warehouse_loader) as loader:
            loader.execute(statement.encode())

    def rows(self, query: str) -> list[dict[str, Any]]:
        """What a person who may only read sees."""
        with psycopg.connect(self.dsns.reader, row_factory=dict_row) as reader:
            return reader.execute(query.encode()).fetchall()


@pytest.fixture(scope="session")
def server(postgres: Dsns, dbt_scratch: Path) -> Warehouse:
    """The server, as the tests before have left it."""
    return Warehouse(postgres, dbt_scratch)


@pytest.fixture
def warehouse(server: Warehouse) -> Warehouse:
    """See ``Warehouse.empty``."""
    server.empty()
    return server


@pytest.fixture
def project(server: Warehouse, tmp_path: Path) -> Path:
    """A copy of the dbt project, to be changed; ``tmp_path / "target"`` is warm if ours is."""
    parsed = server.scratch / "partial_parse.msgpack"
    if parsed.exists():
        (tmp_path / "target").mkdir()
        shutil.copy(parsed, tmp_path / "target")
    return shutil.copytree(PROJECT, tmp_path / "dbt-project")


@pytest.fixture
def fact_line() -> Callable[..., dict[str, Any]]:
    """See ``fact_rows.fact_row``."""
    return fact_row
