"""Contracts: valid ODCS, what follows from them, and what an existing table cannot take."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlglot
import yaml

from feira.core.contracts import Column, ContractError, contract, contracts
from feira.core.contracts.ddl import iceberg_ddl, warehouse_ddl
from feira.core.contracts.document import Node, parse_yaml, require_odcs
from feira.core.contracts.evolution import Evolution, Stored, compare, require_current
from feira.core.contracts.model import Lookup
from feira.core.contracts.reader import read_contract
from feira.core.contracts.registry import (
    BUILT_SCHEMA,
    AssetName,
    asset_name,
    contract_files,
    contracts_folder,
    on_server,
    stored_in,
    whole_contract,
)
from feira.core.errors import Remedy
from feira.core.warehouse.fingerprint import figures_by_date
from feira.sales.line_kinds import line_kinds
from feira.sales.published import PUBLISHED

ALL = sorted(contracts())
FACT = contract("sales.fact")
FACT_TEXT = whole_contract("sales.fact")
AS_DECLARED = {column.name: column.type for column in FACT.columns}


@pytest.mark.parametrize("path", contract_files().values(), ids=lambda p: p.stem)
def test_a_contract_is_valid_odcs(path: Path, tmp_path: Path) -> None:
    from datacontract.data_contract import DataContract

    whole = tmp_path / path.name
    whole.write_text(whole_contract(path.name.removesuffix(".odcs.yaml")))
    for file in (path, whole):
        run = DataContract(data_contract_file=str(file)).lint()
        assert run.result == "passed", [check.reason for check in run.checks]


@pytest.mark.parametrize("table", ALL)
def test_a_contract_says_what_a_table_needs(table: str) -> None:
    declared = contract(table)
    assert declared.primary_key, "without a key nothing can be merged or compared"
    assert all(column.description for column in declared.columns)
    assert set(declared.primary_key) <= set(declared.required_columns)


@pytest.mark.parametrize("table", [each for each in ALL if contract(each).asset])
def test_an_asset_is_named_as_its_whole_contract_says(table: str) -> None:
    whole = contract(table)
    assert asset_name(table) == AssetName(
        whole.id, whole.version, str(whole.asset), whole.servers[-1]
    )


def test_an_asset_is_named_without_the_parsers_of_rules_and_of_the_standard() -> None:
    program = (
        "import sys; from feira.core.contracts.registry import asset_name; "
        "print(asset_name('sales.fact').asset, {'sqlglot', 'jsonschema_rs'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (f"{FACT.asset} set()\n", "")


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        ("property: feira.asset", "property: feira.assets", "feira.assets"),
        ("value: sales_fact", "value: [sales_fact]", "sales_fact"),
        ("value: sales_fact", 'value: " "', "' '; state it"),
        ("property: feira.asset", "property: other", "names no asset"),
        (
            "  - property: feira.asset",
            "  - {property: feira.asset, value: another}\n  - property: feira.asset",
            "feira.asset",
        ),
        ("customProperties:", "customProperties: [a text]\nothers:", "customProperties"),
    ],
)
def test_an_asset_that_is_not_plainly_named_is_refused(
    there: str, instead: str, said: str, tmp_path: Path
) -> None:
    for path in contract_files().values():
        (tmp_path / path.name).write_text(path.read_text())
    fact = tmp_path / "sales.fact.odcs.yaml"
    text = fact.read_text()
    assert there in text
    fact.write_text(text.replace(there, instead, 1))
    with pytest.raises(ContractError, match=re.escape(said)):
        asset_name("sales.fact", tmp_path)


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


def test_what_is_required_is_not_null_in_every_schema() -> None:
    required = set(FACT.required_columns)
    assert "quantity" in required and "country" not in required
    iceberg, warehouse = iceberg_ddl(FACT), warehouse_ddl(FACT)
    for column in FACT.columns:
        stated = f"{column.name} {column.type} NOT NULL COMMENT" in iceberg
        kept = re.search(rf"^  {column.name} \S+ NOT NULL,?$", warehouse, re.MULTILINE)
        assert (stated, kept is not None) == ((column.name in required),) * 2


def test_a_type_that_the_warehouse_has_not_is_named() -> None:
    with pytest.raises(ContractError, match=r"broken_rules .*array<string> .*no type"):
        warehouse_ddl(contract("sales.quarantine"))


def test_a_column_that_there_is_not_is_named() -> None:
    with pytest.raises(ContractError, match=r"feira\.sales\.fact .*'nix'"):
        FACT.column("nix")


@pytest.mark.parametrize("limit", [0, 0.5, 100])
def test_a_gate_and_a_length_may_be_at_their_limits(tmp_path: Path, limit: float) -> None:
    whole = contract_files()["sales.landing"].read_text()
    for length in (1, 16_383):
        path = tmp_path / "x.odcs.yaml"
        text = whole.replace("mustBeLessOrEqualTo: 5", f"mustBeLessOrEqualTo: {limit}")
        path.write_text(text.replace("maxLength: 1000", f"maxLength: {length}"))
        found = read_contract(path)
        assert found.max_invalid_percent == limit
        assert found.column("description").max_length == length


@pytest.mark.parametrize("physical", ["decimal(1,0)", "decimal(38,38)", "decimal(1,1)"])
def test_a_decimal_may_be_at_its_limits(tmp_path: Path, physical: str) -> None:
    whole = whole_contract("sales.fact")
    path = tmp_path / "x.odcs.yaml"
    path.write_text(whole.replace("decimal(18,8)", physical))
    assert read_contract(path).column("fx_rate").type == physical


def test_what_is_missing_is_named_with_the_line_of_what_it_is_missing_in(tmp_path: Path) -> None:
    text = contract_files()["sales.landing"].read_text()
    text = text.replace("    physicalName: sales.landing\n", "")
    number = text.split("\n").index("  - name: landing") + 1
    path = tmp_path / "x.odcs.yaml"
    path.write_text(text)
    with pytest.raises(ContractError, match=rf"line {number}: physicalName .*None"):
        read_contract(path)


def test_a_contract_holds_what_its_file_says() -> None:
    assert FACT.description.startswith(yaml.safe_load(FACT_TEXT)["schema"][0]["description"])
    assert FACT.column("customer_id").classification == "confidential"
    assert FACT.column("quantity").description == "Units; negative only on a cancelled line."
    assert FACT.version == yaml.safe_load(FACT_TEXT)["version"]
    rules = {rule.name: rule for rule in contract("sales.landing").row_rules}
    assert rules["quantity_zero"].description == "A line of nothing."
    assert rules["quantity_zero"].broken_when == "quantity = 0"
    named = contract("sales.landing").rule_names
    assert (named["order_id"], named["fx_rate"]) == ("string", "decimal(18,8)")


def test_a_table_without_a_description_has_an_empty_one(tmp_path: Path) -> None:
    whole = contract_files()["sales.load_ledger"].read_text()
    described = "    description: Written in the transaction of the load itself.\n"
    path = tmp_path / "sales.load_ledger.odcs.yaml"
    for said, wanted in (("", ""), ("    description: Loads.\n", "Loads.")):
        path.write_text(whole.replace(described, said))
        assert read_contract(path).description == wanted


def test_a_file_that_declares_another_table_than_its_name_is_refused(tmp_path: Path) -> None:
    whole = whole_contract("sales.fact")
    (tmp_path / "sales.facts.odcs.yaml").write_text(whole)
    with pytest.raises(ContractError, match=r"sales\.facts\.odcs\.yaml declares 'sales\.fact'"):
        contract("sales.facts", tmp_path)


@pytest.mark.parametrize(
    "note",
    [
        "tags: [a]",
        "businessImpact: b",
        "method: m",
        "authoritativeDefinitions: []",
        "customProperties: [{property: ours, value: 1}]",
        "id: x",
    ],
)
def test_a_rule_may_be_explained_in_odcs_own_words(tmp_path: Path, note: str) -> None:
    whole = contract_files()["sales.landing"].read_text()
    path = tmp_path / "x.odcs.yaml"
    for engine in ("spark", "feira-gate"):
        line = f"        engine: {engine}\n"
        path.write_text(whole.replace(line, f"{line}        {note}\n", 1))
        assert read_contract(path) == contract("sales.landing")


def test_a_hidden_file_is_no_contract(tmp_path: Path) -> None:
    (tmp_path / ".#sales.fact.odcs.yaml").symlink_to("me@host.123:456")
    assert not contract_files(tmp_path)


def test_a_folder_without_contracts_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=rf"No \*\.odcs\.yaml in {re.escape(str(tmp_path))}"):
        contracts(tmp_path)


@pytest.mark.parametrize("engine", ["spark", "postgres", "redshift"])
def test_the_comparison_parses_in_each_engine(engine: str) -> None:
    query = figures_by_date(PUBLISHED, engine, "sales.fact")  # type: ignore[arg-type]
    assert sqlglot.parse_one(query, dialect=engine).find(sqlglot.exp.Sum)


def test_a_table_as_declared_needs_nothing() -> None:
    declared = Stored(AS_DECLARED, frozenset(FACT.required_columns))
    assert compare(FACT, declared) == Evolution(FACT.table)
    require_current(FACT, "lake", compare(FACT, declared))


def test_an_added_optional_column_asks_for_migrate() -> None:
    wider = replace(FACT, columns=(*FACT.columns, Column("gift_note", "string", required=False)))
    change = compare(wider, Stored(AS_DECLARED))
    assert [column.name for column in change.added] == ["gift_note"]
    with pytest.raises(ContractError, match="no column gift_note") as refusal:
        require_current(wider, "lake", change)
    assert refusal.value.remedy is Remedy.MIGRATE


def test_a_column_that_need_no_longer_have_a_value_asks_for_migrate() -> None:
    stored = Stored(AS_DECLARED, frozenset([*FACT.required_columns, "country", "customer_id"]))
    change = compare(FACT, stored)
    assert change == Evolution(
        FACT.table, relaxed=(FACT.column("customer_id"), FACT.column("country"))
    )
    with pytest.raises(
        ContractError, match="column customer_id takes no null, column country"
    ) as refusal:
        require_current(FACT, "lake", change)
    assert refusal.value.remedy is Remedy.MIGRATE


def test_a_column_that_has_become_required_is_no_difference() -> None:
    assert compare(FACT, Stored(AS_DECLARED)) == Evolution(FACT.table)


@pytest.mark.parametrize(
    ("existing", "message"),
    [
        (AS_DECLARED | {"quantity": "bigint"}, "column quantity is bigint in the table and int"),
        (AS_DECLARED | {"amount": "decimal(20,4)"}, "amount is decimal"),
        (AS_DECLARED | {"gift_note": "string"}, "gift_note .string. is in the table and no longer"),
        (
            {name: type_ for name, type_ in AS_DECLARED.items() if name != "sku"},
            "column sku is new and required",
        ),
    ],
)
def test_what_a_table_cannot_take_is_refused(existing: dict[str, str], message: str) -> None:
    with pytest.raises(ContractError, match=message) as refusal:
        require_current(FACT, "lake", compare(FACT, Stored(existing)))
    assert "Nothing was written" in str(refusal.value)


@pytest.mark.parametrize("type_", ["string", "int", "bigint", "boolean"])
def test_a_field_of_a_landed_line_is_of_a_type_that_json_has(tmp_path: Path, type_: str) -> None:
    logical = {"string": "string", "boolean": "boolean"}.get(type_, "integer")
    field = (
        f"      - {{name: gift, logicalType: {logical}, physicalType: {type_}, description: x}}\n"
    )
    path = stated(tmp_path, "    properties:\n", f"    properties:\n{field}")
    assert read_contract(path).column("gift").type == type_


def test_an_unknown_type_is_refused_by_name(tmp_path: Path) -> None:
    text = contract_files()["sales.fx_rates"].read_text()
    path = tmp_path / "x.odcs.yaml"
    path.write_text(text.replace("physicalType: date", "physicalType: money"))
    with pytest.raises(ContractError, match=r"rate_date .*physicalType 'money'"):
        read_contract(path)


# (contract, text in it, what stands there instead, what the error names)
IN_PART = "      customProperties: [{property: feira.x, value: 1}]\n"
RULE = (
    "    quality:\n      - {name: x, type: custom, engine: spark, implementation: quantity = 0}\n"
)
ENUM = "physicalType: string\n        enum:\n          - value: A\n"
CUSTOM = "    customProperties:\n      - {property: feira.partition, value: x}\n"
RELATED = "    relationships:\n      - {from: fact.sku, to: product.sku}\n"
SQL_RULE = (
    "- {name: x, type: sql, query: SELECT 1, mustBe: 0}\n      - name: y\n        type: custom"
)
METRIC_RULE = "- {name: x, metric: nullValues, mustBe: 0}\n      - name: y\n        type: custom"
BIGINT = "        physicalType: bigint"
ITEMS = "          logicalType: string\n          physicalType: string"
SERVERS = "servers:\n  - server: landing\n    type: custom\n    description: Gzip NDJSON below landing/ in the lake.\n"
TWICE = "  - {property: feira.asset, value: x}\n  - property: feira.asset"
GIVEN = "  - {property: feira.inputs, value: [{name: a, type: date}]}\n  - property: feira.asset"
REFUSED = [
    ("sales.landing", "    required: true", "    requird: true", "did you mean 'required'"),
    (
        "sales.landing",
        "    required: true",
        '    required: "yes"',
        '"yes" is not of type "boolean"',
    ),
    ("sales.landing", "    required: true", "    required: 1", '1 is not of type "boolean"'),
    ("sales.landing", "engine: spark", "engine: Spark", "order_id_blank: engine 'Spark'"),
    ("sales.landing", "engine: spark", "engine: soda", "engine 'soda'"),
    ("sales.landing", "engine: feira-gate", "engine: feira_gate", "engine 'feira_gate'"),
    (
        "sales.landing",
        "type: custom\n        engine: spark",
        "type: sql",
        '"query" is a required',
    ),
    (
        "sales.landing",
        "type: custom\n        engine: spark",
        "type: text",
        "no key 'implementation'",
    ),
    ("sales.landing", "unit: percent", "unit: rows", "unit is 'rows'"),
    ("sales.landing", "unit: percent", "", "unit is None"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessThan: 5", "mustBeLessThan"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "", "mustBeLessOrEqualTo is None"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: 100.5", "100.5"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: -1", "-1"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: .nan", ".nan is no number"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: true", "true is not"),
    ("sales.landing", "engine: spark", "engine: feira-gate", "there is a gate already"),
    ("sales.landing", "engine: spark", "engine: spark\n        mustBe: 0", "mustBe"),
    ("sales.landing", "name: sku_blank", "name: order_id_blank", "order_id_blank is declared more"),
    (
        "sales.landing",
        "      - name: country\n",
        "      - name: extract_day\n",
        "validation adds it to each line",
    ),
    ("sales.landing", "name: sku_blank", "nam: sku_blank", "did you mean 'name'"),
    ("sales.landing", "name: sku_blank", "name: ''", "name is ''"),
    ("sales.landing", "name: sku_blank", "name: sku_type", "follows from the properties"),
    ("sales.landing", "name: sku_blank", "name: duplicate_key", "follows from the properties"),
    ("sales.landing", "implementation: >-", "implementaton: >-", "did you mean 'implementation'"),
    ("sales.landing", "line_number < 1", "", "implementation is ''"),
    ("sales.landing", "name: quantity\n", "name: sku\n", "column sku is declared more than once"),
    ("sales.landing", "maxLength: 1000", "maxlength: 1000", "did you mean 'maxLength'"),
    ("sales.landing", "maxLength: 1000", "pattern: x", "no key 'pattern'"),
    ("sales.landing", "maxLength: 1000", "maxLength: 0", "maxLength 0"),
    ("sales.landing", "maxLength: 1000", "maxLength: 16384", "maxLength 16384"),
    ("sales.landing", "primaryKeyPosition: 2", "primaryKeyPosition: 1", "both have"),
    (
        "sales.landing",
        "primaryKeyPosition: 2",
        "primaryKeyPosition: 3",
        "primaryKeyPosition 3 of 2",
    ),
    ("sales.landing", "primaryKeyPosition: 2", "", "go together"),
    ("sales.landing", "primaryKey: true", "primaryKey: false", "go together"),
    ("sales.landing", "logicalType: integer", "logicalType: string", "has logicalType integer"),
    *(
        ("sales.landing", f"integer\n{BIGINT}", f"{other}\n{BIGINT}", "has logicalType integer")
        for other in ("date", "string")
    ),
    ("sales.landing", "server: landing", "server: landin", "server 'landin'"),
    ("sales.landing", "physicalType: file", "physicalType: fil", "physicalType is 'fil'"),
    ("sales.landing", "kind: DataContract", "kind: DataProduct", "DataProduct"),
    ("sales.landing", "apiVersion: v3.1.0", "apiVersion: v3.0.0", "v3.0.0"),
    ("sales.landing", "version: 1.0.0", "version: 1.0", '1.0 is not of type "string"'),
    ("sales.landing", "version: 1.0.0", "version: 1.0.0\nversion: 2.0.0", "on line"),
    ("sales.landing", "version: 1.0.0", "", "version is None"),
    ("sales.landing", "    required: true", "    required: true\n        unique: true", "unique"),
    ("sales.fact", "property: feira.asset", "property: feira.aset", "'feira.aset'"),
    ("sales.fact", "property: feira.asset", "property: feira.partition", "'feira.partition'"),
    ("sales.fact", "value: sales_fact", "value: ''", "value is ''"),
    *(
        ("sales.landing", "name: sku_blank", f"name: sku_{suffix}", "follows from the properties")
        for suffix in ("absent", "null", "type", "too_long")
    ),
    ("sales.landing", "name: sku_blank", "name: duplicate_key", "follows from the properties"),
    ("sales.landing", "name: sku_blank", "name: line_unreadable", "follows from the properties"),
    *(
        (
            "sales.fact",
            "      - name: sku\n",
            f"      - name: sku\n        {text}\n",
            problem,
        )
        for text, problem in (
            ("encryptedName: x", "is not supported"),
            ("physicalName: x", "is not supported"),
            ("quality: [{metric: nullValues}]", "is not supported"),
            ("relationships: [{to: x.y}]", "is not supported"),
            ("properties: [{name: x}]", "no key 'properties' in ODCS"),
            ("map: {key: {logicalType: string}}", "no key 'map' in ODCS"),
        )
    ),
    ("sales.fact", "      - name: sku\n", "      - name: sku\n  " + IN_PART, "contract itself"),
    (
        "sales.landing",
        "        engine: spark\n",
        "        engine: spark\n  " + IN_PART,
        "contract itself",
    ),
    ("sales.fact", "value: shipped", "value: 5", "enum lists different texts"),
    ("sales.fact", "value: shipped", "value: no", "no is of another type"),
    ("sales.fact", "value: shipped", "value: failed", "has non-unique elements"),
    ("sales.fact", "value: shipped", "val: shipped", "did you mean 'value'"),
    ("sales.fact", "decimal(18,4)", "decimal(40,4)", "decimal(40,4)"),
    ("sales.fact", "decimal(18,4)", "decimal(39,4)", "decimal(39,4)"),
    ("sales.fact", "decimal(18,4)", "decimal(0,0)", "decimal(0,0)"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: 100.1", "is 100.1"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: -0.1", "is -0.1"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: 005", "005 is of another"),
    ("sales.landing", "mustBeLessOrEqualTo: 5", "mustBeLessOrEqualTo: 1:30", "1:30 is of another"),
    ("sales.landing", "maxLength: 1000", "maxLength: 1_000", "1_000 is of another type"),
    ("sales.landing", "maxLength: 1000", "maxLength: 0b11", "0b11 is of another type"),
    ("sales.landing", "required: true", "required: yes", "yes is of another type in YAML 1.1"),
    ("sales.landing", "status: active", "status: retired", "status is 'retired'; of a contract in"),
    ("sales.landing", "status: active", "status: Active", "status is 'Active'"),
    ("sales.landing", "status: active", "status: ''", "status is ''"),
    ("sales.landing", "maxLength: 1000", "maxLength: 16384", "maxLength 16384"),
    ("sales.landing", "maxLength: 1000", "maxLength: 0", "maxLength 0"),
    ("sales.landing", "apiVersion: v3.1.0", "apiVersion: v3.2.0", "v3.2.0"),
    (
        "sales.fact",
        "        physicalType: int\n",
        "        " + ENUM.replace("string", "int"),
        "an enum lists",
    ),
    ("sales.fact", "decimal(18,4)", "decimal(4,18)", "decimal(4,18)"),
    ("sales.fact", "partitionKeyPosition: 1", "", "go together"),
    ("sales.quarantine", "        items:\n", "        itms:\n", "did you mean 'items'"),
    ("sales.landing", "          maxLength: 1000\n", "", "logicalTypeOptions has no value"),
    ("sales.landing", "required: true", "required:", "required has no value"),
    ("sales.landing", "    quality:\n", "    quality:\n    tags:\n", "quality has no value"),
    ("sales.fact", "customProperties:\n", "customProperties:\ntags:\n", "customProperties has no"),
    ("sales.landing", "quantity = 0", "${object}.quantity = 0", "placeholder"),
    ("sales.landing", "quantity = 0", "{ property } = 0", "placeholder"),
    ("sales.landing", "quantity = 0", "quantity = ${spark.app.id}", "placeholder"),
    ("sales.landing", "engine: spark", "engine: spark\n        severity: warning", "'warning'"),
    ("sales.landing", "severity: error", "severity: info", "severity 'info'"),
    ("sales.fact", "    properties:\n", RULE + "    properties:\n", "on a landing or a topic"),
    ("web.user_events", "engine: spark", "engine: feira-gate", "a gate is evaluated on a landing"),
    ("web.user_events", "server: topic", "server: warehouse", "on a landing or a topic"),
    ("web.user_events", "server: lake", "server: warehouse", "a double is for a table of the lake"),
    ("sales.landing", "physicalType: string\n", ENUM, "enum is not checked on a landing"),
    ("sales.landing", "physicalName: sales.landing", "physicalName: landing", "'landing'; it must"),
    ("sales.landing", "physicalName: sales.landing", "physicalName: a.sales.x", "'a.sales.x'"),
    ("sales.landing", "physicalName: sales.landing", "physicalName: sales.Order", "'sales.Order'"),
    (
        "sales.landing",
        "physicalName: sales.landing",
        "physicalName: sales.order",
        "order is reserved",
    ),
    ("sales.landing", "physicalName: sales.landing", "physicalName: user.x", "user is reserved by"),
    (
        "sales.landing",
        "Name: sales.landing",
        "Name: sales.x; DROP TABLE y",
        "'sales.x; DROP TABLE y'",
    ),
    ("sales.fact", "- server: lake", "- server: warehouse", "is a duplicate"),
    ("sales.fact", "property: feira.asset", "property: Feira.asset", "'Feira.asset'"),
    ("sales.fact", "property: feira.asset", "property: ' feira.asset'", "' feira.asset'"),
    (
        "sales.fact",
        "    properties:\n",
        CUSTOM + "    properties:\n",
        "belongs to the contract itself",
    ),
    ("sales.fact", "    properties:\n", RELATED + "    properties:\n", "relationships are not"),
    ("sales.fact", "decimal(18,4)", "decimal(\u0661\u0668,4)", "has physicalType"),
    (
        "sales.fact",
        "decimal(18,4)",
        "double",
        "column unit_price: a double is for a table of the lake",
    ),
    *(
        (
            "sales.landing",
            f"        logicalType: integer\n{BIGINT}",
            f"        logicalType: {logical}\n        physicalType: {physical}",
            f"column customer_id is of type {physical.replace(' ', '')}; a field of a landed line",
        )
        for logical, physical in (
            ("number", "decimal(18,4)"),
            ("number", "decimal(18, 4)"),
            ("number", "double"),
            ("date", "date"),
            ("timestamp", "timestamp"),
            (
                "array\n        items: {logicalType: string, physicalType: string}",
                "array<string>",
            ),
        )
    ),
    ("marts.daily_revenue", "decimal(38,4)", "double", "a double is for a table of the lake"),
    (
        "sales.landing",
        "        required: true\n        primaryKey",
        "        primaryKey",
        "not required",
    ),
    ("sales.landing", "primaryKeyPosition: 1", "primaryKeyPosition: 0", "primaryKeyPosition 0 of"),
    ("sales.landing", "name: sku_blank", "name: Sku_blank", "'Sku_blank' must be lower_snake_case"),
    ("sales.landing", SERVERS, "servers: []\n", "no servers"),
    ("sales.landing", "maxLength: 1000", "maxLength: 5.0", "maxLength 5.0"),
    (
        "sales.landing",
        "- name: order_id_blank\n        type: custom",
        SQL_RULE,
        "'sql' is not eval",
    ),
    ("sales.landing", "- name: order_id_blank\n        type: custom", METRIC_RULE, "type None is"),
    (
        "sales.landing",
        "mustBeLessOrEqualTo: 5",
        "mustBeLessOrEqualTo: 5\n        mustBeGreaterThan: 1",
        "a gate, has no key 'mustBeGreaterThan'",
    ),
    (
        "sales.quarantine",
        ITEMS,
        ITEMS.replace("logicalType: string", "logicalType: integer"),
        "items of array",
    ),
    (
        "sales.quarantine",
        ITEMS,
        ITEMS.replace("physicalType: string", "physicalType: text"),
        "items of array",
    ),
    ("sales.quarantine", "        items:\n" + ITEMS, "", "items belong to an array"),
    ("sales.fact", "  - property: feira.asset", TWICE, "may be stated once"),
    ("sales.fact", "  - property: feira.asset", GIVEN, "on a landing or a topic"),
    (
        "sales.landing",
        "maxLength: 1000",
        "maxLangth: 1000\n          maxLongth: 1",
        "no key 'maxLangth'",
    ),
    (
        "sales.landing",
        "logicalType: string",
        "logicalType: text",
        "'text', unknown to ODCS; it may",
    ),
]


@pytest.mark.parametrize(("table", "text", "instead", "named"), REFUSED)
def test_what_a_contract_says_and_the_reader_does_not_know_is_refused_with_its_line(
    tmp_path: Path, table: str, text: str, instead: str, named: str
) -> None:
    whole = FACT_TEXT if table == "sales.fact" else contract_files()[table].read_text()
    assert text in whole
    path = tmp_path / f"{table}.odcs.yaml"
    path.write_text(whole.replace(text, instead, 1))
    with pytest.raises(ContractError, match=re.escape(named)) as refusal:
        read_contract(path)
    assert re.match(rf"{re.escape(path.name)}, line \d+: ", str(refusal.value))


@pytest.mark.parametrize("server", ["lake", "warehouse", "topic", "nowhere"])
def test_on_a_server_are_the_contracts_that_name_it(server: str) -> None:
    assert on_server(server) == tuple(c for c in contracts().values() if server in c.servers)


@pytest.mark.parametrize("broken", ["servers: warehouse", "servers: [warehouse]"])
def test_a_contract_of_another_server_is_not_judged_unless_it_hides_which(
    tmp_path: Path, broken: str
) -> None:
    text = whole_contract("sales.landing")
    landing = tmp_path / "sales.landing.odcs.yaml"
    landing.write_text(text.replace("status: active", "status: retired"))
    (tmp_path / "sales.load_ledger.odcs.yaml").write_text(whole_contract("sales.load_ledger"))
    assert [each.table for each in on_server("warehouse", tmp_path)] == ["sales.load_ledger"]
    with pytest.raises(ContractError, match=r"sales\.landing.* status is 'retired'"):
        on_server("landing", tmp_path)
    landing.write_text(re.sub(r"servers:\n( .*\n)+", f"{broken}\n", text))
    with pytest.raises(ContractError, match=r"sales\.landing.*servers"):
        on_server("warehouse", tmp_path)


def test_two_domains_cannot_have_one_table(tmp_path: Path) -> None:
    for domain in ("billing", "sales"):
        (tmp_path / domain).mkdir()
        (tmp_path / domain / "sales.fact.odcs.yaml").write_text(FACT_TEXT)
    with pytest.raises(ContractError) as refusal:
        contract_files(tmp_path)
    for domain in ("billing", "sales"):
        assert str(tmp_path / domain / "sales.fact.odcs.yaml") in str(refusal.value)


def test_an_unknown_key_is_named_with_the_line_it_is_on(tmp_path: Path) -> None:
    lines = contract_files()["sales.landing"].read_text().split("\n")
    number = next(n for n, each in enumerate(lines, start=1) if "maxLength: 1000" in each)
    lines[number - 1] = lines[number - 1].replace("maxLength", "maxSize")
    path = tmp_path / "x.odcs.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ContractError, match=rf"^x\.odcs\.yaml, line {number}: "):
        read_contract(path)


@pytest.mark.parametrize(
    "text",
    ["", "# nothing", "- 1", "5", "a: [", "a: 1\n---\nb: 2", "\x00", "[" * 1500, "a: &a [*a]"],
    ids=range(9),
)
def test_a_file_that_is_no_contract_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.odcs.yaml"
    path.write_text(text)
    with pytest.raises(ContractError, match=r"^x\.odcs\.yaml"):
        read_contract(path)


def test_a_file_that_is_no_utf_8_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.odcs.yaml"
    path.write_bytes(b"a: \xff")
    with pytest.raises(ContractError, match=r"^x\.odcs\.yaml .*YAML.*0xff"):
        read_contract(path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("b: 1\na: 1\nc: 1\na: 1\n", "x, line 4: the key 'a' is on line 2 already"),
        ("a: 1\nb: 010\n", "x, line 2: 010 is of another type"),
        ("a: 1\nb:\n  - c: no\n", "x, line 3: no is of another type"),
        ("a: 1\n5: x\n", "x, line 2: the key 5 is no text"),
        ("a: 1\nb: [1\nc: 2\n", "x, line 3, is not one YAML document"),
        ("a: 1\n\nb:\n  c:\n", "x, line 4: c has no value"),
        ("a: 1\nb:\n  - [{c: 1}, {d: }]\n", "x, line 3: d has no value"),
        ("a: " + "1" * 301, "x, line 1: it has a number of 301 characters; 300 are"),
        ("a: 1\nb: -.inf", "x, line 2: -.inf is no number"),
        ("- 1", "x is empty or no mapping"),
    ],
)
def test_what_is_no_usable_yaml_is_named_with_its_line(text: str, named: str) -> None:
    with pytest.raises(ContractError) as refusal:
        parse_yaml(text, "x")
    assert str(refusal.value).startswith(named)


def test_values_are_those_that_both_versions_of_yaml_read_alike() -> None:
    text = (
        "value:\nday: 2010-12-01\nnumbers: [0x1F, -5, 1.5, true]\nbase: &base {a: 1, b: 2}\n"
        f"made: {{<<: *base, b: 3}}\nlong: {'1' * 300}\n"
    )
    found = parse_yaml(text, "x")
    assert found == {
        "value": None,
        "day": "2010-12-01",
        "numbers": [31, -5, 1.5, True],
        "base": {"a": 1, "b": 2},
        "made": {"a": 1, "b": 3},
        "long": int("1" * 300),
    }
    made = found["made"]
    assert isinstance(made, Node)
    assert (made.source, made.line, found.lines["made"], made.lines["b"]) == ("x", 5, 5, 5)


def test_a_document_may_have_200_000_values_by_its_aliases() -> None:
    text = (
        "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n"  # 10 values with the list itself
        f"b: &b [{'*a, ' * 99}1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        f"c: [{', '.join(['*b'] * 198)}]\n"
        f"d: [{', '.join('1' * 987)}]\n"
    )
    assert len(parse_yaml(text, "x")["c"]) == 198
    with pytest.raises(ContractError, match=r"200,001 values .*200,000"):
        parse_yaml(text + "e: 1\n", "x")


@pytest.mark.parametrize("version", ["v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0"])
def test_a_document_of_any_version_of_odcs_3_is_read(version: str) -> None:
    text = f"apiVersion: {version}\nkind: DataContract\nid: x\nversion: '1'\nstatus: active\n"
    document = parse_yaml(text, "x")
    assert require_odcs(document) is document
    for other in ("v2.2.2", "v4.0.0", version[1:]):
        with pytest.raises(ContractError, match=f"line 1: apiVersion .*'{other}'"):
            require_odcs(parse_yaml(text.replace(version, other), "x"))
    with pytest.raises(ContractError, match=r"x, line 5: status .*'retired'"):
        require_odcs(parse_yaml(text.replace("active", "retired"), "x"))


PROPERTIES = """apiVersion: v3.1.0
kind: DataContract
id: x
version: '1'
status: active
schema:
  - name: x
    properties:
      - name: tags
        logicalType: array
        items: {logicalTypeOptions: {maxLength: 5}}
      - name: y
        logicalType: integer
        required: true
