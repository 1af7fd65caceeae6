"""The checks of the gate and of baskets are themselves checked on figures that were worked out by hand."""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections import defaultdict
from dataclasses import asdict
from functools import partial
from math import isnan, log2, nan, sqrt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from feira.recommendations.bootstrap import means
from feira.recommendations.candidates import BASELINE
from feira.recommendations.candidates.counts import OwnFrequency
from feira.recommendations.candidates.item_item import EASE, ItemItem
from feira.recommendations.gate import Live, Stored, judge
from feira.recommendations.interactions import interactions
from feira.recommendations.lists import Chosen, fitted, history_of, rows_of
from feira.recommendations.verdicts import Verdict
from oracle_basket import basket_offers, goes_with, pairs_differ, published_pairs
from oracle_gate import (
    ALONE,
    BESIDE_LIVE,
    NOT_ENOUGH,
    PASSED,
    REFUSED,
    USERS,
    Figure,
    _ratio,
    _same,
    diversity,
    figures,
    gate_differs,
    novelty,
    of_lists,
    verdicts_differ,
)
from oracle_lists import Known, item_item

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
        # To user 1 only C is new, and D was offered to nobody: a quarter of the resamples has nothing right.
        ("ndcg_to_popular", "new"): nan,
        ("ndcg_to_popular", "all"): mine / popular,
        ("ndcg_to_own_frequency", "all"): mine / own,
    }
    assert {key: made[key].value for key in must} == pytest.approx(must, nan_ok=True)
    assert made["coverage", "again"] == made["coverage", "new"] == Figure(1.0, 3, True)
    assert {made[key].users for key in must} == {2} and not any(made[key].certain for key in must)
    assert made["ndcg_to_own_frequency", "new"] == pytest.approx((nan, 2, False), nan_ok=True)
    assert figures(FOUND, on(27), METHOD) == {}


def test_novelty_and_diversity_are_those_worked_out_by_hand() -> None:
    # Of three users A was had by all, B by one, C by another.
    had = {"A": {"1", "2", "3"}, "B": {"1"}, "C": {"2"}}
    known = Known({(user, item, DAY) for item, users in had.items() for user in users}, DAY)
    assert novelty(["A", "B"], had, known) == pytest.approx(log2(3) / 2)
    assert diversity(["A", "B", "C"], had, known) == pytest.approx((2 * (1 - 1 / sqrt(3)) + 1) / 3)
    assert isnan(novelty([], had, known)) and isnan(diversity(["A"], had, known))


def test_novelty_and_diversity_are_of_the_lists_that_both_versions_have() -> None:
    # As of the 29th A was had by two of three, B by one, C by two; nobody knew of D.
    mine = {
        ("new", "1"): ["D", "B", "C"],
        ("new", "2"): ["B"],
        ("again", "3"): ["C"],
        ("new", "3"): ["A"],
    }
    live = {
        ("new", "1"): ["A", "B"],
        ("new", "2"): [*"DDDDDDDDDC", "A"],
        ("again", "9"): ["A"],
        ("new", "3"): ["D"],
    }
    made = of_lists(FOUND, on(29), mine, live)
    one, two = log2(3), log2(3 / 2)
    # Of user 2 the eleventh place is not looked at, and of user 3 nothing that is known is in one of them.
    assert made["novelty_to_live", "new"] == Figure(
        pytest.approx(((one + two) / 2 + one) / ((one + two) / 2 + two)), 2, False
    )
    assert made["diversity_to_live", "new"].users == 1
    assert made["diversity_to_live", "new"].value == pytest.approx(1.0)
    for name in ("novelty_to_live", "diversity_to_live"):
        assert made[name, "again"] == pytest.approx((nan, 0, False), nan_ok=True)
    # A day later the others are known.
    later = of_lists(FOUND, on(30), mine, live)
    assert later["novelty_to_live", "new"].users == 3


def test_beside_another_method_that_is_served_are_the_lists_of_that() -> None:
    often = {("1", f"I{n:02d}", on(day)) for n in range(10) for day in (1, 2)}
    lately = {(user, item, on(28)) for user in "12" for item in ("I10", "I11")}
    found = often | lately | {("1", "I10", on(29))}
    newest = {"name": "TIFU-KNN", "groups": 3, "neighbours": 1, "own": 1.0}
    newest |= {"decay_by_group": 0.01, "decay_within": 1.0}
    live = METHOD | {"again": newest}
    # Own frequency offers the ten that were had twice; the other both that were had last, and eight of these.
    made = figures(found, on(29), METHOD, live)
    assert made["ndcg_to_live", "again"] == Figure(0.0, 1, False)
    own = figures(found, on(29), METHOD, METHOD)
    assert own["ndcg_to_live", "again"] == Figure(1.0, 1, True)


