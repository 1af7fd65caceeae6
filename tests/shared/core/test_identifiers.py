"""Column names: what any engine reserves is refused where the contract is read."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import psycopg
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from sqlglot.dialects.redshift import Redshift

from feira.core.contracts import ContractError, contracts
from feira.core.contracts.identifiers import RESERVED, SYSTEM_COLUMNS, name_problem
from feira.core.contracts.reader import read_contract
from feira.core.contracts.registry import whole_contract


def with_column(tmp_path: Path, name: str) -> Path:
    """The fact's contract with one more column, in a file of its own."""
    document = yaml.safe_load(whole_contract("sales.fact"))
    added = {"name": name, "logicalType": "string", "physicalType": "string", "description": "New."}
    document["schema"][0]["properties"].append(added)
    path = tmp_path / "sales.fact.odcs.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


# The row rules' inputs, and what publish, load and transform add beside a table's own columns.
PLATFORMS_OWN = {
    *("shape_rules", "created_time", "updated_time", "unit_price_decimal", "currency_quoted"),
    *("row", "row_id", "page", "old", "new", "broken_rules"),
}
REFUSED = [
    ("order", "reserved by Spark and PostgreSQL and Redshift"),
    ("window", "reserved by PostgreSQL"),
    ("tag", "reserved by Redshift"),
    ("primary", "reserved by"),
    ("lateral", "reserved by Spark and PostgreSQL"),
    ("xmin", "system column of PostgreSQL"),
    ("ctid", "system column of PostgreSQL"),
    ("change", "the platform's own queries"),
    ("action", "the platform's own queries"),
    ("raw", "the platform's own queries"),
    *((name, "the platform's own queries") for name in sorted(PLATFORMS_OWN)),
    ("_file", "lower_snake_case"),
    ("Channel", "lower_snake_case"),
    ("a" * 64, "64 characters; PostgreSQL holds 63"),
]


@pytest.mark.parametrize(("name", "reason"), REFUSED)
def test_a_name_that_an_engine_or_the_platform_has_is_refused_with_its_file(
    tmp_path: Path, name: str, reason: str
) -> None:
    with pytest.raises(ContractError, match=reason) as refusal:
        read_contract(with_column(tmp_path, name))
    assert "sales.fact.odcs.yaml" in str(refusal.value)
    assert name in str(refusal.value)


@pytest.mark.parametrize("name", ["gift_note", "a" * 63, "orders", "order_", "x1"])
def test_an_ordinary_name_is_taken(tmp_path: Path, name: str) -> None:
    assert read_contract(with_column(tmp_path, name)).column_names[-1] == name


def test_the_platforms_own_names_stand_in_their_own_table_alone() -> None:
    assert "raw" in contracts()["sales.quarantine"].column_names
    assert name_problem("raw", "sales.quarantine") is None
    assert name_problem("raw", "sales.fact") is not None


def test_the_list_holds_what_the_running_postgres_reserves(connection: psycopg.Connection) -> None:
    words = connection.execute("SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')")
    # Type and function names may be columns' names in PostgreSQL too, but only those of class T.
    assert {word for (word,) in words} <= RESERVED["PostgreSQL"] | RESERVED["Redshift"]
    system = connection.execute("SELECT attname FROM pg_attribute WHERE attnum < 0")
    assert {name for (name,) in system} <= SYSTEM_COLUMNS


def test_the_list_holds_what_sqlglot_knows_of_redshift() -> None:
    # Its list has a word with trailing blanks.
    assert {word.strip() for word in Redshift.Generator.RESERVED_KEYWORDS} <= RESERVED["Redshift"]


NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True) | st.sampled_from(
    sorted(set().union(*RESERVED.values()))
)


@given(name=NAMES.filter(lambda name: name_problem(name, "sales.fact") is None))
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_name_that_is_taken_needs_no_quotes_in_postgres(
    connection: psycopg.Connection, name: str
) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute(f"CREATE TEMP TABLE named ({name} text)")
        connection.execute(f"INSERT INTO named ({name}) VALUES ('a')")
        assert connection.execute(f"SELECT n.{name} FROM named n WHERE {name} = 'a'").fetchone()
