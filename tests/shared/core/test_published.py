"""A declaration of what is published: found by its place, and refused where its contracts do not carry it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feira.core import published_table
from feira.core.contracts import ContractError, contract
from feira.core.published_table import Measure, published_tables
from feira.sales.published import PUBLISHED
from stock_table import LEVELS, declare


def test_what_a_pipeline_publishes_is_found_by_its_place() -> None:
    assert published_tables() == (PUBLISHED,)


def test_what_a_contract_states_comes_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    assert (LEVELS.key, LEVELS.day) == (("shelf", "best_before", "batch"), "feed_day")
    assert LEVELS.unreconciled == "stock.levels_unreconciled_dates"
    assert LEVELS.held_days == "stock.levels_held_days"
    assert LEVELS.changed_dates == "stock.levels_changed_dates"
    assert LEVELS.looked_up_by == ("feed_day", "valid_on")
    assert replace(LEVELS, event_date="feed_day").looked_up_by == ("feed_day",)


def test_ranges_are_of_the_keys_first_column_where_python_holds_its_values_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PUBLISHED.ranged_by == "order_id"
    declare(tmp_path, monkeypatch)
    assert LEVELS.ranged_by == "shelf"
    for first, ranged_by in (("units", "units"), ("best_before", None), ("batch", None)):
        key = (first, "shelf")
        monkeypatch.setattr(
            published_table,
            "contract",
            lambda table, key=key: replace(contract(table), primary_key=key),
        )
        assert (LEVELS.key, LEVELS.ranged_by) == (key, ranged_by)


def test_the_names_that_a_running_stack_has_are_kept() -> None:
    assert (PUBLISHED.unreconciled, PUBLISHED.held_days, PUBLISHED.changed_dates) == (
        "sales.unreconciled_dates",
        "sales.held_days",
        "sales.changed_dates",
    )
    assert (PUBLISHED.waiting_date, PUBLISHED.day) == ("order_date", "extract_day")


UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"event_date": "number"}, "number is timestamp, and must be a required date"),
    ({"event_date": "nowhere"}, "has no column 'nowhere'"),
    ({"version": "note"}, "its version note may be null"),
    ({"extracts": "stock.levels_load_ledger"}, "levels_load_ledger is not partitioned by feed_day"),
    (
        {"table": "stock.levels_load_ledger"},
        r"is partitioned by \(\), and must be by its extract day",
    ),
    ({"extracts": "stock.fewer"}, "stock.fewer has no number of type timestamp"),
    ({"ledger": "stock.levels"}, "ledger's name stock.levels must end in load_ledger"),
    ({"measures": (Measure("notes", "note"),)}, "note is string, and a sum is of integers"),
    ({"measures": (Measure("batches", "batch"),)}, "levels_load_ledger has no column day_batches"),
    ({"ledger": "stock.load_ledger"}, "No contract for 'stock.load_ledger'"),
    # Sums of any integer are taken: what is missing is the ledger's column.
    ({"measures": (Measure("shelves", "shelf"),)}, "levels_load_ledger has no column day_shelves"),
    ({"measures": (Measure("items", "units"),)}, "levels_load_ledger has no column day_items"),
]


@pytest.mark.parametrize(("changed", "problem"), UNFIT)
def test_a_declaration_that_its_contracts_do_not_carry_is_refused(
    changed: dict[str, Any], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    with pytest.raises(ContractError, match=problem):
        _ = replace(LEVELS, **changed).contract


def test_an_event_date_that_may_be_null_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    declared = contract(LEVELS.table)
    columns = [
        replace(it, required=it.required and it.name != "valid_on") for it in declared.columns
    ]
    found = {LEVELS.table: replace(declared, columns=tuple(columns))}
    monkeypatch.setattr(published_table, "contract", lambda it: found.get(it) or contract(it))
    with pytest.raises(ContractError, match=r"valid_on .* required date"):
        _ = LEVELS.contract