def test_a_single_candidate_is_held_against_the_other_one() -> None:
    had = {"1": "A", "2": "AX", "3": "AX", "4": "AX", "5": "AY", "6": "BY", "7": "BY", "8": "BY"}
    found = {(user, item, on(28)) for user, items in had.items() for item in items}
    known = Known(found, on(28))
    near = {"A": 0.0, "B": 0.0, "X": 3 / sqrt(5 * 3), "Y": 1 / sqrt(5 * 4)}
    scores = item_item(known, {"neighbours": 100})("1")[0]
    assert {it: scores[known.item_at[it]] for it in near} == pytest.approx(near)
    nearest = item_item(known, {"neighbours": 1})("1")[0]
    assert nearest[known.item_at["X"]] > 0 == nearest[known.item_at["Y"]]
    # Of an EASE for which all has faded to 0 the list is of what is popular: Y, B and X, which item-item has first. One
    # that trusts what it has seen by little only ranks as any other.
    taken = found | {("1", "X", on(29))}
    for parameters, value in (
        ({"half_life": 1e-4}, 1 / log2(4)),
        ({"regularisation": 1e12}, 1.0),
        ({"regularisation": 1}, 1.0),
    ):
        method = METHOD | {"new": METHOD["new"] | parameters}
        made = figures(taken, on(29), method)
        assert made["ndcg_to_other_single", "new"] == Figure(pytest.approx(value), 1, False)


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


def row(key: tuple[str, str], limit: float, must: str, **of: Any) -> dict[str, Any]:
    named = {"figure": key[0], "slot": key[1], "limit": limit, "must": must}
    return named | {"low": of["value"], "high": of["value"], "verdict": NOT_ENOUGH} | of


def verdict(**change: Any) -> dict[str, Any]:
    made = figures(FOUND, on(29), METHOD)
    rows = []
    for key, (limit, must) in ALONE.items():
        found = made.get(key, Figure(1.0, 2, False))
        value = None if isnan(found.value) else found.value
        rows.append(row(key, limit, must, value=value, users=found.users))
    of = {"cut": "2010-12-29", "days": 2, "method": METHOD, "figures": rows}
    of |= {"as_of": str(DAY), "live": None, "live_method": None}
    return of | {"verdict": NOT_ENOUGH} | change


def differs(of: dict[str, Any], found: Any = FOUND) -> list[str]:
    return gate_differs(found, DAY, of, {})


def test_a_verdict_with_another_figure_is_named() -> None:
    right = verdict()
    assert differs(right) == []
    assert differs(verdict(days=1)) and differs(verdict(cut="2010-12-30"))
    for change in ({"value": 0.5}, {"users": 4}):
        for key in ALONE:
            rows = [
                row | (change if (row["figure"], row["slot"]) == key else {})
                for row in right["figures"]
            ]
            (problem,) = differs(verdict(figures=rows))
            assert " of ".join(key) in problem
    # Of two users a figure may be unknown; how much of the products is offered may not.
    rows = [row | {"value": None} for row in right["figures"]]
    assert len(differs(verdict(figures=rows))) == 2
    assert len(differs(verdict(figures=rows[:-1]))) == 3
    alone = {("1", "A", DAY)}
    unknown = [row | {"value": None, "users": 0} for row in right["figures"]]
    of_a_day = verdict(days=1, cut=str(DAY), figures=unknown)
    assert differs(of_a_day, alone) == []
    assert differs(of_a_day | {"figures": right["figures"]}, alone)


