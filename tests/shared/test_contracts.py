"""Contracts: valid ODCS, what follows from them, and what an existing table cannot take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlglot

from feira.contracts import Column, ContractError, contract, contracts
from feira.contracts.arrow import arrow_schema
from feira.contracts.ddl import iceberg_ddl, warehouse_ddl
from feira.contracts.evolution import compare, require_current
from feira.contracts.model import read_contract
from feira.contracts.registry import contracts_folder
from feira.warehouse.fingerprint import figures_by_date

ALL = sorted(contracts())
FACT = contract("sales.fact")
AS_DECLARED = {column.name: column.type for column in FACT.columns}


@pytest.mark.parametrize(
    "path", sorted(contracts_folder().glob("*.odcs.yaml")), ids=lambda p: p.stem
)
def test_a_contract_is_valid_odcs(path: Path) -> None:
    from datacontract.data_contract import DataContract

    run = DataContract(data_contract_file=str(path)).lint()
    assert run.result == "passed", [check.reason for check in run.checks]


@pytest.mark.parametrize("table", ALL)
def test_a_contract_says_what_a_table_needs(table: str) -> None:
    declared = contract(table)
    assert declared.primary_key, "without a key nothing can be merged or compared"
    assert all(column.description for column in declared.columns)
    assert set(declared.primary_key) <= set(declared.required_columns)
    assert arrow_schema(declared).names == declared.column_names


def test_the_facts_columns_are_the_extracts() -> None:
    extract = {column.name: column.type for column in contract("sales.order_lines").columns}
    assert all(extract[name] == type_ for name, type_ in AS_DECLARED.items())


def test_every_landed_field_reaches_the_fact() -> None:
    assert set(contract("sales.landing").column_names) <= set(FACT.column_names)


@pytest.mark.parametrize("table", ["sales.fact", "sales.load_ledger", "sales.report_ledger"])
@pytest.mark.parametrize("dialect", ["postgres", "redshift"])
def test_warehouse_ddl_parses_in_each_dialect(table: str, dialect: str) -> None:
    ddl = warehouse_ddl(contract(table), dialect)  # type: ignore[arg-type]
    parsed = sqlglot.parse_one(ddl, dialect=dialect)
    assert isinstance(parsed, sqlglot.exp.Create)
    assert len(list(parsed.find_all(sqlglot.exp.ColumnDef))) == len(contract(table).columns)


def test_iceberg_ddl_escapes_quotes_in_descriptions() -> None:
    assert "The line\\'s number within its order" in iceberg_ddl(FACT)


@pytest.mark.parametrize("engine", ["spark", "postgres", "redshift"])
def test_the_comparison_parses_in_each_engine(engine: str) -> None:
    query = figures_by_date(FACT, engine, "sales.fact")  # type: ignore[arg-type]
    assert sqlglot.parse_one(query, dialect=engine).find(sqlglot.exp.Sum)


def test_a_table_as_declared_needs_nothing() -> None:
    assert not compare(FACT, AS_DECLARED).needed
    require_current(FACT, "lake", AS_DECLARED)


def test_an_added_optional_column_asks_for_migrate() -> None:
    wider = replace(FACT, columns=(*FACT.columns, Column("channel", "string", required=False)))
    assert [column.name for column in compare(wider, AS_DECLARED).added] == ["channel"]
    with pytest.raises(ContractError, match=r"no column channel.*feira migrate"):
        require_current(wider, "lake", AS_DECLARED)


@pytest.mark.parametrize(
    ("existing", "message"),
    [
        (AS_DECLARED | {"quantity": "bigint"}, "column quantity is bigint in the table and int"),
        (AS_DECLARED | {"amount": "decimal(20,4)"}, "amount is decimal"),
        (AS_DECLARED | {"channel": "string"}, "channel .string. is in the table and no longer"),
        (
            {name: type_ for name, type_ in AS_DECLARED.items() if name != "sku"},
            "column sku is new and required",
        ),
    ],
)
def test_what_a_table_cannot_take_is_refused(existing: dict[str, str], message: str) -> None:
    with pytest.raises(ContractError, match=message) as refusal:
        require_current(FACT, "lake", existing)
    assert "Nothing was written" in str(refusal.value)


def test_an_unknown_type_is_refused_by_name(tmp_path: Path) -> None:
    text = (contracts_folder() / "sales.fx_rates.odcs.yaml").read_text()
    path = tmp_path / "x.odcs.yaml"
    path.write_text(text.replace("physicalType: date", "physicalType: money"))
    with pytest.raises(ContractError, match="column rate_date has physicalType 'money'"):
        read_contract(path)


def test_an_unknown_table_is_named_with_those_there_are() -> None:
    with pytest.raises(ContractError, match=r"No contract for 'sales\.facts'.*sales\.fact"):
        contract("sales.facts")
