"""A real warehouse with an empty fact, and dbt on it, for the tests of the marts."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from feira.contracts import contract
from feira.contracts.ddl import warehouse_ddl
from feira.settings import repository_root
from feira_airflow.summary.marts import MartsConnection, build_marts
from feira_local.stack.postgres import Dsns, temporary_server

PROJECT = repository_root() / "infra" / "dbt"
NOON = dt.datetime(2011, 1, 3, 12, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Warehouse:
    """A PostgreSQL with the stack's roles; ``scratch`` takes what dbt writes, for warm parses."""

    dsns: Dsns
    scratch: Path

    @property
    def connection(self) -> MartsConnection:
        parts = conninfo_to_dict(self.dsns.dbt)
        return MartsConnection(
            host=str(parts["host"]),
            port=int(parts["port"] or 0),
            user=str(parts["user"]),
            password=str(parts["password"]),
            database=str(parts["dbname"]),
        )

    def build(self, project_dir: Path = PROJECT, scratch: Path | None = None) -> dict[str, int]:
        """Rows by mart."""
        return build_marts(
            self.connection, project_dir=project_dir, target_dir=scratch or self.scratch
        )

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    """The server, with an empty ``sales.fact`` and no marts."""
    folder = tmp_path_factory.mktemp("warehouse")
    with temporary_server(folder) as dsns:
        with psycopg.connect(dsns.warehouse_loader) as loader:
            loader.execute(warehouse_ddl(contract("sales.fact")).encode())
        yield Warehouse(dsns, folder / "dbt")


@pytest.fixture
def warehouse(server: Warehouse) -> Warehouse:
    """An empty fact; marts may be there from another test."""
    server.change("truncate sales.fact")
    return server


@pytest.fixture
def project(server: Warehouse, tmp_path: Path) -> Path:
    """A copy of the dbt project, to be changed; ``tmp_path / "target"`` is warm if ours is."""
    parsed = server.scratch / "partial_parse.msgpack"
    if parsed.exists():
        (tmp_path / "target").mkdir()
        shutil.copy(parsed, tmp_path / "target")
    return shutil.copytree(PROJECT, tmp_path / "dbt-project")


def line(order_id: str, line_number: int, **known: Any) -> dict[str, Any]:
    """A row of the fact: a completed product line of a known customer, but for what is given.

    ``amount_usd`` is text or a number; the dollar is its currency.
    """
    updated_at = known.get("updated_at", NOON)
    order_date = known.get("order_date", NOON.date())
    amount = Decimal(known.get("amount_usd", "1"))
    return {
        "sku": "22423",
        "description": "REGENCY CAKESTAND",
        "quantity": 1,
        "unit_price": abs(amount),
        "currency": "USD",
        "status": "completed",
        "customer_id": 17850,
        "country": "United Kingdom",
        "created_at": updated_at,
        "updated_at": updated_at,
        "order_date": order_date,
        "amount": amount,
        "fx_rate": Decimal(1),
        "fx_date": order_date,
        "line_kind": "product",
        "extract_day": updated_at.date(),
        **known,
        "amount_usd": amount,
        "order_id": order_id,
        "line_number": line_number,
    }


@pytest.fixture
def fact_line() -> Callable[..., dict[str, Any]]:
    """See ``line``."""
    return line
