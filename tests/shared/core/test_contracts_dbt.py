"""dbt's YAML follows from the contracts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import yaml

from feira.core.contracts import Column, contract, contracts
from feira.core.contracts.dbt import DECLARED, render, write_declared
from feira.core.contracts.registry import BUILT_SCHEMA, stored_in

MARTS = DECLARED / "marts.yml"


def test_what_is_written_takes_the_place_of_what_was_generated_before(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    other = dataclasses.replace(contract("sales.load_ledger"), table="other.ledger")
    for tables in ({**contracts(), other.table: other}, None):
        written = write_declared(tmp_path, tables)
        found = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.yml")}
        assert found == render(tables)
        assert sorted(written) == sorted(tmp_path / path for path in found)
    assert DECLARED / "sales.yml" in found and DECLARED / "other.yml" not in found


def test_words_of_any_language_stay_readable() -> None:
    ledger = contract("sales.load_ledger")
    named = dataclasses.replace(ledger, table="other.ledger", description="Rótulos à vista, 5 €")
    text = render({named.table: named})[DECLARED / "other.yml"]
    assert yaml.safe_load(text)["version"] == 2  # what dbt reads
    assert "description: Rótulos à vista, 5 €\n" in text


def test_every_table_of_the_warehouse_is_a_source_or_a_model() -> None:
    rendered = render()
    sources = [
        source
        for path, text in rendered.items()
        if path != MARTS
        for source in yaml.safe_load(text)["sources"]
    ]
    models = yaml.safe_load(rendered[MARTS])["models"]
    names = {
        f"{schema['name']}.{table['name']}" for schema in sources for table in schema["tables"]
    }
    names |= {f"marts.{model['name']}" for model in models}
    assert names == {c.table for c in contracts().values() if "warehouse" in c.servers}


def test_a_table_of_another_schema_brings_a_file_of_its_own() -> None:
    other = dataclasses.replace(contract("sales.load_ledger"), table="other.ledger")
    before, after = render(), render({**contracts(), other.table: other})
    assert {path: after[path] for path in before} == before
    (added,) = after.keys() - before.keys()
    assert added == DECLARED / "other.yml"
    assert yaml.safe_load(after[added])["sources"][0]["tables"][0]["name"] == "ledger"


def test_what_is_stored_is_what_dbt_does_not_build() -> None:
    assert {each.table for each in stored_in("warehouse")} >= {
        "sales.fact",
        "sales.load_ledger",
        "sales.report_ledger",
    }
    assert {each.table for each in stored_in("lake")} >= {
        "sales.order_lines",
        "sales.fact",
        "sales.quarantine",
    }
    assert BUILT_SCHEMA not in {each.schema for each in stored_in("warehouse")}


def test_a_mart_declares_its_materialisation_types_and_rules() -> None:
    models = yaml.safe_load(render()[MARTS])["models"]
    summary = next(model for model in models if model["name"] == "month_summary")
    declared = contract("marts.month_summary")
    assert summary["config"] == {"materialized": "materialized_view"}
    assert {column["name"]: column["data_type"] for column in summary["columns"]} == {
        "order_month": "date",
        "status": "text",
        "order_count": "bigint",
        "line_count": "bigint",
        "average_order_value": "numeric(38,4)",
        "max_order_value": "numeric(38,4)",
        "revenue": "numeric(38,4)",
    }
    assert summary["data_tests"][0]["keeps_contract"]["arguments"] == {
        "required": declared.required_columns,
        "allowed": {"status": ["pending", "completed", "shipped", "failed", "cancelled"]},
        "key": ["order_month", "status"],
    }


def test_in_redshift_a_text_is_as_long_as_any() -> None:
    models = yaml.safe_load(render(dialect="redshift")[MARTS])["models"]
    summary = next(model for model in models if model["name"] == "month_summary")
    types = {column["name"]: column["data_type"] for column in summary["columns"]}
    assert (types["status"], types["revenue"]) == ("varchar(65535)", "numeric(38,4)")


def test_what_is_confidential_says_so() -> None:
    models = yaml.safe_load(render()[MARTS])["models"]
    value = next(model for model in models if model["name"] == "customer_lifetime_value")
    assert value["columns"][0]["config"] == {"meta": {"classification": "confidential"}}


def test_an_added_optional_column_is_declared_and_not_required() -> None:
    before = contract("marts.daily_revenue")
    gained = (*before.columns, Column("refunds", "decimal(38,4)", required=False))
    after = dataclasses.replace(before, columns=gained)
    model = yaml.safe_load(render({after.table: after})[MARTS])["models"][0]
    assert model["columns"][-1]["name"] == "refunds"
    assert "refunds" not in model["data_tests"][0]["keeps_contract"]["arguments"]["required"]