"""


@pytest.mark.parametrize(
    ("text", "instead", "named"),
    [
        ("required", "requird", "line 14: schema.0.properties.1 has no key 'requird' in ODCS; did"),
        (
            "required: true",
            "requird: true\n        uniqe: true",
            "line 14: schema.0.properties.1 has no key 'requird'",
        ),
        ("required: true", "required: 1", "line 14: schema.0.properties.1.required: 1 is not of"),
        ("logicalType: integer", "logicalType: int", "line 13: schema.0.properties.1.logicalType"),
        ("- name: y\n        logical", "- logical", 'line 12: schema.0.properties.1: "name" is a'),
        ("- name: y\n", "- nme: y\n", "line 12: schema.0.properties.1 has no key 'nme'"),
        ("maxLength: 5", "maxLenght: 5", "line 11: schema.0.properties.0.items.logicalTypeOptions"),
        (
            "required: true",
            f"required: '{'x' * 300}'",
            f'line 14: schema.0.properties.1.required: "{"x" * 199}.',
        ),
        # Of several faults it is the deepest, and of those as deep a cause before a key that is left over.
        (
            "logicalTypeOptions: {",
            "logicalTypeOption: {",
            "line 11: schema.0.properties.0.items has no key 'logicalTypeOption'",
        ),
        (
            "5}}\n      - name: y\n",
            "5}}\n        metric: x\n      - nme: y\n",
            "line 13: schema.0.properties.1 has no key 'nme'",
        ),
        (
            "required: true",
            "pattern: x",
            "line 14: schema.0.properties.1 has no key 'pattern' in ODCS.",
        ),
        ("id: x", "idd: x", "line 3: the document has no key 'idd' in ODCS; did you mean 'id'?"),
    ],
)
def test_what_odcs_does_not_know_is_named_with_place_and_line(
    text: str, instead: str, named: str
) -> None:
    assert PROPERTIES.count(text) == 1
    require_odcs(parse_yaml(PROPERTIES, "x"))
    with pytest.raises(ContractError) as refusal:
        require_odcs(parse_yaml(PROPERTIES.replace(text, instead), "x"))
    assert str(refusal.value).startswith(f"x, {named}")


@pytest.mark.parametrize("expression", ["sku rlike r'^[0-9]{2,3}\\z'", "sku rlike r'a{2}'"])
def test_a_regular_expressions_braces_are_no_placeholder(tmp_path: Path, expression: str) -> None:
    whole = contract_files()["sales.landing"].read_text()
    path = tmp_path / "x.odcs.yaml"
    path.write_text(whole.replace("quantity = 0", expression))
    assert expression in [rule.broken_when for rule in read_contract(path).row_rules]


def test_a_contracts_texts_are_quoted_in_its_ddl() -> None:
    odd = replace(FACT, id="the shop's", version="1.0'", description="50 $ or ${x}")
    ddl = iceberg_ddl(odd)
    assert r"'feira.contract' = 'the shop\'s'" in ddl
    assert r"'feira.contract-version' = '1.0\''" in ddl
    assert "${x}" not in ddl


def test_two_gates_are_one_too_many(tmp_path: Path) -> None:
    whole = contract_files()["sales.landing"].read_text()
    gate = whole[whole.index("      - name: gate") : whole.index("      - name: order_id_blank")]
    path = tmp_path / "x.odcs.yaml"
    path.write_text(whole.replace(gate, gate + gate.replace("name: gate", "name: second")))
    with pytest.raises(ContractError, match=r"second: .*gate already"):
        read_contract(path)


def test_what_odcs_has_and_nothing_depends_on_is_allowed(tmp_path: Path) -> None:
    whole = contract_files()["sales.landing"].read_text()
    added = "tenant: shop\nsupport:\n  - channel: x\ntags: [a]\nteam:\n  name: sales-data\n"
    path = tmp_path / "x.odcs.yaml"
    path.write_text(whole.replace("team:\n  name: sales-data\n", added))
    assert read_contract(path) == contract("sales.landing")


def stated(tmp_path: Path, text: str, instead: str) -> Path:
    """The landing's contract with something else in it."""
    whole = contract_files()["sales.landing"].read_text()
    assert text in whole
    path = tmp_path / "x.odcs.yaml"
    path.write_text(whole.replace(text, instead, 1))
    return path


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("upper(sku) = 'X'", "upper"),
        ("sku rlike r'(?i)x'", "(?i"),
        ("sku rlike r'x$'", r"write \z"),
        (r"sku rlike r'\p{L}'", r"\p"),
        (r"sku rlike r'(x)\1'", r"\1"),
        ("sku rlike r'x++'", "'+'"),
        ("sku rlike r'[a[b]]'", "'['"),
        ("sku rlike r'x{1001}'", "1001"),
        ("sku rlike r'(x{40}){40}'", "1600"),
        ("sku rlike r'[b-a]'", "b-a"),
        ("sku rlike r'(x'", "not closed"),
        ("sku rlike status", "written out"),
        (r"sku = '\x'", "escape"),
        ("sku = 5", "string"),
        ("quantity = '5'", "different types"),
        ("created_time < '2010-12-01'", "different types"),
        ("created_time < timestamp'2010-12-01T00:00:00'", "with its zone"),
        ("cast(sku as int) = 1", "cast of string as int"),
        ("try_cast(unit_price as decimal(18,4)) = 1", "try_cast of string"),
        ("quantity + 1 = 2", "add"),
        ("quantity * 2 = 2", "two decimals"),
        ("quantity in (select 1)", "IN is only"),
        ("qantity = 0", "names qantity"),
        ("x.quantity = 0", "x.quantity"),
        ("quantity", "of type int, not boolean"),
        ("quantity = 0; select 1", "block"),
        ("random() < 1", "rand"),
        ("quantity =", "no SQL expression"),
        ("quantity between symmetric 2 and 1", "symmetric"),
    ],
)
def test_a_rule_that_the_engines_might_judge_differently_is_refused_by_name(
    tmp_path: Path, expression: str, named: str
) -> None:
    path = stated(tmp_path, "          quantity = 0\n", f"          {expression}\n")
    with pytest.raises(ContractError, match=re.escape(named)) as refusal:
        read_contract(path)
    assert re.match(r"x\.odcs\.yaml, line \d+: rule quantity_zero: ", str(refusal.value))


