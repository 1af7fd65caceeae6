"""A declaration of what is published: found by its place, and refused where its contracts do not carry it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feira.core import published_table
from feira.core.contracts import Column, Contract, ContractError, contract
from feira.core.published_table import Measure, published_tables
from feira.sales.published import PUBLISHED
from stock_table import LEVELS, declare


def put(patch: pytest.MonkeyPatch, *changed: Contract) -> None:
    """Contracts in the place of those of their tables."""
    found = {each.table: each for each in changed}
    known = published_table.contract
    patch.setattr(published_table, "contract", lambda table: found.get(table) or known(table))


def with_column(declared: Contract, name: str, **changed: Any) -> Contract:
    """The contract, with that column changed, or gained where it has none."""
    columns = {each.name: each for each in declared.columns}
    columns[name] = replace(columns.get(name, Column(name, "string", False)), **changed)
    return replace(declared, columns=tuple(columns.values()))


def test_what_a_pipeline_publishes_is_found_by_its_place() -> None:
    assert published_tables() == (PUBLISHED,)


def test_two_pipelines_with_one_ledger_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = replace(PUBLISHED, name="returns", table="sales.returns")
    other = replace(returns, ledger="sales.returns_load_ledger")
    for declared in ((PUBLISHED, other), (PUBLISHED, returns)):
        monkeypatch.setattr(published_table, "declarations", lambda *of, it=declared: iter(it))
        if returns in declared:
            with pytest.raises(ContractError, match=r"sales and returns .* sales\.load_ledger"):
                published_tables.__wrapped__()
        else:
            assert published_tables.__wrapped__() == declared


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
        with monkeypatch.context() as patch:
            put(patch, replace(contract(LEVELS.table), primary_key=key))
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
    put(monkeypatch, with_column(contract(LEVELS.table), "valid_on", required=False))
    with pytest.raises(ContractError, match=r"valid_on .* required date"):
        _ = LEVELS.contract


# The change to the ledger's column, or None for no such column; what is said of it.
UNFIT_LEDGERS: list[tuple[str, dict[str, Any] | None, str | None]] = [
    ("feed_day", None, "has no column feed_day"),
    ("feed_day", {"type": "timestamp"}, "feed_day .* is timestamp, .* every date"),
    ("loaded_at", None, "has no column loaded_at"),
    ("landed_lines", {"type": "int"}, "landed_lines .* is int, .* every bigint"),
    ("landing_version", {"type": "string"}, "landing_version .* is string, .* every int"),
    ("landing_version", {"type": "bigint"}, None),
    (
        "snapshot_id",
        {"type": "decimal(18,0)"},
        r"snapshot_id .* is decimal\(18,0\), .* every bigint",
    ),
    ("snapshot_id", {"type": "decimal(19,0)"}, None),
    ("day_units", {"type": "int"}, "day_units .* is int, .* every bigint"),
    ("day_units", {"type": "decimal(38,19)"}, None),
    ("day_units", {"type": "decimal(38,20)"}, r"day_units .* is decimal\(38,20\), .* every bigint"),
    ("day_value", {"type": "decimal(38,2)"}, r"day_value .* every decimal\(22,3\)"),
    ("day_value", {"type": "decimal(21,3)"}, r"day_value .* every decimal\(22,3\)"),
    ("day_value", {"type": "decimal(38,20)"}, r"day_value .* every decimal\(22,3\)"),
    ("day_value", {"type": "bigint"}, r"day_value .* every decimal\(22,3\)"),
    ("day_value", {"type": "decimal(22,3)"}, None),
    ("day_value", {"type": "decimal(38,19)"}, None),
    (
        "agreed_snapshot_id",
        {"required": True},
        "requires agreed_snapshot_id, which a load does not",
    ),
    ("loaded_by", {"required": True}, "requires loaded_by, which a load does not"),
    ("loaded_by", {"required": False}, None),
]


@pytest.mark.parametrize(("column", "changed", "problem"), UNFIT_LEDGERS)
def test_a_ledger_that_does_not_take_what_a_load_writes_is_refused(
    column: str,
    changed: dict[str, Any] | None,
    problem: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declare(tmp_path, monkeypatch)
    ledger = contract(LEVELS.ledger)
    if changed is None:
        kept = tuple(each for each in ledger.columns if each.name != column)
        put(monkeypatch, replace(ledger, columns=kept))
    else:
        put(monkeypatch, with_column(ledger, column, **changed))
    if problem is None:
        assert LEVELS.contract.table == "stock.levels"
        return
    with pytest.raises(ContractError, match=problem):
        _ = LEVELS.contract


def test_a_sum_of_the_widest_decimals_has_their_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    wide = {"type": "decimal(38,18)"}
    tables = [with_column(contract(of), "value", **wide) for of in (LEVELS.table, LEVELS.extracts)]
    put(monkeypatch, *tables, with_column(contract(LEVELS.ledger), "day_value", **wide))
    assert LEVELS.contract.column("value").type == "decimal(38,18)"
    put(monkeypatch, with_column(contract(LEVELS.ledger), "day_value", type="decimal(38,17)"))
    with pytest.raises(ContractError, match=r"decimal\(38,17\), .* every decimal\(38,18\)"):
        _ = LEVELS.contract


@pytest.mark.parametrize(
    "key",
    [
        (),
        ("feed_day",),
        ("feed_day", "landing_version"),
        ("feed_day", "landing_version", "contract_version", "landing_uri"),
    ],
)
def test_a_ledger_of_another_key_is_refused(
    key: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    put(monkeypatch, replace(contract(LEVELS.ledger), primary_key=key))
    words = rf"key \({', '.join(key)}\), .* \(feed_day, landing_version, contract_version\)"
    with pytest.raises(ContractError, match=words):
        _ = LEVELS.contract


def renamed(declared: Contract, old: str, new: str) -> Contract:
    def of(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if name == old else name for name in names)

    columns = tuple(
        replace(each, name=new if each.name == old else each.name) for each in declared.columns
    )
    key, partition = of(declared.primary_key), of(declared.partition_by)
    return replace(declared, columns=columns, primary_key=key, partition_by=partition)


# What is renamed, to what, and the declaration then; whether its loads then have two columns of a name.
NAMES: list[tuple[str, str, dict[str, Any], bool]] = [
    ("feed_day", "event_date", {"event_date": "event_date"}, False),
    ("feed_day", "waiting_date", {"event_date": "waiting_date"}, False),
    ("valid_on", "event_date", {"event_date": "event_date"}, False),
    ("valid_on", "loaded_at", {"event_date": "loaded_at"}, False),
    ("valid_on", "noted_at", {"event_date": "noted_at"}, False),
    ("shelf", "reason", {"noted_key": "reason"}, False),
    ("number", "load_sequence", {}, False),
    ("feed_day", "load_sequence", {}, True),
    ("feed_day", "load_sequence", {"event_date": "load_sequence"}, True),
    ("feed_day", "snapshot_id", {}, True),
    ("feed_day", "loaded_at", {}, True),
    ("feed_day", "row_key", {}, True),
    ("feed_day", "reason", {}, True),
    ("feed_day", "held_at", {}, True),
    ("valid_on", "load_sequence", {"event_date": "load_sequence"}, True),
    ("valid_on", "noted_at", {"event_date": "noted_at", "noted_key": "shelf"}, True),
    ("best_before", "noted_at", {"noted_key": "noted_at"}, True),
    ("shelf", "load_sequence", {"noted_key": "load_sequence"}, True),
]


@pytest.mark.parametrize(("old", "new", "changed", "collides"), NAMES)
def test_a_name_that_loads_give_a_column_of_their_own_is_refused(
    old: str,
    new: str,
    changed: dict[str, Any],
    collides: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    declare(tmp_path, monkeypatch)
    put(
        monkeypatch,
        *(renamed(contract(each), old, new) for each in (LEVELS.table, LEVELS.extracts)),
        renamed(contract(LEVELS.ledger), old, new)
        if old == "feed_day"
        else contract(LEVELS.ledger),
    )
    table = replace(LEVELS, **changed)
    if collides:
        with pytest.raises(ContractError, match=rf"{new} is also .* rename it"):
            _ = table.contract
        return
    assert len({table.waiting_date, table.day, "load_sequence"}) == 3
    assert table.event_date in (table.waiting_date, table.day)


def test_a_ledger_has_a_sum_of_each_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    units = LEVELS.measures[0]
    for measures, name in (
        ((replace(units, name="rows"),), "day_rows"),
        ((units, replace(units, counts="sealed")), "day_units"),
    ):
        with pytest.raises(ContractError, match=f"several columns {name}"):
            _ = replace(LEVELS, measures=measures).contract


def test_a_noted_key_that_is_the_event_date_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    with pytest.raises(ContractError, match="noted_key best_before is its event date"):
        _ = replace(LEVELS, event_date="best_before", noted_key="best_before").contract


def test_names_that_postgresql_would_cut_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    ledgers = [f"stock.{'a' * n}_load_ledger" for n in (44, 45)]
    put(monkeypatch, *(replace(contract(LEVELS.ledger), table=each) for each in ledgers))
    assert len(replace(LEVELS, ledger=ledgers[0]).unreconciled) == len("stock.") + 63
    assert replace(LEVELS, ledger=ledgers[0]).contract.table == "stock.levels"
    with pytest.raises(ContractError, match=r"a_unreconciled_dates has 64 .* holds 63"):
        _ = replace(LEVELS, ledger=ledgers[1]).contract


def test_a_column_of_a_type_that_no_warehouse_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(tmp_path, monkeypatch)
    tables = (LEVELS.table, LEVELS.extracts)
    put(
        monkeypatch, *(with_column(contract(each), "note", type="array<string>") for each in tables)
    )
    with pytest.raises(ContractError, match="note of type array<string> has no type in postgres"):
        _ = LEVELS.contract