def test_a_verdict_with_another_figure_beside_the_version_that_is_served_is_named() -> None:
    mine: Any = {("new", "1"): ["C"], ("new", "2"): ["B", "C"], ("again", "3"): ["C"]}
    live: Any = {
        ("new", "1"): ["C"],
        ("new", "2"): ["B", "C"],
        ("segment", "X"): ["A"],
        ("new", ""): ["A"],
    }
    version, served = "2010-12-30-001", "2010-12-29-001"
    lists = {version: mine, served: live}
    made = figures(FOUND, on(29), METHOD, METHOD) | of_lists(FOUND, DAY, mine, live)
    made["users_to_live", "all"] = Figure(4 / 2, 2, True)
    rows = [
        row(
            key,
            *rule,
            value=None if isnan(made[key].value) else made[key].value,
            users=made[key].users,
        )
        for key, rule in (ALONE | BESIDE_LIVE | USERS).items()
    ]
    right = verdict(figures=rows, version=version, live=served, live_method=METHOD)
    assert gate_differs(FOUND, DAY, right, lists) == []
    assert made["novelty_to_live", "new"] == Figure(1.0, 2, False)
    for key in BESIDE_LIVE | USERS:
        for change in ({"value": 0.5}, {"users": 7}):
            wrong = [it | (change if (it["figure"], it["slot"]) == key else {}) for it in rows]
            (problem,) = gate_differs(FOUND, DAY, right | {"figures": wrong}, lists)
            assert key[0] in problem or "have a list" in problem
    # Of a method that is not known NDCG is not asked for, and the lists are there all the same.
    unknown = [
        it | ({"value": None, "users": 0} if it["figure"] == "ndcg_to_live" else {}) for it in rows
    ]
    assert gate_differs(FOUND, DAY, right | {"figures": unknown, "live_method": None}, lists) == []


def test_the_verdict_of_the_platform_on_two_versions_is_that_of_plain_loops() -> None:
    """A drawn shop of four tastes, whose served version was made two weeks before, by another method."""
    draw = np.random.default_rng(5)
    found = {
        (f"u{user:03d}", f"i{(user % 4 * 9 + int(draw.integers(14))) % 40:02d}", DAY - dt.timedelta(days=day))
        for user in range(110)
        for day in range(int(draw.integers(5)), 40, 5)
        for _ in range(3)
    }  # fmt: skip
    mine = Chosen(OwnFrequency(), EASE(), BASELINE)
    served = Chosen(OwnFrequency(), ItemItem(), BASELINE)
    version, live, of_live = "2010-12-30-001", "2010-12-16-001", dt.date(2010, 12, 16)
    bought, rows, lists = interactions(sorted(found)), {}, {}
    for name, method, day in ((version, mine, DAY), (live, served, of_live)):
        history = history_of(bought, day)
        rows[name] = list(rows_of(fitted(method, history), history))
        of: dict[tuple[str, str], list[str]] = defaultdict(list)
        for each in pa.Table.from_batches(rows[name]).to_pylist():
            of[each["slot"], each["user_id"]].append(each["item"])
        lists[name] = of
    stored = {
        name: Stored(
            len({user for _, user in lists[name] if user}), partial(rows.__getitem__, name)
        )
        for name in rows
    }
    judged = judge(bought, DAY, mine, Live(live, served, stored[live]), lists=stored[version])
    of_both = {"method": mine.described(), "live": live, "live_method": served.described()}
    recorded = asdict(Verdict.of(judged, version=version, as_of=str(DAY), **of_both))
    assert gate_differs(found, DAY, recorded, lists) == []
    values = {(it.figure, it.slot): it.value for it in judged.figures}
    assert (
        len(values) == 16
        and None not in values.values()
        and 1.0 not in {values[key] for key in BESIDE_LIVE if key[1] == "new"}
    )
    # With the lists of a version by another name none of what is beside it is right.
    wrong = gate_differs(found, DAY, recorded, {version: lists[version], live: lists[version]})
    assert len(wrong) >= 3


@pytest.mark.parametrize("users", [3, 8, 30, 300, 5000])
def test_which_ratios_are_known_is_what_the_platforms_resamples_say(users: int) -> None:
    for right in range(1, min(users, 9) + 1):
        mine, others = ([0.5] * users, [0.3] * right + [0.0] * (users - right))
        found = means(np.column_stack([mine, others])).ratio(0, 1)
        made, row = _ratio(mine, others), {"value": found.value, "users": users}
        assert _same(row, made), (right, found, made)
        assert made.certain == (right >= 5)
        # What is surely known must be, and what is surely not must not.
        if made.certain:
            assert not _same(row | {"value": None}, made)
        elif isnan(made.value):
            assert not _same(row | {"value": 1.0}, made)
    assert isnan(_ratio([0.5] * 300, [1.0] * 2 + [0.0] * 298).value)
    alike = [1.0] + [0.0] * 299
    assert _ratio(alike, alike).value == 1.0