LOOKUP = "lookup: {companion: rates, equal: {currency: currency}}"


@pytest.mark.parametrize(
    ("text", "instead", "named"),
    [
        ("expression: zoned_time(created_at)", "expression: upper(created_at)", "upper"),
        ("expression: cast(created_time as date)", "expression: cast(amount as date)", "amount"),
        ("type: date\n        expression", "type: timestamp\n        expression", "of type date"),
        ("- name: amount\n", "- name: quantity\n", "'quantity'"),
        ("- name: amount\n", "- nam: amount\n", "'nam'"),
        ("- name: extract_day\n        type: date", "- name: extract_day", "type is None"),
        (
            "- name: extract_day\n        type: date",
            "- name: extract_day\n        type: day",
            "'day'",
        ),
        ("type: boolean", 'type: "boolean)\\t||\\t(select\\t1"', "it may be string,"),
        ("type: boolean", "type: decimal(38)", "'decimal(38)'"),
        ("companion: rates, value", "companion: '', value", "companion is ''"),
        ("newest: rate_date, ", "", "go together"),
        ("until: order_date", "until: created_at", "until is a date"),
        ("days: 7", "days: -1", "days is -1"),
        ("days: 7", "days: 366", "days is 366; it is a number of days up to 365"),
        ("days: 7", "day: 7", "'day'"),
        ("equal: {currency: currency}, newest", "equal: {curency: currency}, newest", "equal maps"),
        ("lookup: {companion: rates, equal: {currency: currency}}", "lookup: rates", "a mapping"),
        ("- property: feira.inputs", "- property: feira.input", "'feira.input'"),
        ("- name: amount\n", "- name: Amount\n", "'Amount' must be lower_snake_case"),
        (LOOKUP, LOOKUP + "\n        expression: quantity = 0", "without an expression beside it"),
        (LOOKUP, "lookup: {companion: rates}", "equal maps"),
        (LOOKUP, "lookup: {companion: rates, equal: {}}", "equal maps"),
        (LOOKUP, "lookup: {companion: rates, equal: currency}", "equal maps"),
        (LOOKUP, LOOKUP[:-1] + ", value: usd_rate}", "go together"),
        (LOOKUP, LOOKUP[:-1] + ", newest: rate_date}", "go together"),
        (LOOKUP, LOOKUP[:-1] + ", until: order_date}", "go together"),
        ("newest: rate_date, until: order_date, days: 7", "newest: rate_date", "go together"),
        ("until: order_date", "until: customer_id", "until is a date"),
        ("days: 7", "days: 1.5", "days is 1.5"),
        (LOOKUP, LOOKUP[:-1] + ", days: 3}", "days are those of"),
        (LOOKUP, LOOKUP[:-1] + ", days: 0}", "days are those of"),
        ("type: boolean", "type: decimal(18,4)", "a boolean, not decimal(18,4)"),
        ("type: boolean", "type: string", "a boolean, not string"),
        (LOOKUP, LOOKUP.replace("currency}}", "5}}"), "currency is 5"),
        ("value: usd_rate", "value: 5", "value is 5"),
        ("newest: rate_date", "newest: true", "newest is True"),
        *(
            ("- name: amount\n", f"- name: {name}\n", f"input {name} {problem}")
            for name, problem in (
                *((own, "is a name that the platform's own") for own in ("raw", "page", "row_id")),
                *((own, "is a name that the platform's own") for own in ("shape_rules", "old")),
                ("broken_rules", "is a name that the platform's own"),
                ("order", "is reserved by Spark"),
                ("ctid", "is a system column"),
                ("x" * 64, "has 64 characters"),
            )
        ),
        ("- name: extract_day", "- name: shop_id", "shop_id has neither an expression"),
        ("extract_day\n        type: date", "extract_day\n        type: string", "and a date"),
        (
            "- name: extract_day\n        type: date",
            "- name: extract_day\n        type: date\n        expression: date'2010-12-01'",
            "extract_day is given",
        ),
        ("days: 7", "days: true", "days is True"),
        (
            "    value:\n      - name: extract_day",
            "    value:\n      - x\n      - name: extract_day",
            "is a list of inputs",
        ),
        (
            "- property: feira.inputs\n",
            "- property: feira.inputs\n    value: {name: x}\n  - property: x\n",
            "is a list of inputs",
        ),
    ],
)
def test_an_input_of_the_rules_is_read_as_strictly(
    tmp_path: Path, text: str, instead: str, named: str
) -> None:
    with pytest.raises(ContractError, match=re.escape(named)):
        read_contract(stated(tmp_path, text, instead))


