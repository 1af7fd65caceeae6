"""Checks of a day's partition on a real warehouse: what passes, and what a failure says."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from fact_rows import Row
from feira_airflow.core.connections import WAREHOUSE
from feira_airflow.sales.checks import ARRIVED
from feira_airflow.summary import checks
from feira_provider.operators.partition_check import (
    Measured,
    PartitionCheck,
    PartitionCheckError,
    PartitionCheckOperator,
)
from reported_days import D1, D2, Shop, line


def operator(table: str, *which: PartitionCheck, day: dt.date = D1) -> PartitionCheckOperator:
    return PartitionCheckOperator(
        task_id="check",
        conn_id=WAREHOUSE,
        table=table,
        partition_column="extract_day",
        partition=str(day),
        checks=which,
        next_step="Look at it.",
    )


def run(table: str, *which: PartitionCheck, day: dt.date = D1) -> dict[str, str]:
    context: Any = {}
    return operator(table, *which, day=day).execute(context)


def test_a_day_as_its_ledger_says_it_passes(shop: Shop) -> None:
    shop.run(D1, [line("A", D1, "100"), line("B", D1, "-5", status="cancelled")])
    assert run("sales.fact", checks.ROWS, checks.REVENUE) == {
        "rows": "2",
        "revenue in USD": "100.0000",
    }
    assert run("sales.load_ledger", ARRIVED) == {"agreed loads": "1"}


def test_a_closed_day_passes_and_a_day_without_its_rows_does_not(shop: Shop) -> None:
    shop.run(D1, [])
    assert run("sales.fact", checks.ROWS)["rows"] == "0"
    shop.run(D2, [line("A", D2, "1")])
    shop.connection.execute("DELETE FROM sales.fact")
    with pytest.raises(
        PartitionCheckError, match=r"^sales\.fact 2010-12-02: rows .*\b0, under 1\. Look at it\.$"
    ):
        run("sales.fact", checks.ROWS, day=D2)


def test_a_day_whose_lines_a_later_day_has_taken_over_may_have_no_rows(shop: Shop) -> None:
    shop.run(D1, [line("A", D1, "1"), line("B", D1, "1")])
    shop.run(D2, [line("A", D1, "1", seen=D2), line("B", D1, "1", seen=D2)])
    # As where the first day is run again, or only now.
    assert run("sales.fact", checks.ROWS)["rows"] == "0"


def test_revenue_that_later_days_have_taken_over_is_not_too_little(shop: Shop) -> None:
    day = week(shop, "100")
    later = day + dt.timedelta(days=1)
    taken = line("last", day, "100", seen=later)
    shop.run(later, [*(row for row in shop.fact if row["order_id"] != "last"), taken])
    assert run("sales.fact", checks.REVENUE, day=day) == {"revenue in USD": "0"}


def test_a_day_that_others_came_after_has_its_bounds_while_most_of_its_lines_are_its_own(
    shop: Shop,
) -> None:
    """As one that is fetched again, in the wrong unit."""
    day = week(shop, "1")
    later = day + dt.timedelta(days=1)
    shop.run(later, [*shop.fact, line("next", later, "100")])
    with pytest.raises(PartitionCheckError, match=r"revenue in USD is 1\.0000, under 5"):
        run("sales.fact", checks.REVENUE, day=day)


def test_more_rows_than_valid_lines_are_too_many(shop: Shop) -> None:
    shop.run(D1, [line("A", D1, "1"), line("B", D1, "1")], valid=1)
    with pytest.raises(PartitionCheckError, match="rows is 2, over 1"):
        run("sales.fact", checks.ROWS)


def test_of_one_landing_under_two_contract_versions_the_later_load_counts(shop: Shop) -> None:
    shop.run(D1, [line("A", D1, "1"), line("B", D1, "1")])
    # The same landing was loaded before, under a contract that was taken back since.
    shop.connection.execute(
        "INSERT INTO sales.load_ledger SELECT (jsonb_populate_record(l, "
        """'{"contract_version": "9.0.0", "load_sequence": 0, "valid_lines": 0}')).* """
        "FROM sales.load_ledger l"
    )
    assert run("sales.fact", checks.ROWS)["rows"] == "2"


def week(shop: Shop, last: str, of_week: str = "100") -> dt.date:
    """Seven days of 100 dollars, or of others, and one more; returns that one."""
    days = [D1 + dt.timedelta(days=number) for number in range(8)]
    fact = [line(str(day), day, of_week) for day in days[:-1]]
    for day in days[:-1]:
        shop.run(day, [row for row in fact if row["extract_day"] <= day])
    shop.run(days[-1], [*fact, line("last", days[-1], last)])
    return days[-1]


@pytest.mark.parametrize(
    ("revenue", "violation"),
    [
        ("5", None),
        ("2000", None),
        ("4.9999", "revenue in USD is 4.9999, under 5"),
        ("2000.0001", "revenue in USD is 2000.0001, over 2000"),
    ],
)
def test_revenue_is_held_against_the_median_of_four_weeks(
    shop: Shop, revenue: str, violation: str | None
) -> None:
    day = week(shop, revenue)
    if violation is None:
        assert run("sales.fact", checks.REVENUE, day=day)
        return
    with pytest.raises(PartitionCheckError, match=violation):
        run("sales.fact", checks.REVENUE, day=day)


BEFORE = [D1 + dt.timedelta(days=number) for number in range(9)]
MASS = BEFORE[-1] + dt.timedelta(days=1)
NEXT = MASS + dt.timedelta(days=1)


def mass_update(shop: Shop, times: int = 1, **known: Any) -> None:
    """Nine days of 300 dollars in three lines each, all but their first taken over by the extract of the
    next, in which they are ``times`` as much."""
    fact = [line(f"{day} {k}", day, "100") for day in BEFORE for k in range(3)]
    for day in BEFORE:
        shop.run(day, [row for row in fact if row["extract_day"] <= day])
    taken = [
        row
        if row["order_id"].endswith("0")
        else line(row["order_id"], row["order_date"], str(100 * times), seen=MASS, **known)
        for row in fact
    ]
    shop.run(MASS, [*taken, *(line(f"new {k}", MASS, "300") for k in range(3))])


def require_bounds(shop: Shop, low: str = "15", high: str = "6000") -> None:
    """Of the day after the mass update, to the last decimal."""
    for amount, violation in (
        (low, None),
        (high, None),
        (f"{int(low) - 1}.9999", rf"9999, under {low}\.0\."),
        (f"{high}.0001", rf"0001, over {high}\.0\."),
    ):
        shop.run(
            NEXT, [*(r for r in shop.fact if r["order_id"] != "next"), line("next", NEXT, amount)]
        )
        if violation is None:
            assert run("sales.fact", checks.ROWS, checks.REVENUE, day=NEXT)["rows"] == "1"
            continue
        with pytest.raises(PartitionCheckError, match=f"revenue in USD is .*{violation}"):
            run("sales.fact", checks.REVENUE, day=NEXT)


@pytest.mark.parametrize(
    ("known", "revenue"), [({}, "2700.0000"), ({"status": "cancelled"}, "900.0000")]
)
def test_a_mass_update_passes_and_moves_no_bound_of_the_days_after(
    shop: Shop, known: dict[str, Any], revenue: str
) -> None:
    mass_update(shop, **known)
    assert run("sales.fact", checks.REVENUE, day=MASS) == {"revenue in USD": revenue}
    require_bounds(shop)


def test_days_that_are_loaded_again_after_a_mass_update_are_no_days_of_the_median(
    shop: Shop,
) -> None:
    mass_update(shop)
    for day in BEFORE[:3]:
        shop.run(day, shop.fact, refetch=True, valid=3)
    # Six of them and the day of the update are a week.
    require_bounds(shop)
    shop.run(BEFORE[3], shop.fact, refetch=True, valid=3)
    shop.run(NEXT, [*shop.fact, line("next again", NEXT, "1000000")])
    assert run("sales.fact", checks.REVENUE, day=NEXT)


def test_days_on_which_several_versions_of_a_line_came_are_days_of_the_median(shop: Shop) -> None:
    fact: list[Row] = []
    for day in [*BEFORE, MASS]:
        fact.append(line(str(day), day, "300"))
        shop.run(day, fact, valid=5)
    require_bounds(shop)


def test_what_a_day_brings_of_its_own_date_has_the_bound_of_a_day_beside_a_mass_update(
    shop: Shop,
) -> None:
    mass_update(shop)
    own = [row for row in shop.fact if row["order_date"] != MASS]
    shop.run(MASS, [*own, line("new", MASS, "6000")])
    assert run("sales.fact", checks.REVENUE, day=MASS) == {"revenue in USD": "7800.0000"}
    shop.run(MASS, [*own, line("new", MASS, "6000.0001")])
    with pytest.raises(PartitionCheckError, match=r"is 7800\.0001, over 7800"):
        run("sales.fact", checks.REVENUE, day=MASS)


def test_a_mass_update_in_the_wrong_unit_is_out_of_bounds(shop: Shop) -> None:
    mass_update(shop, times=100)
    with pytest.raises(PartitionCheckError, match=r"revenue in USD is 180900\.0000, over "):
        run("sales.fact", checks.REVENUE, day=MASS)


def test_after_a_week_of_gifts_no_revenue_is_wrong(shop: Shop) -> None:
    day = week(shop, "5", of_week="0")
    assert run("sales.fact", checks.REVENUE, day=day) == {"revenue in USD": "5.0000"}


def test_with_fewer_days_than_a_week_no_revenue_is_wrong(shop: Shop) -> None:
    shop.run(D1, [line("A", D1, "100")])
    shop.run(D2, [line("A", D1, "100"), line("B", D2, "1000000")])
    assert run("sales.fact", checks.REVENUE, day=D2)


def test_a_day_that_never_came_or_is_not_agreed_has_not_arrived(shop: Shop) -> None:
    shop.run(D1, [line("A", D1, "1")], agree=False)
    for day in (D1, D2):
        with pytest.raises(PartitionCheckError, match=f"{day}: agreed loads .*0, under 1"):
            run("sales.load_ledger", ARRIVED, day=day)


def test_the_partition_is_a_parameter_and_never_text_of_the_query() -> None:
    hostile = operator("sales.fact", checks.ROWS, checks.REVENUE)
    hostile.partition = "2010-12-01'; DROP TABLE sales.fact; --"
    query, parameters = hostile.statement()
    assert "DROP" not in query
    assert query.count("%s") == len(parameters)
    assert set(parameters) == {hostile.partition}


def test_a_percent_sign_of_a_check_is_no_parameter(shop: Shop) -> None:
    shop.run(D1, [line("1", D1, "10.0000", status="shipped"), line("2", D1, "5.0000")])
    shipped = PartitionCheck("shipped", "count(CASE WHEN status LIKE 'ship%' THEN 1 END)", "1", "1")
    assert run("sales.fact", shipped) == {"shipped": "1"}


def test_a_driver_with_another_placeholder_gets_that_one() -> None:
    query, parameters = operator("sales.fact", PartitionCheck("a", "count('5%')")).statement("?")
    assert query.count("?") == len(parameters) == 1
    assert "'5%'" in query


@pytest.mark.parametrize("key", ["", "None", None])
def test_a_run_without_a_key_is_an_error_and_not_a_pass(key: Any) -> None:
    keyless = operator("sales.fact", checks.ROWS)
    keyless.partition = key
    context: Any = {}
    with pytest.raises(PartitionCheckError, match=r"no partition key.*sales\.fact"):
        keyless.execute(context)


@pytest.mark.parametrize(
    ("measured", "violation"),
    [
        (Measured("rows", 1, None, None), None),
        (Measured("rows", None, 1, None), "rows is null"),
        (Measured("rows", Decimal(1), 1, 1), None),
        (Measured("rows", Decimal(0), 1, None), "rows is 0, under 1"),
        (Measured("rows", Decimal(2), None, 1), "rows is 2, over 1"),
        (Measured("revenue", Decimal("NaN"), 0, 9), "revenue is NaN, which is no number"),
        (Measured("revenue", float("nan"), None, None), "revenue is nan, which is no number"),
        (
            Measured("revenue", 1.0, None, float("nan")),
            "revenue is at most nan, which is no number",
        ),
        (Measured("rows", "2", 1, None), "rows is '2', which cannot be compared with 1 and None"),
    ],
)
def test_a_bound_that_is_null_is_no_bound(measured: Measured, violation: str | None) -> None:
    assert measured.violation() == violation


@pytest.mark.parametrize(
    ("params", "expected"), [({"day": "2010-12-01"}, "2010-12-01"), ({"day": None}, "2026-11-23")]
)
def test_the_watch_looks_at_the_day_that_ended_or_the_one_it_is_told(
    dags: dict[str, Any], params: dict[str, Any], expected: str
) -> None:
    check = dags["sales_watch"].get_task("check_arrival")
    run_after = dt.datetime(2026, 11, 24, 3, tzinfo=dt.UTC)
    from airflow.sdk.execution_time.macros import timedelta  # what templates know as macros

    context = {
        "params": params,
        "dag_run": SimpleNamespace(run_after=run_after),
        "macros": SimpleNamespace(timedelta=timedelta),
    }
    assert check.render_template(check.partition, context) == expected


def test_the_watch_has_a_clock_only_where_the_pipelines_have_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from feira_airflow.core.partitions import daily_at

    monkeypatch.delenv("FEIRA_CLOCK", raising=False)
    assert daily_at(hour=3) is None
    monkeypatch.setenv("FEIRA_CLOCK", "on")
    assert daily_at(hour=3).expression == "0 3 * * *"


@pytest.mark.parametrize("names", [[], ["rows", "rows"]])
def test_checks_that_check_nothing_or_hide_one_another_fail_when_the_dag_is_parsed(
    names: list[str],
) -> None:
    checks = [PartitionCheck(name, "count(*)") for name in names]
    with pytest.raises(ValueError, match=r"c: checks are"):
        PartitionCheckOperator(
            task_id="c", conn_id="w", table="t", partition_column="d", checks=checks
        )