def of_many(live: str | None = "2010-12-29-001", **changed: Any) -> dict[str, Any]:
    """Figures of 150 users that all reach their limit, but for those that are changed, by ``figure slot``."""
    rules = ALONE | (BESIDE_LIVE | USERS if live else {})
    rows = []
    for key, (limit, must) in rules.items():
        reached = {"value": limit, "low": limit - (must != "low"), "high": limit + 1, "users": 150}
        if key[0] in ("coverage", "users_to_live"):
            reached |= {"low": None, "high": None}
        rows.append(row(key, limit, must, verdict=PASSED, **reached))
        rows[-1] |= changed.get("_of_".join(key), {})
    judged = {each["verdict"] for each in rows}
    whole = next((each for each in (REFUSED, NOT_ENOUGH) if each in judged), PASSED)
    return {"as_of": str(DAY), "live": live, "verdict": whole, "figures": rows}


@pytest.mark.parametrize(
    ("key", "changed", "must"),
    [
        ("ndcg_to_popular_of_all", {}, PASSED),
        ("ndcg_to_popular_of_all", {"value": 1.9, "high": 2.1}, NOT_ENOUGH),
        ("ndcg_to_popular_of_all", {"value": 1.7, "high": 1.99}, REFUSED),
        ("ndcg_to_popular_of_all", {"users": 99}, NOT_ENOUGH),
        ("ndcg_to_popular_of_all", {"value": 1.7, "high": 1.99, "users": 99}, NOT_ENOUGH),
        ("ndcg_to_own_frequency_of_again", {"low": 0.94, "value": 0.95}, NOT_ENOUGH),
        ("ndcg_to_own_frequency_of_again", {"low": 0.8, "value": 0.9, "high": 0.94}, REFUSED),
        ("ndcg_to_other_single_of_new", {"low": 0.1, "value": 0.9, "high": 1.0}, PASSED),
        ("ndcg_to_other_single_of_new", {"low": 0.1, "value": 0.9, "high": 0.99}, REFUSED),
        ("coverage_of_new", {"value": 0.19}, REFUSED),
        ("coverage_of_new", {"value": None}, NOT_ENOUGH),
        ("ndcg_to_live_of_new", {"low": 0.96}, NOT_ENOUGH),
        ("novelty_to_live_of_again", {"value": 0.9, "high": 0.94}, REFUSED),
        ("users_to_live_of_all", {"value": 0.94}, REFUSED),
        ("users_to_live_of_all", {"value": 0.94, "users": 99}, NOT_ENOUGH),
        ("diversity_to_live_of_new", {"value": None, "low": None, "high": None}, NOT_ENOUGH),
    ],
)
def test_verdicts_follow_from_the_figures_by_the_rules(
    key: str, changed: dict[str, Any], must: str
) -> None:
    assert verdicts_differ(of_many(**{key: changed | {"verdict": must}}), 1500) == []
    for wrong in {PASSED, REFUSED, NOT_ENOUGH} - {must}:
        problems = verdicts_differ(of_many(**{key: changed | {"verdict": wrong}}), 1500)
        assert key.replace("_of_", " of ") in problems[0] and must in problems[0]
        assert len(problems) == 2 and f"must be {must}" in problems[1]


def test_with_more_products_than_places_there_is_not_enough_to_tell_of_coverage() -> None:
    for value, fewer in ((0.3, PASSED), (0.1, REFUSED)):
        for products, must in ((1500, fewer), (1501, NOT_ENOUGH)):
            rows = {
                f"coverage_of_{it}": {"value": value, "verdict": must} for it in ("again", "new")
            }
            assert verdicts_differ(of_many(**rows), products) == []


@pytest.mark.parametrize("live", [None, "2010-12-29-001"])
def test_figures_that_are_not_those_of_the_rules_are_named(live: str | None) -> None:
    right = of_many(live)
    assert verdicts_differ(right, 1500) == []
    more = row(("ndcg_to_live", "neither"), 0.97, "low", value=1.0, users=150)
    for rows in (right["figures"][1:], [*right["figures"], more], right["figures"] * 2):
        (problem,) = verdicts_differ(right | {"figures": rows}, 1500)
        assert "not those of the rules" in problem
    other = None if live else "2010-12-29-001"
    (problem,) = verdicts_differ(right | {"live": other}, 1500)
    assert "novelty_to_live" in problem
    if live:
        # Of an older day than what is served users are not asked for.
        older = right | {"as_of": "2010-12-28"}
        (problem,) = verdicts_differ(older, 1500)
        assert "users_to_live" in problem
        rows = [each for each in right["figures"] if each["figure"] != "users_to_live"]
        assert verdicts_differ(older | {"figures": rows}, 1500) == []
    for name, value in (("limit", 0.1), ("must", "high")):
        rows = [right["figures"][0] | {name: value}, *right["figures"][1:]]
        (problem,) = verdicts_differ(right | {"figures": rows}, 1500)
        assert "ndcg_to_popular of again" in problem


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