def test_an_input_of_a_topic_is_given_and_of_any_type(tmp_path: Path) -> None:
    types = ("string", "int", "bigint", "double", "boolean", "date", "timestamp", "decimal(38,0)")
    first = "      - name: earliest\n"
    added = "".join(f"      - {{name: a_{n}, type: '{type_}'}}\n" for n, type_ in enumerate(types))
    whole = contract_files()["web.user_events"].read_text()
    assert first in whole
    path = tmp_path / "x.odcs.yaml"
    path.write_text(whole.replace(first, added + first))
    inputs = read_contract(path).rule_inputs
    assert tuple(each.type for each in inputs[: len(types)]) == types
    path.write_text(whole.replace(first, f"{first}        expression: occurred_at\n"))
    with pytest.raises(ContractError, match="those of a topic are given"):
        read_contract(path)


def test_a_lookup_is_of_its_own_day_unless_it_says_otherwise(tmp_path: Path) -> None:
    first = "      - name: extract_day\n"
    added = f"      - name: known\n        type: boolean\n        {LOOKUP}\n"
    inputs = read_contract(stated(tmp_path, first, added + first)).rule_inputs
    assert inputs[0].lookup == Lookup("rates", {"currency": "currency"})
    days = [each.lookup.days for each in inputs if each.lookup is not None]
    assert days == [0, 7, 7, 0]


