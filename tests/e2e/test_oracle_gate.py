"""The checks of the gate and of baskets are themselves checked on figures that were worked out by hand."""

from __future__ import annotations

import datetime as dt
import json
import struct
from math import log2, nan, sqrt
from typing import Any

import pytest

from oracle_basket import basket_offers, goes_with, pairs_differ, published_pairs
from oracle_gate import Figure, figures, gate_differs
from oracle_lists import Known

DAY = dt.date(2010, 12, 30)
METHOD = {
    "again": {"name": "own frequency"},
    "new": {"name": "EASE", "regularisation": 1, "half_life": 60},
    "popular": {"half_life": 14},
}


def on(day: int) -> dt.date:
    return dt.date(2010, 12, day)


# Of four days two are held out. User 9 comes too late, and nobody knew of D.
FOUND = {
    ("1", "A", on(27)), ("1", "B", on(28)), ("2", "A", on(28)), ("3", "C", on(28)),
    ("1", "A", on(29)), ("1", "C", on(29)), ("2", "A", on(30)), ("2", "D", on(30)), ("9", "A", on(30)),
}  # fmt: skip
SECOND = 1 / log2(3)


def test_figures_of_the_gate_are_those_worked_out_by_hand() -> None:
    made = figures(FOUND, on(29), METHOD)
    best = 1 + SECOND
    # Own frequency offers user 1 B and A, user 2 A; what is popular is A, B and C.
    mine = ((SECOND + 0.5) / best + 1 / best) / 2
    popular = ((1 + 0.5) / best + 1 / best) / 2
    own = (SECOND / best + 1 / best) / 2
    must = {
        ("ndcg_to_popular", "again"): (SECOND + 1) / 2,
        ("ndcg_to_own_frequency", "again"): 1.0,
        # To user 1 only C is new, and D was offered to nobody.
        ("ndcg_to_popular", "new"): 1.0,
        ("ndcg_to_popular", "all"): mine / popular,
        ("ndcg_to_own_frequency", "all"): mine / own,
    }
    assert {key: made[key].value for key in must} == pytest.approx(must)
    assert made["coverage", "again"] == made["coverage", "new"] == Figure(1.0, 3, True)
    assert {made[key].users for key in must} == {2} and not any(made[key].certain for key in must)
    assert made["ndcg_to_own_frequency", "new"] == pytest.approx((nan, 2, False), nan_ok=True)
    assert figures(FOUND, on(27), METHOD) == {}


def test_ten_places_are_looked_at() -> None:
    had = {("1", f"I{n:02d}", on(28)) for n in range(11)}
    made = figures(had | {("1", "I10", on(29))}, on(29), METHOD)
    # Equal ones go by name, and so it is the eleventh.
    assert made["coverage", "again"].value == 10 / 11 and made["coverage", "new"].value == 0
    assert made["ndcg_to_own_frequency", "again"].value is not None
    assert made["ndcg_to_popular", "again"] == pytest.approx((nan, 1, False), nan_ok=True)


@pytest.mark.parametrize("name", ["again", "new"])
def test_a_method_that_is_not_computed_here_is_an_error(name: str) -> None:
    with pytest.raises(AssertionError, match="re-ranked"):
        figures(FOUND, on(29), METHOD | {name: {"name": "re-ranked"}})


def verdict(**change: Any) -> dict[str, Any]:
    rows = [
        {"figure": figure, "slot": slot, "value": found.value, "users": found.users}
        for (figure, slot), found in figures(FOUND, on(29), METHOD).items()
    ]
    return {"cut": "2010-12-29", "days": 2, "method": METHOD, "figures": rows} | change


def test_a_verdict_with_another_figure_is_named() -> None:
    right = verdict()
    assert gate_differs(FOUND, DAY, right) == []
    assert gate_differs(FOUND, DAY, verdict(days=1)) and gate_differs(
        FOUND, DAY, verdict(cut="2010-12-30")
    )
    for change in ({"value": 0.5}, {"users": 4}):
        for figure in ("ndcg_to_popular", "ndcg_to_own_frequency", "coverage"):
            rows = [
                row | (change if (row["figure"], row["slot"]) == (figure, "again") else {})
                for row in right["figures"]
            ]
            (problem,) = gate_differs(FOUND, DAY, verdict(figures=rows))
            assert f"{figure} of again" in problem
    # Of two users a figure may be unknown; how much of the products is offered may not.
    rows = [row | {"value": None} for row in right["figures"]]
    assert len(gate_differs(FOUND, DAY, verdict(figures=rows))) == 2
    assert len(gate_differs(FOUND, DAY, verdict(figures=rows[:-1]))) == 2
    alone = {("1", "A", DAY)}
    unknown = [row | {"value": None, "users": 0} for row in right["figures"]]
    of_a_day = verdict(days=1, cut=str(DAY), figures=unknown)
    assert gate_differs(alone, DAY, of_a_day) == []
    assert gate_differs(alone, DAY, of_a_day | {"figures": right["figures"]})


# A and B were had by two, B and C by two, A and C by one.
BOUGHT = Known(
    {(user, item, DAY) for user, items in {"1": "AB", "2": "ABC", "3": "BC"}.items() for item in items},
    DAY,
)  # fmt: skip


def test_what_goes_with_what_is_as_worked_out_by_hand() -> None:
    near = 2 / sqrt(12 * 13)
    found = goes_with(BOUGHT)
    assert {item: [name for name, _ in of] for item, of in found.items()} == {
        "A": ["B"],
        "B": ["A", "C"],
        "C": ["B"],
    }
    assert found["A"][0][1] == pytest.approx(near, abs=1e-9)
    values = {
        "items": json.dumps(["B", "A", "C"]).encode(),
        "with:A": struct.pack("<1I1f", 0, near),
        "with:B": struct.pack("<2I2f", 1, 2, near, near),
        "with:C": struct.pack("<1I1f", 0, near),
        "user:1": b"",
    }
    items, held = published_pairs({f"reco:v:{k}".encode(): v for k, v in values.items()}, "v")
    assert items == ["B", "A", "C"] and pairs_differ(found, held) == []
    for wrong in (
        {"A": [("B", near + 0.01)]},
        {"A": [("C", near)]},
        {"A": []},
        {"B": [("C", near), ("A", near)]},
        {"D": [("A", near)]},
    ):
        (problem,) = pairs_differ(found, {**held, **wrong})
        assert next(iter(wrong)) in problem


def test_a_basket_is_offered_what_its_items_add_up_to() -> None:
    pairs = {"A": [("X", 0.5), ("Y", 0.3), ("B", 0.2)], "B": [("Y", 0.3), ("Z", 0.6)]}
    # Y and Z have as much: the lesser number is first.
    found = basket_offers(["A", "B", "?"], pairs, ["Z", "Y", "X", "B", "A"], ["P", "A", "X"])
    assert found == [
        ("Z", "goes_with", "B"),
        ("Y", "goes_with", "A"),
        ("X", "goes_with", "A"),
        ("P", "popular", None),
    ]
