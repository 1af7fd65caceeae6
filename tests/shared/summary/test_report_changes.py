"""Which figures count as changed, and what is named as the cause."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from feira.summary.model import DayFigures, Sources
from feira.summary.prepare import cause, changes
from reported_days import D1, D2, D3, figures, product, sources

CHANGED = [
    ({}, []),
    ({"revenue": Decimal("1234.5679")}, [("revenue", None, "1234.5678", "1234.5679")]),
    ({"orders": 4, "sold_lines": 8}, [("orders", None, "3", "4"), ("sold_lines", None, "7", "8")]),
    ({"cancelled_amount": Decimal("0")}, [("cancelled_amount", None, "-20.0000", "0")]),
    (
        {"landed_lines": 11, "valid_lines": 9},
        [("landed_lines", None, "10", "11"), ("valid_lines", None, "8", "9")],
    ),
    ({"quarantined_lines": 3}, [("quarantined_lines", None, "2", "3")]),
    ({"broken_rules": {}}, [("rule", "sku_blank", "2", "0")]),
    (
        {"broken_rules": {"sku_blank": 2, "currency_unknown": 1}},
        [("rule", "currency_unknown", "0", "1")],
    ),
    (
        {"top_products": (product("22423", "1000.0000", 5),)},
        [
            ("product_revenue", "85123A", "234.5678", "None"),
            ("product_units", "85123A", "2", "None"),
        ],
    ),
    (
        {"top_products": (product("22423", "1000.0000", 6), product("85123A", "234.5678", 2))},
        [("product_units", "22423", "5", "6")],
    ),
]


@pytest.mark.parametrize(("after", "expected"), CHANGED)
def test_each_figure_that_differs_is_named_before_and_after(
    after: dict[str, Any], expected: list[tuple[str, str | None, str, str]]
) -> None:
    found = changes(figures(), figures(**after))
    assert [(c.figure, c.item, str(c.before), str(c.after)) for c in found] == expected


def test_an_equal_amount_in_other_words_is_no_change() -> None:
    assert changes(figures(), figures(revenue=Decimal("1234.56780"))) == ()
    renamed = tuple(
        product(p.sku, str(p.revenue), p.units, "ANOTHER NAME") for p in figures().top_products
    )
    assert changes(figures(), figures(top_products=renamed)) == ()


amounts = st.decimals(min_value=-9999, max_value=9999, places=4)
counts = st.integers(min_value=0, max_value=50)
products = st.lists(
    st.builds(product, st.sampled_from("ABCDE"), amounts.map(str), counts),
    max_size=5,
    unique_by=lambda each: each.sku,
).map(tuple)
any_figures = st.builds(
    DayFigures,
    revenue=amounts,
    orders=counts,
    sold_lines=counts,
    cancelled_amount=amounts,
    landed_lines=counts,
    valid_lines=counts,
    quarantined_lines=counts,
    broken_rules=st.dictionaries(st.sampled_from("xyz"), st.integers(1, 9), max_size=3),
    top_products=products,
)


def as_set(stated: DayFigures) -> set[tuple[Any, ...]]:
    """The figures as facts, without the code that is tested."""
    facts: set[tuple[Any, ...]] = {("rule", *item) for item in stated.broken_rules.items()}
    for each in stated.top_products:
        facts |= {("product", each.sku, each.revenue, each.units)}
    plain = stated.model_dump(exclude={"broken_rules", "top_products"})
    return facts | set(plain.items())


@given(any_figures, any_figures)
def test_nothing_is_changed_exactly_where_all_figures_are_equal(
    before: DayFigures, after: DayFigures
) -> None:
    assert (changes(before, after) == ()) == (as_set(before) == as_set(after))
    assert changes(before, before) == ()


@given(any_figures, any_figures)
def test_the_way_back_is_the_same_changes_turned_round(
    before: DayFigures, after: DayFigures
) -> None:
    there = {(c.figure, c.item, c.before, c.after) for c in changes(before, after)}
    back = {(c.figure, c.item, c.after, c.before) for c in changes(after, before)}
    assert there == back


BEFORE = sources(extracts={D1: "11"})
FROM_2 = sources(extracts={D1: "10", D2: "1"}, load_sequence=2)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (
            sources(landing_version=2),
            "Landing 2 of the day has replaced landing 1.",
        ),
        (
            sources(extracts={D1: "10", D2: "1"}),
            "Lines of the day came in or left with the extract of 2010-12-02.",
        ),
        (
            sources(extracts={D1: "10", D2: "1", D3: "4"}),
            "Lines of the day came in or left with the extract of 2010-12-02 and 2010-12-03.",
        ),
        (
            sources(landing_version=2, extracts={D1: "12", D3: "4"}),
            "Landing 2 of the day has replaced landing 1, and lines of the day came in or left "
            "with the extract of 2010-12-03.",
        ),
        (
            sources(contract_version="1.1.0"),
            "The day was loaded under contract 1.1.0 instead of 1.0.0.",
        ),
    ],
)
def test_the_cause_is_a_landing_of_its_own_or_the_days_that_brought_other_lines(
    after: Sources, expected: str
) -> None:
    assert cause(D1, BEFORE, after, {}) == expected


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (D1, "The day's own extract was published again."),
        (
            D3,
            "Lines of the day from the extract of 2010-12-01 came in or left with the load of 2010-12-03.",
        ),
        (
            None,
            "Lines of the day from the extract of 2010-12-01 came in or left since the last report.",
        ),
    ],
)
def test_where_no_extract_is_known_to_have_changed_the_day_the_last_load_is_named(
    newest: dt.date | None, expected: str
) -> None:
    assert cause(D1, BEFORE, sources(extracts={D1: "12"}), {D1: 9}, newest) == expected
    assert cause(D1, BEFORE, sources(extracts={}), {D1: 9}, newest) == expected


def test_the_days_own_load_is_not_its_own_extract() -> None:
    after = sources(extracts={D1: "10", D2: "4"})
    assert cause(D1, FROM_2, after, {D1: 9, D2: 1}, D1) == (
        "Lines of the day from the extract of 2010-12-02 came in or left with the load of 2010-12-01."
    )


@pytest.mark.parametrize(
    ("after", "loads", "expected"),
    [
        ({D1: "10"}, {D2: 3}, "2010-12-02"),
        ({D1: "10", D3: "1"}, {D2: 2, D3: 3}, "2010-12-03"),
        ({D1: "10", D2: "2", D3: "1"}, {D2: 2, D3: 3}, "2010-12-03"),
        ({D1: "10", D2: "2", D3: "1"}, {D2: 4, D3: 3}, "2010-12-02 and 2010-12-03"),
    ],
)
def test_a_day_that_was_not_loaded_since_has_only_lost_lines_to_the_one_that_is_named(
    after: dict[dt.date, str], loads: dict[dt.date, int], expected: str
) -> None:
    found = cause(D1, FROM_2, sources(extracts=after), loads, D3)
    assert found == f"Lines of the day came in or left with the extract of {expected}."


@pytest.mark.parametrize(("more", "said"), [(1, "1 more day"), (2, "2 more days")])
def test_beyond_five_days_the_rest_is_counted(more: int, said: str) -> None:
    days = [D1 + dt.timedelta(days=each) for each in range(1, 6 + more)]
    found = cause(D1, BEFORE, sources(extracts=dict.fromkeys(days, "5")), {})
    assert found.endswith(f"{D1 + dt.timedelta(days=5)} and {said}.")