@pytest.mark.parametrize("value", ["true", "0", "-1", "1.5", "'2'", "8785", "99999999999999"])
def test_a_latency_is_a_whole_number(tmp_path: Path, value: str) -> None:
    with pytest.raises(ContractError, match=r"latency is .* whole number of d, h, m, up to 366"):
        read_contract(stated(tmp_path, "value: 2\n    unit: h", f"value: {value}\n    unit: h"))


@pytest.mark.parametrize(
    ("stated_as", "found"),
    [("3\n    unit: d", 72), ("8784\n    unit: h", 8784), ("90\n    unit: m", 1.5)],
)
def test_a_latency_is_in_days_hours_or_minutes(
    tmp_path: Path, stated_as: str, found: float
) -> None:
    path = stated(tmp_path, "value: 2\n    unit: h", f"value: {stated_as}")
    assert read_contract(path).latency == timedelta(hours=found)


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("latncy", r"line 60.* 'latncy' is no property of ODCS's; did you mean 'latency'\?"),
        ("Latenzy", "did you mean"),
        ("latency\n    value: 1\n    unit: h\n  - property: Ly", "latency is stated twice"),
    ],
)
def test_a_latency_that_is_misspelt_or_stated_twice_is_refused(
    tmp_path: Path, named: str, problem: str
) -> None:
    """Read over, nobody would be told that a day is late."""
    with pytest.raises(ContractError, match=problem):
        read_contract(stated(tmp_path, "property: latency", f"property: {named}"))


@pytest.mark.parametrize("name", ["freshness", "availability", "errorRate", "Throughput", "x-own"])
def test_other_promises_are_anybodys(tmp_path: Path, name: str) -> None:
    assert read_contract(stated(tmp_path, "property: latency", f"property: {name}")).latency is None


def test_of_several_elements_the_shortest_latency_counts(tmp_path: Path) -> None:
    more = "LY\n    value: 90\n    unit: m\n    element: landing.order_id\n  - property: latency"
    path = stated(tmp_path, "property: latency", f"property: {more}")
    assert read_contract(path).latency == timedelta(minutes=90)


def test_a_key_is_in_the_order_of_its_positions(tmp_path: Path) -> None:
    path = stated(tmp_path, "primaryKeyPosition: 1", "primaryKeyPosition: 3")
    path.write_text(path.read_text().replace("Position: 2", "Position: 1").replace(": 3", ": 2"))
    assert read_contract(path).primary_key == ("line_number", "order_id")
    assert (FACT.primary_key, FACT.partition_by) == (("order_id", "line_number"), ("extract_day",))


@pytest.mark.parametrize("count", [0, 2])
def test_a_contract_is_of_one_table(tmp_path: Path, count: int) -> None:
    document = yaml.safe_load(contract_files()["sales.landing"].read_text())
    document["schema"] *= count
    path = tmp_path / "x.odcs.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ContractError, match=rf"line \d+: {count} schema objects"):
        read_contract(path)


def test_a_table_has_columns(tmp_path: Path) -> None:
    document = yaml.safe_load(contract_files()["sales.landing"].read_text())
    document["schema"][0]["properties"] = []
    path = tmp_path / "x.odcs.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ContractError, match="no columns"):
        read_contract(path)


@pytest.mark.parametrize("status", ["proposed", "draft", "active", "deprecated", None])
def test_a_contract_in_use_has_any_status_but_retired(tmp_path: Path, status: str | None) -> None:
    instead = f"status: {status}\n" if status else ""
    assert read_contract(stated(tmp_path, "status: active\n", instead)) == contract("sales.landing")


def test_a_file_may_be_made_by_a_table_or_a_view(tmp_path: Path) -> None:
    for kind in ("table", "materialized_view"):
        path = stated(tmp_path, "physicalType: file", f"physicalType: {kind}")
        assert read_contract(path).physical_type == kind


NARROWER = {
    "unit_price": ["unit_price_not_decimal"],
    "created_at": ["created_at_not_zoned", "created_at_out_of_range", "updated_before_created"],
    "updated_at": ["updated_at_not_zoned", "updated_outside_day"],
    # Of the above or of the rates, which landing checks.
    "order_date": ["created_at_out_of_range", "updated_before_created"],
    "fx_rate": ["currency_without_rate"],
    "fx_date": ["currency_without_rate"],
    "amount": ["amount_out_of_range"],
    "amount_usd": ["amount_usd_out_of_range"],
    "extract_day": [],
}


def test_what_a_column_of_the_fact_cannot_hold_breaks_a_rule_before_the_lake() -> None:
    """A number that does not fit its type breaks ``_type``, a text that is too long ``_too_long``."""
    landing = contract("sales.landing")
    served = {column.name: column for column in landing.columns}
    rules = {rule.name for rule in landing.row_rules}
    for column in FACT.columns:
        if column.name in NARROWER:
            assert set(NARROWER[column.name]) <= rules
        elif column.type == "string":
            assert column.max_length, column.name
        else:
            assert served[column.name].type == column.type, f"{column.name}: which rule holds it?"


@pytest.mark.parametrize("table", ["sales.landing", "sales.order_lines", "sales.fact"])
def test_every_text_states_its_length_and_a_key_fits_an_index(table: str) -> None:
    declared = contract(table)
    texts = [column for column in declared.columns if column.type == "string"]
    assert all(column.max_length for column in texts)
    key = [declared.column(name).max_length or 0 for name in declared.primary_key]
    assert 4 * sum(key) + 64 < 2704


def test_a_text_is_as_long_in_every_table_as_where_it_was_landed() -> None:
    for column in contract("sales.landing").columns:
        for table in ("sales.order_lines", "sales.fact"):
            later = contract(table).column(column.name)
            assert later.type != "string" or later.max_length == column.max_length


KINDS = (
    "feira.sales.order_lines allows product, postage, fee, sample, adjustment, voucher, other in "
    "line_kind."
)


@pytest.mark.parametrize(
    ("text", "instead", "named"),
    [
        ("otherwise: other", "otherwis: other", "did you mean 'otherwise'"),
        ("otherwise: other", "otherwise:", "otherwise has no value"),
        ("version: 1.1.0", "version: 1.0", "version is 1.0"),
        ("  POST: postage", "  POST: postage\n  POST: fee", "'POST' is on line"),
        ("  POST: postage", "  POST: 1", "'POST' has the kind 1"),
        ("  POST: postage", "  15056: product", "15056 is no text"),
        ("    kind: voucher", "    knd: voucher", "did you mean 'kind'"),
        ("'gift_[\\d\\D]*'", "'gift_('", "a group is not closed"),
        ("    kind: voucher", "    kind: 5", "a text and a kind"),
        ("    kind: voucher", "    kind: ''", "a text and a kind"),
        ("'gift_[\\d\\D]*'", "5", "a text and a kind"),
        ("'gift_[\\d\\D]*'", "''", "a text and a kind"),
        *(
            ("'DCGS[\\d\\D]*'", f"'{pattern}'", named)
            for pattern, named in (
                ("DCGS.*", "'DCGS.*' has ."),
                (r"DCGS\s?", "which engines read differently"),
                ("DCGS$", r"write \z"),
                ("(?s)DCGS.*", "(?: alone"),
                (r"DCGS\p{L}", r"\p"),
                ("DCGS(?!X)", "(?: alone"),
            )
        ),
        ("patterns:\n", "patterns:\n  - gift\n", "'gift' is no pattern"),
        *(
            (
                text,
                text.replace(f": {kind}", f": '{wrong}'"),
                f"{key!r} has the kind {wrong!r}; contract {KINDS}",
            )
            for text, kind, wrong, key in (
                ("    kind: product", "product", "prodct", "kind"),
                ("    kind: voucher", "voucher", "Voucher", "kind"),
                ("  POST: postage", "postage", " postage", "POST"),
                ("  B: adjustment", "adjustment", "line_kind", "B"),
                ("otherwise: other", "other", "others", "otherwise"),
            )
        ),
    ],
)
def test_the_list_of_stock_codes_is_read_as_strictly(
    tmp_path: Path, text: str, instead: str, named: str
) -> None:
    whole = (contracts_folder() / "sales/line_kinds.yaml").read_text()
    assert text in whole
    path = tmp_path / "line_kinds.yaml"
    path.write_text(whole.replace(text, instead, 1))
    with pytest.raises(ContractError, match=re.escape(named)) as refusal:
        line_kinds(path)
    assert re.match(r"line_kinds\.yaml, line \d+: ", str(refusal.value))


def test_a_stock_codes_kind_is_one_that_the_fact_may_hold() -> None:
    kinds = line_kinds()
    named = {*kinds.exact.values(), *(kind for _, kind in kinds.patterns), kinds.otherwise}
    assert named <= set(FACT.column("line_kind").allowed)


def test_an_unknown_table_is_named_with_those_there_are() -> None:
    with pytest.raises(ContractError, match=r"'sales\.facts'.*sales\.fact,"):
        contract("sales.facts")


@pytest.mark.parametrize("server", ["lake", "warehouse"])
def test_what_a_server_stores_is_what_names_it_and_dbt_does_not_build(server: str) -> None:
    assert {each.table for each in stored_in(server)} == {
        table
        for table in ALL
        if server in contract(table).servers and not table.startswith(f"{BUILT_SCHEMA}.")
    }
